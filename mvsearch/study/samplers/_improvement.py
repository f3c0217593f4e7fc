"""The expected hypervolume improvement: the hypervolume that a candidate is expected to add to a front."""

import moocore
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_EDGE = 1.1  # the reference point; 1 is the worst value in the range


class ExpectedHypervolumeImprovement:
    """Over a front of costs, each objective scaled from `low` (0) to `high` (1), by logarithms where `logs` is set."""

    def __init__(self, front: Array, low: Array, high: Array, logs: NDArray[np.bool_]) -> None:
        self.logs = logs
        self.low, self.high = self._take_logs(low), self._take_logs(high)
        self.reference = np.full(len(low), _EDGE)
        front = self.scaled(front)
        front = front[(front < _EDGE).all(1)]
        self.front = front[moocore.is_nondominated(front)] if len(front) else front
        self.volume = self._volume(self.front)

    def _take_logs(self, costs: Array) -> Array:
        values = np.array(costs, dtype=float)
        values[..., self.logs] = np.log(values[..., self.logs])
        return values

    def scaled(self, costs: Array) -> Array:
        """Costs (..., objectives) as shares of the range."""
        return np.asarray((self._take_logs(costs) - self.low) / np.maximum(self.high - self.low, 1e-12))

    def of(self, costs: Array) -> Array:
        """(levels, n, objectives) → (n,): the mean improvement over equally likely levels."""
        if costs.shape[2] == 2:
            return np.asarray(self._areas(self.scaled(costs)).mean(0))
        gains = np.zeros(costs.shape[1])
        for level in self.scaled(costs):
            within = np.flatnonzero((level < _EDGE).all(1))
            dominated = (self.front[None] <= level[within, None]).all(-1).any(1)
            for i in within[~dominated]:
                gains[i] += self._volume(np.vstack((self.front, level[i]))) - self.volume
        return gains / len(costs)

    def _areas(self, costs: Array) -> Array:
        """The improvement of each of (..., 2) costs alone, added up over the strips between the points of the front."""
        front = self.front[np.argsort(self.front[:, 0])]
        left = np.concatenate(([-np.inf], front[:, 0]))
        right, height = np.concatenate((front[:, 0], [_EDGE])), np.concatenate(([_EDGE], front[:, 1]))
        widths = np.maximum(right - np.maximum(costs[..., :1], left), 0)
        return np.asarray((widths * np.maximum(height - costs[..., 1:], 0)).sum(-1))

    def _volume(self, points: Array) -> float:
        return float(moocore.hypervolume(points, ref=self.reference)) if len(points) else 0.0
