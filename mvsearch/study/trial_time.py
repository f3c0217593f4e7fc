"""How long a trial takes, estimated before the first one.

two networks of the space, a few steps each, or the finished trials of the study
→ seconds = base + slope * MACs → the mean over the space; `time_left` estimates from it what is left of a study
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet
from mvsearch.metrics.record import EvaluationFailed
from mvsearch.profiling.measurements import Measurement, load_measurement
from mvsearch.profiling.measurements.latency import KNOWN_NETWORKS
from mvsearch.proxies import ScoreTime, load_proxy
from mvsearch.space.search_space import Codes
from mvsearch.study.latency_prediction import LATENCY, known_settings
from mvsearch.study.plan import Plan
from mvsearch.study.reader import Reader
from mvsearch.utils import machine, machine_lock
from mvsearch.utils.progress import no_progress
from mvsearch.utils.text import plural

if TYPE_CHECKING:
    from mvsearch.training.in_memory import TrainedInMemory

Floats = NDArray[np.float64]

_SAMPLE = 1000
"""Points of the space whose MACs are those of the candidates to come."""
_TIMED_SHARES = (0.25, 0.75)
"""Where among them, in the order of MACs, the two networks are that are timed."""
_OVERHEAD_MACS, _OVERHEAD_SIZE = 3e8, 256
"""What a network costs besides its MACs at this image size, as MACs: time grows more slowly than they do."""
_LEAST_TRIALS = 3
"""Finished trials of a study from which the others are estimated."""


@dataclass(frozen=True)
class TrialTime:
    """Seconds of a trial, `fixed_s` and `rate_s` for each unit of work, and how they are known.

    The work of a network is its MACs and `_OVERHEAD_MACS`. `low_s`, `mean_s` and `high_s` are the seconds of the
    candidates to come, of which a tenth are below and a tenth above. `unit` is that of the seconds, such as `CPU
    seconds`, each of which took `stretch` seconds on the wall. `measured_s` are those of measurements, which are in all
    others; `unknown` are the measurements that are in none of them. Where latency is predicted, `predicting_s` are the
    seconds of the networks that it is predicted from, which come on top; that of a trial is measured at most.
    """

    fixed_s: float
    rate_s: float
    overhead: float
    low_s: float
    mean_s: float
    high_s: float
    source: str
    unit: str
    measured_s: Mapping[str, float]
    stretch: float = 1.0
    unknown: tuple[str, ...] = ()
    predicting_s: float | None = None

    @classmethod
    def fit(
        cls,
        plan: Plan,
        macs: Floats,
        seconds: Floats,
        candidates: Floats,
        *,
        measured_s: Mapping[str, float],
        **words: Any,
    ) -> Self:
        """From the seconds of some networks without their measurements, for candidates with these MACs."""
        overhead, fixed_s = _OVERHEAD_MACS * (plan.space.image_size / _OVERHEAD_SIZE) ** 2, sum(measured_s.values())
        rate = float(seconds.sum() / (macs + overhead).sum())
        all_s = fixed_s + rate * (candidates + overhead)
        low, high = (float(value) for value in np.quantile(all_s, (0.1, 0.9)))
        return cls(fixed_s, rate, overhead, low, float(all_s.mean()), high, measured_s=measured_s, **words)

    def seconds(self, macs: float | None) -> float:
        """Those of a network with so many MACs at the image size of the space; the mean where they are not known."""
        return self.mean_s if macs is None else self.fixed_s + self.rate_s * (macs + self.overhead)


def estimate(plan: Plan, reader: Reader, data: DataSet | None, device: str) -> TrialTime | None:
    """How long a trial of an existing study takes here: from its own trials, otherwise from a few steps.

    None if trials are only computed, if none is left, if nothing of them can be timed, or if they run in processes of
    their own, whose limits would not hold here. Raises EvaluationFailed for a network that cannot be trained.
    """
    if reader.count() >= plan.search.trials or not (plan.needs_proxy or plan.required_measurements()):
        return None
    codes = _candidates(plan)
    macs = np.asarray(plan.space.costs(codes).macs, dtype=float)
    known = _from_trials(plan, reader, macs)
    if known is not None or plan.search.isolated:
        return known
    order = np.argsort(macs, kind="stable")
    timed = sorted({int(order[round(share * (len(order) - 1))]) for share in _TIMED_SHARES})
    archs = [plan.space.architecture(plan.space.point(codes[i])) for i in timed]
    trial = _from_steps(plan, archs, macs[timed], macs, data, device, first=not reader.count())
    return trial if trial.mean_s else None


def _from_steps(
    plan: Plan,
    archs: Sequence[Architecture],
    costs: Floats,
    macs: Floats,
    data: DataSet | None,
    device: str,
    *,
    first: bool,
) -> TrialTime:
    """The time of a trial from a few steps of networks with these costs; `first` if none is finished."""
    from mvsearch.profiling.timing import fixed_threads

    clock, stretch = machine.clock_for(device), 1.0
    with machine_lock.shared(), fixed_threads(1):
        start, wall_start = clock(), time.perf_counter()
        scores = [_time_score(plan, arch, data, device) if data is not None else ScoreTime(0.0) for arch in archs]
        if data is not None:
            stretch = max(1.0, (time.perf_counter() - wall_start) / max(clock() - start, 1e-3))
        measured = _measurement_seconds(plan, archs[-1], scores[-1].network, data)
        latency_s = measured[LATENCY] if plan.predicts_latency else None
        predicting_s = None if latency_s is None else first * _predicting_seconds(plan, archs[-1], latency_s)
    return TrialTime.fit(
        plan,
        costs,
        np.array([_score_seconds(plan, score) for score in scores]),
        macs,
        source=f"timed on {plural(len(archs), 'network')} of the space",
        unit="CPU seconds" if device == "cpu" else "seconds",
        measured_s={name: seconds for name, seconds in measured.items() if seconds is not None},
        stretch=stretch,
        unknown=tuple(name for name, seconds in measured.items() if seconds is None),
        predicting_s=predicting_s,
    )


def _candidates(plan: Plan) -> Codes:
    """Points of the space within the limits on static costs, or any points where hardly one is within them."""
    if plan.all_points is not None and len(plan.all_points):
        return plan.all_points
    codes = plan.space.sample(_SAMPLE, 0)
    within = codes[plan.admissible(codes)]
    return within if len(within) else codes


def _from_trials(plan: Plan, reader: Reader, macs: Floats) -> TrialTime | None:
    """The time of the study's own trials, if all were measured on this machine."""
    records = [r for r in reader.records() if r.state == "complete" and not r.cached and r.metrics.get("macs")]
    here = _without_gpus(machine.describe())
    if len(records) < _LEAST_TRIALS or any(_without_gpus(other) != here for other in reader.machines()):
        return None
    source = f"as in {len(records)} finished trials on this machine"
    costs, seconds = np.array([r.metrics["macs"] for r in records]), np.array([r.seconds for r in records])
    return TrialTime.fit(plan, costs, seconds, macs, measured_s={}, source=source, unit="seconds")


