"""Which candidates may be better than the target of a study, and how probably: by their score, not by real training.

A measured score is the true score plus noise. The true scores of the candidates are taken as draws from one normal
distribution, whose mean and variance are estimated from all candidates (empirical Bayes; Efron and Morris 1975,
doi 10.1080/01621459.1975.10479864). So the expected score of a candidate is its mean, pulled towards the mean of all,
the more the noisier it is: without that, the best of many noisy scores would look better than it is (the winner's
curse). The noise of one measurement is pooled over everything that was measured more than once, the target included.

Of k candidates of mean M and variance T, one with n measurements of noise s and mean m has the expected score
m - B (m - M) with B = (k - 3) / (k - 1) v / (T + v) and v = s² / n. Its variance is v (1 - B (k - 1) / k) +
2 / (k - 3) B² (m - M)², as M and T are estimated too (Morris 1983, doi 10.1080/01621459.1983.10477920). Three
candidates or fewer are not pulled, B = 0. As s is estimated, the probability is that of Student's distribution, with
the degrees of freedom of s.

The target has no such prior, and an error of it is in the probabilities of all candidates: they are a little too high
where the target is better than nearly all of them, the more the noisier the score is. So the target is measured more
often where the score is noisy. In simulations of 50 candidates and a target that is 1.5 standard deviations better than
their mean, of those at .95 or more (.98 on average) .97 were truly better where one measurement varies by half the
spread of the true scores, and .95 where it varies by .8 of it (.90 with four measurements of the target). With a target
that is 2 deviations better, that was .91 (.89).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import Metrics, Record, pooled_variance
from mvsearch.study.reevaluation import replicates
from mvsearch.study.target import MOST_TARGET_REPLICATES, TARGET_REPLICATES, Target

SHORT_LIST = 5
"""Candidates that are measured again, and shown."""

REPLICATES = 3
"""Measurements of each of them, the first included."""

NOISY = 0.5
"""A score is noisy if one measurement varies by more than this share of the spread of the candidates' true scores."""

CLEAR = 0.95
"""A candidate is better beyond noise from this probability on."""


@dataclass(frozen=True)
class ShortListEntry:
    """A candidate: the mean of its `measurements`, the score expected of it, and the standard error of that.

    `probability` is that of being better than the target by the true score.
    """

    record: Record
    measurements: int
    score: float
    expected: float
    error: float
    probability: float


def short_list(records: Sequence[Record], target: Target, objective: Objective) -> tuple[ShortListEntry, ...]:
    """All complete candidates, the best expected score first; empty until the target is measured."""
    candidates = _candidates(records, target)
    if not candidates or not target.metrics:
        return ()
    from statistics import fmean

    measured, sign = _Measured.of(candidates, target, objective), _sign(objective)
    noise, own, count = measured.noise, measured.own, len(candidates)
    entries = []
    for record, group, mean in zip(candidates, measured.groups, measured.means, strict=True):
        pull = _pull(noise / len(group), measured.spread, count)
        expected = mean - pull * (mean - measured.centre)
        variance = noise / len(group) * (1 - pull * (count - 1) / count)
        variance += 2 / (count - 3) * (pull * (mean - measured.centre)) ** 2 if pull else 0.0
        gap, error = fmean(own) - expected, math.sqrt(variance + noise / len(own))
        probability = _above(gap, error, measured.freedom)
        entries.append(
            ShortListEntry(record, len(group), sign * mean, sign * expected, math.sqrt(variance), probability)
        )
    return tuple(sorted(entries, key=lambda entry: (sign * entry.expected, entry.record.number)))


def target_replicates(records: Sequence[Record], target: Target, objective: Objective) -> int:
    """How often the target should be measured, once the candidates are."""
    candidates = _candidates(records, target)
    if len(candidates) <= 3 or not target.metrics:  # too few to tell their spread
        return TARGET_REPLICATES
    measured = _Measured.of(candidates, target, objective)
    return MOST_TARGET_REPLICATES if measured.noise > NOISY**2 * measured.spread else TARGET_REPLICATES


def needs_measurement(records: Sequence[Record], target: Target, objective: Objective) -> list[Record]:
    """The candidates of the short list that were measured too few times, the best first."""
    best = short_list(records, target, objective)[:SHORT_LIST]
    return [entry.record for entry in best if entry.measurements < REPLICATES]


def _candidates(records: Sequence[Record], target: Target) -> list[Record]:
    return [record for record in records if record.state == "complete" and record.key != target.arch.key]


def _sign(objective: Objective) -> int:
    return 1 if objective.cost(1.0) > 0 else -1


@dataclass(frozen=True)
class _Measured:
    """The measurements of the candidates and of the target (`own`), lower is better, and what they have in common.

    `noise` is the variance of one measurement, with its degrees of `freedom`, `spread` that of the true scores.
    """

    groups: list[list[float]]
    own: list[float]
    means: list[float]
    centre: float
    noise: float
    freedom: int
    spread: float

    @classmethod
    def of(cls, candidates: Sequence[Record], target: Target, objective: Objective) -> "_Measured":
        from statistics import fmean, variance

        name, sign = objective.name, _sign(objective)
        groups = [[sign * scores[name] for scores in replicates(record)] for record in candidates]
        own = [sign * scores[name] for scores in target.metrics["repeats"]]
        noise, freedom = pooled_variance([*groups, own]) or 0.0, sum(len(group) - 1 for group in (*groups, own))
        means = [fmean(group) for group in groups]
        own_noise = fmean(noise / len(group) for group in groups)
        spread = max(0.0, variance(means) - own_noise) if len(means) > 1 else 0.0
        return cls(groups, own, means, fmean(means), noise, freedom, spread)


def _pull(noise: float, spread: float, count: int) -> float:
    """By which share of its distance a mean of this variance is pulled towards the mean of so many candidates."""
    return (count - 3) / (count - 1) * noise / (spread + noise) if count > 3 and noise > 0 else 0.0


def _above(gap: float, error: float, freedom: int) -> float:
    """The probability that a value with this mean and estimated deviation is above zero."""
    if not freedom:  # nothing was measured twice, so nothing is known of the noise
        return 0.5
    if error == 0:
        return 0.5 if gap == 0 else float(gap > 0)
    from scipy.special import stdtr

    return float(stdtr(freedom, gap / error))


def short_list_json(entries: Sequence[ShortListEntry]) -> list[Metrics]:
    """The short list as raw numbers."""
    return [
        {
            "number": entry.record.number,
            "key": entry.record.key,
            "published": entry.record.published,
            "measurements": entry.measurements,
            "score": entry.score,
            "expected": entry.expected,
            "expected_sem": entry.error,
            "probability": entry.probability,
        }
        for entry in entries
    ]
