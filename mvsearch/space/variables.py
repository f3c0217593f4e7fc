"""The names of a space file: constants, choices, and expressions of other names.

vars:   {width: {choose: [64, 96]}}              width        a Choice
blocks: - {name: layer3, dim: width, ...}        layer3.dim   an Expression: width
          {..., ffn: 2*dim}                      layer3.ffn   an Expression: 2*layer3.dim
          {..., heads: 4}                        layer3.heads a constant
                                                 layer3.in_channels an Expression: the output of the row before
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.blocks import ACTIVATIONS, block_class
from mvsearch.arch.cost import IMAGE_CHANNELS
from mvsearch.arch.schema import Domain
from mvsearch.errors import Location, SpaceError
from mvsearch.space.expressions import CONSTANTS, MAX_NUMBER, Expression
from mvsearch.space.rows import SHAPE_FIELDS, SpaceRow
from mvsearch.utils import plugins
from mvsearch.utils.text import join_words
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


def read_variables(document: Document, rows: Sequence[SpaceRow]) -> dict[str, Variable]:
    """Every name of a document: its vars, its image size, and of each row the kind, the fields and what follows."""
    raw_vars = document.data.get("vars", {})
    for name in raw_vars:
        if not name.isidentifier() or name == "image_size":
            problem = "is the size of the images" if name == "image_size" else "is not a valid name"
            raise SpaceError(f"{name!r} {problem}; use letters, digits and _.", at=document.where("vars", name))
    fields = {field.variable: field for row in rows for field in (row.block, *row.all_fields())}
    domains: dict[str, Domain | None] = {name: field.domain for name, field in fields.items()}
    places: dict[str, Place] = {name: ("vars", name) for name in raw_vars}
    places |= {"image_size": ("image_size",)} if "image_size" in document.data else {}
    places |= {name: field.place for name, field in fields.items() if field.place is not None}
    derived = {name: Expression.derived(text) for row in rows for name, text in _derived(rows, row).items()}
    variables: dict[str, Variable] = {
        **derived,
        **{name: field.default for name, field in fields.items() if field.place is None and field.default is not None},
    }
    names = {*variables, *places}
    for name, place in places.items():
        variables[name] = _read_variable(document, place, _value(document, place), names, domains.get(name))
    _check_cycles(document, variables, places)
    return variables


def _value(document: Document, place: Place) -> Any:
    value: Any = document.data
    for step in place:
        value = value[step]
    return value


def _derived(rows: Sequence[SpaceRow], row: SpaceRow) -> dict[str, str]:
    """`ROW.in_channels`, the width of the row's input; and the shape of a row whose kinds have one each."""
    before = rows[row.index - 1] if row.index else None
    if before is None:
        derived = {f"{row.name}.in_channels": str(IMAGE_CHANNELS)}
    else:
        derived = {f"{row.name}.in_channels": f"{before.name}.out"}
        if before.optional:
            derived[f"{row.name}.in_channels"] += f" if {before.name}.repeat >= 1 else {before.name}.in_channels"
    for name in SHAPE_FIELDS:
        by_kind = {kind: fields[name].variable for kind, fields in row.fields.items()}
        if f"{row.name}.{name}" not in by_kind.values():
            *others, last = by_kind.items()
            cases = (f"{variable} if {row.name}.block == {kind!r} else " for kind, variable in others)
            derived[f"{row.name}.{name}"] = "".join(cases) + last[1]
    return derived


def _read_variable(
    document: Document, place: Place, value: Any, names: set[str], domain: Domain | None = None
) -> Variable:
    if value is None:
        raise SpaceError("the value is missing; add it, or remove the line.", at=document.where(*place))
    if isinstance(value, dict):
        return _read_choice(document, place, value)
    if not isinstance(value, str) or (domain is not None and _accepts(domain, value)):
        return value
    return _read_expression(document, place, value, names, () if domain is None else domain.words)


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


