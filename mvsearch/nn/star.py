"""The block of StarNet (arXiv 2403.19967, section 4), which multiplies two projections: the block `star`."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from mvsearch.nn._activation import activation, in_place
from mvsearch.nn._fused import fuse_conv
from mvsearch.nn._layer import BlockLayer, Channels, ChannelTable
from mvsearch.nn.conv import Conv


class Star(nn.Module):
    """Depthwise `kernel`, the product of two 1x1, 1x1, depthwise; added to the input: (B, C, H, W) → the same."""

    def __init__(self, in_channels: int, out: int, *, expand: int = 4, kernel: int = 7, act: str = "relu6") -> None:
        super().__init__()
        hidden = expand * in_channels
        self.first = Conv(in_channels, in_channels, kernel=kernel, groups=in_channels, act="none", bias=True)
        self.gate = nn.Conv2d(in_channels, hidden, 1)
        self.value = nn.Conv2d(in_channels, hidden, 1)
        self.act = activation(act)
        self.narrow = Conv(hidden, out, kernel=1, act="none", bias=True)
        self.last = nn.Conv2d(out, out, kernel, padding=kernel // 2, groups=out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        y = self.first(x)
        return x + self.last(self.narrow(self.act(self.gate(y)) * self.value(y)))


class FusedStar(nn.Module):
    """The block without norms: (B, C, H, W) → (B, C, H, W)."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.first, self.gate, self.value = fuse_conv(block.first), block.gate, block.value
        self.act, self.narrow, self.last = in_place(block.act), fuse_conv(block.narrow), block.last

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        y = self.first(x)
        gate: Tensor = self.gate(y) if self.act is None else self.act(self.gate(y))
        return self.last(self.narrow(gate.mul_(self.value(y)))).add_(x)


def _residual_norms(block: Any) -> Sequence[nn.Module]:
    return (block.narrow.norm,)  # the convolution after it has no bias at first


def channels(block: Any) -> ChannelTable:
    """The input's channels, and those of both factors, which have one order."""
    read = (Channels("in", block.gate.in_channels),)
    hidden = (Channels("hidden", block.gate.out_channels),)
    return {
        "first": (read, ()),
        "gate": (hidden, read),
        "value": (hidden, read),
        "narrow": (read, hidden),
        "last": (read, ()),
    }


LAYER = BlockLayer(
    module=Star,
    fuse=FusedStar,
    parts=frozenset({"first", "gate", "value", "narrow", "last"}),
    residual_norms=_residual_norms,
    channels=channels,
)
