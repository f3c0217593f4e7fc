"""The names of a space file: what is constant, what is open, what follows from others.

vars:   {width: {choose: [64, 96]}}              width        a Choice
blocks: - {name: layer3, dim: width, ...}        layer3.dim   an Expression: width
          {..., ffn: 2*dim}                      layer3.ffn   an Expression: 2*layer3.dim
          {..., heads: 4}                        layer3.heads a constant
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.parsing import row_class
from mvsearch.arch.schema import Domain
from mvsearch.errors import Location, SpaceError
from mvsearch.space.expressions import LARGEST, Expression
from mvsearch.utils import plugins
from mvsearch.utils.yaml_document import Document, Place


@dataclass(frozen=True)
class Choice:
    """An open value: a name and what it may be. `step` is given for a range."""

    name: str
    values: tuple[Any, ...]
    step: int | None = None

    @property
    def ordered(self) -> bool:
        """Whether the values are numbers, so that one lies between two others."""
        return all(type(v) in (int, float) for v in self.values)

    @cached_property
    def array(self) -> NDArray[Any]:
        """The values, to be indexed by codes."""
        mixed = len({isinstance(v, str) for v in self.values}) > 1  # NumPy would turn the numbers into words
        return np.array(self.values, dtype=object if mixed else None)


_LONGEST_CHAIN = 20

Term = Choice | Expression | Any
"""What a name stands for: an open value, an expression of other names, or a constant."""


class Scope:
    """Looks names up among terms, for one point or for columns of many; each is worked out once."""

    def __init__(self, terms: dict[str, Term], chosen: dict[str, Any]) -> None:
        self.terms, self.known = terms, dict(chosen)

    def value(self, name: str) -> Any:
        """The value of a name, or a column of values."""
        if name not in self.known:
            term = self.terms[name]
            self.known[name] = term.evaluate(self.value) if isinstance(term, Expression) else term
        return self.known[name]


def read_terms(document: Document) -> dict[str, Term]:
    """Every name of a document: its vars, and each field of each row as `row.field`."""
    raw_vars, rows = document.data.get("vars", {}), document.data["blocks"]
    if not isinstance(raw_vars, dict):
        raise SpaceError(f"found {raw_vars!r}; use a mapping of names to values.", at=document.where("vars"))
    for name in raw_vars:
        if not name.isidentifier():
            raise SpaceError(f"{name!r} is no name; use letters, digits and _.", at=document.where("vars", name))
    fields = _fields(document)
    terms = {name: default for name, (_, _, default) in fields.items() if default is not None}
    written = {name: place for name, (place, _, _) in fields.items() if place[-1] in rows[place[1]]}
    places: dict[str, Place] = {**{name: ("vars", name) for name in raw_vars}, **written}
    known = {*terms, *places}
    for name, value in raw_vars.items():
        terms[name] = _term(document, places[name], value, known)
    for name, place in written.items():
        terms[name] = _term(document, place, rows[place[1]][place[-1]], known, fields[name][1])
    _refuse_circles(document, terms, places)
    return terms


def _fields(document: Document) -> dict[str, tuple[Place, Domain, Any]]:
    """Every field that some row has, written or not: its place, the values it takes, its default."""
    fields: dict[str, tuple[Place, Domain, Any]] = {}
    for i, row in enumerate(document.data["blocks"]):
        cls = row_class(document, i)
        if f"{row['name']}.out" in fields:
            where = document.where("blocks", i, "name")
            raise SpaceError(f"{row['name']!r} names two rows; rename one.", at=where)
        for key, domain in cls.domains().items():
            fields[f"{row['name']}.{key}"] = (("blocks", i, key), domain, getattr(cls, key, None))
    return fields


def _term(document: Document, place: Place, value: Any, known: set[str], domain: Domain | None = None) -> Term:
    if value is None:
        raise SpaceError("found nothing; give it a value, or take the line out.", at=document.where(*place))
    if isinstance(value, dict):
        return _choice(document, place, value)
    if not isinstance(value, str) or (domain is not None and _takes(domain, value)):
        return value
    try:
        expression = Expression.parse(value)
    except ValueError as error:
        raise SpaceError(f"{error}.", at=document.where(*place)) from None
    return _resolved(document, place, expression, known)


def _takes(domain: Domain, value: str) -> bool:
    try:
        domain.read(value)
    except ValueError:
        return False
    return True


def read_conditions(document: Document, terms: dict[str, Term]) -> tuple[Expression, ...]:
    """The lines of `where:`."""
    raw = document.data.get("where", [])
    lines = [raw] if isinstance(raw, str) else raw
    if not isinstance(lines, list) or any(not isinstance(line, str) for line in lines):
        raise SpaceError(f"found {raw!r}; use a list of conditions such as 'a <= b'.", at=document.where("where"))
    conditions = []
    for i, line in enumerate(lines):
        try:
            expression = Expression.parse(line)
        except ValueError as error:
            raise SpaceError(f"{error}.", at=document.where("where", i)) from None
        conditions.append(_resolved(document, ("where", i), expression, set(terms)))
    return tuple(conditions)


def _resolved(document: Document, place: Place, expression: Expression, known: set[str]) -> Expression:
    """The expression with each bare name in a row read as a field of the same row, or else as a var."""
    row = f"{document.data['blocks'][place[1]]['name']}." if place[0] == "blocks" else ""
    meanings = {}
    for name in expression.names:
        own = row + name
        meanings[name] = own if own in known and name != place[-1] else name
        if meanings[name] not in known:
            hint = plugins.suggest(name, sorted(known))
            raise SpaceError(f"{name!r} is no name here; {hint}", at=document.where(*place))
    return expression.placed(document.where(*place), meanings)


def _choice(document: Document, place: Place, raw: dict[str, Any]) -> Choice:
    where, name = document.where(*place), ".".join(list(document.words(*place))[1:])
    if list(raw) == ["choose"]:
        values = raw["choose"]
        if not isinstance(values, list) or not values or any(isinstance(v, list | dict) or v is None for v in values):
            raise SpaceError(f"found choose: {values!r}; use a list of one or more plain values.", at=where)
        if len({(type(v) is bool, v) for v in values}) < len(values):
            raise SpaceError(f"{values} names a value twice; keep one.", at=where)
        if any(isinstance(v, int | float) and not abs(v) <= LARGEST for v in values):
            raise SpaceError(f"found choose: {values!r}; use numbers up to {LARGEST:,}.", at=where)
        kinds = {type(v) for v in values}
        if bool in kinds and kinds & {int, float}:
            raise SpaceError(f"{values} mixes numbers with true and false; use one or the other.", at=where)
        return Choice(name, tuple(map(float, values) if kinds == {int, float} else values))
    if list(raw) == ["range"]:
        return _range(where, name, raw["range"])
    raise SpaceError(f"found {raw!r}; an open value is {{choose: [a, b]}} or {{range: [low, high, step]}}.", at=where)


def _range(where: Location | str, name: str, raw: Any) -> Choice:
    if not isinstance(raw, list) or len(raw) not in (2, 3) or any(type(v) is not int for v in raw):
        raise SpaceError(f"found range: {raw!r}; use whole numbers [low, high, step].", at=where)
    low, high, step = (*raw, 1)[:3]
    if max(map(abs, raw)) > LARGEST:
        raise SpaceError(f"found range: {raw!r}; use numbers up to {LARGEST:,}.", at=where)
    if step < 1:
        raise SpaceError(f"a step of {step} leads nowhere; use 1 or more.", at=where)
    if high < low:
        raise SpaceError(f"{high} is below {low}; write the smaller number first.", at=where)
    if (high - low) % step:
        reached = low + (high - low) // step * step
        raise SpaceError(f"steps of {step} from {low} miss {high}; end at {reached} or {reached + step}.", at=where)
    if (high - low) // step >= 100_000:
        raise SpaceError(f"{(high - low) // step + 1} values are more than a choice; use a larger step.", at=where)
    return Choice(name, tuple(range(low, high + 1, step)), step)


def _refuse_circles(document: Document, terms: dict[str, Term], places: dict[str, Place]) -> None:
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            loop = " → ".join((*path[path.index(name) :], name))
            where = document.where(*places[name])
            raise SpaceError(f"{loop} goes in a circle; give one of them a value.", at=where)
        if len(path) > _LONGEST_CHAIN:
            where = document.where(*places[path[0]])
            raise SpaceError(f"follows from more than {_LONGEST_CHAIN} names, one from the other; use fewer.", at=where)
        term = terms[name]
        if name not in done and isinstance(term, Expression):
            for other in term.names:
                visit(other, (*path, name))
        done.add(name)

    for name in terms:
        visit(name, ())


def choices_of(terms: dict[str, Term], names: Iterable[str]) -> list[Choice]:
    """The choices that some names depend on, in the order of the file."""
    reached: set[str] = set()
    stack = list(names)
    while stack:
        name = stack.pop()
        if name not in reached:
            reached.add(name)
            term = terms.get(name)
            stack.extend(term.names if isinstance(term, Expression) else ())
    return [term for name, term in terms.items() if name in reached and isinstance(term, Choice)]
