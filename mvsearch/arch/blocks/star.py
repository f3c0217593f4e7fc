"""`star`: the block of StarNet (arXiv 2403.19967, section 4, figure 5), which multiplies two projections.

    x ─ depthwise ─┬─ 1x1 to expand ─ activation ─┐
                   └─ 1x1 to expand ───────────────*─ 1x1 ─ depthwise ─(+ x)

All convolutions have a bias; the first depthwise one and the 1x1 after the product also have a batch norm.
"""

from dataclasses import dataclass
from typing import ClassVar

from mvsearch.arch import cost
from mvsearch.arch.blocks import ACTIVATIONS, KEEPS_SHAPE, Block
from mvsearch.arch.cost import Cost, Num, Shape
from mvsearch.arch.schema import Rule, integer, odd, one_of


@dataclass(frozen=True, kw_only=True)
class Row(Block):
    """The size and the width of the input are kept: a `conv` with `bias: true, act: none` before it changes them."""

    expand: int = integer(default=4)
    """How many times wider than its input each of the two factors is."""
    kernel: int = odd(default=7)
    """The side of both depthwise convolutions."""
    act: str = one_of(*ACTIVATIONS, default="relu6")
    """The activation of one of the factors."""

    rules: ClassVar[tuple[Rule, ...]] = KEEPS_SHAPE
    summary_fields: ClassVar[tuple[str, ...]] = ("expand",)

    def layer_cost(self, x: Shape, stride: Num) -> Cost:
        """Two depthwise convolutions and three 1x1, all with bias."""
        c, hidden, pixels = x.channels, self.expand * x.channels, x.pixels
        return (
            cost.conv(c, c, pixels, kernel=self.kernel, groups=c, bias=True)
            + cost.conv(c, hidden, pixels, bias=True, norm=False).times(2)
            + cost.conv(hidden, c, pixels, bias=True)
            + cost.conv(c, c, pixels, kernel=self.kernel, groups=c, bias=True, norm=False)
            + cost.activation(self.act)
            + cost.operators(2)  # product, sum
        )
