"""The point of a space at which an architecture lies.

Fields that are choices are read from the architecture; for computed fields, values of their choices are tried.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.blocks import Block
from mvsearch.arch.schema import Domain
from mvsearch.errors import SpaceError
from mvsearch.space.expressions import Expression
from mvsearch.space.rows import REPEAT, SpaceRow
from mvsearch.space.variables import Choice, Scope, Variable, choices_of

Point = dict[str, Any]
"""The value of each choice, by name."""

_MAX_TRIES = 10_000


def find_point(
    rows: Sequence[SpaceRow], variables: dict[str, Variable], arch: Architecture, check: Callable[[Point], None]
) -> Point:
    """The values of all choices; raises SpaceError with the field that does not match.

    Where optional rows leave several ways to assign the architecture's rows, or several values of choices make a
    computed field, the first point is taken that fits and that `check` accepts: it raises SpaceError for others.
    """
    problem: SpaceError | None = None
    tries = iter(range(_MAX_TRIES))  # of all assignments together
    for assigned in islice(_assignments(rows, arch.blocks), _MAX_TRIES):
        targets = [*_image_size(variables, arch), *_field_targets(rows, assigned)]
        try:
            return _first_accepted((point for point, _ in zip(_points(variables, targets), tries, strict=False)), check)
        except SpaceError as error:
            problem = problem or error
    if problem is None:
        own = ", ".join(" or ".join(row.kinds) + " (optional)" * row.optional for row in rows)
        raise SpaceError(f"its rows are {', '.join(b.kind() for b in arch.blocks)}, those of the space {own}")
    raise problem


def _assignments(rows: Sequence[SpaceRow], blocks: Sequence[Block]) -> Iterator[list[Block | None]]:
    """For each row of the space its row of the architecture, None for a row that is left out; all ways, in order."""
    needed = sum(not row.optional for row in rows)
    if not rows or len(blocks) < needed or len(blocks) > len(rows):
        if not rows and not blocks:
            yield []
        return
    if blocks and blocks[0].kind() in rows[0].kinds:
        yield from ([blocks[0], *rest] for rest in _assignments(rows[1:], blocks[1:]))
    if rows[0].optional:
        yield from ([None, *rest] for rest in _assignments(rows[1:], blocks))


def _first_accepted(points: Iterable[Point], check: Callable[[Point], None]) -> Point:
    problem = SpaceError("it lies at too many points to try all of them")
    for i, point in enumerate(points):
        try:
            check(point)
            return point
        except SpaceError as error:
            problem = problem if i else error
    raise problem


def _points(variables: dict[str, Variable], targets: Iterable["FieldTarget"]) -> Iterator[Point]:
    """The points at which all targets have their values; raises SpaceError if there is none."""
    point: Point = {}
    computed: list[FieldTarget] = []
    for target in targets:
        variable = resolve_alias(variables, target.name)
        if isinstance(variable, Choice):
            _assign(point, target, variable)
        elif isinstance(variable, Expression):
            computed.append(target)
        elif not target.matches(variable):
            raise SpaceError(f"{target.name} is {target.spelled}, the space requires {variable}")
    first_values = {choice.name: choice.values[0] for choice in variables.values() if isinstance(choice, Choice)}
    for solution in _solutions(variables, point, computed):
        yield {**first_values, **solution}


@dataclass(frozen=True)
class FieldTarget:
    """The value that a field of a row must have."""

    name: str
    value: Any
    domain: Domain

    def matches(self, spelled: Any) -> bool:
        """Whether a value, as a file spells it, is the value of the target."""
        try:
            return bool(self.domain.read(spelled) == self.value)
        except ValueError:
            return False

    @property
    def spelled(self) -> Any:
        """The value as a file spells it."""
        return self.domain.write(self.value)


def _image_size(variables: dict[str, Variable], arch: Architecture) -> list[FieldTarget]:
    """The size of the images, if the space leaves it open."""
    if not isinstance(variables.get("image_size"), Choice | Expression):
        return []
    return [FieldTarget("image_size", arch.image_size, Domain("a whole number", lambda v: type(v) is int))]


def _field_targets(rows: Sequence[SpaceRow], assigned: Sequence[Block | None]) -> Iterator[FieldTarget]:
    for row, block in zip(rows, assigned, strict=True):
        if block is None:
            yield FieldTarget(f"{row.name}.repeat", 0, REPEAT)
            continue
        yield FieldTarget(row.block.variable, block.kind(), row.block.domain)
        for name, field in row.written(block.kind()).items():
            yield FieldTarget(field.variable, getattr(block, name), field.domain)


def resolve_alias(variables: dict[str, Variable], name: str) -> Variable:
    """What a name stands for, after following expressions that consist of another name only."""
    variable = variables[name]
    while isinstance(variable, Expression) and variable.alias is not None:
        variable = variables[variable.alias]
    return variable


def _assign(point: Point, target: FieldTarget, choice: Choice) -> None:
    name, spelled = target.name, target.spelled
    matching = [value for value in choice.values if target.matches(value)]
    if not matching:
        raise SpaceError(f"{name} is {spelled}, the space offers {_offer(choice, spelled)}")
    if point.setdefault(choice.name, matching[0]) != matching[0]:
        raise SpaceError(f"{name} is {spelled}, but it equals {choice.name}, which is {point[choice.name]} elsewhere")


def _offer(choice: Choice, value: Any) -> str:
    """The values of a choice, with the nearest if they are numbers."""
    offered = ", ".join(map(str, choice.values))
    if not choice.ordered or type(value) not in (int, float):
        return offered
    return f"{offered} (the nearest is {min(choice.values, key=lambda other: abs(other - value))})"


def _solutions(variables: dict[str, Variable], point: Point, computed: list[FieldTarget]) -> Iterator[Point]:
    """Values for the choices that are not in `point` yet, such that every computed field has its target value.

    Raises SpaceError if there are none.
    """
    if not computed:
        yield point
        return
    undecided = {t.name: [c for c in choices_of(variables, [t.name]) if c.name not in point] for t in computed}
    target = min(computed, key=lambda t: math.prod(len(choice.values) for choice in undecided[t.name]))
    choices = undecided[target.name]
    if math.prod(len(choice.values) for choice in choices) > _MAX_TRIES:
        names = ", ".join(choice.name for choice in choices)
        raise SpaceError(f"{target.name} depends on choices with more than {_MAX_TRIES:,} combinations ({names})")
    others = [other for other in computed if other is not target]
    found, problem = False, f"no values of its choices make {target.name} {target.spelled}"
    for values in product(*(choice.values for choice in choices)):
        candidate = {**point, **{c.name: v for c, v in zip(choices, values, strict=True)}}
        result = Scope(variables, candidate).value(target.name)
        if target.matches(result):
            try:
                yield from _solutions(variables, candidate, others)
                found = True
            except SpaceError as error:
                problem = str(error)
        elif not choices:
            problem = f"{target.name} is {target.spelled}, the space computes {result}"
    if not found:
        raise SpaceError(problem)
