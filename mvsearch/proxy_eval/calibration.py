"""What ImageNet Top-1 a proxy's score stands for, learnt from published models. NumPy alone.

    top-1 |            o---      o published models; the line is the closest to them that never falls
          |        o--/          beyond the first and the last there is nothing to go by: `beyond`
          |   o---o
          +----------------- score, better to the right

The line is isotonic regression by pooling adjacent violators (Ayer et al. 1955), straight between the pools' points.
How far it is off is seen by leaving out one family of models at a time: what a search finds is of none of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mvsearch.errors import StudyError
from mvsearch.proxy_eval.rank_correlation import leave_out

Values = NDArray[np.float64]

FEWEST = 5
"""Fewer published models than this say nothing of how far the line is off."""

COVERAGE = 0.9
"""The share of new models that an interval is to hold; of fewer than nine models, it can promise less."""


@dataclass(frozen=True)
class Expected:
    """An ImageNet-1k Top-1 to be expected, in %, with its interval.

    `beyond` is `<` or `>` where no published model scores so badly or so well: then it is the outermost one's, and the
    interval is of little worth.
    """

    top1: float
    low: float
    high: float
    beyond: str = ""


@dataclass(frozen=True)
class Calibration:
    """A line that never falls from `scores`, of which more is better, to `tops` in %; both ascending.

    Of the published `models`, `inside` are no further off the line of all other families than `error` points: as many
    as COVERAGE of one more, or all there are. A new model is about as likely to be, if it is like them; no guarantee.
    """

    scores: tuple[float, ...]
    tops: tuple[float, ...]
    error: float
    inside: int
    models: int

    @classmethod
    def of(cls, scores: Sequence[float], tops: Sequence[float], families: Sequence[str]) -> Self:
        """From published models' scores, of which more is better, their Top-1 in %, and the family of each.

        Raises StudyError if there are fewer than five, all score the same, or all are of one family.
        """
        if len(scores) < FEWEST:
            raise StudyError(
                f"{len(scores)} published models have a score, and a calibration needs {FEWEST}; "
                "`mvsearch run SPACE --check-proxy` scores the others."
            )
        x, y = np.asarray(scores, dtype=float), np.asarray(tops, dtype=float)
        if x.min() == x.max():
            raise StudyError(f"all {len(x)} published models have the same score, which says nothing of their top-1.")
        if len(set(families)) < 2:
            raise StudyError(
                f"all {len(x)} published models are of one family, {families[0]}: no other to judge it by."
            )
        off = np.sort(np.abs(y - leave_out(isotonic, _along, x, y, families)))
        place = min(math.ceil(COVERAGE * (len(x) + 1)), len(x))
        line = isotonic(x, y)
        return cls(tuple(line[0].tolist()), tuple(line[1].tolist()), float(off[place - 1]), place, len(x))

    def expected(self, score: float) -> Expected:
        """What a score stands for."""
        top1 = float(_along((np.array(self.scores), np.array(self.tops)), np.array(score)))
        low, high = max(top1 - self.error, 0.0), min(top1 + self.error, 100.0)
        beyond = "<" if score < self.scores[0] else ">" if score > self.scores[-1] else ""
        return Expected(top1, low, high, beyond)


def isotonic(x: Values, y: Values) -> tuple[Values, Values]:
    """The distinct x in ascending order, and the never falling values closest to y there, by least squares."""
    places, group = np.unique(x, return_inverse=True)
    counts = np.bincount(group)
    means = np.bincount(group, weights=y) / counts
    pools: list[tuple[float, int, int]] = []  # mean, models, places
    for mean, count in zip(means.tolist(), counts.tolist(), strict=True):
        pools.append((mean, count, 1))
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            (m0, n0, p0), (m1, n1, p1) = pools[-2:]
            pools[-2:] = [((m0 * n0 + m1 * n1) / (n0 + n1), n0 + n1, p0 + p1)]
    return places, np.repeat([mean for mean, _, _ in pools], [places for _, _, places in pools])


def _along(line: tuple[Values, Values], x: Values) -> Values:
    """Straight between the points of a line, level beyond its ends."""
    return np.asarray(np.interp(x, *line))
