"""A Gaussian process over the choices of a space, which predicts an expensive metric.

Kernel: squared exponential with a length scale for each choice, plus an additive part (an effect of each choice alone),
plus a part that is linear in choices and exact costs, plus noise. The hyperparameters `theta` maximise the posterior
(Rasmussen and Williams 2006, section 5.4, with log-normal priors). An observation of known noise has a variance of its
own. scipy is imported where a process is fitted: a study of static costs alone needs none, and to import it takes as
long as all else that a worker does before its first trial.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mvsearch.space.search_space import Codes, SearchSpace
from mvsearch.space.variables import Choice
from mvsearch.study.samplers._observations import Observations

Array = NDArray[np.float64]

_JITTER = 1e-6
_REACH = 0.3  # length scale of the effect of one choice, as a share of its range
_BLOCK = 2000  # points predicted at once, so that memory stays bounded


@dataclass(frozen=True)
class Points:
    """The features (n, features) of each part of the kernel; `near` are those of the squared exponential."""

    near: Array
    additive: Array
    linear_features: Array

    def __len__(self) -> int:
        return len(self.near)

    def __getitem__(self, rows: slice) -> "Points":
        return Points(self.near[rows], self.additive[rows], self.linear_features[rows])

    def concatenate(self, other: "Points") -> "Points":
        """These points followed by others."""
        both = ((getattr(self, part), getattr(other, part)) for part in ("near", "additive", "linear_features"))
        return Points(*map(np.vstack, both))


class Features:
    """Features of codes: sizes and exact costs by their logarithm, unordered values one-hot."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._near = [_embed(choice) for choice in space.choices]
        self._additive = [_factorise_kernel(table) / np.sqrt(len(self._near)) for table in self._near]
        widths = [table.shape[1] for table in self._near]
        self.groups = np.repeat(np.arange(len(widths)), widths)
        sizes = self._sizes(space.sample(2000, 0))
        self._low, self._range = sizes.min(0), np.maximum(np.ptp(sizes, axis=0), 1e-9)

    def of(self, codes: Codes) -> Points:
        """The features of codes (n, choices)."""
        near, additive = (
            np.hstack([table[codes[:, i]] for i, table in enumerate(tables)]) for tables in (self._near, self._additive)
        )
        return Points(near, additive, np.hstack((near, (self._sizes(codes) - self._low) / self._range)))

    def _sizes(self, codes: Codes) -> Array:
        cost = self.space.costs(codes)
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


# theta: log amplitude, log linear amplitude, log noise, log additive amplitude, then a log length scale for each group
_PRIOR_MEAN, _PRIOR_WIDTH = (0.0, -0.5, -1.5, -0.5), (1.0, 1.0, 1.0, 1.0)
_LENGTH_MEAN, _LENGTH_WIDTH = 0.7, 1.0


