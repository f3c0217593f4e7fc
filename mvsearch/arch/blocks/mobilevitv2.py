"""`mobilevitv2`: separable attention, linear in the number of pixels. MobileViTv2 and the v3 built on it.

Source: MobileViTv2 (arXiv 2206.02680, section 3) and MobileViTv3 (arXiv 2209.15159, section 3.1).

    x ─ depthwise 3x3 ─ 1x1 ─┬─ transformer x depth ─┐
    │                        └─── fusion: 1 (cat) ───┴─ 1x1 ─(+ x: add_input)
"""

from dataclasses import dataclass
from typing import ClassVar

from mvsearch.arch import cost
from mvsearch.arch.blocks import MOST_LAYERS, Block, Rule, integer, one_of
from mvsearch.arch.blocks.mobilevit import Row as MobileViTRow
from mvsearch.arch.cost import Cost, Num, Shape


@dataclass(frozen=True, kw_only=True)
class Row(Block):
    """v3 by default; v2 is `fusion: none, add_input: false`. A size that no patch divides grows to one it does."""

    dim: int = integer()
    depth: int = integer(high=MOST_LAYERS)
    ffn: int = integer(default=None)
    patch: int = integer(default=2)
    fusion: int = one_of(1, 0, spelling={"none": 0}, default=1)
    add_input: bool = one_of(True, False, default=True)

    rules: ClassVar[tuple[Rule, ...]] = MobileViTRow.rules[:2]
    dilates: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.ffn is None:
            object.__setattr__(self, "ffn", 2 * self.dim // 16 * 16 + 16 * (self.dim < 8))  # but not to 0

    def output(self, x: Shape, stride: Num) -> Shape:
        """The input's shape, grown to a multiple of the patch."""
        grown = x.padded_to(self.patch)
        return Shape(self.out, grown.height, grown.width)

    def layer_cost(self, x: Shape, stride: Num) -> Cost:
        """Local convolutions, `depth` transformer layers and their last norm, projection."""
        c, d, pixels = x.channels, self.dim, x.padded_to(self.patch).pixels
        layer = (
            cost.norm(2 * d)
            + cost.conv(d, 1 + 2 * d, pixels, bias=True, norm=False)
            + cost.conv(d, d, pixels, bias=True, norm=False)
            + cost.conv(d, self.ffn, pixels, bias=True, norm=False)
            + cost.conv(self.ffn, d, pixels, bias=True, norm=False)
        )
        return (
            cost.conv(c, c, pixels, kernel=3, groups=c)
            + cost.conv(c, d, pixels, norm=False)
            + layer.times(self.depth)
            + cost.norm(d)
            + cost.conv(d + d * (self.fusion == 1), c, pixels)
        )
