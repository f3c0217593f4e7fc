"""`conv`: convolution, batch norm, SiLU. Used as the stem, and as the 1x1 before the classifier."""

from dataclasses import dataclass
from typing import ClassVar

from mvsearch.arch import cost
from mvsearch.arch.blocks import Block
from mvsearch.arch.cost import Cost, Num, Shape
from mvsearch.arch.schema import odd


@dataclass(frozen=True, kw_only=True)
class Row(Block):
    """A dense convolution of `kernel` x `kernel` without bias, batch norm, SiLU."""

    kernel: int = odd(default=3)
    """The side of the convolution."""

    supports_dilation: ClassVar[bool] = True

    @property
    def only_widens(self) -> bool:
        """Whether it is a 1x1 convolution of stride 1."""
        return self.kernel == 1 and self.stride == 1

    def layer_cost(self, x: Shape, stride: Num) -> Cost:
        """A convolution and its norm."""
        return cost.conv(x.channels, self.out, self.output(x, stride).pixels, kernel=self.kernel)
