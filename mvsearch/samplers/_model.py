"""A Gaussian process over the choices of a space: what the scores bought so far say of those not bought.

Kernel: squared exponential with a length for each choice, plus a linear part, plus noise. Its few numbers are set where
the posterior of at most `_FITTED` observations is largest (Rasmussen and Williams 2006, section 5.4, with log-normal
priors), its predictions use all observations.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

from mvsearch.space import Codes, SearchSpace
from mvsearch.terms import Choice

Array = NDArray[np.float64]

_FITTED = 160
_JITTER = 1e-6


class Features:
    """Codes as numbers in which distance means something: sizes by their logarithm, words one by one."""

    def __init__(self, space: SearchSpace) -> None:
        self._tables = [_table(choice) for choice in space.choices]
        self.groups = np.repeat(np.arange(len(self._tables)), [table.shape[1] for table in self._tables])

    def of(self, codes: Codes) -> Array:
        """(n, choices) → (n, features)."""
        return np.hstack([table[codes[:, i]] for i, table in enumerate(self._tables)])


def _table(choice: Choice) -> Array:
    values = choice.values
    if len(values) == 1:
        return np.zeros((1, 1))
    if choice.ordered:
        sizes = np.array(values, dtype=float)
        scaled = np.log(sizes) if sizes.min() > 0 else sizes
        return np.asarray((scaled - scaled.min()) / (scaled.max() - scaled.min()))[:, None]
    return np.asarray(np.eye(len(values)) / np.sqrt(2))


@dataclass(frozen=True)
class GaussianProcess:
    """Fitted to scores y at x; predicts mean and deviation of the score without its noise."""

    x: Array
    centre: float
    spread: float
    theta: Array
    groups: NDArray[np.int64]
    factor: Array
    weights: Array

    @classmethod
    def fit(cls, x: Array, y: Array, groups: NDArray[np.int64], rng: np.random.Generator) -> Self:
        """x (n, features), y (n,). Constant scores are a flat model, not an error."""
        centre, spread = float(y.mean()), float(y.std()) or 1.0
        scaled = (y - centre) / spread
        few = rng.permutation(len(x))[:_FITTED]
        theta = _best_theta(x[few], scaled[few], groups)
        matrix = _kernel(theta, groups, x, x) + (np.exp(2 * theta[2]) + _JITTER) * np.eye(len(x))
        factor = np.linalg.cholesky(matrix)
        weights = cho_solve((factor, True), scaled)
        return cls(x, centre, spread, theta, groups, factor, weights)

    def mean(self, x: Array) -> Array:
        """The expected score."""
        return self.centre + self.spread * (_kernel(self.theta, self.groups, x, self.x) @ self.weights)

    def deviation(self, x: Array) -> Array:
        """How far the true score may lie from it."""
        across = _kernel(self.theta, self.groups, self.x, x)
        explained = solve_triangular(self.factor, across, lower=True)
        prior = np.exp(2 * self.theta[0]) + np.exp(2 * self.theta[1]) * (1 + (x**2).sum(1))
        left: Array = np.sqrt(np.maximum(prior - (explained**2).sum(0), 1e-12))
        return self.spread * left


# theta: log amplitude, log linear amplitude, log noise, then a log length for each choice
_PRIOR_MEAN = (0.0, -0.5, -1.5)
_PRIOR_WIDTH = (1.0, 1.0, 1.0)
_LENGTH_MEAN, _LENGTH_WIDTH = 0.7, 1.0


def _kernel(theta: Array, groups: NDArray[np.int64], one: Array, other: Array) -> Array:
    scale = np.exp(-theta[3:])[groups]
    a, b = one * scale, other * scale
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return np.asarray(np.exp(2 * theta[0] - 0.5 * np.maximum(squared, 0)) + np.exp(2 * theta[1]) * (1 + one @ other.T))


def _best_theta(x: Array, y: Array, groups: NDArray[np.int64]) -> Array:
    choices = int(groups.max()) + 1
    mean = np.concatenate((_PRIOR_MEAN, np.full(choices, _LENGTH_MEAN)))
    width = np.concatenate((_PRIOR_WIDTH, np.full(choices, _LENGTH_WIDTH)))
    apart = np.stack([((x[:, None, groups == g] - x[None, :, groups == g]) ** 2).sum(-1) for g in range(choices)])
    linear = 1 + x @ x.T
    eye = np.eye(len(x))

    def loss(theta: Array) -> tuple[float, Array]:
        smooth = np.exp(2 * theta[0] - 0.5 * np.tensordot(np.exp(-2 * theta[3:]), apart, 1))
        straight, noise = np.exp(2 * theta[1]) * linear, np.exp(2 * theta[2])
        factor = cho_factor(smooth + straight + (noise + _JITTER) * eye, lower=True)
        weights = cho_solve(factor, y)
        inverse = cho_solve(factor, eye)
        pull = inverse - np.outer(weights, weights)  # twice the gradient with respect to the matrix
        shared = pull * smooth
        lengths = 0.5 * np.exp(-2 * theta[3:]) * np.tensordot(apart, shared, 2)
        gradient = np.concatenate(([shared.sum(), (pull * straight).sum(), noise * np.trace(pull)], lengths))
        off = (theta - mean) / width
        value = 0.5 * y @ weights + np.log(np.diag(factor[0])).sum() + 0.5 * off @ off
        return float(value), gradient + off / width

    found = minimize(loss, mean, jac=True, method="L-BFGS-B", bounds=[(-6, 4)] * len(mean), options={"maxiter": 40})
    return np.asarray(found.x)
