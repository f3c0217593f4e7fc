"""The head `classification`: pooling, dropout, classifier; and the paper's initialisation of all weights."""

from torch import Tensor, nn

from mvsearch.nn._layer import Channels, ChannelTable, HeadLayer, count_rows


class ClassificationHead(nn.Module):
    """Pooling over the map, dropout, linear classifier; with `classes` None it returns the pooled features."""

    def __init__(self, features: int, classes: int | None, *, pool: str = "mean", dropout: float = 0.0) -> None:
        super().__init__()
        self.pool = pool
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Identity() if classes is None else nn.Linear(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, classes)."""
        pooled = x.mean((2, 3)) if self.pool == "mean" else x.amax((2, 3))
        return self.linear(self.dropout(pooled))


def channels(head: ClassificationHead) -> ChannelTable:
    """The last map of the network."""
    return {"linear": ((), (Channels("in", head.linear.in_features),))} if isinstance(head.linear, nn.Linear) else {}


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
