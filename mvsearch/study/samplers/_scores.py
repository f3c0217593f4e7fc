"""What trials say of one bought metric, as numbers that a model can be fitted to: less is better, noise beside it.

A metric is read as its distance from the best that there can be (no image wrong, no loss, no milliseconds), and that by
its logarithm: half the errors left is as far at 80 % right as at 95 %, and a network twice as slow is so at any size.

A trial stopped early has only the score of a shorter training. Trials that have both say, by a straight line fitted to
each length, what the full score would have been; the scatter about the line is added to its noise.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import is_number

Array = NDArray[np.float64]

_LEAST = 1e-12  # a distance of nothing has no logarithm
_PAIRS = 4  # trials with both scores that a line is fitted to


@dataclass(frozen=True)
class Scale:
    """Distance of a metric from its ideal, by its logarithm where every value has one."""

    objective: Objective
    logarithmic: bool

    def distance(self, value: Any) -> Array:
        """The metric as the model sees it."""
        plain = self.objective.cost(1) * np.asarray(value, dtype=float) - self.objective.cost(self.objective.ideal)
        return np.asarray(np.log(np.maximum(plain, _LEAST)) if self.logarithmic else plain)

    def cost(self, distance: Any) -> Array:
        """The metric itself again, turned so that less is better."""
        plain = np.exp(distance) if self.logarithmic else np.asarray(distance)
        return np.asarray(plain + self.objective.cost(self.objective.ideal))

    def error(self, sem: Any, distance: Any) -> Array:
        """A standard error of the metric as one of the distance."""
        return np.asarray(sem / np.exp(distance) if self.logarithmic else sem)


@dataclass(frozen=True)
class Scores:
    """One metric over n trials: their numbers, distances `y`, variances `known` (nan: not known), `extra` on top."""

    scale: Scale
    numbers: tuple[int, ...]
    y: Array
    known: Array
    extra: Array

    def __len__(self) -> int:
        return len(self.numbers)

    def variances(self, unknown: float | Array) -> Array:
        """Noise of each: `unknown` where nobody measured it; else at least a quarter of the usual, since two repeats
        may agree by chance."""
        given = np.isfinite(self.known)
        steadied = np.maximum(self.known, self.known[given].mean() / 4) if given.any() else self.known
        return np.asarray(np.where(given, steadied, unknown) + self.extra)

    @property
    def full(self) -> "Scores":
        """Those of whole trainings."""
        return self.part(np.flatnonzero(self.extra == 0))

    def part(self, rows: slice | NDArray[np.int64]) -> "Scores":
        """Some of them."""
        numbers = tuple(np.array(self.numbers)[rows].tolist())
        return Scores(self.scale, numbers, self.y[rows], self.known[rows], self.extra[rows])


def metrics_of(trial: FrozenTrial, names: Sequence[str]) -> Mapping[str, Any]:
    """What is known of a trial: its metrics where it has them, else its values by the objectives' names."""
    found: Mapping[str, Any] | None = trial.user_attrs.get("metrics")
    return found if found is not None else dict(zip(names, trial.values or (), strict=False))


def scores(trials: Sequence[FrozenTrial], objective: Objective, names: Sequence[str]) -> Scores:
    """What complete and pruned trials say of a metric; `names` are those of `trial.values`."""
    name = objective.name
    seen = [(t.number, metrics_of(t, names)) for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    full = {number: metrics[name] for number, metrics in seen if is_number(metrics.get(name))}
    rungs = {number: _rungs(metrics, name) for number, metrics in seen if metrics.get("rungs")}
    every = np.array([*full.values(), *(value for rung in rungs.values() for value in rung.values())], dtype=float)
    plain = Scale(objective, False).distance(every)
    scale = Scale(objective, bool((plain > 0).all()))
    sems = {number: float(metrics.get(f"{name}_sem", math.nan)) for number, metrics in seen if number in full}
    stopped = _stopped(full, rungs, scale)
    numbers = tuple(sorted({*full, *stopped}))
    y = np.array([scale.distance(full[i]) if i in full else stopped[i][0] for i in numbers], dtype=float)
    known = scale.error(np.array([sems.get(i, math.nan) for i in numbers], dtype=float), y) ** 2
    extra = np.array([max(stopped[i][1], _LEAST) if i in stopped else 0.0 for i in numbers], dtype=float)
    return Scores(scale, numbers, y, known, extra)


def _rungs(metrics: Mapping[str, Any], name: str) -> dict[int, float]:
    """Length → score, of the shorter trainings of a trial."""
    found = {int(length): scores.get(name) for length, scores in metrics["rungs"].items()}
    return {length: value for length, value in found.items() if is_number(value)}


def _stopped(
    full: dict[int, float], rungs: dict[int, dict[int, float]], scale: Scale
) -> dict[int, tuple[float, float]]:
    """Trial → (distance expected of a full training, variance of that), for trials that only had shorter ones."""
    expected = {}
    for number, rung in rungs.items():
        if number in full or not rung:
            continue
        length = max(rung)
        pairs = [(rungs[i][length], full[i]) for i in rungs if i in full and length in rungs[i]]
        if len(pairs) >= _PAIRS:
            short, long = scale.distance(pairs).T
            expected[number] = _on_line(short, long, float(scale.distance(rung[length])))
    return expected


def _on_line(x: Array, y: Array, at: float) -> tuple[float, float]:
    """The least-squares line through (x, y) at a place, and the residual variance about it."""
    apart = x - x.mean()
    slope = apart @ y / (apart @ apart) if apart.any() else 0.0
    left = y - y.mean() - slope * apart
    return float(y.mean() + slope * (at - x.mean())), float(left @ left / (len(x) - 2))
