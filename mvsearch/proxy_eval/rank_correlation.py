"""How well scores rank published models as ImageNet does: the models, and the statistics. NumPy alone.

    series     XXS               XS                S
    v1         mobilevitv1_xxs   mobilevitv1_xs    mobilevitv1_s
    v3         mobilevitv3_xxs   ...
    v3-L2      ..._xxs_l2        ...
    v2         mobilevitv2_0.5   mobilevitv2_0.75  mobilevitv2_1.0
    v3-on-v2   mobilevitv3_0.5   ...

Larger models win on ImageNet, so the number of parameters alone ranks all fifteen well. The columns of this
table are models of about equal cost: their order is what a search needs to know. The ablation (Table 5 of arXiv
2209.15159) is five networks of one size, trained for 100 epochs.

A statistic takes weights, how often each model was drawn, in rows if there are many; so it is written once, for the
models as they are and for thousands of resamples at a time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mvsearch.arch import published as models
from mvsearch.arch.architecture import Architecture

Values = NDArray[np.float64]
Statistic = Callable[[Values], Values]
"""Weights (..., models) → one value for each row of weights; NaN where it is not defined."""

Fitted = TypeVar("Fitted")

FEWEST = 4
"""Four models form six pairs; a rank correlation of fewer is not meaningful."""

_RESAMPLES = 2000
_SIZES = ("XXS", "XS", "S")
_SERIES = {
    "v1": ("mobilevitv1_xxs", "mobilevitv1_xs", "mobilevitv1_s"),
    "v3": ("mobilevitv3_xxs", "mobilevitv3_xs", "mobilevitv3_s"),
    "v3-L2": ("mobilevitv3_xxs_l2", "mobilevitv3_xs_l2", "mobilevitv3_s_l2"),
    "v2": ("mobilevitv2_0.5", "mobilevitv2_0.75", "mobilevitv2_1.0"),
    "v3-on-v2": ("mobilevitv3_0.5", "mobilevitv3_0.75", "mobilevitv3_1.0"),
}
_PLACES = {name: (series, size) for series, row in _SERIES.items() for size, name in zip(_SIZES, row, strict=True)}
"""The series and the size of each."""


@dataclass(frozen=True)
class Reference:
    """A published model to rank: its printed ImageNet-1k Top-1 in %, its series, and its group of about equal cost.

    A series is one design in three sizes, a row of the table above: a family has one or more.
    """

    name: str
    top1: float
    series: str
    size: str

    @property
    def architecture(self) -> Architecture:
        """The model itself."""
        return models.published(self.name)


@cache
def published() -> tuple[Reference, ...]:
    """The fifteen models of the papers' own recipes at 256 px; at 384 px they are the same networks once more."""
    return tuple(
        Reference(name, float(models.model(name).figures["top1"]), series, size)
        for name, (series, size) in _PLACES.items()
    )


@cache
def reference_families() -> frozenset[str | None]:
    """The families of these fifteen: MobileViTv1, v2 and v3."""
    return frozenset(map(models.family, _PLACES))


@cache
def ablation() -> tuple[Reference, ...]:
    """The five rows of Table 5, trained for 100 epochs: to be ranked among themselves only."""
    names = (name for name in models.model_names() if name.startswith("ablation_"))
    figures = ((name, models.model(name).figures["top1_100_epochs"]) for name in names)
    return tuple(Reference(name, float(top1), "ablation", "S") for name, top1 in figures)


def series_of(name: str) -> str:
    """The series of a published model, whatever its image size; else its family, and of none the name alone."""
    series, _ = _PLACES.get(network_of(name), (None, None))
    return series or models.family(name) or name


def network_of(name: str) -> str:
    """The published model that is the same network: those at 384 px are trained on from the ones at 256."""
    return name.removesuffix("_384")


def size_of(name: str) -> str | None:
    """The group of about equal cost of a published model, whatever its image size; None if it has none."""
    _, size = _PLACES.get(network_of(name), (None, None))
    return size


# ---- statistics


