"""`uib`: the universal inverted bottleneck of MobileNetV4 (arXiv 2404.10518, section 4.1, figure 4).

    x ─ [depthwise `start`] ─ 1x1 to expand ─ [depthwise `middle`] ─ 1x1 to out ─(+ x where shapes allow)

Both depthwise convolutions are optional, which gives the four instances of the paper: `middle` alone is the inverted
bottleneck of MobileNetV2, `start` alone ConvNeXt's block, both are "ExtraDW", none is a feed-forward layer.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from mvsearch.arch import cost
from mvsearch.arch.blocks import ACTIVATIONS, Block
from mvsearch.arch.blocks.mv2 import make_divisible
from mvsearch.arch.cost import Cost, Num, Shape
from mvsearch.arch.schema import Rule, integer, one_of

_KERNELS = (0, 3, 5, 7)
_NONE = {"none": 0}


@dataclass(frozen=True, kw_only=True)
class Row(Block):
    """The input is added where shapes allow. The stride is that of `middle`, or else that of `start`."""

    expand: int = integer(default=4)
    """How many times wider than its input the block is inside."""
    start: int = one_of(*_KERNELS, spelling=_NONE, default=0)
    """The side of the depthwise convolution before the first 1x1; it has a norm and no activation."""
    middle: int = one_of(*_KERNELS, spelling=_NONE, default=3)
    """The side of the depthwise convolution between both 1x1."""
    act: str = one_of(*ACTIVATIONS, default="relu")
    """The activation after the first 1x1 and after the depthwise convolution in the middle."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            ("start", "middle", "stride"),
            lambda start, middle, stride: (stride == 1) | (start > 0) | (middle > 0),
            "stride={stride} without a depthwise convolution; use start: 3, middle: 3 or stride: 1.",
        ),
    )
    supports_dilation: ClassVar[bool] = True
    summary_fields: ClassVar[tuple[str, ...]] = ("expand",)
    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "inverted bottleneck": {"start": 0, "middle": 3},
        "ConvNeXt": {"start": 3, "middle": 0},
        "ExtraDW": {"start": 3, "middle": 3},
    }

    def layer_cost(self, x: Shape, stride: Num) -> Cost:
        """Up to four convolutions with norm."""
        y, c = self.output(x, stride), x.channels
        hidden = make_divisible(c * self.expand, 8)
        # The stride is that of the middle, if there is one: `between` is the map that the first 1x1 makes.
        between = x.pixels + (y.pixels - x.pixels) * (self.middle == 0)
        return (
            cost.conv(c, c, between, kernel=self.start, groups=c).times(1 * (self.start > 0))
            + cost.conv(c, hidden, between)
            + cost.conv(hidden, hidden, y.pixels, kernel=self.middle, groups=hidden).times(1 * (self.middle > 0))
            + cost.conv(hidden, self.out, y.pixels)
            + cost.activation(self.act).times(1 + (self.middle > 0))
            + cost.operators(1 * self.keeps_shape(x, stride))
        )
