"""`mv2`: the inverted residual of MobileNetV2 (arXiv 1801.04381, section 3.3), by default with SiLU as in MobileViT."""

from dataclasses import dataclass
from typing import ClassVar

from mvsearch.arch import cost
from mvsearch.arch.blocks import ACTIVATIONS, Block
from mvsearch.arch.cost import Cost, Num, Shape
from mvsearch.arch.schema import integer, odd, one_of


def make_divisible(value: int, divisor: int) -> int:
    """The multiple of `divisor` nearest to `value`, not more than 10 % below it: MobileNetV2's rounding."""
    near = (2 * value + divisor) // (2 * divisor) * divisor
    near = near + (divisor - near) * (near < divisor)
    return near + divisor * (10 * near < 9 * value)


@dataclass(frozen=True, kw_only=True)
class Row(Block):
    """1x1 to `expand` times the width, depthwise `kernel`, 1x1 to `out`; the input is added where shapes allow."""

    expand: int = integer(default=4)
    """How many times wider than its input the block is inside."""
    kernel: int = odd(default=3)
    """The side of the depthwise convolution."""
    act: str = one_of(*ACTIVATIONS, default="silu")
    """The activation after the first two convolutions."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"act"})
    supports_dilation: ClassVar[bool] = True
    summary_fields: ClassVar[tuple[str, ...]] = ("expand",)

    def layer_cost(self, x: Shape, stride: Num) -> Cost:
        """Three convolutions with norm."""
        hidden = make_divisible(x.channels * self.expand, 8)
        pixels = self.output(x, stride).pixels
        return (
            cost.conv(x.channels, hidden, x.pixels)
            + cost.conv(hidden, hidden, pixels, kernel=self.kernel, groups=hidden)
            + cost.conv(hidden, self.out, pixels)
            + cost.activation(self.act).times(2)
            + cost.operators(1 * self.keeps_shape(x, stride))
        )
