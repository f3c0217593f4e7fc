"""A Gaussian process over the choices of a space, which predicts an expensive metric.

The kernel is a sum; the amplitude of each part and the noise are learnt:

    near       squared exponential, with a length scale for each choice and for each word that choices share
    linear     choices and exact costs
    additive   an effect of each choice alone
    pairs      an effect of each pair of choices: the square of the additive part
    counts     how often each word is chosen, over all choices

The hyperparameters `theta` maximise the posterior (Rasmussen and Williams 2006, section 5.4, log-normal priors). An
observation of known noise has a variance of its own. scipy is imported where a process is fitted: a study of static
costs alone needs none, and to import it takes as long as all else that a worker does before its first trial.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mvsearch.study.samplers._features import Lengths, Points
from mvsearch.study.samplers._observations import Observations

Array = NDArray[np.float64]

_JITTER = 1e-6
_BLOCK = 2000  # points predicted at once, so that memory stays bounded

# theta: logarithms of the amplitudes of near, linear, noise, additive, pairs, counts, then of the length scales
_NEAR, _LINEAR, _NOISE, _ADDITIVE, _PAIRS, _COUNTS, _LENGTHS = range(7)
_PRIOR_MEAN, _PRIOR_WIDTH = (0.0, -0.5, -1.5, -0.5, -0.5, -0.5), (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
_LENGTH_MEAN, _LENGTH_WIDTH = 0.7, 1.0
_WORD_WIDTH = 0.5  # of a word's length scale beside that of its choice


@dataclass(frozen=True)
class GaussianProcess:
    """A process conditioned on distances `y` (n,) at points, with noise of these variances; predicts without noise."""

    points: Points
    y: Array
    variances: Array
    centre: float
    spread: float
    theta: Array
    lengths: Lengths
    factor: Array
    weights: Array

    @classmethod
    def of(cls, points: Points, observations: Observations, theta: Array, lengths: Lengths) -> Self:
        """The process with hyperparameters `theta`, conditioned on observations."""
        centre, spread = _centre(observations.y)
        variances = observations.variances(spread**2 * np.exp(2 * theta[_NOISE])) / spread**2
        empty = np.empty((0, 0))
        return cls(points, observations.y, variances, centre, spread, theta, lengths, empty, empty)._factorise()

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
            variances=np.concatenate((self.variances, np.full(len(points), np.exp(2 * self.theta[_NOISE])))),
        )._factorise()

    def mean(self, points: Points) -> Array:
        """The posterior mean."""
        blocks = [points[i : i + _BLOCK] for i in range(0, len(points), _BLOCK)]
        across = [self._kernel(block, self.points) @ self.weights for block in blocks]
        return np.asarray(self.centre + self.spread * np.concatenate([np.empty(0), *across]))

    def predict(self, points: Points) -> tuple[Array, Array]:
        """The posterior mean and standard deviation, for at most some thousands of points."""
        from scipy.linalg import solve_triangular

        across = self._kernel(self.points, points)
        explained = solve_triangular(self.factor, across, lower=True, check_finite=False)
        amplitudes, own = np.exp(2 * self.theta), (points.additive**2).sum(1)
        prior = amplitudes[_NEAR] + amplitudes[_LINEAR] * (1 + (points.linear_features**2).sum(1))
        prior = prior + amplitudes[_ADDITIVE] * own + amplitudes[_PAIRS] * own**2 + self._counts
        deviation = np.sqrt(np.maximum(prior - (explained**2).sum(0), 1e-12))
        return self.centre + self.spread * (across.T @ self.weights), self.spread * deviation

    @property
    def _counts(self) -> float:
        return float(np.exp(2 * self.theta[_COUNTS])) if self.points.counts.shape[1] else 0.0

    def _kernel(self, one: Points, other: Points) -> Array:
        amplitudes, scale = np.exp(2 * self.theta), np.exp(-self.lengths.matrix @ self.theta[_LENGTHS:])
        total = _squared_exponential(one.near * scale, other.near * scale, amplitudes[_NEAR])
        total += (amplitudes[_LINEAR] * one.linear_features) @ other.linear_features.T + amplitudes[_LINEAR]
        own = one.additive @ other.additive.T
        total += own * (amplitudes[_ADDITIVE] + amplitudes[_PAIRS] * own)
        if self._counts:
            total += _squared_exponential(one.counts, other.counts, self._counts)
        return total


def _squared_exponential(a: Array, b: Array, amplitude: float = 1.0) -> Array:
    exponent = a @ b.T - 0.5 * (a**2).sum(1)[:, None]
    exponent -= 0.5 * (b**2).sum(1)
    exponent += np.log(amplitude)
    return np.asarray(np.exp(exponent, out=exponent))


def _centre(y: Array) -> tuple[float, float]:
    """Mean and standard deviation; 1 for the deviation of constant values."""
    spread, middle = float(y.std()), float(y.mean())
    return middle, spread if spread > 1e-9 * max(1.0, abs(middle)) else 1.0


def fit_theta(points: Points, observations: Observations, lengths: Lengths) -> Array:
    """The theta that maximises the posterior."""
    from scipy.linalg import cho_factor, cho_solve
    from scipy.optimize import minimize

    centre, spread = _centre(observations.y)
    y, fixed = (observations.y - centre) / spread, np.isfinite(observations.known)
    variances = observations.variances(0.0) / spread**2 + _JITTER
    mean, width = _prior(lengths)
    kinds, squared = _squared_distances(points.near, lengths)
    amplitudes, parts = _fixed_parts(points)
    eye = np.eye(len(y))

    def loss(theta: Array) -> tuple[float, Array]:
        scales = np.exp(-2 * kinds @ theta[_LENGTHS:])
        near = np.exp(2 * theta[_NEAR] - 0.5 * np.tensordot(scales, squared, 1))
        noise = np.where(fixed, 0.0, np.exp(2 * theta[_NOISE]))
        weighted = np.exp(2 * theta[amplitudes])
        matrix = near + np.tensordot(weighted, parts, 1) + np.diag(noise + variances)
        factor = cho_factor(matrix, lower=True, check_finite=False)
        weights = cho_solve(factor, y, check_finite=False)
        pull = cho_solve(factor, eye, check_finite=False) - np.outer(weights, weights)
        shared = pull * near  # pull: twice the gradient with respect to the matrix
        gradient = np.zeros(len(theta))
        gradient[_NEAR], gradient[_NOISE] = shared.sum(), noise @ np.diag(pull)
        gradient[amplitudes] = weighted * np.tensordot(parts, pull, 2)
        gradient[_LENGTHS:] = kinds.T @ (0.5 * scales * np.tensordot(squared, shared, 2))
        offset = (theta - mean) / width
        value = 0.5 * y @ weights + np.log(np.diag(factor[0])).sum() + 0.5 * offset @ offset
        return float(value), gradient + offset / width

    result = minimize(loss, mean, jac=True, method="L-BFGS-B", bounds=[(-6, 4)] * len(mean), options={"maxiter": 40})
    return np.asarray(result.x)


def _prior(lengths: Lengths) -> tuple[Array, Array]:
    words = lengths.matrix.shape[1] - lengths.choices
    mean = (*_PRIOR_MEAN, *[_LENGTH_MEAN] * lengths.choices, *[0.0] * words)
    width = (*_PRIOR_WIDTH, *[_LENGTH_WIDTH] * lengths.choices, *[_WORD_WIDTH] * words)
    return np.array(mean), np.array(width)


def _squared_distances(near: Array, lengths: Lengths) -> tuple[Array, Array]:
    """The kinds of features, which have the same length scales, and (kinds, n, n) their squared distances."""
    kinds, kind_of = np.unique(lengths.matrix, axis=0, return_inverse=True)
    columns = [near[:, kind_of.ravel() == kind] for kind in range(len(kinds))]
    return kinds, np.stack([((x[:, None] - x[None]) ** 2).sum(-1) for x in columns])


def _fixed_parts(points: Points) -> tuple[list[int], Array]:
    """The parts of the kernel without length scales: the indices of their amplitudes, and (parts, n, n)."""
    own = points.additive @ points.additive.T
    parts = {_LINEAR: 1 + points.linear_features @ points.linear_features.T, _ADDITIVE: own, _PAIRS: own**2}
    if points.counts.shape[1]:
        parts[_COUNTS] = _squared_exponential(points.counts, points.counts)
    return list(parts), np.stack(list(parts.values()))
