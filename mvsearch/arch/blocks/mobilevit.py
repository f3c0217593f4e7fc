"""`mobilevit`: softmax attention among pixels, fused with convolution. MobileViTv1, v3, and the variants between them.

Source: MobileViT (arXiv 2110.02178, section 3.1) and MobileViTv3 (arXiv 2209.15159, section 3.1; Table 5).

    x ─ local kxk ─ 1x1 ─┬─ transformer x depth ─ 1x1 ─┐
    │                    └────── concat: local ────────┴─ fusion ─(+ x: add_input)
    └─────────────────────────── concat: input ────────┘
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from mvsearch.arch import cost
from mvsearch.arch.blocks import ACTIVATIONS, KEEPS_SHAPE, MAX_LAYERS
from mvsearch.arch.blocks._transformer import TransformerRow
from mvsearch.arch.cost import Cost, Num, Shape
from mvsearch.arch.schema import Rule, fraction, integer, one_of

_LAYER_OPERATORS = 26
"""Those of a transformer layer in ONNX beside linear layers and norms: queries, keys, values apart, attention."""

_V1 = {"local": "dense", "fusion": 3, "concat": "input", "add_input": False}


@dataclass(frozen=True, kw_only=True)
class Row(TransformerRow):
    """v3 by default; v1 is `local: dense, fusion: 3, concat: input, add_input: false`."""

    dim: int = integer()
    """Channels of the transformer."""
    depth: int = integer(high=MAX_LAYERS)
    """Transformer layers."""
    ffn: int = integer(default=None)
    """Hidden channels of each feed-forward layer; by default 2*dim."""
    heads: int = integer(default=4)
    """Attention heads."""
    patch: int = integer(default=2)
    """The side of a patch in positions of the map."""
    dropout: float = fraction(default=0.1)
    """Dropout in the transformer while training."""
    local: str = one_of("depthwise", "dense", default="depthwise")
    """The kind of the 3x3 convolution before the transformer."""
    fusion: int = one_of(1, 3, 0, spelling={"none": 0}, default=1)
    """The side of the last convolution, which joins the transformer's output with `concat`; `none` leaves it out."""
    concat: str = one_of("local", "input", default="local")
    """What is joined with the transformer's output: the local features, or the input of the block."""
    add_input: bool = one_of(True, False, default=True)
    """Add the input of the block to its output."""
    act: str = one_of(*ACTIVATIONS, default="silu")
    """The activation of the convolutions and of the feed-forward layers."""
    norm: str = one_of("layer", "batch", default="layer")
    """The norms of the transformer: layer norms over the channels of a pixel, or batch norms, which inference folds."""
    merged: bool = one_of(True, False, default=False)
    """Build the transformer with its batch norms inside the layers after them, as they are at inference."""

    rules: ClassVar[tuple[Rule, ...]] = (
        *KEEPS_SHAPE,
        Rule(
            ("dim", "heads"),
            lambda dim, heads: dim % heads == 0,
            "dim={dim} is not divisible by heads={heads}; use a multiple of {heads}.",
        ),
    )
    inactive_when: ClassVar[dict[str, tuple[str, Any]]] = {"concat": ("fusion", 0), "merged": ("norm", "layer")}
    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "v1: 3x3 fusion": _V1,
        "v1 with 1x1 fusion": _V1 | {"fusion": 1},  # row 2 of the paper's ablation (Table 5)
        "v3: 1x1 fusion": {"local": "depthwise", "fusion": 1, "concat": "local", "add_input": True},
    }

    def __post_init__(self) -> None:
        if self.ffn is None:
            object.__setattr__(self, "ffn", 2 * self.dim)

    def layer_cost(self, x: Shape, stride: Num) -> Cost:
        """Local convolutions, `depth` transformer layers and their last norm, projection, fusion."""
        c, d = x.channels, self.dim
        groups = 1 + (self.local == "depthwise") * (c - 1)
        fused = c + d * (self.concat == "local") + c * (self.concat == "input")
        convolutions = (
            cost.conv(c, c, x.pixels, kernel=3, groups=groups)
            + cost.conv(c, d, x.pixels, norm=False)
            + cost.conv(d, c, x.pixels)
            + cost.conv(fused, c, x.pixels, kernel=self.fusion).times(1 * (self.fusion != 0))
        )
        fusion, grown = 1 * (self.fusion != 0), x.padded_to(self.patch)
        resized = (grown.height != x.height) | (grown.width != x.width)
        # Per fusion its concatenation; the last norm and reshapes; sizes and resizing before and after.
        others = fusion + 1 * self.add_input + 7 + 6 * resized
        operators = cost.activation(self.act).times(2 + fusion) + cost.operators(others)
        norm = _norm_cost(d).times(1 * (self.norm == "layer"))
        return convolutions + self._transformer_cost(x).times(self.depth) + norm + operators

    def _transformer_cost(self, x: Shape) -> Cost:
        d, pixels = self.dim, x.padded_to(self.patch).pixels
        places = self.patch * self.patch
        return (
            _norm_cost(d).times(2 * (self.norm == "layer"))
            + cost.linear(d, 3 * d, pixels)
            + cost.attention(d, pixels // places, places)
            + cost.linear(d, d, pixels)
            + cost.linear(d, self.ffn, pixels)
            + cost.linear(self.ffn, d, pixels)
            + cost.activation(self.act)
            + cost.operators(_LAYER_OPERATORS)
        )


def _norm_cost(channels: Num) -> Cost:
    """A layer norm, which ONNX has as one operator."""
    return cost.norm(channels) + cost.operators(1)
