"""The inverted residual of MobileNetV2 (arXiv 1801.04381, section 3.3): the block `mv2`."""

from typing import Any

from torch import Tensor, nn

from mvsearch.arch.blocks.mv2 import make_divisible
from mvsearch.nn._fused import FusedBottleneck
from mvsearch.nn._layer import BlockLayer, Channels, ChannelTable, bottleneck_norms
from mvsearch.nn.conv import Conv


class MV2(nn.Module):
    """1x1 to `expand` times the width, depthwise `kernel`, 1x1 to `out`; the input is added where shapes allow."""

    def __init__(
        self,
        in_channels: int,
        out: int,
        *,
        expand: int = 4,
        kernel: int = 3,
        act: str = "silu",
        stride: int = 1,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        hidden = make_divisible(in_channels * expand, 8)
        self.residual = stride == 1 and in_channels == out
        self.widen = Conv(in_channels, hidden, kernel=1, act=act)
        self.depthwise = Conv(hidden, hidden, kernel=kernel, stride=stride, groups=hidden, act=act, dilation=dilation)
        self.narrow = Conv(hidden, out, kernel=1, act="none")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, out, H/stride, W/stride)."""
        y = self.narrow(self.depthwise(self.widen(x)))
        return x + y if self.residual else y


def _fuse(block: Any) -> nn.Module:
    return FusedBottleneck((block.widen, block.depthwise, block.narrow), residual=block.residual)


def channels(block: MV2) -> ChannelTable:
    """Input, widened maps, output."""
    widen, narrow = block.widen.conv, block.narrow.conv
    hidden = (Channels("hidden", widen.out_channels),)
    return {
        "widen": (hidden, (Channels("in", widen.in_channels),)),
        "depthwise": (hidden, ()),
        "narrow": ((Channels("out", narrow.out_channels),), hidden),
    }


LAYER = BlockLayer(
    module=MV2,
    fuse=_fuse,
    parts=frozenset({"widen", "depthwise", "narrow"}),
    residual_norms=bottleneck_norms,
    channels=channels,
)
