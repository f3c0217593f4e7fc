"""The ImageNet top-1 that a proxy's score corresponds to, fitted to published models. NumPy and SciPy.

    top-1 |            o---      o published models; the line is their isotonic regression (it never falls)
          |        o--/          below the first and above the last score it extrapolates: `beyond`
          |   o---o
          +----------------- score, higher is better

The error of the line is estimated by leaving out one series of models at a time: a search finds networks of no series.
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
"""With fewer published models, the error of the line cannot be estimated."""

COVERAGE = 0.9
"""The share of new models that an interval should contain; with fewer than nine models it can promise less."""


@dataclass(frozen=True)
class Expected:
    """The expected ImageNet-1k top-1 in %, with its interval.

    `beyond` is `<` or `>` if every published model has a better or a worse score. The value is then that of the nearest
    published model, and the interval means little.
    """

    top1: float
    low: float
    high: float
    beyond: str = ""


@dataclass(frozen=True)
class Calibration:
    """A line that never falls, from `scores` (higher is better) to `tops` in %; both are ascending.

    Of the published `models`, `inside` are within `error` points of the line that is fitted to the other series: as
    many as COVERAGE of one model more, or all. A new model that is like them is inside with about this share; there is
    no guarantee.
    """

    scores: tuple[float, ...]
    tops: tuple[float, ...]
    error: float
    inside: int
    models: int

    @classmethod
    def of(cls, scores: Sequence[float], tops: Sequence[float], series: Sequence[str]) -> Self:
        """Fit published models' scores (higher is better) to their top-1 in %; `series` has the series of each.

        Raises StudyError if there are fewer than five models, if all scores are equal, or if there is one series only.
        """
        if len(scores) < FEWEST:
            raise StudyError(
                f"{len(scores)} published models have a score, and a calibration needs {FEWEST}; "
                "`mvsearch run SPACE --check-proxy` scores the others."
            )
        x, y = np.asarray(scores, dtype=float), np.asarray(tops, dtype=float)
        if x.min() == x.max():
            raise StudyError(f"all {len(x)} published models have the same score, so no line can be fitted.")
        if len(set(series)) < 2:
            raise StudyError(
                f"all {len(x)} published models are of one series, {series[0]}, so the error cannot be estimated."
            )
        errors = np.sort(np.abs(y - leave_out(fit_line, _interpolate, x, y, series)))
        inside = min(math.ceil(COVERAGE * (len(x) + 1)), len(x))
        line = fit_line(x, y)
        return cls(tuple(line[0].tolist()), tuple(line[1].tolist()), float(errors[inside - 1]), inside, len(x))

    def expected(self, score: float) -> Expected:
        """The top-1 that a score corresponds to."""
        top1 = float(_interpolate((np.array(self.scores), np.array(self.tops)), np.array(score)))
        low, high = max(top1 - self.error, 0.0), min(top1 + self.error, 100.0)
        beyond = "<" if score < self.scores[0] else ">" if score > self.scores[-1] else ""
        return Expected(top1, low, high, beyond)


def fit_line(x: Values, y: Values) -> tuple[Values, Values]:
    """The distinct x in ascending order, and the isotonic regression of y there; equal x share their mean."""
    from scipy.optimize import isotonic_regression

    distinct, group = np.unique(x, return_inverse=True)
    counts = np.bincount(group)
    line = isotonic_regression(np.bincount(group, weights=y) / counts, weights=counts)
    return distinct, np.asarray(line.x)


def _interpolate(line: tuple[Values, Values], x: Values) -> Values:
    """Linear between the points of a line, constant beyond its ends."""
    return np.asarray(np.interp(x, *line))
