"""The fields of a part of an architecture file: which values each takes, and which rules hold between them.

A block or a head is a frozen dataclass that derives from `Schema`; its fields are the keys of the YAML file.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cache
from typing import Any

from mvsearch.utils import plugins


def _unchanged(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Domain:
    """The values that a field takes. `spelling` maps a word of the file to the number that it stands for."""

    description: str
    accepts: Callable[[Any], bool]
    spelling: dict[str, int] = field(default_factory=dict)
    convert: Callable[[Any], Any] = _unchanged
    words: tuple[str, ...] = ()
    """The values as a file spells them, if they are few."""

    def read(self, value: Any) -> Any:
        """Convert a value of a file; raises ValueError, which names the values that are legal."""
        if isinstance(value, str) and value in self.spelling:
            return self.spelling[value]
        if not self.accepts(value) or value in self.spelling.values():
            misspelt = isinstance(value, str) and value not in self.words
            near = plugins.nearest(value, self.words) if misspelt else None
            raise ValueError(f"did you mean {near!r}? Use {self.description}" if near else f"use {self.description}")
        return self.convert(value)

    def write(self, value: Any) -> Any:
        """The value as a file spells it."""
        words = {number: word for word, number in self.spelling.items()}
        return words.get(value, value)


def integer(low: int = 1, high: int | None = None, **default: Any) -> Any:
    """A field that takes whole numbers from `low` to `high` (None: no upper bound)."""
    description = f"a whole number from {low}" + (f" to {high:,}" if high else "")
    domain = Domain(description, lambda v: type(v) is int and low <= v and (high is None or v <= high))
    return field(metadata={"domain": domain}, **default)


def odd(**default: Any) -> Any:
    """A field that takes odd kernel sizes, for which padding can keep the size of the map."""
    domain = Domain("an odd number (1, 3, 5, 7, ...)", lambda v: type(v) is int and v > 0 and v % 2 == 1)
    return field(metadata={"domain": domain}, **default)


def fraction(**default: Any) -> Any:
    """A field that takes numbers from 0 up to, not including, 1."""
    domain = Domain("a number from 0 to below 1", lambda v: type(v) in (int, float) and 0 <= v < 1, convert=float)
    return field(metadata={"domain": domain}, **default)


def one_of(*values: Any, spelling: dict[str, int] | None = None, **default: Any) -> Any:
    """A field that takes one of a few values; `spelling` gives words for some of them."""
    spelled = {number: word for word, number in (spelling or {}).items()}
    words = tuple(str(spelled.get(v, v)).lower() for v in values)
    domain = Domain(
        "one of " + ", ".join(words),
        lambda v: any(type(v) is type(k) and v == k for k in values),
        spelling or {},
        words=words,
    )
    return field(metadata={"domain": domain}, **default)


@dataclass(frozen=True)
class Rule:
    """A condition between fields of a row. The field `width` is the number of input channels.

    `message` is formatted with the values of the fields, and with `input`: what a file writes for the input channels.
    """

    fields: tuple[str, ...]
    holds: Callable[..., Any]
    message: str


@dataclass(frozen=True)
class Schema:
    """A frozen dataclass whose fields are the keys of a part of a file; one kind a file."""

    @classmethod
    def kind(cls) -> str:
        """The name of the kind, which is the name of its file."""
        return cls.__module__.rpartition(".")[2]

    @classmethod
    @cache
    def domains(cls) -> Mapping[str, Domain]:
        """The fields, with the values that each takes."""
        return {f.name: f.metadata["domain"] for f in fields(cls) if "domain" in f.metadata}

    @classmethod
    def required(cls) -> tuple[str, ...]:
        """The fields without a default."""
        return tuple(
            f.name
            for f in fields(cls)
            if "domain" in f.metadata and f.default is MISSING and f.default_factory is MISSING
        )

    def spell(self) -> dict[str, Any]:
        """The fields as a file spells them."""
        return {name: domain.write(getattr(self, name)) for name, domain in self.domains().items()}

    def own_values(self) -> dict[str, Any]:
        """The fields, as a file spells them, without those that have their default."""
        defaults = {f.name: f.default for f in fields(self) if "domain" in f.metadata and f.default is not MISSING}
        default, required = replace(self, **defaults), self.required()
        return {
            name: value
            for name, value in self.spell().items()
            if name in required or getattr(self, name) != getattr(default, name)
        }


def field_text(value: Any) -> str:
    """The value of a field in words: `true` for True, `-` for None."""
    return "-" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
