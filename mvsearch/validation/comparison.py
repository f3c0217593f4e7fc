"""Differences between networks that were trained with the same seeds, with intervals.

A score is modelled as the mean of its network, plus what its seed adds to all networks, plus noise. The noise is
estimated over all networks together, so that a few seeds are enough. For two networks that is the paired t interval.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np

CONFIDENCE = 0.95

Scores = Mapping[str, Mapping[int, float]]
"""The score of each network by name, for each seed."""


@dataclass(frozen=True)
class Noise:
    """The standard deviation of a score without the effects of its network and its seed, and its degrees of freedom."""

    deviation: float
    freedom: int


@dataclass(frozen=True)
class Difference:
    """How much higher the score of one network is than another's, as a mean over `seeds` seeds that both have.

    `low` and `high` are the ends of its interval; None where the noise is not known, as with a single seed.
    """

    mean: float
    seeds: int
    low: float | None = None
    high: float | None = None


def pooled_noise(scores: Scores, images: int | None = None) -> Noise | None:
    """The noise over all networks; None where there are too few scores to estimate it.

    Shares of a number of `images` are rounded to one image: their noise is not taken to be less than that of rounding.

    >>> pooled_noise({"a": {0: 0.50, 1: 0.52}, "b": {0: 0.60, 1: 0.60}})
    Noise(deviation=0.01, freedom=1)
    """
    rows = [(name, seed, score) for name, by_seed in scores.items() for seed, score in by_seed.items()]
    names, seeds = sorted({name for name, _, _ in rows}), sorted({seed for _, seed, _ in rows})
    design = np.zeros((len(rows), len(names) + len(seeds)))
    for i, (name, seed, _) in enumerate(rows):
        design[i, [names.index(name), len(names) + seeds.index(seed)]] = 1
    values = np.array([score for _, _, score in rows])
    if not rows or (freedom := len(rows) - int(np.linalg.matrix_rank(design))) == 0:
        return None
    residuals = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    rounding = 1 / (images * math.sqrt(12)) if images else 0.0
    return Noise(max(rounding, round(math.sqrt(float(residuals @ residuals) / freedom), 12)), freedom)


def difference(scores: Scores, one: str, other: str, noise: Noise | None, *, error: float) -> Difference:
    """The difference of two networks that share a seed; its interval misses the true one with probability `error`."""
    shared = sorted(scores[one].keys() & scores[other].keys())
    mean = fmean(scores[one][seed] - scores[other][seed] for seed in shared)
    if noise is None:
        return Difference(mean, len(shared))
    width = _quantile(1 - error / 2, noise) * math.sqrt(2 / len(shared))
    return Difference(mean, len(shared), mean - width, mean + width)


def is_behind(scores: Scores, one: str, other: str, noise: Noise, *, error: float) -> bool:
    """Whether one network is worse than another; true for equal ones with at most probability `error`."""
    gap = difference(scores, one, other, noise, error=2 * error)
    return gap.high is not None and gap.high < 0


def _quantile(probability: float, noise: Noise) -> float:
    """A quantile of Student's distribution, times the deviation."""
    from scipy.stats import t

    return float(t.ppf(probability, noise.freedom)) * noise.deviation
