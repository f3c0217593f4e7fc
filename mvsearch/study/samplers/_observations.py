"""The observations of one expensive metric in the trials of a study, as values that a model can be fitted to.

A value is the logarithm of the distance from the ideal (no error, no loss, no time), so lower is better. Halving the
errors is the same step at 80 % accuracy as at 95 %, and so is doubling the latency at any size.

Values far worse than the median are squeezed: the logarithm once more, beyond the median by half of what the best is
ahead of it. A network that learns nothing would otherwise decide the scale, and the noise, of the rest.

A trial that was stopped early has only the score of a shorter training. Its full score is extrapolated by a line,
fitted, for each length, to the trials with both scores; the residual variance is added to its noise.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import is_number

Array = NDArray[np.float64]

FIRST = 8  # observations before a model is fitted
_GROWTH = 1.1  # a model is fitted again when the observations have grown by this factor
_LEAST = 1e-12  # a distance of 0 has no logarithm
_BEND, _SQUEEZE = 2.0, 0.1  # where squeezing begins and how fast, as shares of the lead of the best over the median
_PAIRS = 4  # trials with both scores, at least, to fit a line


@dataclass(frozen=True)
class Scale:
    """Converts a metric to its distance from the ideal, logarithmic if every value has a logarithm.

    Distances beyond `knee` grow with their logarithm: as fast as before at first, half as fast after `reach`.
    `worst` is the largest distance that is converted back.
    """

    objective: Objective
    logarithmic: bool
    knee: float = math.inf
    reach: float = 1.0
    worst: float = math.inf

    def distance(self, value: Any) -> Array:
        """The distance of a value of the metric."""
        plain = self.objective.cost(1) * np.asarray(value, dtype=float) - self.objective.cost(self.objective.ideal)
        return self.squeeze(np.log(np.maximum(plain, _LEAST)) if self.logarithmic else plain)

    def squeeze(self, distance: Array) -> Array:
        """A distance, squeezed beyond the knee."""
        beyond = np.maximum(distance - self.knee, 0)
        return np.asarray(distance - beyond + self.reach * np.log1p(beyond / self.reach))

    def cost(self, distance: Any) -> Array:
        """The metric at a distance, negated if higher is better."""
        squeezed = np.minimum(distance, self.worst)
        beyond = np.maximum(squeezed - self.knee, 0)
        plain = squeezed - beyond + self.reach * np.expm1(beyond / self.reach)
        return np.asarray((np.exp(plain) if self.logarithmic else plain) + self.objective.cost(self.objective.ideal))

    def error(self, sem: Any, distance: Any) -> Array:
        """The standard error of the distance, from that of the metric."""
        plain = self.cost(distance) - self.objective.cost(self.objective.ideal) if self.logarithmic else 1.0
        return np.asarray(sem * self.slope(distance) / plain)

    def slope(self, distance: Any) -> Array:
        """How much of a small difference in distance is left by squeezing."""
        return np.asarray(np.exp(-np.maximum(np.asarray(distance) - self.knee, 0) / self.reach))

    def fitted_to(self, values: Array) -> "Scale":
        """The scale with a knee, if some of these values of the metric are far worse than the median of the first."""
        distances = self.distance(values)
        first = distances[: refitted(len(distances))]
        if not len(first) or not (ahead := float(np.median(first) - first.min())) > 0:
            return self
        bent = replace(self, knee=float(np.median(first)) + _BEND * ahead, reach=_SQUEEZE * ahead)
        return replace(bent, worst=float(bent.squeeze(distances).max())) if distances.max() > bent.knee else self


@dataclass(frozen=True)
class Observations:
    """A metric of n trials: distances `y`, `known` variances (NaN if unknown), `extra` ones of extrapolation."""

    scale: Scale
    numbers: tuple[int, ...]
    y: Array
    known: Array
    extra: Array

    def __len__(self) -> int:
        return len(self.numbers)

    def variances(self, unknown: float | Array) -> Array:
        """The noise of each observation: `unknown` where it was not measured, otherwise at least a quarter of the mean,
        because two repeats may agree by chance."""
        measured = np.isfinite(self.known)
        bounded = np.maximum(self.known, self.known[measured].mean() / 4) if measured.any() else self.known
        return np.asarray(np.where(measured, bounded, unknown) + self.extra)

    @property
    def full(self) -> "Observations":
        """The observations of full trainings."""
        return self.part(np.flatnonzero(self.extra == 0))

    def part(self, rows: slice | NDArray[np.int64]) -> "Observations":
        """The observations in some rows."""
        numbers = tuple(np.array(self.numbers)[rows].tolist())
        return Observations(self.scale, numbers, self.y[rows], self.known[rows], self.extra[rows])


def refitted(observations: int) -> int:
    """The number of first observations that what is fitted to all of them uses: it grows by a tenth at a time."""
    if observations < FIRST:
        return 0
    size = FIRST
    while (more := max(size + 1, int(size * _GROWTH))) <= observations:
        size = more
    return size


def metrics_of(trial: FrozenTrial, names: Sequence[str]) -> Mapping[str, Any]:
    """The metrics of a trial; without them, its values under the names of the objectives."""
    metrics: Mapping[str, Any] | None = trial.user_attrs.get("metrics")
    return metrics if metrics is not None else dict(zip(names, trial.values or (), strict=False))


def observe(trials: Sequence[FrozenTrial], objective: Objective, names: Sequence[str]) -> Observations:
    """The observations of a metric in complete and pruned trials; `names` are those of `trial.values`."""
    name = objective.name
    trial_metrics = [
        (t.number, metrics_of(t, names)) for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)
    ]
    full = {number: metrics[name] for number, metrics in trial_metrics if is_number(metrics.get(name))}
    rungs = {number: _rungs(metrics, name) for number, metrics in trial_metrics if metrics.get("rungs")}
    values = np.array([*full.values(), *(value for rung in rungs.values() for value in rung.values())], dtype=float)
    plain = Scale(objective, False).distance(values)
    unbent = Scale(objective, bool((plain > 0).all()))
    scale = unbent.fitted_to(np.array([full[number] for number in sorted(full)], dtype=float))
    sems = {number: float(metrics.get(f"{name}_sem", math.nan)) for number, metrics in trial_metrics if number in full}
    extrapolated = {
        number: (float(scale.squeeze(np.asarray(distance))), variance)
        for number, (distance, variance) in _expected_full(full, rungs, unbent).items()
    }
    numbers = tuple(sorted({*full, *extrapolated}))
    y = np.array([scale.distance(full[i]) if i in full else extrapolated[i][0] for i in numbers], dtype=float)
    known = scale.error(np.array([sems.get(i, math.nan) for i in numbers], dtype=float), y) ** 2
    extra = np.array([max(extrapolated[i][1], _LEAST) if i in extrapolated else 0.0 for i in numbers], dtype=float)
    extra = extra * scale.slope(y) ** 2
    return Observations(scale, numbers, y, known, extra)


def _rungs(metrics: Mapping[str, Any], name: str) -> dict[int, float]:
    """The scores of the shorter trainings of a trial by their length."""
    scores = {int(length): rung.get(name) for length, rung in metrics["rungs"].items()}
    return {length: value for length, value in scores.items() if is_number(value)}


def _expected_full(
    full: dict[int, float], rungs: dict[int, dict[int, float]], scale: Scale
) -> dict[int, tuple[float, float]]:
    """Trial → (extrapolated distance of a full training, its variance), for trials with shorter trainings only."""
    expected = {}
    for number, rung in rungs.items():
        if number in full or not rung:
            continue
        length = max(rung)
        pairs = [(rungs[i][length], full[i]) for i in rungs if i in full and length in rungs[i]]
        if len(pairs) >= _PAIRS:
            short, long = scale.distance(pairs).T
            expected[number] = _extrapolate(short, long, float(scale.distance(rung[length])))
    return expected


def _extrapolate(x: Array, y: Array, at: float) -> tuple[float, float]:
    """The value of the least-squares line through (x, y) at `at`, and the residual variance."""
    centred = x - x.mean()
    slope = centred @ y / (centred @ centred) if centred.any() else 0.0
    residual = y - y.mean() - slope * centred
    return float(y.mean() + slope * (at - x.mean())), float(residual @ residual / (len(x) - 2))
