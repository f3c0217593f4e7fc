"""The universal inverted bottleneck of MobileNetV4 (arXiv 2404.10518, section 4.1): the block `uib`."""

from typing import Any

from torch import Tensor, nn

from mvsearch.arch.blocks.mv2 import make_divisible
from mvsearch.nn._fused import FusedBottleneck
from mvsearch.nn._layer import BlockLayer, Channels, ChannelTable, Dimension, bottleneck_norms
from mvsearch.nn.conv import Conv


class UniversalBottleneck(nn.Module):
    """[depthwise `start`] → 1x1 to `expand` times the width → [depthwise `middle`] → 1x1 to `out`, and a residual."""

    def __init__(
        self,
        in_channels: int,
        out: int,
        *,
        expand: int = 4,
        start: int = 0,
        middle: int = 3,
        act: str = "relu",
        stride: int = 1,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        hidden = make_divisible(in_channels * expand, 8)
        first = 1 if middle else stride
        self.residual = stride == 1 and in_channels == out
        self.start: nn.Module = nn.Identity()
        self.middle: nn.Module = nn.Identity()
        if start:
            self.start = Conv(
                in_channels,
                in_channels,
                kernel=start,
                stride=first,
                groups=in_channels,
                act="none",
                dilation=dilation,
            )
        self.widen = Conv(in_channels, hidden, kernel=1, act=act)
        if middle:
            self.middle = Conv(hidden, hidden, kernel=middle, stride=stride, groups=hidden, act=act, dilation=dilation)
        self.narrow = Conv(hidden, out, kernel=1, act="none")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, out, H/stride, W/stride)."""
        y = self.narrow(self.middle(self.widen(self.start(x))))
        return x + y if self.residual else y


def _fuse(block: Any) -> nn.Module:
    return FusedBottleneck((block.start, block.widen, block.middle, block.narrow), residual=block.residual)


def channels(block: UniversalBottleneck) -> ChannelTable:
    """Input, widened maps, output."""
    widen, narrow = block.widen.conv, block.narrow.conv
    read, hidden = (Channels("in", widen.in_channels),), (Channels("hidden", widen.out_channels),)
    table: dict[str, tuple[Dimension, Dimension]] = {
        "start": (read, ()),
        "widen": (hidden, read),
        "middle": (hidden, ()),
        "narrow": ((Channels("out", narrow.out_channels),), hidden),
    }
    return table


LAYER = BlockLayer(
    module=UniversalBottleneck,
    fuse=_fuse,
    parts=frozenset({"start", "widen", "middle", "narrow"}),
    residual_norms=bottleneck_norms,
    channels=channels,
)
