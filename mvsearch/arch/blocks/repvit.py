"""`repvit`: the block of RepViT (arXiv 2307.09283, section 3), convolutions alone, with branches that are merged.

    x ─ token mixer ─ [squeeze-and-excitation] ─ 1x1 to expand ─ 1x1 ─(+ the input of both 1x1)

The token mixer adds a depthwise 3x3, a depthwise 1x1 and its input (section 3.2, figure 3). At inference these branches
are one depthwise 3x3: costs are those of the merged network, and `training_cost` is what the branches add in training.
A layer that strides or changes the width is the deeper downsampling of section 3.3: a block without squeeze-and-
excitation on the input, a depthwise 3x3 with the stride, a 1x1, and a residual pair of 1x1.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from mvsearch.arch import cost
from mvsearch.arch.blocks import ACTIVATIONS, Block
from mvsearch.arch.cost import Cost, Num, Shape
from mvsearch.arch.schema import integer, one_of


@dataclass(frozen=True, kw_only=True)
class Row(Block):
    """A token mixer and a channel mixer; where it strides or changes the width, a downsampling."""

    expand: int = integer(default=2)
    """How many times wider than its input the channel mixer is inside."""
    se: int = one_of(2, 1, 0, spelling={"none": 0}, default=2)
    """Squeeze-and-excitation in every n-th layer, from the first after the downsampling on."""
    act: str = one_of(*ACTIVATIONS, default="gelu")
    """The activation of the channel mixer."""
    merged: bool = one_of(True, False, default=False)
    """Build the token mixers without branches, as they are at inference."""

    summary_fields: ClassVar[tuple[str, ...]] = ("expand",)

    def layer(self, index: int, width: Num) -> Self:
        """The layer alone: `se` is 1 if it has squeeze-and-excitation, else none."""
        first = super().layer(index, width)
        if index == 0 and first.downsamples(width):
            return replace(first, se=0)
        position = index - replace(self, repeat=1).downsamples(width)
        return replace(first, se=1 * (self.se > 0 and position % self.se == 0))

    def downsamples(self, width: Num) -> Num:
        """Whether the first layer of the row is a downsampling, given the channels of its input."""
        return (self.stride != 1) | (width != self.out)

    def deploy(self) -> Self:
        """The row with merged token mixers."""
        return replace(self, merged=True)

    def layer_cost(self, x: Shape, stride: Num) -> Cost:
        """A layer without squeeze-and-excitation."""
        y, c, down = self.output(x, stride), x.channels, 1 * ((stride != 1) | (x.channels != self.out))
        before = self._mixer(x) + self._channel_mixer(x)
        before += cost.conv(c, c, y.pixels, kernel=3, groups=c) + cost.conv(c, self.out, y.pixels)
        return before.times(down) + self._mixer(y).times(1 - down) + self._channel_mixer(y)

    def cost(self, x: Shape) -> tuple[Cost, Shape]:
        """The cost of the whole row, with squeeze-and-excitation in the layers that have it."""
        total, y = super().cost(x)
        plain = self.repeat - 1 * self.downsamples(x.channels)
        count = -(-plain // (self.se + (self.se == 0))) * (self.se > 0)
        return total + cost.squeeze_excite(self.out).times(count), y

    def training_cost(self, x: Shape) -> Cost:
        """What the branches of all token mixers add: a norm, and a depthwise 1x1 with bias."""
        if self.merged:
            return Cost()
        y, down = self.output(x, self.stride), 1 * self.downsamples(x.channels)
        return self._branches(x).times(down) + self._branches(y).times(self.repeat - down)

    def _mixer(self, x: Shape) -> Cost:
        return cost.conv(x.channels, x.channels, x.pixels, kernel=3, groups=x.channels)

    def _branches(self, x: Shape) -> Cost:
        return cost.norm(x.channels) + cost.conv(
            x.channels, x.channels, x.pixels, groups=x.channels, bias=True, norm=False
        )

    def _channel_mixer(self, x: Shape) -> Cost:
        hidden = self.expand * x.channels
        convolutions = cost.conv(x.channels, hidden, x.pixels) + cost.conv(hidden, x.channels, x.pixels)
        return convolutions + cost.activation(self.act) + cost.operators(1)
