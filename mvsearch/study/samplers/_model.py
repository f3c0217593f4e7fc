"""A Gaussian process over the choices of a space: what the scores bought so far say of those not bought.

Kernel: squared exponential with a length for each choice, plus a part that adds up over the choices (each with an
effect of its own), plus a part linear in choices and exact costs, plus noise. Its few numbers are set where the
posterior is largest (Rasmussen and Williams 2006, section 5.4, with log-normal priors). A score whose noise is known
has its own.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

from mvsearch.space.search_space import Codes, SearchSpace
from mvsearch.space.variables import Choice
from mvsearch.study.samplers._scores import Scores

Array = NDArray[np.float64]

_JITTER = 1e-6
_REACH = 0.3  # how far a choice's own effect carries, as a share of its range
_BLOCK = 2000  # points predicted at once, so that memory stays bounded


@dataclass(frozen=True)
class Points:
    """What each part of the kernel takes, (n, features): the squared exponential, the additive, the linear."""

    near: Array
    alone: Array
    straight: Array

    def __len__(self) -> int:
        return len(self.near)

    def __getitem__(self, rows: slice) -> "Points":
        return Points(self.near[rows], self.alone[rows], self.straight[rows])

    def with_(self, other: "Points") -> "Points":
        """These, then those."""
        both = ((getattr(self, part), getattr(other, part)) for part in ("near", "alone", "straight"))
        return Points(*map(np.vstack, both))


class Features:
    """Codes as numbers in which distance means something: sizes and exact costs by logarithm, words one by one."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._near = [_placed(choice) for choice in space.choices]
        self._alone = [_factors(table) / np.sqrt(len(self._near)) for table in self._near]
        widths = [table.shape[1] for table in self._near]
        self.groups = np.repeat(np.arange(len(widths)), widths)
        sizes = self._sizes(space.sample(2000, 0))
        self._low, self._range = sizes.min(0), np.maximum(np.ptp(sizes, axis=0), 1e-9)

    def of(self, codes: Codes) -> Points:
        """Codes (n, choices) as the model sees them."""
        near, alone = (
            np.hstack([table[codes[:, i]] for i, table in enumerate(tables)]) for tables in (self._near, self._alone)
        )
        return Points(near, alone, np.hstack((near, (self._sizes(codes) - self._low) / self._range)))

    def _sizes(self, codes: Codes) -> Array:
        cost = self.space.costs(codes)
        return np.asarray(np.log(np.stack((cost.params, cost.macs), 1).astype(float)))


def _placed(choice: Choice) -> Array:
    values = choice.values
    if len(values) == 1:
        return np.zeros((1, 1))
    if choice.ordered:
        sizes = np.array(values, dtype=float)
        scaled = np.log(sizes) if sizes.min() > 0 else sizes
        return np.asarray((scaled - scaled.min()) / (scaled.max() - scaled.min()))[:, None]
    return np.asarray(np.eye(len(values)) / np.sqrt(2))


def _factors(table: Array) -> Array:
    """F with F·Fᵀ the squared exponential over one choice's values: sums over choices become one matrix product."""
    squared = ((table[:, None] - table[None]) ** 2).sum(-1)
    values, vectors = np.linalg.eigh(np.exp(-0.5 * squared / _REACH**2))
    kept = values > _JITTER
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]))


# theta: log amplitude, log linear amplitude, log noise, log amplitude of own effects, then a log length for each group
_PRIOR_MEAN, _PRIOR_WIDTH = (0.0, -0.5, -1.5, -0.5), (1.0, 1.0, 1.0, 1.0)
_LENGTH_MEAN, _LENGTH_WIDTH = 0.7, 1.0


