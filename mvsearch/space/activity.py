"""Choices without effect: the fields of a kind that a row is not, those of a row that is left out, values not read.

A choice without effect has its first value: a network is one point, which is neither counted nor sampled twice.

layer2.mobilevit.dim    has an effect where    layer2.block == 'mobilevit' and layer2.repeat >= 1

A choice is read by fields of rows, perhaps through expressions, of which `a if test else b` reads b only where the test
is false. It has an effect where one of these fields has one.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from graphlib import TopologicalSorter

from mvsearch.errors import SpaceError
from mvsearch.space.expressions import Expression, Guard
from mvsearch.space.rows import SpaceRow
from mvsearch.space.variables import Choice, Variable

_ALWAYS: Guard = frozenset()
_MAX_GUARDS = 1000


def read_activity(variables: dict[str, Variable], rows: Sequence[SpaceRow]) -> dict[str, Expression]:
    """Where a choice has an effect, by its name; choices that always have one are left out."""
    guards: defaultdict[str, list[Guard]] = defaultdict(list, image_size=[_ALWAYS])
    for row in rows:
        for name, guard in guards_of(row).items():
            guards[name].append(guard)
    reads = {name: list(v.reads()) if isinstance(v, Expression) else [] for name, v in variables.items()}
    order = TopologicalSorter({name: [other for other, _ in read] for name, read in reads.items()}).static_order()
    for name in reversed(list(order)):  # what reads a name comes before it
        guards[name] = _simplified(name, guards[name])
        for other, tests in reads[name]:
            guards[other] += [guard | tests for guard in guards[name]]
    choices = (name for name, variable in variables.items() if isinstance(variable, Choice))
    return {name: as_expression(guards[name]) for name in choices if guards[name] and _ALWAYS not in guards[name]}


def guards_of(row: SpaceRow) -> dict[str, Guard]:
    """The tests under which the kind and the fields of a row have an effect."""
    present = {(f"{row.name}.repeat >= 1", True)} if row.optional else set()
    guards = {row.block.variable: frozenset(present)}
    for field in row.all_fields():
        kinds = [kind for kind, fields in row.fields.items() if field.variable in {f.variable for f in fields.values()}]
        chosen = " or ".join(f"{row.block.variable} == {kind!r}" for kind in kinds)
        guards[field.variable] = frozenset(present | ({(chosen, True)} if len(kinds) < len(row.kinds) else set()))
    return guards | ({f"{row.name}.repeat": _ALWAYS} if row.optional else {})


def _simplified(name: str, guards: list[Guard]) -> list[Guard]:
    """Fewer guards that hold at the same points: `a` for `a and b` and `a and not b`, and for `a` and `a and b`."""
    known = dict.fromkeys(guards)
    for guard in (pending := list(known)):
        for test, holds in guard:
            shorter = guard - {(test, holds)}
            if shorter | {(test, not holds)} in known and shorter not in known:
                known[shorter] = None
                pending.append(shorter)
    if len(known) > _MAX_GUARDS:
        raise SpaceError(
            f"{name} is read under more than {_MAX_GUARDS:,} combinations of tests; use fewer `if ... else`."
        )
    return [_ALWAYS] if _ALWAYS in known else [g for g in known if not any(other < g for other in known)]


def as_expression(guards: Iterable[Guard]) -> Expression:
    """That all tests of one of some guards have their results."""
    return Expression.derived(" or ".join(sorted(map(_text, guards))))


def _text(guard: Guard) -> str:
    tests = [test if holds else f"not ({test})" for test, holds in sorted(guard)]
    return " and ".join(f"({test})" if " if " in test or (" or " in test and tests[1:]) else test for test in tests)


def first_where_inactive(choice: Choice, active: Expression) -> Expression:
    """The condition that a choice has its first value where it has no effect."""
    return Expression.derived(f"{active} or {choice.name} == {choice.values[0]!r}")


def legality(
    choices: Iterable[Choice], conditions: Iterable[Expression], activity: dict[str, Expression]
) -> tuple[Expression, ...]:
    """Conditions, and for every choice in `activity` that it has its first value where it has no effect."""
    inactive = (first_where_inactive(choice, activity[choice.name]) for choice in choices if choice.name in activity)
    return (*conditions, *inactive)
