"""`pspnet`: a class for every pixel, by pooling over a pyramid of regions (arXiv 1612.01105).

last ─┬──────────────────────────────────────┬─ 3x3 ─ dropout ─ 1x1 to classes ─ resized to the image
map   └─ means over 1, 4, 9, 36 regions ─ 1x1 ┘
"""

from dataclasses import dataclass

from mvsearch.arch import cost
from mvsearch.arch.cost import Cost, Num, Shape
from mvsearch.arch.heads._dense import Dense

SIZES = (1, 2, 3, 6)
"""The number of regions along each side, by branch."""


def branch_width(channels: Num) -> Num:
    """A quarter of the map's channels, as a multiple of 16, at least 16."""
    width = channels // len(SIZES) // 16 * 16
    return width + 16 * (width == 0)


@dataclass(frozen=True, kw_only=True)
class Head(Dense):
    """The head of MobileViTv2 and v3-0.5, 0.75, 1.0; each branch has a quarter of the map's channels."""

    def context(self, x: Shape) -> tuple[str, Cost]:
        """The branches and the convolution that joins them."""
        inner = branch_width(x.channels)
        branches = sum((cost.conv(x.channels, inner, size * size) for size in SIZES), Cost())
        joined = x.channels + inner * len(SIZES)
        return "pyramid", branches + cost.conv(joined, self.out, x.pixels, kernel=3)