def _read_expression(
    document: Document, place: Place, text: str, names: set[str], values: tuple[str, ...] = ()
) -> Expression:
    """Parse an expression. A bare name in a row is a field of its kind, of the row, or else one of `vars:`.

    A name alone may be meant as one of a few `values`.
    """
    where = document.where(*place)
    try:
        expression = Expression.parse(text)
    except ValueError as error:
        raise SpaceError(f"{error}.", at=where) from None
    owners = list(document.steps(*place))[1:-1] if place[0] == "blocks" else []
    prefixes = [".".join([*owners[:n], ""]) for n in range(len(owners), 0, -1)]
    meanings = {}
    for name in expression.names:
        fields = [prefix + name for prefix in prefixes if prefix + name in names and name != place[-1]]
        meanings[name] = next(iter(fields), name)
        if meanings[name] not in names:
            if values and expression.alias and "." not in name:
                hint = plugins.suggest(name, [*values, *document.data.get("vars", {})])
            elif _is_known(name, document):
                hint = f"a word in an expression has quotes: '{name}'."
            else:
                hint = _similar_names(name, names, prefixes)
            raise SpaceError(f"unknown name {name!r}; {hint}", at=where)
    for word in expression.words:
        if not _is_known(word, document):
            known = sorted({*plugins.names("block"), *ACTIVATIONS, *_words(document.data)})
            raise SpaceError(f"no value can be {word!r}; {plugins.suggest(word, known)}", at=where)
    return expression.bind(where, meanings)


def _similar_names(name: str, names: set[str], prefixes: Sequence[str]) -> str:
    """A hint for an unknown name: fields of its row that are called so, those of its kind, or similar names."""
    owner, _, field = name.rpartition(".")
    if not owner and prefixes:
        own = {known.removeprefix(prefix) for prefix in prefixes for known in names if known.startswith(prefix)}
        return plugins.suggest(name, sorted(known for known in own | names if "." not in known))
    row = f"{owner.partition('.')[0]}." if owner else ""
    if called_so := [known for known in names if known.startswith(row) and known.endswith(f".{field}")]:
        return f"did you mean {join_words(sorted(called_so), 'or')}?"
    owned = sorted(known for known in names if owner and known.rpartition(".")[0] == owner)
    if owned and not plugins.nearest(field, [known.rpartition(".")[2] for known in owned]):
        return f"choose one of: {', '.join(owned)}."
    return plugins.suggest(name, sorted(names))


def _is_known(word: str, document: Document) -> bool:
    """Whether a word is offered by the file, is a kind of block or a value of a field: else a comparison is in vain."""
    kinds = plugins.names("block")
    domains = (domain for kind in kinds for domain in block_class(kind).domains().values())
    return (
        word in (*kinds, *CONSTANTS.values())
        or any(word in domain.spelling or domain.accepts(word) for domain in domains)
        or word in _words(document.data)
    )


def _words(value: Any, key: str = "") -> set[str]:
    """The words that open values offer, and those that variables are."""
    if isinstance(value, dict):
        return set().union(*(_words(inner, "choose" if key == "vars" else name) for name, inner in value.items()))
    if isinstance(value, list):
        return set().union(*(_words(inner, key) for inner in value))
    return {value} if isinstance(value, str) and key == "choose" and value.isidentifier() else set()


def _read_choice(document: Document, place: Place, raw: dict[str, Any]) -> Choice:
    steps = list(document.steps(*place))
    where, name = document.where(*place), ".".join(steps[1:] or steps)
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
            cycle = (*path[path.index(name) :], name)
            where = document.where(*next(places[link] for link in cycle if link in places))
            raise SpaceError(f"{' → '.join(cycle)} is a cycle; give one of these names a value.", at=where)
        if len(written := [link for link in path if link in places]) > MAX_CHAIN:
            where = document.where(*places[written[0]])
            raise SpaceError(f"depends on a chain of more than {MAX_CHAIN} names; use fewer.", at=where)
        variable = variables[name]
        if name not in done and isinstance(variable, Expression):
            for other in variable.names:
                visit(other, (*path, name))
        done.add(name)

    for name in (*places, *variables):
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
