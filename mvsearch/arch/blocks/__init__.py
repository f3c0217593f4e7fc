"""Blocks: the kinds of rows that an architecture is made of. Their fields, rules and cost. No torch.

A file `blocks/x.py` defines one class, `Row(Block)`, a frozen dataclass whose fields are the keys of the YAML file;
`nn/x.py` holds the torch module of the same fields, as `LAYER`. To add a block, write these two files. What scaling,
reports and figures need to know about a block, `Row` declares in the class variables of `Block`.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from mvsearch.arch.cost import Cost, Num, Shape
from mvsearch.arch.schema import Rule, Schema, field_text, integer, one_of
from mvsearch.errors import ArchitectureError
from mvsearch.utils import plugins

MAX_LAYERS = 1000
"""The most layers in one row. A larger number is a typing error, and building it would exhaust the memory."""

ACTIVATIONS = ("silu", "relu", "relu6", "hard_swish", "gelu")
"""The activations that a block can have between its convolutions."""

KEEPS_SHAPE = (
    Rule(
        ("stride",),
        lambda stride: stride == 1,
        "stride={stride}, but the block keeps the size of its input; use 1.",
    ),
    Rule(
        ("width", "out"),
        lambda width, out: width == out,
        "out={out}, but the block keeps the width of its input ({width}); use out: {input}.",
    ),
)
"""The rules of a block whose output has the shape of its input."""

PLAIN_BLOCKS = frozenset({"conv", "mv2"})
"""The blocks that networks of all families have; the others tell the family."""


@dataclass(frozen=True, kw_only=True)
class Block(Schema):
    """A row of an architecture. Only the first layer of a repeat strides."""

    name: str
    """The name of the row, by which other rows refer to its fields."""
    out: int = integer()
    """Output channels."""
    stride: int = one_of(1, 2, default=1)
    """2 halves the side of the map."""
    repeat: int = integer(high=MAX_LAYERS, default=1)
    """How many times the row is repeated; only the first has the stride."""

    rules: ClassVar[tuple[Rule, ...]] = ()
    inactive_when: ClassVar[dict[str, tuple[str, Any]]] = {}
    """Fields without effect: {"concat": ("fusion", 0)} means that `concat` has no effect where `fusion` is 0."""
    later_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields that were added when keys of networks were already stored: a key leaves out their default values."""
    supports_dilation: ClassVar[bool] = False
    """Whether the module takes `dilation`, by which some heads replace strides; the cost is the same."""
    width_fields: ClassVar[tuple[str, ...]] = ()
    """The fields, besides `out`, that scaling by width multiplies."""
    proportional_fields: ClassVar[dict[str, str]] = {}
    """Fields that keep their ratio to a width field: {"ffn": "dim"}."""
    depth_field: ClassVar[str] = "repeat"
    """The field that scaling by depth multiplies."""
    attention_field: ClassVar[str | None] = None
    """The field that holds the number of channels that attend; None for a block without attention."""
    summary_fields: ClassVar[tuple[str, ...]] = ()
    """The fields that `summary` names even where they have their default value."""
    variants: ClassVar[dict[str, dict[str, Any]]] = {}
    """By name, the values that turn the block into that of another version of the family."""

    def output(self, x: Shape, stride: Num) -> Shape:
        """The output shape of one layer on input x."""
        return x.strided(stride, self.out)

    def layer_cost(self, x: Shape, stride: Num) -> Cost:
        """The cost of one layer on input x."""
        raise NotImplementedError

    def cost(self, x: Shape) -> tuple[Cost, Shape]:
        """The cost of the whole row on input x, and its output shape."""
        y = self.output(x, self.stride)
        return self.layer_cost(x, self.stride) + self.layer_cost(y, 1).times(self.repeat - 1), y

    def layer(self, index: int, width: Num) -> Self:
        """The row of one layer alone: the `index`-th, of a row whose input has `width` channels."""
        return replace(self, repeat=1, stride=1 if index else self.stride)

    def deploy(self) -> Self:
        """The row without the parts that only training uses."""
        return self

    def training_cost(self, x: Shape) -> Cost:
        """The cost of the parts of the row on input x that only training uses, which `cost` leaves out."""
        return Cost()

    def keeps_shape(self, x: Shape, stride: Num) -> Num:
        """Whether a layer on input x has an output of the same shape, to which the input can be added."""
        return (stride == 1) & (x.channels == self.out)

    def settings(self) -> dict[str, Any]:
        """The fields that distinguish layers: all active ones but name, stride and repeat."""
        values = {name: getattr(self, name) for name in self.domains() if name not in ("stride", "repeat")}
        inactive = {name for name, (other, value) in self.inactive_when.items() if values[other] == value}
        return {name: value for name, value in values.items() if name not in inactive}

    @classmethod
    def identity(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """The part of an architecture's key that identifies a layer of these settings."""
        return {k: v for k, v in settings.items() if k not in cls.later_fields or v != getattr(cls, k)}

    @property
    def layer_count(self) -> Num:
        """The number of layers that scaling by depth changes: the value of the depth field."""
        return getattr(self, self.depth_field)

    @property
    def scales_in_depth(self) -> bool:
        """Whether scaling by depth changes the row; a row that is written once is not repeated."""
        return self.depth_field != "repeat" or self.repeat > 1

    @property
    def attention_width(self) -> Num | None:
        """The number of channels that attend, or None."""
        return None if self.attention_field is None else getattr(self, self.attention_field)

    @property
    def only_widens(self) -> bool:
        """Whether the row only changes the number of channels, pixel by pixel."""
        return False

    def summary(self) -> str:
        """The fields that differ from the defaults, `out` aside: `dim 144, depth 2`."""
        named = {*self.own_values(), *self.summary_fields} - {"out"}
        return ", ".join(f"{name} {field_text(value)}" for name, value in self.spell().items() if name in named)


def block_class(kind: str) -> type[Block]:
    """The class of a kind of block; raises ArchitectureError if there is none."""
    row: type[Block] = plugins.load("block", kind, error=ArchitectureError).Row
    return row
