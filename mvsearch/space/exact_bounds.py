"""What the exact front need not add up: partial sums of which every completion is worse than a point known already.

A lower limit makes almost every partial sum a candidate: one that costs more may be the one that reaches the limit. Two
numbers decide most of them early. Good points are found by a local search. And a completion that must reach `params >=
L` costs at least

    macs(sum) - λ params(sum) + Σ least (macs - λ params) of each remaining factor + λ L        for every λ >= 0

where the least is taken over the factor's entries with the same values of the choices that it shares with the sum.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mvsearch.space.cost_factors import Factor, Ints, group_keys
from mvsearch.space.cost_query import UNBOUNDED, CostQuery
from mvsearch.space.search_space import Codes, SearchSpace

_SAMPLE, _NEIGHBOURS, _ROUNDS, _MEMBERS = 20_000, 4_000, 30, 24
_MULTIPLIERS = (0.0, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 2.0)
"""λ, as shares of the objective over the limit."""
_TRIED = 500
"""Sums on which multipliers are compared."""

Floats = NDArray[np.float64]


class KnownPoints:
    """Points within all limits, none of which dominates another, and what they and the limits rule out.

    They are searched for from `seeds`, by default from samples.
    """

    def __init__(self, space: SearchSpace, query: CostQuery, seeds: Codes | None = None) -> None:
        self.space, self.query, self.low, self.high = space, query, query.low, query.high
        self.objectives: list[int] = np.flatnonzero(query.is_objective).tolist()
        self.limited: list[int] = np.flatnonzero(query.low > 0).tolist()
        self.points = self._search(seeds) if self.limited else np.empty((0, len(self.objectives)), dtype=np.int64)

    def undominated(self, sums: Factor, remaining: Sequence[Factor]) -> NDArray[np.bool_]:
        """Which partial sums may become a part of the front once one entry of each remaining factor is added."""
        highest = self.high[self.objectives]
        if not self.limited or not len(sums) or (not len(self.points) and (highest == UNBOUNDED).all()):
            return np.ones(len(sums), dtype=bool)
        least = self._least(sums, remaining)
        dominated = (least > highest).any(axis=1)
        for point in self.points:
            dominated |= (point <= least).all(axis=1) & (point < least).any(axis=1)
        return np.asarray(~dominated)

    def _least(self, sums: Factor, remaining: Sequence[Factor]) -> Floats:
        """The least that a completion has of each objective, (sums, objectives)."""
        scale = self.points.mean(axis=0) if len(self.points) else self.high[self.objectives]
        columns = []
        for i, name in enumerate(self.objectives):
            least = _completed(self.space, sums, remaining, _unit(len(self.low), name))
            for limit in self.limited:
                if limit == name:
                    least = np.maximum(least, self.low[limit])
                    continue
                rate = self._best_rate(sums, remaining, name, limit, scale[i] / self.low[limit])
                weights = _unit(len(self.low), name) - rate * _unit(len(self.low), limit)
                relaxed = _completed(self.space, sums, remaining, weights) + rate * self.low[limit]
                least = np.maximum(least, np.floor(relaxed - 1e-3))  # rounding must not exclude a tie
            columns.append(least)
        return np.column_stack(columns)

    def _best_rate(self, sums: Factor, remaining: Sequence[Factor], name: int, limit: int, scale: float) -> float:
        """The multiplier with the highest bounds on some of the sums."""
        some = sums.take(np.linspace(0, len(sums) - 1, min(_TRIED, len(sums))).astype(np.intp))
        rates = scale * np.array(_MULTIPLIERS)
        weights = _unit(len(self.low), name)[:, None] - np.outer(_unit(len(self.low), limit), rates)
        bounds = _completed(self.space, some, remaining, weights) + rates * self.low[limit]
        return float(rates[np.median(bounds, axis=0).argmax()])

    def _search(self, seeds: Codes | None) -> Ints:
        """The objectives of good points: seeds or samples, and better ones among their neighbours."""
        rng = np.random.default_rng(0)
        start = self.space.sample(_SAMPLE, rng) if seeds is None else self._neighbours(seeds, rng)
        members, objectives = self._best(start)
        for _ in range(_ROUNDS):
            if not len(members):
                break
            found, better = self._best(np.concatenate([members, self._neighbours(members, rng)]))
            if np.array_equal(better, objectives):
                break
            members, objectives = found, better
        return objectives

    def _best(self, codes: Codes) -> tuple[Codes, Ints]:
        """Points within all limits that no other dominates, spread over the objectives, and their values."""
        import moocore

        codes = codes[self.space.is_legal(codes)]
        values = self.query.values(self.space.costs(codes))
        within = ((values >= self.low) & (values <= self.high)).all(axis=1)
        codes, values = codes[within], values[within][:, self.objectives]
        values, first = np.unique(values, axis=0, return_index=True)
        if not len(values):
            return codes[:0], values
        # With one column moocore finds nothing; a second one that is equal everywhere changes nothing.
        columns = np.column_stack([values, np.zeros(len(values))]).astype(float)
        kept = np.flatnonzero(moocore.is_nondominated(columns))
        kept = kept[np.unique(np.linspace(0, len(kept) - 1, _MEMBERS).astype(int))]
        return codes[first[kept]], values[kept]

    def _neighbours(self, members: Codes, rng: np.random.Generator) -> Codes:
        """Points that differ from a member in one choice, and some that differ in two or three."""
        sizes = [len(choice.values) for choice in self.space.choices]
        single = [_with(members, column, value) for column, n in enumerate(sizes) for value in range(n)]
        several = members[rng.integers(len(members), size=_NEIGHBOURS)]
        for _ in range(3):
            column = rng.integers(len(sizes), size=len(several))
            several[np.arange(len(several)), column] = rng.integers(np.array(sizes)[column])
        return np.concatenate([*single, several])


def _with(members: Codes, column: int, value: int) -> Codes:
    changed = members.copy()
    changed[:, column] = value
    return changed


def _unit(n: int, i: int) -> Floats:
    unit: Floats = np.eye(n)[i]
    return unit


def _completed(space: SearchSpace, sums: Factor, remaining: Sequence[Factor], weights: Floats) -> Floats:
    """A lower bound on the weighted costs of each sum once one entry of each remaining factor is added.

    The weights are (costs,) or (costs, rates); the bounds are (sums,) or (sums, rates).
    """
    return np.asarray(sums.costs @ weights + sum(_least_of(space, sums, factor, weights) for factor in remaining))


def _least_of(space: SearchSpace, sums: Factor, factor: Factor, weights: Floats) -> Floats:
    """The least weighted cost of a factor's entries that are compatible with each sum; inf where none is."""
    common = tuple(column for column in sums.columns if column in factor.columns)
    weighted = factor.costs @ weights
    if not common:
        return np.broadcast_to(weighted.min(axis=0), (len(sums), *weighted.shape[1:]))
    keys, wanted = (group_keys(space, each.codes, common) for each in (factor, sums))
    order = np.argsort(keys, kind="stable")
    groups, starts = np.unique(keys[order], return_index=True)
    least = np.minimum.reduceat(weighted[order], starts)
    place = np.minimum(np.searchsorted(groups, wanted), len(groups) - 1)
    found: Floats = least[place]
    found[groups[place] != wanted] = np.inf
    return found
