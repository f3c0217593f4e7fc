"""What the exact front is asked for: costs to minimise, and the range that each must lie in."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.cost import Cost
from mvsearch.errors import PlanError
from mvsearch.metrics.constraints import Constraint
from mvsearch.metrics.registry import STATIC_COSTS
from mvsearch.space.cost_factors import Factor, Ints

UNBOUNDED = 2**60
"""Larger than every cost."""


class InfeasibleError(PlanError):
    """No point of the space satisfies all constraints; `reason` is the first half of the message."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{reason}; relax one.", at=where)
        self.reason = reason


@dataclass(frozen=True)
class CostQuery:
    """The costs to add up: which of them are objectives, to be minimised, and the range that each must lie in."""

    names: tuple[str, ...]
    limits: tuple[Constraint, ...]
    is_objective: NDArray[np.bool_]
    low: Ints
    high: Ints

    @classmethod
    def of(cls, objectives: Sequence[str], limits: Sequence[Constraint]) -> Self:
        """Raises PlanError for a name that is not a cost in closed form."""
        names = tuple(dict.fromkeys([*objectives, *(limit.name for limit in limits)]))
        for name in names:
            if name not in STATIC_COSTS:
                costs = ", ".join(STATIC_COSTS)
                raise PlanError(f"{name!r} is not a cost in closed form; use one of {costs}.")
        if len(set(objectives)) < len(objectives):
            raise PlanError(f"objectives {', '.join(objectives)}: name each once.")
        if not objectives:
            raise PlanError(f"no objective is a cost in closed form; name one or more of {', '.join(STATIC_COSTS)}.")
        low, high = np.full(len(names), -UNBOUNDED), np.full(len(names), UNBOUNDED)
        for limit in limits:
            i, value = names.index(limit.name), min(limit.value, UNBOUNDED)
            if limit.at_most:
                high[i] = min(high[i], math.floor(value))
            else:
                low[i] = max(low[i], math.ceil(value))
        return cls(names, tuple(limits), np.array([name in objectives for name in names]), low, high)

    @property
    def limits_text(self) -> str:
        """The limits as they were written."""
        return " and ".join(limit.text for limit in self.limits)

    def values(self, cost: Cost) -> Ints:
        """The costs of the query, (points, names)."""
        return np.column_stack([getattr(cost, name) for name in self.names])

    def reachable(self, costs: Ints, bounds: "RemainingBounds") -> NDArray[np.bool_]:
        """Which partial sums can still satisfy all limits."""
        within = (costs + bounds.least <= self.high) & (costs + bounds.most >= self.low)
        return np.asarray(within.all(axis=1))

    def consumption(self, costs: Ints, bounds: "RemainingBounds") -> Ints:
        """How much of the limits that are not objectives a partial sum consumes; less is better.

        Sums that satisfy a limit whatever is added to them consume the same.
        """
        above, below = ~self.is_objective & (self.high < UNBOUNDED), self.low > -UNBOUNDED
        used = np.maximum(costs, self.high - bounds.most)[:, above]
        lacking = -np.minimum(costs, self.low - bounds.least)[:, below]
        return np.concatenate([used, lacking], axis=1)


@dataclass(frozen=True)
class RemainingBounds:
    """The least and the most that the factors that are not added up yet can add to each cost."""

    least: Ints
    most: Ints

    @classmethod
    def of(cls, factors: Sequence[Factor], costs: int) -> Self:
        """Each factor at its own minimum and maximum, whether these are compatible or not."""
        zero = [np.zeros(costs, dtype=np.int64)]
        least = np.sum([*zero, *(factor.costs.min(axis=0) for factor in factors)], axis=0)
        most = np.sum([*zero, *(factor.costs.max(axis=0) for factor in factors)], axis=0)
        return cls(least, most)
