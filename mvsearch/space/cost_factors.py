"""The cost of a space as a sum of factors, each of which depends on a few choices only.

    stem       row layer1        row layer2 ...       head      where: b <= c      choices
    (a)        (a, b, expand)    (b, c, expand)       (z)       (b, c)             (a) (b) (c) ...

A factor lists, for every combination of values of its choices, what its part of the network costs. Entries of two
factors are compatible if their common choices have the same values. One entry of each factor, all compatible, make a
point, and the sum of their costs is its cost. A factor only has the choices that its costs really depend on; these are
found by trying all values.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.cost import IMAGE_CHANNELS, Cost, Shape
from mvsearch.errors import SpaceError
from mvsearch.space.activity import legality
from mvsearch.space.condition_groups import Codes, legal_codes
from mvsearch.space.expressions import Expression

if TYPE_CHECKING:
    from mvsearch.space.search_space import SearchSpace

Ints = NDArray[np.int64]

_MAX_COMBINATIONS = 2_000_000
"""The most combinations of the choices of one row or one condition."""


@dataclass(frozen=True)
class Factor:
    """Costs (entries, names) by the values of the choices in `columns`; `counts` is the number of points of each entry.

    Codes of choices that are not in `columns` are 0, so two entries are joined by the maximum of their codes.
    """

    columns: tuple[int, ...]
    codes: Codes
    costs: Ints
    counts: NDArray[Any]

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, entries: NDArray[Any]) -> "Factor":
        """Some of the entries."""
        return Factor(self.columns, self.codes[entries], self.costs[entries], self.counts[entries])


def build_factors(space: "SearchSpace", names: Sequence[str]) -> list[Factor]:
    """The factors whose sums are the named costs of all points; the first one is empty and costs nothing.

    Raises SpaceError where a factor would be too large.
    """
    builder = _FactorBuilder(space, names, space.legality, {}, _MAX_COMBINATIONS)
    return [builder.free(()), *builder.rows(), *builder.conditions(), *builder.choices()]


def row_factors(space: "SearchSpace", names: Sequence[str], limit: int) -> Iterator[Factor]:
    """The factors of rows and head, also for points that violate the conditions of the file.

    A factor with a choice has those that decide about its effect as well, so no entry is that of a point where a choice
    without effect has another value than its first one. Raises SpaceError where one has more than `limit` combinations.
    """
    deciding = {
        i: space.columns(space.activity[choice.name].names)
        for i, choice in enumerate(space.choices)
        if choice.name in space.activity
    }
    return _FactorBuilder(space, names, legality(space.choices, (), space.activity), deciding, limit).rows()


def group_keys(space: "SearchSpace", codes: Codes, columns: Iterable[int]) -> Ints:
    """(n,): a number for each row of codes, equal where the values in some columns are equal."""
    keys = np.zeros(len(codes), dtype=np.int64)
    for column in columns:
        keys = keys * len(space.choices[column].values) + codes[:, column]
    return keys


class _FactorBuilder:
    """`conditions` are those that combinations satisfy; `limit` is the most combinations of a factor.

    A factor that has a choice keeps those that are `deciding` for it, even if costs do not depend on them.
    """

    def __init__(
        self,
        space: "SearchSpace",
        names: Sequence[str],
        conditions: Sequence[Expression],
        deciding: Mapping[int, Collection[int]],
        limit: int,
    ) -> None:
        self.space, self.names, self.deciding, self.limit = space, names, deciding, limit
        self.conjuncts = [part for condition in conditions for part in condition.conjuncts]
        self.scopes = [space.columns(conjunct.names) for conjunct in self.conjuncts]
        points = math.prod(len(choice.values) for choice in space.choices)
        self.count_type = np.int64 if points < 2**62 else object  # Python ints beyond 64 bits

    def rows(self) -> Iterator[Factor]:
        """One for each row, and one for each output that the head reads. Shapes of maps are passed on by choices."""
        inputs, shapes = self.space.head_inputs(), self._images()
        for i, row in enumerate(self.space.rows):
            columns = tuple(sorted({*shapes.columns, *self.space.row_columns(i)}))
            codes, x = shapes.at(self._combinations(columns, f"row {row.name}"))
            cost, y = self.space.row(i, codes).cost(x)
            yield self._factor(columns, codes, cost)
            outputs = _stack(len(codes), y.channels, y.height, y.width)
            shapes = _Shapes(self.space, *self._drop_irrelevant(columns, codes, outputs))
            for index in (index for index, row_number in enumerate(inputs) if row_number == i):
                image = Shape(IMAGE_CHANNELS, self.space.image_size, self.space.image_size)
                parts = self.space.head.parts(index, Shape(*shapes.values.T), self.space.num_classes, image)
                yield self._factor(shapes.columns, shapes.codes, sum((part.cost for part in parts), Cost()))

    def _images(self) -> "_Shapes":
        """The shape of the images, by the choices that their size depends on."""
        columns = self.space.columns(["image_size"])
        codes = self._combinations(columns, "image_size")
        side = self.space.scope(codes).value("image_size") if columns else self.space.image_size
        return _Shapes(self.space, columns, codes, _stack(len(codes), IMAGE_CHANNELS, side, side))

    def conditions(self) -> Iterator[Factor]:
        """One for each conjunct of a condition: the combinations that satisfy it."""
        for conjunct, columns in zip(self.conjuncts, self.scopes, strict=True):
            self._combinations(columns, f"condition {conjunct}")
            yield self.free(columns)

    def choices(self) -> Iterator[Factor]:
        """One for each choice, so that the values of a choice are counted that no row and no condition depends on."""
        return (self.free((i,)) for i in range(len(self.space.choices)))

    def free(self, columns: tuple[int, ...]) -> Factor:
        """The legal combinations of some columns, at no cost."""
        codes = self._combinations(columns, "")
        return self._new(columns, codes, np.zeros((len(codes), len(self.names)), dtype=np.int64))

    def _combinations(self, columns: tuple[int, ...], source: str) -> Codes:
        """The combinations of some choices that satisfy the conditions on these choices alone."""
        codes = legal_codes(self.space.variables, self.space.choices, columns, self.conjuncts, self.limit)
        if codes is None:
            raise SpaceError(
                f"{source} depends on {len(columns)} choices with too many combinations (limit {self.limit:,}); "
                "leave fewer of them open.",
                at=self.space.document.file,
            )
        return codes

    def _factor(self, columns: tuple[int, ...], codes: Codes, cost: Cost) -> Factor:
        values = _stack(len(codes), *(getattr(cost, name) for name in self.names))
        return self._new(*self._drop_irrelevant(columns, codes, values))

    def _drop_irrelevant(
        self, columns: tuple[int, ...], codes: Codes, values: Ints
    ) -> tuple[tuple[int, ...], Codes, Ints]:
        """The same values by only those columns that they depend on, and those that are deciding for these."""
        for column in columns:
            others = tuple(c for c in columns if c != column)
            if any(column in self.deciding.get(c, ()) for c in others):
                continue
            _, first, group = np.unique(group_keys(self.space, codes, others), return_index=True, return_inverse=True)
            if (values == values[first[group]]).all():
                columns, codes, values = others, codes[first], values[first]
                codes[:, column] = 0
        return columns, codes, values

    def _new(self, columns: tuple[int, ...], codes: Codes, costs: Ints) -> Factor:
        return Factor(columns, codes, costs, np.ones(len(codes), dtype=self.count_type))


@dataclass(frozen=True)
class _Shapes:
    """Channels, height and width (entries, 3) of the maps between two rows, by the choices that they depend on."""

    space: "SearchSpace"
    columns: tuple[int, ...]
    codes: Codes
    values: Ints

    def at(self, codes: Codes) -> tuple[Codes, Shape]:
        """The shapes at other codes, as columns, without the codes that conditions on earlier rows exclude."""
        keys, wanted_keys = (group_keys(self.space, c, self.columns) for c in (self.codes, codes))
        order = np.argsort(keys)
        codes, wanted_keys = (values[np.isin(wanted_keys, keys)] for values in (codes, wanted_keys))
        return codes, Shape(*self.values[order[np.searchsorted(keys, wanted_keys, sorter=order)]].T)


def _stack(n: int, *values: Any) -> Ints:
    return np.stack([np.broadcast_to(np.asarray(value), n) for value in values], axis=1).astype(np.int64)
