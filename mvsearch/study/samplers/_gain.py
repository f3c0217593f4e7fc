"""What a candidate is worth: the hypervolume that it is expected to add to a front."""

import moocore
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_EDGE = 1.1  # the reference point, where 1 is the worst that matters


class ExpectedHypervolumeImprovement:
    """Over a front of costs, between `low` (0) and `high` (1) in each objective; by logarithms where `logs` says so."""

    def __init__(self, front: Array, low: Array, high: Array, logs: NDArray[np.bool_]) -> None:
        self.logs = logs
        self.low, self.high = self._by_logs(low), self._by_logs(high)
        self.reference = np.full(len(low), _EDGE)
        front = self.scaled(front)
        front = front[(front < _EDGE).all(1)]
        self.front = front[moocore.is_nondominated(front)] if len(front) else front
        self.volume = self._volume(self.front)

    def _by_logs(self, costs: Array) -> Array:
        found = np.array(costs, dtype=float)
        found[..., self.logs] = np.log(found[..., self.logs])
        return found

    def scaled(self, costs: Array) -> Array:
        """Costs (..., objectives) as shares of the range that matters."""
        return np.asarray((self._by_logs(costs) - self.low) / np.maximum(self.high - self.low, 1e-12))

    def of(self, costs: Array) -> Array:
        """(levels, n, objectives) → (n,): the mean gain over levels that are equally likely."""
        gains = np.zeros(costs.shape[1])
        for level in self.scaled(costs):
            inside = np.flatnonzero((level < _EDGE).all(1))
            beaten = (self.front[None] <= level[inside, None]).all(-1).any(1)
            for i in inside[~beaten]:
                gains[i] += self._volume(np.vstack((self.front, level[i]))) - self.volume
        return gains / len(costs)

    def _volume(self, points: Array) -> float:
        return float(moocore.hypervolume(points, ref=self.reference)) if len(points) else 0.0
