"""Features of points, on which the Gaussian processes of the expensive metrics stand.

    choice            near (squared exponential)     additive (an effect of each choice alone)
    numbers           logarithm, from 0 to 1         a smooth effect
    words, booleans   one-hot                        an effect of each value, without order
    without effect    the middle of its values       no effect

Words that several choices share (kinds of blocks, activations) have two features more: how often a word is chosen, so
that what one row shows of a kind is expected of the others, and a length scale of the word itself, so that two kinds
that give similar networks are near each other in every row.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.cost import Cost
from mvsearch.space.search_space import Codes, SearchSpace
from mvsearch.space.variables import Choice

Array = NDArray[np.float64]

_JITTER = 1e-6
_REACH = 0.3  # length scale of the effect of one choice, as a share of its range
_COUNTS = 2.0  # length scale of how often a word is chosen


@dataclass(frozen=True)
class Points:
    """The features (n, features) of each part of the kernel."""

    near: Array
    additive: Array
    linear_features: Array
    counts: Array

    def __len__(self) -> int:
        return len(self.near)

    def __getitem__(self, rows: slice) -> "Points":
        return Points(*(part[rows] for part in vars(self).values()))

    def concatenate(self, other: "Points") -> "Points":
        """These points followed by others."""
        return Points(*map(np.vstack, zip(vars(self).values(), vars(other).values(), strict=True)))


@dataclass(frozen=True)
class Lengths:
    """Which logarithms of length scales add up to that of a near feature: (features, choices + words), 0 or 1.

    Each feature has that of its choice and, if it stands for a word that choices share, that of the word.
    """

    matrix: Array
    choices: int


class Features:
    """Features of codes: sizes and exact costs by their logarithm, unordered values one-hot."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._near = [_embed(choice) for choice in space.choices]
        self._additive = [_factorise_kernel(table) / np.sqrt(len(self._near)) for table in self._near]
        self.words = _shared_words(space)
        self.lengths = _lengths(space, self.words)
        self._counts = [_indicators(choice, self.words) / _COUNTS for choice in space.choices]
        sizes = _sizes(self.space.costs(space.sample(2000, 0)))
        self._low, self._range = sizes.min(0), np.maximum(np.ptp(sizes, axis=0), 1e-9)

    def of(self, codes: Codes, cost: Cost | None = None) -> Points:
        """The features of codes (n, choices), of which `cost` is the static cost."""
        near, additive, counts = (
            [table[codes[:, i]] for i, table in enumerate(tables)]
            for tables in (self._near, self._additive, self._counts)
        )
        if self.space.activity:
            idle = ~self.space.is_active(codes)
            for i in np.flatnonzero(idle.any(0)):
                near[i][idle[:, i]] = self._near[i].mean(0)
                additive[i][idle[:, i]] = counts[i][idle[:, i]] = 0
        stacked = np.hstack(near)
        sizes = (_sizes(self.space.costs(codes) if cost is None else cost) - self._low) / self._range
        return Points(stacked, np.hstack(additive), np.hstack((stacked, sizes)), np.sum(counts, axis=0))


def _sizes(cost: Cost) -> Array:
    return np.asarray(np.log(np.stack((cost.params, cost.macs), 1).astype(float)))


def _embed(choice: Choice) -> Array:
    values = choice.values
    if len(values) == 1:
        return np.zeros((1, 1))
    if choice.ordered:
        sizes = np.array(values, dtype=float)
        scaled = np.log(sizes) if sizes.min() > 0 else sizes
        return np.asarray((scaled - scaled.min()) / (scaled.max() - scaled.min()))[:, None]
    return np.asarray(np.eye(len(values)) / np.sqrt(2))


def _factorise_kernel(table: Array) -> Array:
    """F with F·Fᵀ the squared exponential over one choice's values: sums over choices become one matrix product."""
    squared = ((table[:, None] - table[None]) ** 2).sum(-1)
    values, vectors = np.linalg.eigh(np.exp(-0.5 * squared / _REACH**2))
    positive = values > _JITTER
    return np.asarray(vectors[:, positive] * np.sqrt(values[positive]))


def _shared_words(space: SearchSpace) -> tuple[str, ...]:
    """The words that are values of two choices or more."""
    words = Counter(value for choice in space.choices for value in choice.values if isinstance(value, str))
    return tuple(word for word, choices in words.items() if choices > 1)


def _indicators(choice: Choice, words: tuple[str, ...]) -> Array:
    """(values, words): 1 where a value is the word."""
    return np.array([[float(value == word) for word in words] for value in choice.values]).reshape(
        len(choice.values), len(words)
    )


def _lengths(space: SearchSpace, words: tuple[str, ...]) -> Lengths:
    rows = []
    for own, choice in zip(np.eye(len(space.choices)), space.choices, strict=True):
        shared = _indicators(choice, words)
        rows += [np.concatenate((own, shared[value])) for value in range(_embed(choice).shape[1])]
    return Lengths(np.array(rows), len(space.choices))
