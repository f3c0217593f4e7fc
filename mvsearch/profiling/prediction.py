"""The latency of networks that were not measured, with an interval, from a few that were.

    log ms = constant + log MACs + slope x log MACs + costs by row + choices
             + the latencies of known devices (a linear model each) + noise

It is a Gaussian process, linear in each part: each but the first two has a prior deviation, and these and the noise are
chosen by the marginal likelihood of the measurements. A measurement far from what the others predict counts less: a
phone that does something else meanwhile takes up to twice as long. A known device was measured on many networks, which
need not be the same ones: its model predicts every network. Devices that order the measured networks alike count more.
The interval is that of the process, and at least so wide that it contains nine in ten of the measurements when each is
left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from mvsearch.profiling.latency_features import Array, NetworkFeatures

COVERAGE = 0.9
"""The share of networks whose latency lies in its interval."""

LEAST_MEASURED = 5
"""Networks from which a latency can be predicted at all."""

_DEVIATIONS = {
    "known": (0.1, 0.2, 0.4),
    "slope": (0.0, 0.03, 0.1, 0.3),
    "costs": (0.0, 0.1, 0.3, 1.0, 3.0),
    "choices": (0.0, 0.01, 0.03, 0.1),
    "noise": (0.03, 0.05, 0.1, 0.2, 0.4),
}
"""The prior deviations of each part, in log ms, that are compared. The first of the noise is what the best measurements
have."""

_START = {"known": 0.2, "slope": 0.1, "costs": 0.3, "choices": 0.03}
_START_NOISES = (0.03, 0.2)
_SWEEPS = 4
_PASSES = 4
"""Fits, each to measurements that are clipped by the errors of the one before."""
_PENALTIES = tuple(10.0**power for power in range(-4, 3))


@dataclass(frozen=True)
class KnownDevice:
    """Networks that were measured on a device before, and their milliseconds."""

    features: NetworkFeatures
    times_ms: Array


@dataclass(frozen=True)
class Predicted:
    """Milliseconds of networks, and the interval that contains nine in ten of them."""

    ms: Array
    low_ms: Array
    high_ms: Array

    @property
    def half_width(self) -> Array:
        """Of the interval, as a share of the milliseconds."""
        return (self.high_ms - self.low_ms) / (2 * self.ms)


@dataclass(frozen=True)
class LinearModel:
    """Log ms over log MACs as a linear function of costs and choices; `fit` it on many networks, once for a device."""

    centre: Array
    deviation: Array
    weights: Array
    constant: float

    @classmethod
    def fit(cls, device: KnownDevice) -> Self:
        """The penalty of the weights is the one with the least error when each network is left out."""
        features = device.features.flat()
        deviation = features.std(0)
        centre, deviation = features.mean(0), np.where(deviation > 1e-9, deviation, np.inf)
        values = np.log(device.times_ms) - device.features.work
        centred, count = values - values.mean(), len(values)
        left, singular, right = np.linalg.svd((features - centre) / deviation, full_matrices=False)
        projected, best = left.T @ centred, (np.inf, _PENALTIES[-1])
        for penalty in _PENALTIES:
            shrunk = singular**2 / (singular**2 + penalty * count)
            residual = centred - left @ (shrunk * projected)
            left_out = np.maximum(1 - np.square(left) @ shrunk - 1 / count, 1e-6)
            best = min(best, (float(np.square(residual / left_out).mean()), penalty))
        weights = right.T @ (singular / (singular**2 + best[1] * count) * projected)
        return cls(centre, deviation, weights, float(values.mean()))

    def predict(self, features: NetworkFeatures) -> Array:
        """Log ms of networks."""
        standard = (features.flat() - self.centre) / self.deviation
        return np.asarray(features.work + self.constant + standard @ self.weights)


@dataclass(frozen=True)
class _Basis:
    """From features to the columns of each part."""

    work: tuple[float, float]
    costs: Array
    choices: tuple[Array, Array]
    known: tuple[tuple[LinearModel, float, float, float], ...]

    @classmethod
    def of(cls, features: NetworkFeatures, values: Array, known: Sequence[LinearModel]) -> Self:
        deviation = features.choices.std(0)
        models, weights = [], []
        for model in known:
            predicted = model.predict(features) - features.work
            weights.append(max(rank_correlation(predicted + features.work, values + features.work), 0.01) ** 4)
            models.append((model, float(predicted.mean()), float(max(predicted.std(), 1e-9))))
        total = float(np.sqrt(np.square(weights).sum())) if weights else 1.0
        return cls(
            (float(features.work.mean()), float(features.work.std() or np.inf)),
            features.costs.mean(0),
            (features.choices.mean(0), np.where(deviation > 1e-9, deviation, np.inf)),
            tuple((*model, weight / total) for model, weight in zip(models, weights, strict=True)),
        )

    def columns(self, features: NetworkFeatures) -> dict[str, Array]:
        known = [(model.predict(features) - features.work - mean) / std * w for model, mean, std, w in self.known]
        return {
            "known": np.stack(known, 1) if known else np.zeros((len(features), 0)),
            "slope": ((features.work - self.work[0]) / self.work[1])[:, None],
            "costs": features.costs - self.costs,
            "choices": (features.choices - self.choices[0]) / self.choices[1],
        }


@dataclass(frozen=True)
class LatencyModel:
    """What the measurements of a device say of all networks; `fit` makes it."""

    basis: _Basis
    measured: Mapping[str, Array]
    deviations: Mapping[str, float]
    mean: float
    inverse: Array
    residuals: Array
    widening: float

    @classmethod
    def fit(cls, features: NetworkFeatures, times_ms: Array, known: Sequence[LinearModel] = ()) -> Self:
        """From measured networks, `LEAST_MEASURED` or more, and the models of known devices."""
        values = np.log(times_ms) - features.work
        basis = _Basis.of(features, values, known)
        measured = basis.columns(features)
        grams = {name: columns @ columns.T for name, columns in measured.items()}
        grams["noise"] = np.eye(len(values))
        robust = values
        for _ in range(_PASSES):
            deviations = _best_deviations(grams, robust)
            inverse = np.asarray(np.linalg.inv(_combine(grams, deviations)), dtype=np.float64)
            mean = float(inverse.sum(0) @ robust / inverse.sum())
            residuals = inverse @ (robust - mean)
            left_out = robust - residuals / np.diag(inverse)  # predictions of each from the others
            errors = values - left_out
            robust = left_out + _clip(errors)
        standard = np.abs(errors) * np.sqrt(np.diag(inverse))
        rank = min(1.0, COVERAGE * (len(values) + 1) / len(values))
        widening = max(_least_widening(len(values)), float(np.quantile(standard, rank, method="higher")))
        return cls(basis, measured, deviations, mean, inverse, residuals, widening)

    def predict(self, features: NetworkFeatures) -> Predicted:
        """The latency of networks."""
        new = self.basis.columns(features)
        cross = _combine({name: columns @ self.measured[name].T for name, columns in new.items()}, self.deviations)
        own = {name: np.square(columns).sum(1) for name, columns in new.items()}
        prior = _combine(own, self.deviations) + self.deviations["noise"] ** 2
        centre = features.work + self.mean + cross @ self.residuals
        missing = 1 - cross @ self.inverse.sum(0)  # the constant is estimated too
        variance = prior - np.einsum("ij,jk,ik->i", cross, self.inverse, cross) + missing**2 / self.inverse.sum()
        half = self.widening * np.sqrt(np.maximum(variance, self.deviations["noise"] ** 2))
        return Predicted(np.exp(centre), np.exp(centre - half), np.exp(centre + half))


def _clip(errors: Array) -> Array:
    """Errors of at most two deviations (Huber 1964), those of a normal distribution with the same median."""
    limit = 2 * 1.4826 * float(np.median(np.abs(errors)))
    return np.clip(errors, -limit, limit)


def _least_widening(measured: int) -> float:
    """The deviations that contain nine in ten by Student's distribution: half of the measurements choose the parts."""
    freedom = measured / 2
    return 1.645 + 1.52 / freedom + 1.4 / freedom**2