@dataclass(frozen=True)
class GaussianProcess:
    """Rests on distances `y` (n,) at points, with noise of known variances; predicts without noise."""

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
    def of(cls, points: Points, found: Scores, theta: Array, groups: NDArray[np.int64]) -> Self:
        """The process whose few numbers are `theta`, after these scores."""
        centre, spread = _centre(found.y)
        variances = found.variances(spread**2 * np.exp(2 * theta[2])) / spread**2
        none = np.empty((0, 0))
        return cls(points, found.y, variances, centre, spread, theta, groups, none, none)._solved()

    def _solved(self) -> Self:
        matrix = self._kernel(self.points, self.points)
        matrix[np.diag_indices(len(matrix))] += self.variances + _JITTER
        factor = np.linalg.cholesky(matrix)
        return replace(
            self, factor=np.asarray(factor), weights=cho_solve((factor, True), (self.y - self.centre) / self.spread)
        )

    def believing(self, points: Points) -> Self:
        """As if each of these had been measured and had come out as expected: surer there, no different elsewhere."""
        return replace(
            self,
            points=self.points.with_(points),
            y=np.concatenate((self.y, self.mean(points))),
            variances=np.concatenate((self.variances, np.full(len(points), np.exp(2 * self.theta[2])))),
        )._solved()

    def mean(self, points: Points) -> Array:
        """The expected score."""
        blocks = [points[i : i + _BLOCK] for i in range(0, len(points), _BLOCK)]
        near = np.concatenate([np.empty(0), *(self._near(block, self.points) @ self.weights for block in blocks)])
        straight = self.weights.sum() + points.straight @ (self.points.straight.T @ self.weights)
        alone = points.alone @ (self.points.alone.T @ self.weights)
        _, linear, _, own = np.exp(2 * self.theta[:4])
        return np.asarray(self.centre + self.spread * (near + linear * straight + own * alone))

    def predict(self, points: Points) -> tuple[Array, Array]:
        """The expected score, and how far the true one may lie from it; for some thousands of points."""
        across = self._kernel(self.points, points)
        explained = solve_triangular(self.factor, across, lower=True, check_finite=False)
        near, straight, _, alone = np.exp(2 * self.theta[:4])
        prior = near + straight * (1 + (points.straight**2).sum(1)) + alone * (points.alone**2).sum(1)
        left = np.sqrt(np.maximum(prior - (explained**2).sum(0), 1e-12))
        return self.centre + self.spread * (across.T @ self.weights), self.spread * left

    def _kernel(self, one: Points, other: Points) -> Array:
        _, linear, _, own = np.exp(2 * self.theta[:4])
        alone = (own * one.alone) @ other.alone.T
        return np.asarray(self._near(one, other) + (linear * one.straight) @ other.straight.T + alone + linear)

    def _near(self, one: Points, other: Points) -> Array:
        scale = np.exp(-self.theta[4:])[self.groups]
        a, b = one.near * scale, other.near * scale
        exponent = a @ b.T - 0.5 * (a**2).sum(1)[:, None]
        exponent -= 0.5 * (b**2).sum(1)
        return np.asarray(np.exp(exponent + 2 * self.theta[0], out=exponent))


def _centre(y: Array) -> tuple[float, float]:
    """Mean and spread; constant scores are a flat model, not an error."""
    spread, middle = float(y.std()), float(y.mean())
    return middle, spread if spread > 1e-9 * max(1.0, abs(middle)) else 1.0


def fitted(points: Points, found: Scores, groups: NDArray[np.int64]) -> Array:
    """The theta of largest posterior."""
    centre, spread = _centre(found.y)
    y, fixed = (found.y - centre) / spread, np.isfinite(found.known)
    given = found.variances(0.0) / spread**2 + _JITTER
    count = int(groups.max()) + 1
    mean = np.concatenate((_PRIOR_MEAN, np.full(count, _LENGTH_MEAN)))
    width = np.concatenate((_PRIOR_WIDTH, np.full(count, _LENGTH_WIDTH)))
    x = points.near
    apart = np.stack([((x[:, None, groups == g] - x[None, :, groups == g]) ** 2).sum(-1) for g in range(count)])
    linear, own = 1 + points.straight @ points.straight.T, points.alone @ points.alone.T
    eye = np.eye(len(x))

    def loss(theta: Array) -> tuple[float, Array]:
        near = np.exp(2 * theta[0] - 0.5 * np.tensordot(np.exp(-2 * theta[4:]), apart, 1))
        straight, alone = np.exp(2 * theta[1]) * linear, np.exp(2 * theta[3]) * own
        noise = np.where(fixed, 0.0, np.exp(2 * theta[2]))
        factor = cho_factor(near + straight + alone + np.diag(noise + given), lower=True, check_finite=False)
        weights = cho_solve(factor, y, check_finite=False)
        pull = cho_solve(factor, eye, check_finite=False) - np.outer(weights, weights)
        shared = pull * near  # pull: twice the gradient with respect to the matrix
        parts = [shared.sum(), (pull * straight).sum(), noise @ np.diag(pull), (pull * alone).sum()]
        lengths = 0.5 * np.exp(-2 * theta[4:]) * np.tensordot(apart, shared, 2)
        off = (theta - mean) / width
        value = 0.5 * y @ weights + np.log(np.diag(factor[0])).sum() + 0.5 * off @ off
        return float(value), np.concatenate((parts, lengths)) + off / width

    found_at = minimize(loss, mean, jac=True, method="L-BFGS-B", bounds=[(-6, 4)] * len(mean), options={"maxiter": 40})
    return np.asarray(found_at.x)