def tau(x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> Values:
    """Kendall's tau-b (Biometrika 33, 1945), which makes up for ties.

    >>> round(float(tau([1, 2, 3, 4], [1, 3, 2, 4])), 3)
    0.667
    """
    across, up = _signs(x), _signs(y)
    norm = np.sqrt(_pairs(np.abs(across), weights) * _pairs(np.abs(up), weights))
    return _ratio(_pairs(across * up, weights), norm)


def rho(x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> Values:
    """Spearman's rho: the linear correlation of ranks, equal values sharing the mean of theirs."""
    drawn = _weights(weights, x)
    across, up = (_centre(ranks(values, drawn), drawn) for values in (x, y))
    norm = np.sqrt((drawn * across**2).sum(-1) * (drawn * up**2).sum(-1))
    return _ratio((drawn * across * up).sum(-1), norm)


def within(x: ArrayLike, y: ArrayLike, groups: Sequence[Any], weights: ArrayLike | None = None) -> Values:
    """Pairs of one group that x orders as y does, less those it turns round, over all that y orders.

    A tie in x counts for neither, so that a score that cannot tell models apart gains nothing.
    """
    return concordance(x, y, _same(groups), weights)


def concordance(x: ArrayLike, y: ArrayLike, pairs: Values, weights: ArrayLike | None = None) -> Values:
    """As `within`, over the pairs that are 1 in a symmetric table (models, models)."""
    across, up = _signs(x), _signs(y)
    return _ratio(_pairs(across * up * pairs, weights), _pairs(np.abs(up) * pairs, weights))


def regrets(x: ArrayLike, y: ArrayLike, groups: Sequence[Any], weights: ArrayLike | None = None) -> Values:
    """What is lost by taking the best of each group by x: the group's best y less that of the one taken.

    (..., groups), in the order of their first members; equal scores count their mean; NaN where there is no choice.
    """
    drawn, kinds = _weights(weights, x) > 0, np.array(groups)
    scores, values = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    lost = []
    for group in dict.fromkeys(groups):
        inside = drawn & (kinds == group)
        best = np.where(inside, values, -np.inf).max(-1)
        taken = inside & (scores == np.where(inside, scores, -np.inf).max(-1, keepdims=True))
        lost.append(np.where(inside.sum(-1) > 1, best - _ratio((taken * values).sum(-1), taken.sum(-1)), np.nan))
    return np.stack(lost, axis=-1)


def between_seeds(seeds: Sequence[ArrayLike], weights: ArrayLike | None = None) -> Values:
    """The mean tau between the rankings of each two of several seeds; NaN for a single one."""
    pairs = [tau(one, other, weights) for one, other in combinations(seeds, 2)]
    shape = () if weights is None else np.asarray(weights).shape[:-1]
    return np.asarray(np.mean(pairs, axis=0) if pairs else np.full(shape, np.nan))


def ranks(values: ArrayLike, weights: Values) -> Values:
    """Ranks up to a constant: how many were drawn that are less, and half of those that are equal."""
    return np.asarray(weights @ (_signs(values) + 1).T / 2)


def _weights(weights: ArrayLike | None, like: ArrayLike) -> Values:
    return np.ones(len(np.asarray(like))) if weights is None else np.asarray(weights, dtype=float)


def _signs(values: ArrayLike) -> Values:
    column = np.asarray(values, dtype=float)
    return np.asarray(np.sign(column[:, None] - column))


def _same(groups: Sequence[Any]) -> Values:
    kinds = np.array(groups)
    return np.asarray(kinds[:, None] == kinds, dtype=float)


def _pairs(table: Values, weights: ArrayLike | None) -> Values:
    """The sum of a table (models, models) over all pairs, each as often as both its models were drawn."""
    counts = _weights(weights, table)
    return np.asarray(((counts @ table) * counts).sum(-1))


def _centre(values: Values, weights: Values) -> Values:
    return np.asarray(values - (weights * values).sum(-1, keepdims=True) / weights.sum(-1, keepdims=True))


def _ratio(part: Values, whole: Values) -> Values:
    whole = np.asarray(whole, dtype=float)
    return np.asarray(np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0))


# ---- confidence intervals


@dataclass(frozen=True)
class Estimate:
    """A statistic, and the 95 % percentile interval over resamples of the models.

    All are None where it is not defined: too few models, or all scores equal. Where every pair agrees, so does every
    resample: the interval is then a single point, which does not mean certainty.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def words(self) -> str:
        """The value with its interval, `0.79 [0.50, 0.93]`; `-` where it is not defined."""
        if self.value is None:
            return "-"
        value, low, high = (f"{round(float(end or 0), 2) + 0:.2f}" for end in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"


def estimate(statistic: Statistic, count: int) -> Estimate:
    """A statistic of `count` models; the same every time. Resamples in which it is not defined are left out."""
    if count < FEWEST or np.isnan(value := float(statistic(np.ones(count)))):
        return Estimate()
    values = statistic(_resamples(count))
    values = np.sort(values[~np.isnan(values)])
    places = np.array([0.025, 0.975]) * (len(values) - 1)
    low, high = np.interp(places, np.arange(len(values)), values)  # np.nanquantile loads numpy.ma
    return Estimate(value, float(low), float(high))


@cache
def _resamples(count: int) -> Values:
    """(resamples, models): how often each model was drawn."""
    models = np.random.default_rng(0).integers(count, size=(_RESAMPLES, count))
    return np.asarray((models[:, :, None] == np.arange(count)).sum(1), dtype=float)


@dataclass(frozen=True)
class Ranking:
    """How a score ranks the published models (`models` of them, over `seeds`), and the rows of the ablation.

    `regret` is the mean over the sizes and `worst_regret` the largest, in points of Top-1. `seed_tau` is how far one
    seed's ranking agrees with another's; None for a single one.
    """

    models: int
    seeds: int
    tau: Estimate
    rho: Estimate
    within: Estimate
    regret: Estimate
    worst_regret: Estimate
    seed_tau: Estimate
    ablation: Estimate


def rank(scores: Mapping[str, Sequence[float]]) -> Ranking:
    """The statistics of scores by published name, each a row of one score a seed, of which larger is better.

    A model without a finite score at the first seed is left out; seeds count as far as all the others have them.
    """
    x, y, sizes = _table(scores, published())
    mean, count = x.mean(0), len(y)
    rows, tops, _ = _table(scores, ablation())

    def regret_by_size(weights: Values) -> Values:
        return regrets(mean, y, sizes, weights)

    return Ranking(
        models=count,
        seeds=len(x),
        tau=estimate(lambda weights: tau(mean, y, weights), count),
        rho=estimate(lambda weights: rho(mean, y, weights), count),
        within=estimate(lambda weights: within(mean, y, sizes, weights), count),
        regret=estimate(lambda weights: _mean(regret_by_size(weights)), count),
        worst_regret=estimate(lambda weights: _worst(regret_by_size(weights)), count),
        seed_tau=estimate(lambda weights: between_seeds(list(x), weights), count),
        ablation=estimate(lambda weights: tau(rows.mean(0), tops, weights), len(tops)),
    )


def _table(scores: Mapping[str, Sequence[float]], references: Sequence[Reference]) -> tuple[Values, Values, list[str]]:
    """Scores (seeds, models), the Top-1 and the size of each model that has a score."""
    known = [r for r in references if len(scores.get(r.name, ())) and np.isfinite(scores[r.name][0])]
    seeds = min((_finite(scores[r.name]) for r in known), default=1)
    x = np.array([list(scores[r.name])[:seeds] for r in known], dtype=float).reshape(len(known), seeds)
    return x.T, np.array([r.top1 for r in known]), [r.size for r in known]


def _finite(row: Sequence[float]) -> int:
    """How many of the first seeds have a score."""
    return int(np.cumprod(np.isfinite(np.asarray(row, dtype=float))).sum())


def _mean(regrets: Values) -> Values:
    """The mean over the groups in which there is a choice."""
    defined = np.isfinite(regrets)
    return _ratio(np.where(defined, regrets, 0).sum(-1), defined.sum(-1))


def _worst(regrets: Values) -> Values:
    """The largest over the groups in which there is a choice."""
    defined = np.isfinite(regrets)
    return np.where(defined.any(-1), np.where(defined, regrets, -np.inf).max(-1), np.nan)


# ---- rules that are fitted


def leave_out(
    fit: Callable[[Values, Values], Fitted],
    predict: Callable[[Fitted, Values], ArrayLike],
    features: ArrayLike,
    top1: ArrayLike,
    groups: Sequence[Any],
) -> Values:
    """The prediction for each model by a rule fitted to the models of all other groups.

    With families as groups, a rule is tested on networks unlike those it was fitted to; with names, this is
    leave-one-out. `features` is (models,) or (models, features). Raises ValueError where all are of one group.
    """
    if len(set(groups)) < 2:
        raise ValueError(f"one group of models, {groups[0]!r}, leaves nothing to fit to.")
    x, y, kinds = np.asarray(features, dtype=float), np.asarray(top1, dtype=float), np.array(groups)
    predictions = np.empty(len(y))
    for group in set(groups):
        out = kinds == group
        predictions[out] = predict(fit(x[~out], y[~out]), x[out])
    return predictions
