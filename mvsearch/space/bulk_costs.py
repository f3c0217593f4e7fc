"""The costs of many points: computed for each, or, once many were, looked up row by row.

A row's cost depends on a few choices only. A table has it for all their values, so the cost of a point is a sum of one
entry of each table. Tables are made when so many points have been priced that making them takes less time.
"""

import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mvsearch.arch.cost import Cost
from mvsearch.errors import SpaceError
from mvsearch.space.condition_groups import Codes
from mvsearch.space.cost_factors import Factor, Ints, group_keys, row_factors

if TYPE_CHECKING:
    from mvsearch.space.search_space import SearchSpace

_FEW = 50_000  # points that take as long to compute as the tables of a common space
_MAX_ENTRIES = 500_000  # of all tables: 16 MB, a second or two
_UNKNOWN = -(2**53)  # the cost of combinations that no point has; a sum with one of them is negative

Table = tuple[Factor, Ints]
"""A factor, and its costs (combinations, 4), of which the number is `group_keys` of its columns."""


class BulkCosts:
    """The costs of points of a space, exactly, also of points that violate its conditions."""

    def __init__(self, space: "SearchSpace") -> None:
        self.space = space
        self._priced = 0

    def of(self, codes: Codes) -> Cost:
        """The costs of codes (n, choices), as arrays."""
        self._priced += len(codes)
        if self._priced > _FEW and self._tables and (cost := self._look_up(codes, self._tables)):
            return cost
        cost = self.space.cost_of(self.space.scope(codes), len(codes))
        return Cost(*(np.broadcast_to(np.asarray(part), len(codes)) for part in vars(cost).values()))

    def _look_up(self, codes: Codes, tables: list[Table]) -> Cost | None:
        """None where a choice without effect has another value than its first one."""
        by_column = np.asfortranarray(codes)
        total = np.zeros((len(codes), len(vars(Cost()))), dtype=np.int64)
        for factor, costs in tables:
            total += costs.take(group_keys(self.space, by_column, factor.columns), axis=0)
        return None if (total < 0).any() else Cost(*np.ascontiguousarray(total.T))

    @cached_property
    def _tables(self) -> list[Table]:
        """None at all where rows depend on too many choices, or only conditions exclude values that no row can have."""
        tables: list[Table] = []
        entries = 0
        try:
            for factor in row_factors(self.space, [*vars(Cost())], _MAX_ENTRIES):
                size = math.prod(len(self.space.choices[column].values) for column in factor.columns)
                entries += size
                if entries > _MAX_ENTRIES:
                    return []
                costs = np.full((size, factor.costs.shape[1]), _UNKNOWN)
                costs[group_keys(self.space, factor.codes, factor.columns)] = factor.costs
                tables.append((factor, costs))
        except (SpaceError, ValueError):
            return []
        return tables
