"""The exact Pareto front over costs: the non-dominated points among all points of a space. Nothing is sampled.

A cost is a sum of factors that depend on a few choices each (see `cost_factors`). Variable elimination adds them up:
one choice after another is eliminated, and of entries with the same values of the remaining choices only those are
kept that can still become part of the front.

    stem(a) + row(a, b) + row(b, c)    eliminate a:  best(b) + row(b, c)    eliminate b:  best(c)    eliminate c:  front

The number of combinations is known before each step, so an intractable space is rejected at once. Where a lower limit
keeps almost every entry a candidate, points that are known already exclude most of them (see `exact_bounds`), and the
front of two costs is computed in strips (see `exact_strips`).
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.cost import Cost
from mvsearch.errors import PlanError, SpaceError
from mvsearch.metrics.constraints import Constraint
from mvsearch.metrics.registry import check_costs
from mvsearch.space.cost_factors import Factor, Ints, build_factors, group_keys
from mvsearch.space.cost_query import CostQuery, InfeasibleError, RemainingBounds
from mvsearch.space.exact_bounds import KnownPoints
from mvsearch.space.exact_strips import Strips
from mvsearch.space.search_space import Codes, SearchSpace
from mvsearch.utils.progress import Progress, no_progress

_MAX_COMBINATIONS = 60_000_000
"""The most combinations of the values of choices that an elimination goes through."""
_MAX_SUMS = 40_000_000
"""The most sums that are added up, in all: about 15 s of computing."""
_MAX_COMPARED = 3_000_000
"""The most sums that bounds do not exclude, in all: about 15 s of computing."""
_MAX_ENTRIES = 3_000_000
"""The most entries of a factor: about a gigabyte."""
_AT_ONCE = 100_000
"""Points of a space whose front is computed as a whole, which is faster there."""
_PROJECTED_FROM = 0.2
"""The share of a sum from which the number of its entries is extrapolated."""
_CHUNK = 1_000_000
"""Combinations that are compared at once."""


@dataclass(frozen=True)
class FrontPoint:
    """A point of the front. `ties` points, this one included, have the same values of all objectives."""

    point: dict[str, Any]
    cost: Cost
    ties: int
    published: str | None = None


def exact_front(
    space: SearchSpace,
    objectives: Sequence[str],
    limits: Sequence[Constraint] = (),
    *,
    progress: Progress = no_progress,
) -> list[FrontPoint]:
    """The non-dominated points over objectives that are costs, one for each vector of them, sorted by the first.

    Of points that tie, a published one is taken. `progress` receives how many choices are eliminated, and of how many.
    Raises InfeasibleError if no point satisfies the limits, PlanError for an objective that is not a cost, and either
    PlanError or SpaceError where computing the front is intractable.
    """
    query = CostQuery.of(objectives, limits)
    check_costs(query.names, space.head.task)
    if (query.low > query.high).any():
        raise InfeasibleError(str(space.document.file), f"{query.limits_text} contradict each other")
    effort = Effort()

    def front_of(part: CostQuery, seeds: Codes | None, watch: Progress) -> Factor:
        return VariableElimination(space, part, watch, effort, seeds).run()

    if Strips.apply_to(query) and space.size > _AT_ONCE:
        front = Strips(space, query, front_of, progress).run()
    else:
        front = front_of(query, None, progress)
    return _front_points(space, query, front)


@dataclass
class Effort:
    """How many sums were added up so far, and how many of them were compared."""

    sums: int = 0
    compared: int = 0


class VariableElimination:
    """Eliminates one choice after another from the factors and keeps the non-dominated entries."""

    def __init__(
        self, space: SearchSpace, query: CostQuery, progress: Progress, effort: Effort, seeds: Codes | None
    ) -> None:
        self.space, self.query, self.progress, self.effort = space, query, progress, effort
        self.empty, *self.factors = build_factors(space, query.names)
        self.order = self._elimination_order()
        self.eliminated, self.sums = 0, (0, 1)
        self.known = KnownPoints(space, query, seeds)

    def run(self) -> Factor:
        """The front, as the entries of a factor without columns."""
        for column in self.order:
            self._add_up([factor for factor in self.factors if column in factor.columns], column)
            self.eliminated += 1
        self._add_up(self.factors, None)
        return self.factors[0]

    def _elimination_order(self) -> list[int]:
        """Always next the choice whose elimination compares the fewest combinations."""
        scopes = [set(factor.columns) for factor in self.factors]
        order: list[int] = []
        while len(order) < len(self.space.choices):
            neighbours = {c: set[int]().union(*(s for s in scopes if c in s)) for s in scopes for c in s}
            combinations = {
                c: math.prod(len(self.space.choices[k].values) for k in neighbours[c]) for c in sorted(neighbours)
            }
            column = min(combinations, key=combinations.__getitem__)
            if combinations[column] > _MAX_COMBINATIONS:
                raise SpaceError(
                    f"eliminating the next choice would compare {combinations[column]:,} combinations of "
                    f"{len(neighbours[column])} choices (limit {_MAX_COMBINATIONS:,}); leave fewer choices open, or "
                    "let fewer rows and conditions share them.",
                    at=self.space.document.file,
                )
            scopes = [s for s in scopes if column not in s] + [neighbours[column] - {column}]
            order.append(column)
        return order

    def _add_up(self, factors: list[Factor], column: int | None) -> None:
        """Replace some factors by their sum, in which a column is eliminated."""
        others = [factor for factor in self.factors if not any(factor is other for other in factors)]
        total, queue = self.empty, sorted(factors, key=len)
        while queue:
            self.sums = (len(factors) - len(queue), len(factors))
            factor = queue.pop(0)
            columns = {*total.columns, *factor.columns} - (set() if queue else {column})
            total = self._join(total, factor, tuple(sorted(columns)), [*others, *queue])
        self.factors = [*others, total]

    def _join(self, a: Factor, b: Factor, columns: tuple[int, ...], remaining: Sequence[Factor]) -> Factor:
        bounds = RemainingBounds.of(remaining, len(a.costs.T))
        common = [c for c in columns if c in a.columns]
        a = a.take(np.argsort(group_keys(self.space, a.codes, common), kind="stable"))  # competing entries in one chunk
        parts, compared, start = [], 0, time.perf_counter()
        for share, entries_a, entries_b in self._compatible(a, b):
            costs = a.costs[entries_a] + b.costs[entries_b]
            reachable = np.flatnonzero(self.query.reachable(costs, bounds))
            entries_a, entries_b = entries_a[reachable], entries_b[reachable]
            codes = np.maximum(a.codes[entries_a], b.codes[entries_b])
            joined = Factor(columns, codes, costs[reachable], a.counts[entries_a] * b.counts[entries_b])
            joined = joined.take(np.flatnonzero(self.known.undominated(joined, remaining)))
            if len(joined):
                parts.append(self._best(joined, bounds))
            compared += len(joined)
            projected = share if share > _PROJECTED_FROM else 1.0
            self._check_effort(compared=round(compared / projected), entries=round(sum(map(len, parts)) / projected))
            self._report(share, time.perf_counter() - start)
        self.effort.compared += compared
        if not parts:
            limits = f" and {self.query.limits_text}" if self.query.limits else ""
            raise InfeasibleError(str(self.space.document.file), f"no point satisfies all conditions{limits}")
        if len(parts) == 1:
            return parts[0]
        whole = (np.concatenate([getattr(part, name) for part in parts]) for name in ("codes", "costs", "counts"))
        return self._best(Factor(columns, *whole), bounds)

    def _report(self, share: float, seconds: float) -> None:
        """Report the eliminated choices, the next one as a fraction: `share` of its sum is computed, in `seconds`."""
        before, sums = self.sums
        done, total = self.eliminated + (before + share) / sums, len(self.order)
        step = f"choice {min(self.eliminated + 1, total)}, step {before + 1} of {sums}: {share:.0%}"
        step += f", {seconds * (1 - share) / share:.0f} s left of it" if share < 1 else ""
        self.progress(min(done, total), total, step)

    def _compatible(self, a: Factor, b: Factor) -> Iterator[tuple[float, NDArray[np.intp], NDArray[np.intp]]]:
        """All pairs of entries with the same values of the choices that both factors have, in chunks.

        The first value is the share of all pairs up to the end of the chunk.
        """
        common = [c for c in a.columns if c in b.columns]
        keys_a, keys_b = group_keys(self.space, a.codes, common), group_keys(self.space, b.codes, common)
        order = np.argsort(keys_b, kind="stable")
        start = np.searchsorted(keys_b, keys_a, "left", sorter=order)
        counts = np.searchsorted(keys_b, keys_a, "right", sorter=order) - start
        ends = np.cumsum(counts)
        self.effort.sums += int(ends[-1])
        self._check_effort()
        cuts = np.searchsorted(ends, np.arange(_CHUNK, ends[-1], _CHUNK), "right")
        for entries in np.split(np.arange(len(a)), cuts):
            times = counts[entries]
            offsets = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
            share = float(ends[entries[-1]] / ends[-1]) if len(entries) and ends[-1] else 1.0
            yield share, np.repeat(entries, times), order[np.repeat(start[entries], times) + offsets]

    def _check_effort(self, *, compared: int = 0, entries: int = 0) -> None:
        """Raises PlanError if too many sums were added up, or are compared or kept by the current step."""
        compared += self.effort.compared
        amounts = (
            (self.effort.sums, _MAX_SUMS, "it would add up", ""),
            (compared, _MAX_COMPARED, "it would compare", ""),
            (entries, _MAX_ENTRIES, "it would keep", "non-dominated "),
        )
        for amount, limit, verb, kind in amounts:
            if amount <= limit:
                continue
            lower = " and ".join(limit.text for limit in self.query.limits if not limit.at_most)
            cause = f" with the lower limit {lower}" if lower else ""
            raise PlanError(
                f"the exact front is intractable{cause}: after {self.eliminated} of {len(self.order)} choices "
                f"{verb} {amount:,} (limit {limit:,}) {kind}partial costs; use fewer objectives, "
                f"{'remove or lower the lower limit, ' if lower else ''}add an upper limit near the least cost, leave "
                "fewer choices open, or search with `mvsearch run`.",
                at=self.space.document.file,
            )

    def _best(self, factor: Factor, bounds: RemainingBounds) -> Factor:
        """The entries that can become part of the front; of equal ones the first, with the counts of all."""
        cells = group_keys(self.space, factor.codes, factor.columns)
        objectives = factor.costs[:, self.query.is_objective]
        consumption = self.query.consumption(factor.costs, bounds)
        order = np.lexsort((*consumption.T, *objectives.T[::-1], cells))
        rows = np.column_stack([cells, objectives, consumption])[order]
        first = np.flatnonzero(np.concatenate([[True], (rows[1:] != rows[:-1]).any(axis=1)]))
        entries = order[first]
        counts = np.add.reduceat(factor.counts[order], first)
        keep = _non_dominated_mask(cells[entries], objectives[entries], consumption[entries])
        best = factor.take(entries[keep])
        return Factor(best.columns, best.codes, best.costs, counts[keep])


def _non_dominated_mask(cells: Ints, objectives: Ints, consumption: Ints) -> NDArray[np.bool_]:
    """Which entries no other entry of the same cell dominates in objectives and consumption; cells are sorted.

    Of entries with equal objectives neither dominates the other, whatever they consume: both may become ties.
    """
    import moocore

    objectives, consumption = _dense_ranks(objectives), _dense_ranks(consumption)
    columns = [*objectives.T, *consumption.T]
    if consumption.size:  # makes entries of equal objectives and unequal consumption incomparable, and no others
        total = consumption.sum(axis=1)
        columns.append(objectives.sum(axis=1) * (total.max() + 1) - total)
    if len(columns) == 1:
        columns.append(np.zeros_like(columns[0]))
    # Ranks are below the number of entries, so cells this far apart in two directions are incomparable.
    offsets = len(cells) * np.unique(cells, return_inverse=True)[1]
    columns[:2] = columns[0] + offsets, columns[1] - offsets
    return np.asarray(moocore.is_nondominated(np.column_stack(columns).astype(float), keep_weakly=True))


def _dense_ranks(values: Ints) -> Ints:
    ranks = [np.unique(column, return_inverse=True)[1] for column in values.T]
    return np.column_stack(ranks) if ranks else values


def _front_points(space: SearchSpace, query: CostQuery, front: Factor) -> list[FrontPoint]:
    published = {objectives: (name, point) for objectives, name, point in _published_points(space, query)}
    points = []
    for entry in np.lexsort(front.costs[:, query.is_objective].T[::-1]):
        objectives = tuple(front.costs[entry, query.is_objective].tolist())
        name, point = published.get(objectives, (None, space.point(front.codes[entry])))
        points.append(FrontPoint(point, space.architecture(point).cost(), int(front.counts[entry]), name))
    return points


def _published_points(space: SearchSpace, query: CostQuery) -> Iterator[tuple[tuple[int, ...], str, dict[str, Any]]]:
    """The published models within the limits, with their values of the objectives."""
    for name, point in space.published_points():
        values = query.values(space.costs(space.codes(point)[None]))
        if ((query.low <= values) & (values <= query.high)).all():
            yield tuple(values[0, query.is_objective].tolist()), name, point
