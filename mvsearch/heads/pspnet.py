"""`pspnet`: a class for every pixel, with means over parts of the map beside it (arXiv 1612.01105).

last ─┬──────────────────────────────────────┬─ 3x3 ─ dropout ─ 1x1 to classes ─ resized to the image
map   └─ means over 1, 4, 9, 36 parts ─ 1x1 ─┘
"""

from dataclasses import dataclass
from typing import ClassVar

from mvsearch import cost
from mvsearch.cost import Cost, Shape
from mvsearch.heads._dense import Dense


@dataclass(frozen=True, kw_only=True)
class Head(Dense):
    """As MobileViTv2 and v3-0.5, 0.75, 1.0 have it; each branch has a quarter of the map's channels."""

    sizes: ClassVar[tuple[int, ...]] = (1, 2, 3, 6)
    """The parts along a side over which means are taken."""

    def context(self, x: Shape) -> tuple[str, Cost]:
        """The branches and what joins them."""
        inner = x.channels // len(self.sizes) // 16 * 16
        branches = sum((cost.conv(x.channels, inner, size * size) for size in self.sizes), Cost())
        joined = x.channels + inner * len(self.sizes)
        return "pyramid", branches + cost.conv(joined, self.out, x.pixels, kernel=3)
