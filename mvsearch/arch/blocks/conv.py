"""`conv`: convolution, batch norm, SiLU. The stem, and the widening 1x1 before the classifier."""

from dataclasses import dataclass
from typing import ClassVar

from mvsearch.arch import cost
from mvsearch.arch.blocks import Block, odd
from mvsearch.arch.cost import Cost, Num, Shape


@dataclass(frozen=True, kw_only=True)
class Row(Block):
    """A dense convolution of `kernel` x `kernel` without bias, batch norm, SiLU."""

    kernel: int = odd(default=3)

    dilates: ClassVar[bool] = True

    def layer_cost(self, x: Shape, stride: Num) -> Cost:
        """One convolution and its norm."""
        return cost.conv(x.channels, self.out, self.output(x, stride).pixels, kernel=self.kernel)
