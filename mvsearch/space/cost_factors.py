"""A space's costs as sums: tables, each of what a few choices take together and what that adds.

    stem       row layer1        row layer2 ...       head      where: b <= c      choices
    (a)        (a, b, expand)    (b, c, expand)       (z)       (b, c)             (a) (b) (c) ...

Lines of a table agree with lines of another where their shared choices do; one line of each, all agreeing, are a point,
and their costs add up to its cost. Tables hold only the choices that matter, which is found by trying them all.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.cost import IMAGE_CHANNELS, Cost, Shape
from mvsearch.errors import SpaceError
from mvsearch.space.search_space import Codes, SearchSpace

Ints = NDArray[np.int64]

_MOST_TOGETHER = 2_000_000  # combinations of the choices of one row or one condition


@dataclass(frozen=True)
class Factor:
    """Costs (lines, names) by what the choices in `columns` take; `counts` says for how many points a line stands.

    Codes of choices that no line has taken yet are 0, so that two lines are joined by their maximum.
    """

    columns: tuple[int, ...]
    codes: Codes
    costs: Ints
    counts: NDArray[Any]

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, lines: NDArray[Any]) -> "Factor":
        """Some of the lines."""
        return Factor(self.columns, self.codes[lines], self.costs[lines], self.counts[lines])


def tables_of(space: SearchSpace, names: Sequence[str]) -> list[Factor]:
    """The tables whose sums are the named costs of all points; the first is the empty sum.

    Raises SpaceError where one would be too long.
    """
    reader = _Reader(space, names)
    return [reader.nothing(()), *reader.rows(), *reader.conditions(), *reader.choices()]


def keys(space: SearchSpace, codes: Codes, columns: Iterable[int]) -> Ints:
    """A number for each line that tells apart what the columns take."""
    made = np.zeros(len(codes), dtype=np.int64)
    for column in columns:
        made = made * len(space.choices[column].values) + codes[:, column]
    return made


class _Reader:
    def __init__(self, space: SearchSpace, names: Sequence[str]) -> None:
        self.space, self.names = space, names
        self.parts = [part for condition in space.conditions for part in condition.conjuncts]
        self.scopes = [space.columns(part.names) for part in self.parts]
        self.most = math.prod(len(choice.values) for choice in space.choices)

    def rows(self) -> Iterator[Factor]:
        """One for each row, and one for what the head does on its map. The maps' shapes, by choices, go along."""
        side, read = self.space.image_size, self.space.head_inputs()
        image = Shape(IMAGE_CHANNELS, side, side)
        shapes = _Shapes(self.space, (), self.space.every(()), np.array([[IMAGE_CHANNELS, side, side]]))
        for i, row in enumerate(self.space.document.data["blocks"]):
            columns = tuple(sorted({*shapes.columns, *self.space.row_columns(i)}))
            codes, x = shapes.at(self._together(columns, f"row {row['name']}"))
            cost, y = self.space.row(i, codes).cost(x)
            yield self._table(columns, codes, cost)
            made = _stacked(len(codes), y.channels, y.height, y.width)
            shapes = _Shapes(self.space, *_narrowed(self.space, columns, codes, made))
            for nth in (nth for nth, row in enumerate(read) if row == i):
                parts = self.space.head.parts(nth, Shape(*shapes.values.T), self.space.num_classes, image)
                yield self._table(shapes.columns, shapes.codes, sum((part.cost for part in parts), Cost()))

    def conditions(self) -> Iterator[Factor]:
        """One for each part of a condition: what meets it."""
        for part, columns in zip(self.parts, self.scopes, strict=True):
            self._together(columns, f"condition {part}")
            yield self.nothing(columns)

    def choices(self) -> Iterator[Factor]:
        """One for each choice: its values count, though neither row nor condition may depend on it."""
        return (self.nothing((i,)) for i in range(len(self.space.choices)))

    def nothing(self, columns: tuple[int, ...]) -> Factor:
        """What some columns may take, at no cost."""
        codes = self._together(columns, "")
        return self._new(columns, codes, np.zeros((len(codes), len(self.names)), dtype=np.int64))

    def _together(self, columns: tuple[int, ...], what: str) -> Codes:
        """What some choices take together where the conditions that name no others hold."""
        many = math.prod(len(self.space.choices[i].values) for i in columns)
        if many > _MOST_TOGETHER:
            raise SpaceError(
                f"{what} depends on {len(columns)} choices that take {many:,} values "
                f"together, too many to be listed (at most {_MOST_TOGETHER:,}); leave fewer of them open.",
                at=self.space.document.file,
            )
        codes = self.space.every(columns)
        inside = [p for p, scope in zip(self.parts, self.scopes, strict=True) if set(scope) <= set(columns)]
        return codes[self.space.hold(inside, codes)]

    def _table(self, columns: tuple[int, ...], codes: Codes, cost: Cost) -> Factor:
        values = _stacked(len(codes), *(getattr(cost, name) for name in self.names))
        return self._new(*_narrowed(self.space, columns, codes, values))

    def _new(self, columns: tuple[int, ...], codes: Codes, costs: Ints) -> Factor:
        whole = np.int64 if self.most < 2**62 else object  # beyond 64 bits Python counts
        return Factor(columns, codes, costs, np.ones(len(codes), dtype=whole))


@dataclass(frozen=True)
class _Shapes:
    """Channels, height and width (lines, 3) of the maps between two rows, by the choices that they depend on."""

    space: SearchSpace
    columns: tuple[int, ...]
    codes: Codes
    values: Ints

    def at(self, codes: Codes) -> tuple[Codes, Shape]:
        """The shapes at other codes, as columns; without the codes that conditions on the rows before forbid."""
        known, sought = (keys(self.space, c, self.columns) for c in (self.codes, codes))
        order = np.argsort(known)
        codes, sought = (values[np.isin(sought, known)] for values in (codes, sought))
        return codes, Shape(*self.values[order[np.searchsorted(known, sought, sorter=order)]].T)


def _narrowed(
    space: SearchSpace, columns: tuple[int, ...], codes: Codes, values: Ints
) -> tuple[tuple[int, ...], Codes, Ints]:
    """The same values by only those columns that they do depend on."""
    for column in columns:
        rest = tuple(c for c in columns if c != column)
        _, first, group = np.unique(keys(space, codes, rest), return_index=True, return_inverse=True)
        if (values == values[first[group]]).all():
            columns, codes, values = rest, codes[first], values[first]
            codes[:, column] = 0
    return columns, codes, values


def _stacked(n: int, *values: Any) -> Ints:
    return np.stack([np.broadcast_to(np.asarray(value), n) for value in values], axis=1).astype(np.int64)
