"""`shsa`: the block of SHViT (arXiv 2401.16456, section 3), attention of one head on a part of the channels.

    x ─(+)─ depthwise 3x3 ─(+)─ attention ─(+)─ 1x1 to expand ─ 1x1 ─

Each of the three is added to its input. Attention (section 3.2, equations 2 to 4) works on the first `dim` channels,
with queries and keys of `qk` channels from a 1x1; a 1x1 projects all channels. A layer that strides or changes the
width begins with the efficient downsampling of section 3.3: depthwise and feed-forward parts on the input, a 1x1 to
four times its width, a depthwise 3x3 with the stride, squeeze-and-excitation, a 1x1.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from mvsearch.arch import cost
from mvsearch.arch.blocks import ACTIVATIONS, Block
from mvsearch.arch.cost import Cost, Num, Shape
from mvsearch.arch.schema import Rule, integer, one_of

MERGING = 4
"""How many times wider than its input the downsampling is inside."""


@dataclass(frozen=True, kw_only=True)
class Row(Block):
    """Depthwise, attention, feed-forward, each with a residual; first a downsampling where shapes change."""

    dim: int = integer(low=0, default=0)
    """Channels that attend, of which the paper has `out` / 4.67; 0 leaves the attention out."""
    qk: int = integer(default=16)
    """Channels of queries and keys."""
    expand: int = integer(default=2)
    """How many times wider than its input the feed-forward part is inside."""
    norm: str = one_of("layer", "batch", default="layer")
    """The norm before attention: over all of an image, or batch norm."""
    act: str = one_of(*ACTIVATIONS, default="relu")
    """The activation before the projection, in the feed-forward parts and in the downsampling."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            ("dim", "out"),
            lambda dim, out: dim <= out,
            "dim={dim} is more than the channels of the block; use at most out={out}.",
        ),
    )
    inactive_when: ClassVar[dict[str, tuple[str, Any]]] = {"qk": ("dim", 0), "norm": ("dim", 0)}
    width_fields: ClassVar[tuple[str, ...]] = ("dim",)
    attention_field: ClassVar[str | None] = "dim"
    summary_fields: ClassVar[tuple[str, ...]] = ("dim",)

    def layer_cost(self, x: Shape, stride: Num) -> Cost:
        """The three parts on the output, after a downsampling where shapes change."""
        y, c, down = self.output(x, stride), x.channels, 1 * ((stride != 1) | (x.channels != self.out))
        hidden = MERGING * c
        merging = (
            cost.conv(c, hidden, x.pixels)
            + cost.conv(hidden, hidden, y.pixels, kernel=3, groups=hidden)
            + cost.squeeze_excite(hidden)
            + cost.conv(hidden, self.out, y.pixels)
            + cost.activation(self.act).times(2)
        )
        before, attention = self._parts(x) + merging, self._attention(y).times(1 * (self.dim > 0))
        return before.times(down) + attention + self._parts(y)

    def _parts(self, x: Shape) -> Cost:
        """The depthwise and the feed-forward part."""
        c, hidden = x.channels, self.expand * x.channels
        return (
            cost.conv(c, c, x.pixels, kernel=3, groups=c)
            + cost.conv(c, hidden, x.pixels)
            + cost.conv(hidden, c, x.pixels)
            + cost.activation(self.act)
            + cost.operators(2)
        )

    def _attention(self, x: Shape) -> Cost:
        products = x.pixels * x.pixels * (self.qk + self.dim)
        return (
            cost.norm(self.dim)
            + cost.conv(self.dim, 2 * self.qk + self.dim, x.pixels)
            + Cost(0, products, products)
            + cost.conv(x.channels, x.channels, x.pixels)
            + cost.activation(self.act)
            # A layer norm is six operators, a batch norm one; without other channels there is nothing to concatenate,
            # and the scale of one channel is 1, which the exporter leaves out.
            + cost.operators(13 + 5 * (self.norm == "layer") - 1 * (self.dim == x.channels) - 1 * (self.qk == 1))
        )