def _combine(grams: Mapping[str, Array], deviations: Mapping[str, float]) -> Array:
    return np.asarray(sum(deviations[name] ** 2 * gram for name, gram in grams.items()))


def _best_deviations(grams: Mapping[str, Array], values: Array) -> dict[str, float]:
    """The deviations with the largest likelihood, from a small or a large noise."""
    found = [_improve(grams, values, noise) for noise in _START_NOISES]
    return max(found, key=lambda each: each[0])[1]


def _improve(grams: Mapping[str, Array], values: Array, noise: float) -> tuple[float, dict[str, float]]:
    """The likelihood and the deviations, changed one part after the other until none improves."""
    best = {name: _START[name] if gram.any() else 0.0 for name, gram in grams.items() if name != "noise"}
    best["noise"] = noise
    highest = _log_likelihood(_combine(grams, best), values)
    for _ in range(_SWEEPS):
        before = dict(best)
        for name in grams:
            for deviation in _DEVIATIONS[name] if grams[name].any() else ():
                tried = best | {name: deviation}
                likelihood = _log_likelihood(_combine(grams, tried), values)
                if likelihood > highest:
                    best, highest = tried, likelihood
        if best == before:
            break
    return highest, best


def _log_likelihood(kernel: Array, values: Array) -> float:
    """Of the values, up to a constant, whatever their mean."""
    lower = np.linalg.cholesky(kernel)
    whitened = np.linalg.solve(lower, np.stack([values, np.ones(len(values))], 1))
    precision = whitened[:, 1] @ whitened[:, 1]
    residual = whitened[:, 0] - (whitened[:, 1] @ whitened[:, 0] / precision) * whitened[:, 1]
    return float(-0.5 * residual @ residual - np.log(np.diag(lower)).sum() - 0.5 * np.log(precision))


def rank_correlation(one: Array, other: Array) -> float:
    """Spearman's, with mean ranks for ties; 0 if all values of one are equal."""
    first, second = _ranks(one), _ranks(other)
    return 0.0 if min(first.std(), second.std()) == 0 else float(np.corrcoef(first, second)[0, 1])


def _ranks(values: Array) -> Array:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place], dtype=float)
