"""The names of a space file: constants, choices, and expressions of other names.

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
from mvsearch.space.expressions import MAX_NUMBER, Expression
from mvsearch.utils import plugins
from mvsearch.utils.yaml_document import Document, Place

MAX_CHAIN = 20
MAX_VALUES = 100_000


@dataclass(frozen=True)
class Choice:
    """An open value: a name and the values it can take. `step` is given for a range."""

    name: str
    values: tuple[Any, ...]
    step: int | None = None

    @property
    def ordered(self) -> bool:
        """Whether all values are numbers."""
        return all(type(v) in (int, float) for v in self.values)

    @cached_property
    def array(self) -> NDArray[Any]:
        """The values as an array, indexed by codes."""
        mixed = len({isinstance(v, str) for v in self.values}) > 1  # NumPy would convert the numbers to strings
        return np.array(self.values, dtype=object if mixed else None)


Variable = Choice | Expression | Any
"""What a name stands for: an open value, an expression of other names, or a constant."""


class Scope:
    """The values of all variables at one point or, as columns, at many points; each is evaluated once."""

    def __init__(self, variables: dict[str, Variable], chosen: dict[str, Any]) -> None:
        self.variables, self.values = variables, dict(chosen)

    def value(self, name: str) -> Any:
        """The value of a name, or a column of values."""
        if name not in self.values:
            variable = self.variables[name]
            self.values[name] = variable.evaluate(self.value) if isinstance(variable, Expression) else variable
        return self.values[name]


def read_variables(document: Document) -> dict[str, Variable]:
    """Every name of a document: its vars, and each field of each row as `row.field`."""
    raw_vars, rows = document.data.get("vars", {}), document.data["blocks"]
    if not isinstance(raw_vars, dict):
        raise SpaceError(f"found {raw_vars!r}; use a mapping of names to values.", at=document.where("vars"))
    for name in raw_vars:
        if not name.isidentifier():
            raise SpaceError(
                f"{name!r} is not a valid name; use letters, digits and _.", at=document.where("vars", name)
            )
    fields = _fields(document)
    variables = {name: default for name, (_, _, default) in fields.items() if default is not None}
    written = {name: place for name, (place, _, _) in fields.items() if place[-1] in rows[place[1]]}
    places: dict[str, Place] = {**{name: ("vars", name) for name in raw_vars}, **written}
    names = {*variables, *places}
    for name, value in raw_vars.items():
        variables[name] = _read_variable(document, places[name], value, names)
    for name, place in written.items():
        variables[name] = _read_variable(document, place, rows[place[1]][place[-1]], names, fields[name][1])
    _check_cycles(document, variables, places)
    return variables


def _fields(document: Document) -> dict[str, tuple[Place, Domain, Any]]:
    """Every field of every row, written or not: its place, its domain, its default."""
    fields: dict[str, tuple[Place, Domain, Any]] = {}
    for i, row in enumerate(document.data["blocks"]):
        cls = row_class(document, i)
        if f"{row['name']}.out" in fields:
            where = document.where("blocks", i, "name")
            raise SpaceError(f"two rows are named {row['name']!r}; rename one.", at=where)
        for key, domain in cls.domains().items():
            fields[f"{row['name']}.{key}"] = (("blocks", i, key), domain, getattr(cls, key, None))
    return fields


def _read_variable(
    document: Document, place: Place, value: Any, names: set[str], domain: Domain | None = None
) -> Variable:
    if value is None:
        raise SpaceError("the value is missing; add it, or remove the line.", at=document.where(*place))
    if isinstance(value, dict):
        return _read_choice(document, place, value)
    if not isinstance(value, str) or (domain is not None and _accepts(domain, value)):
        return value
    return _read_expression(document, place, value, names)


def _accepts(domain: Domain, value: str) -> bool:
    try:
        domain.read(value)
    except ValueError:
        return False
    return True


def read_conditions(document: Document, variables: dict[str, Variable]) -> tuple[Expression, ...]:
    """The conditions under `where:`."""
    raw = document.data.get("where", [])
    lines = [raw] if isinstance(raw, str) else raw
    if not isinstance(lines, list) or any(not isinstance(line, str) for line in lines):
        raise SpaceError(f"found {raw!r}; use a list of conditions such as 'a <= b'.", at=document.where("where"))
    return tuple(_read_expression(document, ("where", i), line, set(variables)) for i, line in enumerate(lines))


def _read_expression(document: Document, place: Place, text: str, names: set[str]) -> Expression:
    """Parse an expression. A bare name in a row is a field of the same row, or else one of `vars:`."""
    where = document.where(*place)
    try:
        expression = Expression.parse(text)
    except ValueError as error:
        raise SpaceError(f"{error}.", at=where) from None
    row = f"{document.data['blocks'][place[1]]['name']}." if place[0] == "blocks" else ""
    meanings = {}
    for name in expression.names:
        field = row + name
        meanings[name] = field if field in names and name != place[-1] else name
        if meanings[name] not in names:
            raise SpaceError(f"unknown name {name!r}; {plugins.suggest(name, sorted(names))}", at=where)
    return expression.bind(where, meanings)


def _read_choice(document: Document, place: Place, raw: dict[str, Any]) -> Choice:
    where, name = document.where(*place), ".".join(list(document.steps(*place))[1:])
    if list(raw) == ["choose"]:
        return _read_values(where, name, raw["choose"])
    if list(raw) == ["range"]:
        return _read_range(where, name, raw["range"])
    raise SpaceError(f"found {raw!r}; an open value is {{choose: [a, b]}} or {{range: [low, high, step]}}.", at=where)


def _read_values(where: Location, name: str, values: Any) -> Choice:
    if not isinstance(values, list) or not values or any(isinstance(v, list | dict) or v is None for v in values):
        raise SpaceError(f"found choose: {values!r}; use a list of one or more plain values.", at=where)
    if len({(type(v) is bool, v) for v in values}) < len(values):
        raise SpaceError(f"{values} contains a value twice; remove one.", at=where)
    if any(isinstance(v, int | float) and not abs(v) <= MAX_NUMBER for v in values):
        raise SpaceError(f"found choose: {values!r}; use numbers up to {MAX_NUMBER:,}.", at=where)
    kinds = {type(v) for v in values}
    if bool in kinds and kinds & {int, float}:
        raise SpaceError(f"{values} mixes numbers with true and false; use one or the other.", at=where)
    return Choice(name, tuple(map(float, values) if kinds == {int, float} else values))


def _read_range(where: Location, name: str, raw: Any) -> Choice:
    if not isinstance(raw, list) or len(raw) not in (2, 3) or any(type(v) is not int for v in raw):
        raise SpaceError(f"found range: {raw!r}; use whole numbers [low, high, step].", at=where)
    low, high, step = (*raw, 1)[:3]
    if max(map(abs, raw)) > MAX_NUMBER:
        raise SpaceError(f"found range: {raw!r}; use numbers up to {MAX_NUMBER:,}.", at=where)
    if step < 1:
        raise SpaceError(f"found a step of {step}; use 1 or more.", at=where)
    if high < low:
        raise SpaceError(f"{high} is below {low}; write the smaller number first.", at=where)
    if (high - low) % step:
        last = low + (high - low) // step * step
        raise SpaceError(f"steps of {step} from {low} do not reach {high}; end at {last} or {last + step}.", at=where)
    if (high - low) // step >= MAX_VALUES:
        count = (high - low) // step + 1
        raise SpaceError(f"the range has {count} values (limit {MAX_VALUES:,}); use a larger step.", at=where)
    return Choice(name, tuple(range(low, high + 1, step)), step)


def _check_cycles(document: Document, variables: dict[str, Variable], places: dict[str, Place]) -> None:
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            cycle = " → ".join((*path[path.index(name) :], name))
            where = document.where(*places[name])
            raise SpaceError(f"{cycle} is a cycle; give one of these names a value.", at=where)
        if len(path) > MAX_CHAIN:
            where = document.where(*places[path[0]])
            raise SpaceError(f"depends on a chain of more than {MAX_CHAIN} names; use fewer.", at=where)
        variable = variables[name]
        if name not in done and isinstance(variable, Expression):
            for other in variable.names:
                visit(other, (*path, name))
        done.add(name)

    for name in variables:
        visit(name, ())


def choices_of(variables: dict[str, Variable], names: Iterable[str]) -> list[Choice]:
    """The choices that some names depend on, in the order of the file."""
    reached: set[str] = set()
    stack = list(names)
    while stack:
        name = stack.pop()
        if name not in reached:
            reached.add(name)
            variable = variables.get(name)
            stack.extend(variable.names if isinstance(variable, Expression) else ())
    return [variable for name, variable in variables.items() if name in reached and isinstance(variable, Choice)]
