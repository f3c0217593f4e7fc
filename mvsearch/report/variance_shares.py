"""Functional ANOVA with a random forest (Hutter et al. 2014): the share of variance that each choice alone explains.

The shares are those of `optuna.importance.FanovaImportanceEvaluator`, which visits the nodes of each tree one by one.
Here the leaves of a tree are boxes with a value, and a marginal mean is a sum over the boxes that it passes through.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
TREES, DEPTH = 64, 64


@dataclass(frozen=True)
class Columns:
    """Choices as columns of numbers: one for a choice whose values are ordered, else one for each value (one-hot).

    `of` has the columns of each choice, `high` (columns,) the largest number of each column; the smallest is 0.
    """

    of: tuple[tuple[int, ...], ...]
    high: Numbers

    @classmethod
    def for_choices(cls, counts: Sequence[int], ordered: Sequence[bool]) -> Self:
        """The columns of choices with so many values each."""
        tops = [[count - 1] if by_size else [1] * count for count, by_size in zip(counts, ordered, strict=True)]
        ends = np.cumsum([len(top) for top in tops]).tolist()
        columns = tuple(tuple(range(end - len(top), end)) for end, top in zip(ends, tops, strict=True))
        return cls(columns, np.array([float(value) for top in tops for value in top]))

    def encode(self, codes: NDArray[np.int64]) -> Numbers:
        """Codes (points, choices) as numbers (points, columns)."""
        parts = [
            codes[:, i, None] if len(columns) == 1 else codes[:, i, None] == np.arange(len(columns))
            for i, columns in enumerate(self.of)
        ]
        return np.hstack(parts).astype(float)


def variance_shares(columns: Columns, codes: NDArray[np.int64], values: Numbers) -> list[float]:
    """The share of each choice, the mean over the trees of a forest; the same arguments give the same numbers."""
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(n_estimators=TREES, max_depth=DEPTH, random_state=0)
    forest.fit(columns.encode(codes), values)
    leaves = [_Leaves.of(each.tree_, columns.high) for each in forest.estimators_]
    shares = [
        [tree.marginal_variance(own) / total for own in columns.of] for tree in leaves if (total := tree.variance)
    ]
    return np.mean(shares, axis=0).tolist() if shares else [0.0] * len(columns.of)


@dataclass(frozen=True)
class _Leaves:
    """The leaves of a tree: boxes from `low` to `high`, both (leaves, columns), with a value each."""

    low: Numbers
    high: Numbers
    values: Numbers

    @classmethod
    def of(cls, tree: Any, high: Numbers) -> Self:
        """The boxes into which a tree of scikit-learn divides the space from 0 to `high`."""
        lows, highs = np.zeros((tree.node_count, len(high))), np.tile(high, (tree.node_count, 1))
        for node in range(tree.node_count):  # the parent of a node comes before it
            feature, children = tree.feature[node], (tree.children_left[node], tree.children_right[node])
            if feature >= 0:
                for child in children:
                    lows[child], highs[child] = lows[node], highs[node]
                highs[children[0], feature] = lows[children[1], feature] = tree.threshold[node]
        leaves = tree.feature < 0
        return cls(lows[leaves], highs[leaves], tree.value[leaves, 0, 0])

    @property
    def variance(self) -> float:
        """The variance of the tree over the whole space."""
        return _variance(self.values, np.prod(self.high - self.low, axis=1))

    def marginal_variance(self, columns: tuple[int, ...]) -> float:
        """The variance of the mean over all other columns."""
        own = list(columns)
        edges = [np.unique([self.low[:, column], self.high[:, column]]) for column in own]
        middles = np.array([*product(*((edge[1:] + edge[:-1]) / 2 for edge in edges))])
        sizes = np.prod([*product(*(np.diff(edge) for edge in edges))], axis=1)
        inside = ((middles[:, None] > self.low[:, own]) & (middles[:, None] <= self.high[:, own])).all(axis=2)
        weights = inside * np.prod(np.delete(self.high - self.low, own, axis=1), axis=1)
        totals = weights.sum(axis=1)
        return _variance(weights @ self.values / totals, totals * sizes)


def _variance(values: Numbers, weights: Numbers) -> float:
    mean = np.average(values, weights=weights)
    return float(np.average((values - mean) ** 2, weights=weights))
