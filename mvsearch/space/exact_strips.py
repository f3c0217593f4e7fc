"""The front of two costs under a lower limit, in strips: first what costs about the least of one, then more and more.

    y │ ·                   strip 3: x below the leftmost point of strip 2
      │ · ·   ┄┄┄┄┄┄┄┄┄┄
      │   ··              strip 2: x below the leftmost point of strip 1
      │     · · ┄┄┄┄┄┄┄┄
      │         ·   ·    strip 1: y up to 1 % above its least
      └──────────────── x

A lower limit on x makes many points with an x just above it, and nearly every partial sum can become one of them. But
all of the front that costs at most so much of y is found without the sums that must cost more, which are most, and the
rest of the front has less x. A strip that reaches the least x is the last one.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from mvsearch.space.cost_factors import Factor, build_factors
from mvsearch.space.cost_query import CostQuery, InfeasibleError
from mvsearch.space.search_space import Codes, SearchSpace
from mvsearch.utils.progress import Progress

_SHARES = (0.01, 0.05, 0.15, 0.35, 0.6, 0.9, 1.3, 2.0)
"""How much more of y than the least the points of a strip cost; those of the last one cost anything."""

_PARTS = len(_SHARES) + 3
"""With both least costs and the last strip."""

FrontOf = Callable[[CostQuery, Codes | None, Progress], Factor]
"""Computes the front of a query; seeds are points near it, if some are known."""


class Strips:
    """The front of two objectives; `y` is the one without a lower limit, if one has none."""

    def __init__(self, space: SearchSpace, query: CostQuery, front_of: FrontOf, progress: Progress) -> None:
        self.space, self.query, self.front_of, self.progress = space, query, front_of, progress
        x, y = np.flatnonzero(query.is_objective).tolist()
        self.x, self.y = (y, x) if query.low[y] > query.low[x] and query.low[x] <= 0 else (x, y)
        self.done = 0

    @staticmethod
    def apply_to(query: CostQuery) -> bool:
        """Whether there are two objectives and a lower limit."""
        return int(query.is_objective.sum()) == 2 and bool((query.low > 0).any())

    def run(self) -> Factor:
        """The front; raises InfeasibleError if no point satisfies all limits."""
        least_x, least_y = self._least_x(), self._least(self.y)
        query, strips, seeds = self.query, list[Factor](), None
        for share in (*_SHARES, None):
            highest = self.query.high[self.y] if share is None else int(least_y * (1 + share))
            query = _with_high(query, self.y, min(highest, self.query.high[self.y]))
            try:
                strips.append(self.front_of(query, seeds, self._watch))
            except InfeasibleError:
                pass  # no point of the front in this strip
            else:
                seeds = np.concatenate([strip.codes for strip in strips])
                query = _with_high(query, self.x, strips[-1].costs[:, self.x].min() - 1)
            self.done += 1
            if query.high[self.x] < least_x or query.high[self.y] == self.query.high[self.y]:
                break
        self.progress(_PARTS, _PARTS)
        whole = (np.concatenate([getattr(strip, name) for strip in strips]) for name in ("codes", "costs", "counts"))
        return Factor((), *whole)

    def _least(self, name: int) -> Any:
        """The least of one objective within the limits."""
        alone = np.arange(len(self.query.names)) == name
        least = self.front_of(replace(self.query, is_objective=alone), None, self._watch).costs[0, name]
        self.done += 1
        return least

    def _least_x(self) -> Any:
        """A lower bound on x: its least, or the first value from its lower limit on that sums can have."""
        low = self.query.low[self.x]
        if low <= 0:
            return self._least(self.x)
        factors = build_factors(self.space, [self.query.names[self.x]])
        step = np.gcd.reduce([np.gcd.reduce(factor.costs[:, 0] - factor.costs[0, 0]) for factor in factors])
        first = sum(factor.costs[0, 0] for factor in factors)
        return low + (first - low) % step if step else low

    def _watch(self, done: float, total: float | None, step: str = "") -> None:
        """Report a part as a fraction of all parts that there can be."""
        share = done / total if total else 0.0
        self.progress(self.done + share, _PARTS, f"part {self.done + 1} of at most {_PARTS}, {step}")


def _with_high(query: CostQuery, name: int, high: Any) -> CostQuery:
    highs = query.high.copy()
    highs[name] = high
    return replace(query, high=highs)
