"""`mobilevitv2`: separable attention, linear in the number of pixels. MobileViTv2 and the v3 built on it.

Source: MobileViTv2 (arXiv 2206.02680, section 3) and MobileViTv3 (arXiv 2209.15159, section 3.1).

    x ─ depthwise 3x3 ─ 1x1 ─┬─ transformer x depth ─┐
    │                        └─── fusion: 1 (cat) ───┴─ 1x1 ─(+ x: add_input)
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from mvsearch.arch import cost
from mvsearch.arch.blocks import ACTIVATIONS, MAX_LAYERS
from mvsearch.arch.blocks._transformer import TransformerRow
from mvsearch.arch.cost import Cost, Num, Shape
from mvsearch.arch.schema import integer, one_of

_LAYER_OPERATORS = 8
"""Those of a layer in ONNX beside its convolutions and norms: scores, the context, both sums."""

_NORM_OPERATORS = 6
"""Those of a norm over all of an image."""


@dataclass(frozen=True, kw_only=True)
class Row(TransformerRow):
    """v3 by default; v2 is `fusion: none, add_input: false`. A map is resized to the next multiple of the patch."""

    dim: int = integer()
    """Channels of the transformer."""
    depth: int = integer(high=MAX_LAYERS)
    """Transformer layers."""
    ffn: int = integer(default=None)
    """Hidden channels of each feed-forward layer; by default 2*dim, to a multiple of 16."""
    patch: int = integer(default=2)
    """The side of a patch in positions of the map."""
    fusion: int = one_of(1, 0, spelling={"none": 0}, default=1)
    """1 joins the local features with the transformer's output by a 1x1 convolution."""
    add_input: bool = one_of(True, False, default=True)
    """Add the input of the block to its output."""
    act: str = one_of(*ACTIVATIONS, default="silu")
    """The activation of the local convolution and of the feed-forward layers."""
    norm: str = one_of("layer", "batch", default="layer")
    """The norms of the transformer: layer norms over all of an image, or batch norms, which inference folds."""
    merged: bool = one_of(True, False, default=False)
    """Build the transformer with its batch norms inside the layers after them, as they are at inference."""

    supports_dilation: ClassVar[bool] = True
    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "v2: no fusion": {"fusion": 0, "add_input": False},
        "v3: 1x1 fusion": {"fusion": 1, "add_input": True},
    }

    def __post_init__(self) -> None:
        if self.ffn is None:
            object.__setattr__(self, "ffn", 2 * self.dim // 16 * 16 + 16 * (self.dim < 8))  # at least 16

    def output(self, x: Shape, stride: Num) -> Shape:
        """The input's shape, resized to the next multiple of the patch."""
        grown = x.padded_to(self.patch)
        return Shape(self.out, grown.height, grown.width)

    def layer_cost(self, x: Shape, stride: Num) -> Cost:
        """Local convolutions, `depth` transformer layers and their last norm, projection."""
        c, d, pixels = x.channels, self.dim, x.padded_to(self.patch).pixels
        norm = (cost.norm(d) + cost.operators(_NORM_OPERATORS)).times(1 * (self.norm == "layer"))
        layer = (
            norm.times(2)
            + cost.conv(d, 1 + 2 * d, pixels, bias=True, norm=False)
            + cost.conv(d, d, pixels, bias=True, norm=False)
            + cost.conv(d, self.ffn, pixels, bias=True, norm=False)
            + cost.conv(self.ffn, d, pixels, bias=True, norm=False)
            + cost.activation(self.act)
            + cost.operators(_LAYER_OPERATORS)
        )
        grown, fusion = x.padded_to(self.patch), 1 * (self.fusion == 1)
        resized = (grown.height != x.height) | (grown.width != x.width)
        # Per fusion its concatenation; the last norm and reshapes; size and resizing.
        others = fusion + 1 * self.add_input + 6 + 3 * resized
        return (
            cost.conv(c, c, pixels, kernel=3, groups=c)
            + cost.conv(c, d, pixels, norm=False)
            + layer.times(self.depth)
            + norm
            + cost.conv(d + d * fusion, c, pixels)
            + cost.activation(self.act)
            + cost.operators(others)
        )
