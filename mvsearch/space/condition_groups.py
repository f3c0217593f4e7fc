"""Choices that conditions connect, and the combinations of their values that are legal."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvsearch.errors import SpaceError
from mvsearch.space.expressions import Expression
from mvsearch.space.variables import Choice, Scope, Variable, choices_of
from mvsearch.utils.yaml_document import Document

Codes = NDArray[np.int64]
"""(n, choices): for each of n points, the index of the value that each choice takes."""

MAX_ENUMERATED = 2_000_000
"""The most combinations that are enumerated; of larger sets a sample is drawn."""

SAMPLE_SIZE = 20_000
"""The number of points in such a sample."""


@dataclass(frozen=True)
class Group:
    """Choices that conditions connect, and the legal codes of these choices (None: too many to enumerate)."""

    columns: tuple[int, ...]
    conditions: tuple[Expression, ...]
    legal: Codes | None


def group_choices(
    document: Document,
    variables: dict[str, Variable],
    choices: tuple[Choice, ...],
    conditions: tuple[Expression, ...],
) -> tuple[Group, ...]:
    """Group the choices by the conditions that name them.

    Raises SpaceError for a choice that no row uses, and for conditions that no combination satisfies.
    """
    used = choices_of(variables, (name for name in variables if "." in name or name == "image_size"))
    for choice in choices:
        if choice not in used:
            raise SpaceError(f"no row uses {choice.name}; remove it.", at=document.where("vars", choice.name))
    connected: list[tuple[set[int], list[Expression]]] = []
    for condition in conditions:
        columns = {choices.index(choice) for choice in choices_of(variables, condition.names)}
        overlapping = [group for group in connected if group[0] & columns]
        merged = columns.union(*(group[0] for group in overlapping))
        connected = [group for group in connected if group not in overlapping]
        connected.append((merged, [*(c for group in overlapping for c in group[1]), condition]))
    return tuple(_group(document, variables, choices, sorted(columns), parts) for columns, parts in connected)


def _group(
    document: Document,
    variables: dict[str, Variable],
    choices: tuple[Choice, ...],
    columns: list[int],
    conditions: list[Expression],
) -> Group:
    legal = legal_codes(variables, choices, columns, conditions, MAX_ENUMERATED)
    if legal is not None and not len(legal):
        text = " and ".join(str(condition) for condition in conditions)
        where = document.where("where")
        raise SpaceError(f"no combination of values satisfies {text}; relax it, or add values.", at=where)
    return Group(tuple(columns), tuple(conditions), None if legal is None else legal[:, columns])


def legal_codes(
    variables: dict[str, Variable],
    choices: Sequence[Choice],
    columns: Iterable[int],
    conditions: Iterable[Expression],
    limit: int,
) -> Codes | None:
    """Every combination of the choices in some columns that satisfies conditions on them; the other codes are 0.

    Conditions are applied as soon as all their choices have values. None if there are more than `limit` combinations
    at any time.
    """
    codes = np.zeros((1, len(choices)), dtype=np.int64)
    pending = [(c, {choices.index(choice) for choice in choices_of(variables, c.names)}) for c in conditions]
    done: set[int] = set()
    for column in (None, *sorted(columns)):
        if column is not None:
            size = len(choices[column].values)
            if len(codes) * size > limit:
                return None
            codes = np.repeat(codes, size, axis=0)
            codes[:, column] = np.tile(np.arange(size), len(codes) // size)
            done.add(column)
        for condition in [condition for condition, needed in pending if needed <= done]:
            scope = Scope(variables, {choice.name: choice.array[codes[:, i]] for i, choice in enumerate(choices)})
            codes = codes[evaluate_conditions([condition], scope, len(codes))]
        pending = [(condition, needed) for condition, needed in pending if not needed <= done]
    return codes


def evaluate_conditions(conditions: Iterable[Expression], scope: Scope, n: int) -> NDArray[np.bool_]:
    """(n,): at which of n points all of some conditions hold."""
    mask = np.ones(n, dtype=bool)
    for condition in conditions:
        mask &= np.asarray(condition.evaluate(scope.value), dtype=bool)
    return mask
