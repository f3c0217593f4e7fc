"""Rows of an architecture, light: what a block is called, what is legal, what it costs. No torch.

One file a kind. A file `blocks/x.py` defines one class, `Row(Block)`, a frozen dataclass whose fields are the YAML
schema; `nn/x.py` holds the torch module of the same fields. To add a block, write these two files.
"""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar

from mvsearch.arch.cost import Cost, Num, Shape

MOST_LAYERS = 1000
"""In one row: more is a slip of the keyboard, and would fill the memory before it could be refused."""


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Domain:
    """Which values a field takes; `spelling` maps a word of a file to the number that stands for it."""

    says: str
    holds: Callable[[Any], bool]
    spelling: dict[str, int] = field(default_factory=dict)
    kind: Callable[[Any], Any] = _same

    def read(self, value: Any) -> Any:
        """The value that a file's spelling stands for; raises ValueError, saying what would do."""
        if isinstance(value, str) and value in self.spelling:
            return self.spelling[value]
        if not self.holds(value) or value in self.spelling.values():
            raise ValueError(f"use {self.says}")
        return self.kind(value)

    def write(self, value: Any) -> Any:
        """The spelling of a value."""
        words = {number: word for word, number in self.spelling.items()}
        return words.get(value, value)


def integer(low: int = 1, high: int | None = None, **default: Any) -> Any:
    """A field that takes whole numbers from `low`, to `high` if that is given."""
    says = f"a whole number from {low}" + (f" to {high:,}" if high else "")
    domain = Domain(says, lambda v: type(v) is int and low <= v and (high is None or v <= high))
    return field(metadata={"domain": domain}, **default)


def odd(**default: Any) -> Any:
    """A field that takes odd kernel sizes, so that padding can keep the size."""
    domain = Domain("an odd number: 1, 3, 5, 7 ...", lambda v: type(v) is int and v > 0 and v % 2 == 1)
    return field(metadata={"domain": domain}, **default)


def fraction(**default: Any) -> Any:
    """A field that takes numbers from 0 up to, not including, 1."""
    domain = Domain("a number from 0 to below 1", lambda v: type(v) in (int, float) and 0 <= v < 1, kind=float)
    return field(metadata={"domain": domain}, **default)


def one_of(*values: Any, spelling: dict[str, int] | None = None, **default: Any) -> Any:
    """A field that takes one of a few values; `spelling` gives words for some of them."""
    words = {number: word for word, number in (spelling or {}).items()}
    says = "one of " + ", ".join(str(words.get(v, v)).lower() for v in values)
    domain = Domain(says, lambda v: any(type(v) is type(k) and v == k for k in values), spelling or {})
    return field(metadata={"domain": domain}, **default)


@dataclass(frozen=True)
class Rule:
    """What must hold between fields of a row. The field `width` is the number of channels that come in."""

    fields: tuple[str, ...]
    holds: Callable[..., Any]
    says: str


@dataclass(frozen=True)
class Schema:
    """A frozen dataclass whose fields are the schema of a part of a file; one file a kind."""

    @classmethod
    def kind(cls) -> str:
        """The name of the kind, which is the name of its file."""
        return cls.__module__.rpartition(".")[2]

    @classmethod
    def domains(cls) -> dict[str, Domain]:
        """The fields, with the values each takes."""
        return {f.name: f.metadata["domain"] for f in fields(cls) if "domain" in f.metadata}

    @classmethod
    def required(cls) -> tuple[str, ...]:
        """The fields that must be given."""
        return tuple(
            f.name
            for f in fields(cls)
            if "domain" in f.metadata and f.default is MISSING and f.default_factory is MISSING
        )


@dataclass(frozen=True, kw_only=True)
class Block(Schema):
    """What every row has. Only the first of a repeat strides."""

    name: str
    out: int = integer()
    stride: int = one_of(1, 2, default=1)
    repeat: int = integer(high=MOST_LAYERS, default=1)

    rules: ClassVar[tuple[Rule, ...]] = ()
    inactive_when: ClassVar[dict[str, tuple[str, Any]]] = {}
    """Fields without effect: {"concat": ("fusion", 0)} means concat is moot where fusion is 0."""
    dilates: ClassVar[bool] = False
    """Whether its module takes `dilation`, for heads that replace strides by it; the cost is the same."""

    def output(self, x: Shape, stride: Num) -> Shape:
        """The shape that one layer of the row makes of x."""
        return x.strided(stride, self.out)

    def layer_cost(self, x: Shape, stride: Num) -> Cost:
        """What one layer of the row costs on input x."""
        raise NotImplementedError

    def cost(self, x: Shape) -> tuple[Cost, Shape]:
        """What the whole row costs on input x, and the shape that comes out."""
        y = self.output(x, self.stride)
        return self.layer_cost(x, self.stride) + self.layer_cost(y, 1).times(self.repeat - 1), y

    def settings(self) -> dict[str, Any]:
        """The fields that tell one layer from another: all but name, stride and repeat, the moot ones left out."""
        values = {name: getattr(self, name) for name in self.domains() if name not in ("stride", "repeat")}
        moot = {name for name, (other, value) in self.inactive_when.items() if values[other] == value}
        return {name: value for name, value in values.items() if name not in moot}
