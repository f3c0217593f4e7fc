"""The exact front over costs alone: every point that none undercuts, among all there are. Nothing is sampled.

A cost is a sum of tables that know a few choices each (see `sums`). So the choices leave one after another, and among
lines that agree in the choices still open only those stay that may become best:

    stem(a) + row(a, b) + row(b, c)    a leaves:  best(b) + row(b, c)    b leaves:  best(c)    c leaves:  the front

How much has to be added up is known before each step: a space too entangled is refused, not waited for.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.cost import Cost
from mvsearch.errors import PlanError, SpaceError
from mvsearch.metrics.constraints import Limit
from mvsearch.metrics.registry import STATIC_COSTS
from mvsearch.space.cost_factors import Factor, Ints, keys, tables_of
from mvsearch.space.search_space import SearchSpace
from mvsearch.utils.progress import Progress, no_progress

_MOST_SUMS = 60_000_000  # a few minutes
_MOST_LINES = 3_000_000  # about a gigabyte
_AT_ONCE = 1_000_000
_FREE = 2**60  # beyond every cost, so no limit


class InfeasibleError(PlanError):
    """No point of the space keeps to all limits; `said` is that as the part of a sentence."""

    def __init__(self, where: str, said: str) -> None:
        super().__init__(f"{where}: {said}; loosen one.")
        self.said = said


@dataclass(frozen=True)
class FrontPoint:
    """A point of the front. `ties` points have its values in all objectives, itself among them."""

    point: dict[str, Any]
    cost: Cost
    ties: int
    published: str | None = None


def exact_front(
    space: SearchSpace, objectives: Sequence[str], limits: Sequence[Limit] = (), *, progress: Progress | None = None
) -> list[FrontPoint]:
    """The non-dominated points over objectives that are costs, one for each vector of them, sorted by the first.

    Of points that tie a published one is taken. `progress` hears how many choices have left, and of how many. Raises
    NothingWithin if nothing keeps to the limits, PlanError for what is no cost; either it or SpaceError where the front
    cannot be had.
    """
    sought = CostQuery.of(objectives, limits)
    if (sought.low > sought.high).any():
        raise InfeasibleError(str(space.document.file), f"no point keeps to {sought.said}, which contradict each other")
    elimination = VariableElimination(space, sought, progress or no_progress)
    return _members(space, sought, elimination.run())


@dataclass(frozen=True)
class CostQuery:
    """The costs that are added up: which of them are to be small, and within what each must come to lie."""

    names: tuple[str, ...]
    limits: tuple[Limit, ...]
    goal: NDArray[np.bool_]
    low: Ints
    high: Ints

    @classmethod
    def of(cls, objectives: Sequence[str], limits: Sequence[Limit]) -> Self:
        """Raises PlanError for a name that is no cost."""
        names = tuple(dict.fromkeys([*objectives, *(limit.name for limit in limits)]))
        for name in names:
            if name not in STATIC_COSTS:
                known = ", ".join(STATIC_COSTS)
                raise PlanError(f"{name!r} is only known when a network is built and tried; the costs are {known}.")
        if len(set(objectives)) < len(objectives):
            raise PlanError(f"objectives {', '.join(objectives)}: name each once.")
        if not objectives:
            raise PlanError(f"nothing is sought that is a cost; name one or more of {', '.join(STATIC_COSTS)}.")
        low, high = np.full(len(names), -_FREE), np.full(len(names), _FREE)
        for limit in limits:
            i, value = names.index(limit.name), min(limit.value, _FREE)
            if limit.at_most:
                high[i] = min(high[i], math.floor(value))
            else:
                low[i] = max(low[i], math.ceil(value))
        return cls(names, tuple(limits), np.array([name in objectives for name in names]), low, high)

    @property
    def said(self) -> str:
        """The limits as they were written."""
        return " and ".join(limit.text for limit in self.limits)

    def values(self, cost: Cost) -> Ints:
        """The costs that are added up, (points, names)."""
        return np.column_stack([getattr(cost, name) for name in self.names])

    def reachable(self, costs: Ints, rest: "Rest") -> NDArray[np.bool_]:
        """Which sums can still come to lie within all limits."""
        within = (costs + rest.least <= self.high) & (costs + rest.most >= self.low)
        return np.asarray(within.all(axis=1))

    def needs(self, costs: Ints, rest: "Rest") -> Ints:
        """What a sum has used of limits beyond its goals, less is better; all alike where a limit is met anyhow."""
        above, below = ~self.goal & (self.high < _FREE), self.low > -_FREE
        used = np.maximum(costs, self.high - rest.most)[:, above]
        lacked = -np.minimum(costs, self.low - rest.least)[:, below]
        return np.concatenate([used, lacked], axis=1)


@dataclass(frozen=True)
class Rest:
    """The least and the most that what is not added up yet can add to each cost."""

    least: Ints
    most: Ints

    @classmethod
    def of(cls, tables: Sequence[Factor], costs: int) -> Self:
        """Each table at its own best and worst, whether these agree or not."""
        none = [np.zeros(costs, dtype=np.int64)]
        least = np.sum([*none, *(table.costs.min(axis=0) for table in tables)], axis=0)
        most = np.sum([*none, *(table.costs.max(axis=0) for table in tables)], axis=0)
        return cls(least, most)


class VariableElimination:
    """Eliminates one choice after another from the factors, keeping the non-dominated rows."""

    def __init__(self, space: SearchSpace, sought: CostQuery, progress: Progress) -> None:
        self.space, self.sought, self.progress = space, sought, progress
        self.start, *self.tables = tables_of(space, sought.names)
        self.order = self._order()
        self.left, self.summed = 0, 0

    def run(self) -> Factor:
        """The front, as the lines of a table in which nothing is open."""
        for column in self.order:
            self._add_up([table for table in self.tables if column in table.columns], column)
            self.left += 1
        self._add_up(self.tables, None)
        return self.tables[0]

    def _order(self) -> list[int]:
        """Next always the choice that knows the fewest combinations of others."""
        scopes = [set(table.columns) for table in self.tables]
        order: list[int] = []
        while len(order) < len(self.space.choices):
            known = {c: set[int]().union(*(s for s in scopes if c in s)) for s in scopes for c in s}
            many = {c: math.prod(len(self.space.choices[k].values) for k in known[c]) for c in sorted(known)}
            column = min(many, key=many.__getitem__)
            if many[column] > _MOST_SUMS:
                raise SpaceError(
                    f"{len(known[column])} choices hang together so that {many[column]:,} "
                    "combinations of them would have to be compared, too many; leave fewer open, or let fewer rows "
                    "and conditions share them.",
                    at=self.space.document.file,
                )
            scopes = [s for s in scopes if column not in s] + [known[column] - {column}]
            order.append(column)
        return order

    def _add_up(self, touched: list[Factor], leaving: int | None) -> None:
        """Make one table of several, in which a choice is no longer open."""
        others = [table for table in self.tables if not any(table is other for other in touched)]
        first, queue = self.start, sorted(touched, key=len)
        while queue:
            table = queue.pop(0)
            columns = {*first.columns, *table.columns} - (set() if queue else {leaving})
            first = self._joined(first, table, tuple(sorted(columns)), Rest.of([*others, *queue], len(first.costs.T)))
        self.tables = [*others, first]

    def _joined(self, a: Factor, b: Factor, columns: tuple[int, ...], rest: Rest) -> Factor:
        together = [c for c in columns if c in a.columns]
        a = a.take(np.argsort(keys(self.space, a.codes, together), kind="stable"))  # what competes stands together
        parts = []
        for lines_a, lines_b in self._agreeing(a, b):
            costs = a.costs[lines_a] + b.costs[lines_b]
            reachable = np.flatnonzero(self.sought.reachable(costs, rest))
            lines_a, lines_b = lines_a[reachable], lines_b[reachable]
            codes = np.maximum(a.codes[lines_a], b.codes[lines_b])
            if len(reachable):
                joined = Factor(columns, codes, costs[reachable], a.counts[lines_a] * b.counts[lines_b])
                parts.append(self._best(joined, rest))
            self._refuse_if_beyond(lines=sum(map(len, parts)))
            self.progress(self.left, len(self.order))
        if not parts:
            also = f" and {self.sought.said}" if self.sought.limits else ""
            raise InfeasibleError(str(self.space.document.file), f"no point keeps to all conditions{also}")
        if len(parts) == 1:
            return parts[0]
        whole = (np.concatenate([getattr(part, name) for part in parts]) for name in ("codes", "costs", "counts"))
        return self._best(Factor(columns, *whole), rest)

    def _agreeing(self, a: Factor, b: Factor) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """All pairs of lines that take the same in the choices that both tables know, some at a time."""
        shared = [c for c in a.columns if c in b.columns]
        keys_a, keys_b = keys(self.space, a.codes, shared), keys(self.space, b.codes, shared)
        order = np.argsort(keys_b, kind="stable")
        start = np.searchsorted(keys_b, keys_a, "left", sorter=order)
        many = np.searchsorted(keys_b, keys_a, "right", sorter=order) - start
        ends = np.cumsum(many)
        self._refuse_if_beyond(sums=int(ends[-1]))
        cuts = np.searchsorted(ends, np.arange(_AT_ONCE, ends[-1], _AT_ONCE), "right")
        for lines in np.split(np.arange(len(a)), cuts):
            times = many[lines]
            nth = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
            yield np.repeat(lines, times), order[np.repeat(start[lines], times) + nth]

    def _refuse_if_beyond(self, *, sums: int = 0, lines: int = 0) -> None:
        self.summed += sums
        if self.summed > _MOST_SUMS or lines > _MOST_LINES:
            lower = " and ".join(limit.text for limit in self.sought.limits if not limit.at_most)
            why = f"with {lower} the dearer may be the better, and too" if lower else "too"
            raise PlanError(
                f"{why} many sums of costs stay in the running ({self.left} of "
                f"{len(self.order)} choices are settled); seek fewer objectives, "
                f"{'take out the lower limit or lower it, ' if lower else ''}or leave fewer choices open.",
                at=self.space.document.file,
            )

    def _best(self, table: Factor, rest: Rest) -> Factor:
        """Of lines that compete those that may become best; of equal ones the first, counted for all."""
        cells = keys(self.space, table.codes, table.columns)
        goals, needs = table.costs[:, self.sought.goal], self.sought.needs(table.costs, rest)
        order = np.lexsort((*needs.T, *goals.T[::-1], cells))
        rows = np.column_stack([cells, goals, needs])[order]
        first = np.flatnonzero(np.concatenate([[True], (rows[1:] != rows[:-1]).any(axis=1)]))
        lines = order[first]
        counts = np.add.reduceat(table.counts[order], first)
        kept = _undominated(cells[lines], goals[lines], needs[lines])
        best = table.take(lines[kept])
        return Factor(best.columns, best.codes, best.costs, counts[kept])


def _undominated(cells: Ints, goals: Ints, needs: Ints) -> NDArray[np.bool_]:
    """Which lines no other of the same cell beats: less in a goal, and no more in any other nor in what it needs.

    Cells are sorted. Of equal goals neither beats the other, whatever they need: both may come to tie.
    """
    import moocore

    goals, needs = _ranks(goals), _ranks(needs)
    columns = [*goals.T, *needs.T]
    if needs.size:  # makes lines of equal goals and unequal needs incomparable, and changes nothing else
        needed = needs.sum(axis=1)
        columns.append(goals.sum(axis=1) * (needed.max() + 1) - needed)
    if len(columns) == 1:
        columns.append(np.zeros_like(columns[0]))
    # Ranks are below the number of lines, so this far apart in two directions cells are incomparable.
    apart = len(cells) * np.unique(cells, return_inverse=True)[1]
    columns[:2] = columns[0] + apart, columns[1] - apart
    return np.asarray(moocore.is_nondominated(np.column_stack(columns).astype(float), keep_weakly=True))


def _ranks(values: Ints) -> Ints:
    ranks = [np.unique(column, return_inverse=True)[1] for column in values.T]
    return np.column_stack(ranks) if ranks else values


def _members(space: SearchSpace, sought: CostQuery, front: Factor) -> list[FrontPoint]:
    published = {goals: (name, point) for goals, name, point in _published(space, sought)}
    members = []
    for line in np.lexsort(front.costs[:, sought.goal].T[::-1]):
        goals = tuple(front.costs[line, sought.goal].tolist())
        name, point = published.get(goals, (None, space.point(front.codes[line])))
        members.append(FrontPoint(point, space.architecture(point).cost(), int(front.counts[line]), name))
    return members


def _published(space: SearchSpace, sought: CostQuery) -> Iterator[tuple[tuple[int, ...], str, dict[str, Any]]]:
    """The published models within the limits, with their values in the objectives."""
    for name, point in space.published_points():
        values = sought.values(space.costs(space.codes(point)[None]))
        if ((sought.low <= values) & (values <= sought.high)).all():
            yield tuple(values[0, sought.goal].tolist()), name, point