def _without_gpus(description: Mapping[str, Any]) -> dict[str, Any]:
    """The description of a machine whether torch was loaded or not: without it GPUs are not listed."""
    return {name: value for name, value in description.items() if name != "gpus"}


def _time_score(plan: Plan, arch: Architecture, data: DataSet, device: str) -> ScoreTime:
    """The seconds of one score with one seed."""
    proxy, settings = load_proxy(plan.proxy.name), plan.proxy_settings()
    if proxy.time is None:
        clock = machine.clock_for(device)
        start = clock()
        proxy.score(arch, settings, data, seed=0, device=device, progress=no_progress)
        return ScoreTime(clock() - start)
    return proxy.time(arch, settings, data, device)


def _trainings(plan: Plan) -> list[tuple[int, float]]:
    """The steps of the trainings of a trial, and how many there are on average.

    Each has all seeds, and a rung only the share of the trials that reach it.
    """
    steps = [*plan.proxy.rungs, getattr(plan.proxy_settings(), "steps", 0)]
    return [(number, plan.proxy.seeds * plan.proxy.keep**i) for i, number in enumerate(steps)]


def _score_seconds(plan: Plan, timed: ScoreTime) -> float:
    """The seconds of all scores of a trial."""
    return sum(count * (timed.fixed_s + timed.step_s * steps) for steps, count in _trainings(plan))


def _measurement_seconds(
    plan: Plan, arch: Architecture, network: "TrainedInMemory | None", data: DataSet | None
) -> dict[str, float | None]:
    """The seconds of each measurement in a trial; None for those that are not known."""
    seconds: dict[str, float | None] = {}
    for name, measurement in plan.required_measurements().items():
        settings, seconds[name] = plan.measurements[name], None
        with suppress(EvaluationFailed):  # of this network; others may be measured
            if not measurement.trained:
                seconds[name] = measurement.seconds(arch, settings)
            elif network is not None and data is not None:
                seconds[name] = _trained_seconds(plan, measurement, settings, network, data)
    return seconds


def _trained_seconds(
    plan: Plan, measurement: Measurement, settings: Any, network: "TrainedInMemory", data: DataSet
) -> float | None:
    """Those of a measurement of trained networks: of every seed and rung, and what is measured once."""
    proxy = load_proxy(plan.proxy.name)
    held_out = proxy.held_out(plan.space.head.task, plan.proxy_settings(), data).images if proxy.held_out else 0
    known = measurement.seconds_trained(network, settings, plan.required_metrics, held_out)
    if known is None:
        return None
    each_s, once_s = known
    return once_s + each_s * sum(count for _, count in _trainings(plan))


def _predicting_seconds(plan: Plan, arch: Architecture, latency_s: float) -> float:
    """The seconds of the networks that latency is predicted from: those of the design, and those of known backends."""
    latency, settings = load_measurement(LATENCY), plan.measurements[LATENCY]
    known_s = sum(latency.seconds(arch, known_settings(name, settings)) or 0.0 for name in settings.known)
    return float(settings.predict * (latency_s + KNOWN_NETWORKS * known_s))