@dataclass(frozen=True)
class GaussianProcess:
    """A process conditioned on distances `y` (n,) at points, with noise of these variances; predicts without noise."""

    points: Points
    y: Array
    variances: Array
    centre: float
    spread: float
    theta: Array
    groups: NDArray[np.int64]
    factor: Array
    weights: Array

    @classmethod
    def of(cls, points: Points, observations: Observations, theta: Array, groups: NDArray[np.int64]) -> Self:
        """The process with hyperparameters `theta`, conditioned on observations."""
        centre, spread = _centre(observations.y)
        variances = observations.variances(spread**2 * np.exp(2 * theta[2])) / spread**2
        empty = np.empty((0, 0))
        return cls(points, observations.y, variances, centre, spread, theta, groups, empty, empty)._factorise()

    def _factorise(self) -> Self:
        from scipy.linalg import cho_solve

        matrix = self._kernel(self.points, self.points)
        matrix[np.diag_indices(len(matrix))] += self.variances + _JITTER
        factor = np.linalg.cholesky(matrix)
        return replace(
            self, factor=np.asarray(factor), weights=cho_solve((factor, True), (self.y - self.centre) / self.spread)
        )

    def condition_on(self, points: Points) -> Self:
        """The process conditioned on these points having their means: less uncertain there, with the same means."""
        return replace(
            self,
            points=self.points.concatenate(points),
            y=np.concatenate((self.y, self.mean(points))),
            variances=np.concatenate((self.variances, np.full(len(points), np.exp(2 * self.theta[2])))),
        )._factorise()

    def mean(self, points: Points) -> Array:
        """The posterior mean."""
        blocks = [points[i : i + _BLOCK] for i in range(0, len(points), _BLOCK)]
        near = np.concatenate([np.empty(0), *(self._near(block, self.points) @ self.weights for block in blocks)])
        linear_features = self.weights.sum() + points.linear_features @ (self.points.linear_features.T @ self.weights)
        additive = points.additive @ (self.points.additive.T @ self.weights)
        _, linear, _, own = np.exp(2 * self.theta[:4])
        return np.asarray(self.centre + self.spread * (near + linear * linear_features + own * additive))

    def predict(self, points: Points) -> tuple[Array, Array]:
        """The posterior mean and standard deviation, for at most some thousands of points."""
        from scipy.linalg import solve_triangular

        across = self._kernel(self.points, points)
        explained = solve_triangular(self.factor, across, lower=True, check_finite=False)
        near, linear_features, _, additive = np.exp(2 * self.theta[:4])
        prior = (
            near + linear_features * (1 + (points.linear_features**2).sum(1)) + additive * (points.additive**2).sum(1)
        )
        deviation = np.sqrt(np.maximum(prior - (explained**2).sum(0), 1e-12))
        return self.centre + self.spread * (across.T @ self.weights), self.spread * deviation

    def _kernel(self, one: Points, other: Points) -> Array:
        _, linear, _, own = np.exp(2 * self.theta[:4])
        additive = (own * one.additive) @ other.additive.T
        return np.asarray(
            self._near(one, other) + (linear * one.linear_features) @ other.linear_features.T + additive + linear
        )

    def _near(self, one: Points, other: Points) -> Array:
        scale = np.exp(-self.theta[4:])[self.groups]
        a, b = one.near * scale, other.near * scale
        exponent = a @ b.T - 0.5 * (a**2).sum(1)[:, None]
        exponent -= 0.5 * (b**2).sum(1)
        return np.asarray(np.exp(exponent + 2 * self.theta[0], out=exponent))


def _centre(y: Array) -> tuple[float, float]:
    """Mean and standard deviation; 1 for the deviation of constant values."""
    spread, middle = float(y.std()), float(y.mean())
    return middle, spread if spread > 1e-9 * max(1.0, abs(middle)) else 1.0


def fit_theta(points: Points, observations: Observations, groups: NDArray[np.int64]) -> Array:
    """The theta that maximises the posterior."""
    from scipy.linalg import cho_factor, cho_solve
    from scipy.optimize import minimize

    centre, spread = _centre(observations.y)
    y, fixed = (observations.y - centre) / spread, np.isfinite(observations.known)
    variances = observations.variances(0.0) / spread**2 + _JITTER
    count = int(groups.max()) + 1
    mean = np.concatenate((_PRIOR_MEAN, np.full(count, _LENGTH_MEAN)))
    width = np.concatenate((_PRIOR_WIDTH, np.full(count, _LENGTH_WIDTH)))
    x = points.near
    squared = np.stack([((x[:, None, groups == g] - x[None, :, groups == g]) ** 2).sum(-1) for g in range(count)])
    linear, additive_kernel = 1 + points.linear_features @ points.linear_features.T, points.additive @ points.additive.T
    eye = np.eye(len(x))

    def loss(theta: Array) -> tuple[float, Array]:
        near = np.exp(2 * theta[0] - 0.5 * np.tensordot(np.exp(-2 * theta[4:]), squared, 1))
        linear_features, additive = np.exp(2 * theta[1]) * linear, np.exp(2 * theta[3]) * additive_kernel
        noise = np.where(fixed, 0.0, np.exp(2 * theta[2]))
        factor = cho_factor(
            near + linear_features + additive + np.diag(noise + variances), lower=True, check_finite=False
        )
        weights = cho_solve(factor, y, check_finite=False)
        pull = cho_solve(factor, eye, check_finite=False) - np.outer(weights, weights)
        shared = pull * near  # pull: twice the gradient with respect to the matrix
        parts = [shared.sum(), (pull * linear_features).sum(), noise @ np.diag(pull), (pull * additive).sum()]
        lengths = 0.5 * np.exp(-2 * theta[4:]) * np.tensordot(squared, shared, 2)
        offset = (theta - mean) / width
        value = 0.5 * y @ weights + np.log(np.diag(factor[0])).sum() + 0.5 * offset @ offset
        return float(value), np.concatenate((parts, lengths)) + offset / width

    result = minimize(loss, mean, jac=True, method="L-BFGS-B", bounds=[(-6, 4)] * len(mean), options={"maxiter": 40})
    return np.asarray(result.x)
