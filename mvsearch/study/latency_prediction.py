"""`latency: {predict: N}`: the latency of N networks is measured, that of candidates is predicted where it suffices.

    design: N networks of the space, far from each other ── measured ──┐
    known:  4 N networks ── measured by each backend of `known` ── a linear model each
    candidate ── predicted, with an interval ◀──── model ◀─────────────┴── every candidate that was measured
        │ measured instead, if the interval is wider than 10 %, or contains a limit
        └ after its score: measured if with the lower end of the interval it is on the front
    end of the study: the members of the front are measured that are still predicted

So a member of the front is always measured, also where latency is only limited, and where a re-evaluation or other
limits change the front. Other candidates keep `latency_predicted` beside their latency, and those
that were measured the reason and the interval that was expected, so that predictions are judged by the study itself.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.architecture import Architecture
from mvsearch.metrics.constraints import undecided_limits
from mvsearch.metrics.pareto import comparable
from mvsearch.metrics.record import EvaluationFailed, Metrics
from mvsearch.profiling.latency_features import NetworkFeatures, choice_features, cost_features
from mvsearch.profiling.measurements import load_measurement
from mvsearch.profiling.measurements.latency import KNOWN_NETWORKS, LatencySettings
from mvsearch.profiling.prediction import LEAST_MEASURED, KnownDevice, LatencyModel, LinearModel
from mvsearch.space.inverse import Point
from mvsearch.space.search_space import Codes
from mvsearch.study.candidate import Candidate
from mvsearch.study.joined_study import JoinedStudy
from mvsearch.study.plan import Plan
from mvsearch.utils import machine
from mvsearch.utils.hashing import digest

_LOG = logging.getLogger(__name__)

LATENCY = "latency"

WIDEST = 0.1
"""The half-width of an interval, as a share of the prediction, beyond which a network is measured."""

_CONSIDERED, _DRAWN = 400, 100_000
"""Random networks of the space that the networks of the design are chosen from; those drawn if too few are within the
limits."""

_CONDITIONS = ("backend", "device", "batch", "threads", "precision", "reference")
"""What a predicted latency has in common with the measured ones."""

_NUMBERS = ("ms", "low_ms", "high_ms", "image_size", "predicted", "measured_networks")
_PREDICTED = {f"latency_{name}" for name in (*_CONDITIONS, *_NUMBERS)}
"""The metrics of a prediction."""

_WIDE = f"the interval is wider than {100 * WIDEST:.0f} %"
_LIMIT = "a limit is within the interval"
_FRONT = "it could be on the front"

Measure = Callable[[Architecture], Metrics]


@dataclass(frozen=True)
class Prediction:
    """The metrics of a predicted latency, and the reason for a measurement before the score; None without one."""

    metrics: Metrics
    reason: str | None

    def beside(self, reason: str) -> Metrics:
        """What is stored with a measurement that was taken for this reason: what was expected of it."""
        ends = {f"latency_expected_{end}_ms": self.metrics[f"latency_{end}_ms"] for end in ("low", "high")}
        return {"latency_measured_because": reason, **ends}


class LatencyPredictor:
    """Predicts for one worker of a study; `measure` is the measurement of a network that the study uses."""

    def __init__(self, study: JoinedStudy, measure: Measure) -> None:
        self.study, self.plan, self.measure = study, study.plan, measure
        self.networks: int = self.plan.measurements[LATENCY].predict
        self._rows = [row.name for row in self.plan.space.rows] + ["head"]
        self._values = {choice.name: choice.values for choice in self.plan.space.choices}
        self._known: list[LinearModel] = []
        self._design: dict[str, Metrics] = {}
        self._measured: dict[str, tuple[NetworkFeatures, Metrics]] = {}
        self._model: tuple[int, LatencyModel] | None = None
        self._read: set[int] = set()

    def measure_design(self) -> None:
        """Measure the networks of the design, and those of each known backend, unless another worker or study did."""
        settings = self.plan.measurements[LATENCY]
        points = study_design(self.plan)
        own = points[: self.networks]  # each point is far from those before it, however many follow
        self._measured = self._measure_all(own, self.measure, self._settings_key(), settings.backend)
        self._design = {key: metrics for key, (_, metrics) in self._measured.items()}
        for backend in settings.known:
            measure = partial(measure_on, backend, settings)
            key = digest({LATENCY: asdict(known_settings(backend, settings)), "device": device_of(backend, settings)})
            measured = self._measure_all(points, measure, key, backend)
            if len(measured) >= LEAST_MEASURED:
                self._known.append(LinearModel.fit(KnownDevice(*_joined(measured))))

    def _measure_all(
        self, points: Sequence[Point], measure: Measure, key: str, backend: str
    ) -> dict[str, tuple[NetworkFeatures, Metrics]]:
        """Features and metrics of networks by their keys; a warning counts those that cannot be measured."""
        measured, reason = {}, ""
        for i, point in enumerate(points):
            arch = self.plan.space.architecture(point)
            doing = f"latency of network {i + 1} of {len(points)} to predict from, {backend}"
            self.study.worker.report(number=None, name=arch.key, doing=doing, done=i, of=len(points))
            try:
                metrics = self._measure_once(arch, measure, key)
            except EvaluationFailed as error:
                reason = str(error)
            else:
                measured[arch.key] = (self._features(arch, self.plan.space.effective(point)), metrics)
        if left_out := len(points) - len(measured):
            _LOG.warning(
                "%d of %d networks to predict from have no latency by %s; the last: %s",
                left_out,
                len(points),
                backend,
                reason,
            )
        return measured

    def _measure_once(self, arch: Architecture, measure: Measure, key: str) -> Metrics:
        """The stored measurement of a network, or a new one, which is stored."""
        with self.study.store.evaluation_lock(arch.key, key):
            metrics = self.study.store.evaluation(arch.key, key)
            if metrics is None:
                start = self.study.worker.clock()
                metrics = measure(arch)
                seconds = self.study.worker.clock() - start
                self.study.store.cache_evaluation(arch.key, key, metrics, seconds, machine.describe())
            return metrics

    def _features(self, arch: Architecture, choices: Point) -> NetworkFeatures:
        return cost_features([arch], self._rows, choice_features([choices], self._values))

    def _settings_key(self) -> str:
        """Of the measurement alone: equal for every number of networks."""
        settings = dict(self.plan.settings()[LATENCY])
        settings = {name: value for name, value in settings.items() if name not in ("predict", "known")}
        return self.study.facts.settings_key({LATENCY: settings})

    def evaluate(self, candidate: Candidate, evaluate: Callable[[Mapping[str, Any]], Metrics]) -> Metrics:
        """The metrics of a candidate, with a latency that is predicted if that suffices, and it is not of the design.

        `evaluate` evaluates it, given measurements that are known.
        """
        if measured := self._design.get(candidate.key):
            return evaluate({"known": {LATENCY: measured}})
        prediction = self.predict(candidate)
        if prediction is None:
            return evaluate({})
        if prediction.reason is not None:
            return evaluate({}) | prediction.beside(prediction.reason)
        start, clock = self.study.worker.clock(), self.study.worker.clock
        metrics = evaluate({"known": {LATENCY: prediction.metrics}})
        if not self.reaches_front(metrics):
            return metrics
        # Kept for the next attempt, if the device does not answer.
        key, settings = candidate.key, self.study.evaluation_key()
        self.study.store.cache_evaluation(key, settings, metrics, clock() - start, machine.describe())
        return self.measure_predicted(candidate.architecture, metrics)

    def measure_predicted(self, arch: Architecture, metrics: Metrics) -> Metrics:
        """The metrics of a candidate on the front, with its latency in place of the predicted one."""
        return self.with_latency(arch, metrics, {}) | Prediction(metrics, None).beside(_FRONT)

    def with_latency(self, arch: Architecture, metrics: Metrics, known: Mapping[str, Any]) -> Metrics:
        """Metrics with a latency that is `known`, as for an evaluation, or measured, in place of the predicted one."""
        others = {name: value for name, value in metrics.items() if name not in _PREDICTED}
        return others | (known["known"][LATENCY] if known else self.measure(arch))

    def predict(self, candidate: Candidate) -> Prediction | None:
        """The latency with its interval; None while too few networks are measured."""
        self._read_measured()
        if len(self._measured) < LEAST_MEASURED:
            return None
        if self._model is None or self._model[0] != len(self._measured):
            self._model = len(self._measured), LatencyModel.fit(*_joined(self._measured), self._known)
        arch = candidate.architecture
        predicted = self._model[1].predict(self._features(arch, candidate.point))
        _, first = next(iter(self._measured.values()))
        found: Metrics = {name: first[name] for each in _CONDITIONS if (name := f"latency_{each}") in first}
        found |= {
            "latency_ms": float(predicted.ms[0]),
            "latency_low_ms": float(predicted.low_ms[0]),
            "latency_high_ms": float(predicted.high_ms[0]),
            "latency_image_size": self.plan.measurements[LATENCY].image_size or arch.image_size,
            "latency_predicted": True,
            "latency_measured_networks": len(self._measured),
        }
        undecided = _LIMIT if undecided_limits(self.plan.limits, found) else None
        return Prediction(found, undecided if predicted.half_width[0] <= WIDEST else _WIDE)

    def _read_measured(self) -> None:
        """Add the candidates that were measured since the last time; workers do not finish in the order of numbers."""
        for record in (each for each in self.study.records() if each.number not in self._read):
            self._read.add(record.number)
            if "latency_ms" in record.metrics and not record.metrics.get("latency_predicted"):
                arch = Architecture.from_dict(record.architecture)
                self._measured[record.key] = (self._features(arch, record.choices), record.metrics)

    def reaches_front(self, metrics: Metrics) -> bool:
        """Whether a candidate with a predicted latency is on the front of the study at the lower end of its interval.

        Others with a predicted latency count at the upper end of theirs.
        """
        objectives = self.plan.objectives
        if "latency_ms" not in self.plan.search.objectives:
            return False

        def costs(row: Mapping[str, Any], end: str) -> list[float]:
            latency = {"latency_ms": row[end]} if row.get("latency_predicted") else {}
            return [objective.cost({**row, **latency}[objective.name]) for objective in objectives]

        within = self.study.within_limits(self.study.records())  # an earlier run may have had wider limits
        others = [record.metrics for record in comparable(within, objectives)]
        if not others:
            return True
        rows = np.array([costs(row, "latency_high_ms") for row in others])
        own = np.array(costs(metrics, "latency_low_ms"))
        return not bool(((rows <= own).all(1) & (rows < own).any(1)).any())


def _joined(measured: Mapping[str, tuple[NetworkFeatures, Metrics]]) -> tuple[NetworkFeatures, NDArray[np.float64]]:
    """The features of all networks, and their milliseconds."""
    features, metrics = zip(*measured.values(), strict=True)
    return NetworkFeatures.join(features), np.array([each["latency_ms"] for each in metrics])


def known_settings(backend: str, settings: LatencySettings) -> LatencySettings:
    """The settings of another backend, with what both have in common."""
    common = ("batch", "threads", "image_size", "repeats")
    return LatencySettings(backend=backend, **{name: getattr(settings, name) for name in common})


def device_of(backend: str, settings: LatencySettings) -> str | None:
    """The device of another backend; raises EnvironmentFault if it cannot run here."""
    return load_measurement(LATENCY).device(known_settings(backend, settings))


def measure_on(backend: str, settings: LatencySettings, arch: Architecture) -> Metrics:
    """The latency of a network on another backend of this machine."""
    return load_measurement(LATENCY).measure(arch, known_settings(backend, settings), ())


def study_design(plan: Plan) -> list[Point]:
    """The design of a study, and after it the further networks that each known backend measures."""
    settings = plan.measurements[LATENCY]
    return design(plan, settings.predict * (KNOWN_NETWORKS if settings.known else 1))


def design(plan: Plan, networks: int) -> list[Point]:
    """So many points of the space inside its limits, the same for every worker: each far from those before it.

    The first is the one that is nearest to the mean of all features. Fewer where hardly any point is within the limits.
    """
    points = [plan.space.point(row) for row in _within_limits(plan, networks)[:_CONSIDERED]]
    if not points:
        return []
    rows = [row.name for row in plan.space.rows] + ["head"]
    archs = [plan.space.architecture(point) for point in points]
    values = {choice.name: choice.values for choice in plan.space.choices}
    features = cost_features(archs, rows, choice_features([*map(plan.space.effective, points)], values))
    return [points[i] for i in spread_out(features.flat(), networks)]


def _within_limits(plan: Plan, networks: int) -> Codes:
    """Random points of the space within its limits, of more that are drawn if these are too few."""
    rng = np.random.default_rng(plan.search.seed)
    if plan.all_points is not None:
        codes = rng.permutation(plan.all_points)
        return codes[plan.admissible(codes)]
    for drawn in (_CONSIDERED, _DRAWN):
        codes = plan.space.sample(drawn, rng)
        codes = codes[plan.admissible(codes)]
        if len(codes) >= networks:
            break
    return codes


def spread_out(features: NDArray[np.float64], count: int) -> list[int]:
    """Rows of features (networks, features) that are far from each other, by their numbers."""
    deviation = features.std(0)
    standard = (features - features.mean(0)) / np.where(deviation > 0, deviation, np.inf)
    chosen = [int(np.square(standard).sum(1).argmin())]
    nearest = np.square(standard - standard[chosen[0]]).sum(1)
    while len(chosen) < min(count, len(features)) and nearest.max() > 0:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.square(standard - standard[chosen[-1]]).sum(1))
    return chosen
