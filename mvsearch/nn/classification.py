"""The head `classification`, pooling and a classifier; and the paper's initialisation of all weights."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from mvsearch.nn._layer import Channels, ChannelTable, Dimension, HeadLayer, count_rows
from mvsearch.nn.conv import Conv


class ClassificationHead(nn.Module):
    """Pooling over the map, dropout, linear classifier; with `classes` None it returns the pooled features.

    `norm` is a batch norm of the map or of the pooled features, `hidden` the channels of a 1x1 convolution after them.
    """

    def __init__(
        self,
        features: int,
        classes: int | None,
        *,
        pool: str = "mean",
        dropout: float = 0.0,
        norm: str = "none",
        hidden: int = 0,
        act: str = "relu",
    ) -> None:
        super().__init__()
        self.pool, self.norm_of = pool, norm
        self.norm: Any = nn.Identity()
        if norm != "none":  # behind the pooling, a vector; before a convolution, a map of one pixel
            self.norm = nn.BatchNorm1d(features) if norm == "pooled" and not hidden else nn.BatchNorm2d(features)
        self.hidden = Conv(features, hidden, kernel=1, act=act) if hidden else None
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Identity() if classes is None else nn.Linear(hidden or features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, classes)."""
        return self.linear(self.dropout(self.features(x)))

    def features(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C) or (B, hidden): what the classifier reads."""
        # The mean of a normalised map is the normalised mean, once the statistics are fixed: one pixel is normalised.
        late = self.norm_of == "map" and self.pool == "mean" and not (self.training or self.norm.training)
        x = self.norm(x) if self.norm_of == "map" and not late else x
        maps = self.hidden is not None
        pooled = x.mean((2, 3), keepdim=maps) if self.pool == "mean" else x.amax((2, 3), keepdim=maps)
        if late:
            norm = self.norm
            pooled = F.batch_norm(pooled, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        pooled = self.norm(pooled) if self.norm_of == "pooled" else pooled
        return pooled if self.hidden is None else self.hidden(pooled).flatten(1)


def channels(head: ClassificationHead) -> ChannelTable:
    """The last map of the network, and the hidden layer."""
    linear, hidden = head.linear, head.hidden
    table: dict[str, tuple[Dimension, Dimension]] = {}
    if isinstance(linear, nn.Linear):
        table["linear"] = ((), (Channels("hidden" if hidden else "in", linear.in_features),))
    if hidden is not None:
        conv = hidden.conv
        table["hidden"] = ((Channels("hidden", conv.out_channels),), (Channels("in", conv.in_channels),))
    if isinstance(head.norm, nn.BatchNorm1d | nn.BatchNorm2d):
        table["norm"] = ((Channels("in", head.norm.num_features),), ())
    return table


HEAD = HeadLayer(
    module=ClassificationHead, count_classes=count_rows("linear.weight"), any_width=True, channels=channels
)


def initialise(module: nn.Module) -> None:
    """The authors' initialisation: convolutions Kaiming normal over outputs, linear layers normal 0.02."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
    elif isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
    if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
