"""`conv`: convolution, batch norm, activation. Used as the stem, and as the 1x1 before the classifier."""

from dataclasses import dataclass
from typing import ClassVar

from mvsearch.arch import cost
from mvsearch.arch.blocks import ACTIVATIONS, Block
from mvsearch.arch.cost import Cost, Num, Shape
from mvsearch.arch.schema import odd, one_of


@dataclass(frozen=True, kw_only=True)
class Row(Block):
    """A dense convolution of `kernel` x `kernel`, batch norm, and by default SiLU."""

    kernel: int = odd(default=3)
    """The side of the convolution."""
    act: str = one_of(*ACTIVATIONS, "none", default="silu")
    """The activation at the end."""
    bias: bool = one_of(True, False, default=False)
    """A bias of the convolution, beside that of its norm."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"act", "bias"})
    supports_dilation: ClassVar[bool] = True

    @property
    def only_widens(self) -> bool:
        """Whether it is a 1x1 convolution of stride 1."""
        return self.kernel == 1 and self.stride == 1

    def layer_cost(self, x: Shape, stride: Num) -> Cost:
        """A convolution and its norm."""
        pixels = self.output(x, stride).pixels
        return cost.conv(x.channels, self.out, pixels, kernel=self.kernel, bias=self.bias) + cost.activation(self.act)
