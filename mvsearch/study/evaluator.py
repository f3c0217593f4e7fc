"""The evaluation of a candidate: cheap metrics first, so that a constraint can prune it before expensive ones."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet, load
from mvsearch.errors import PlanError
from mvsearch.metrics.constraints import noise_interval, undecided_limits
from mvsearch.metrics.record import FULL, Metrics, mean_metrics
from mvsearch.proxies import load_proxy
from mvsearch.study.facts import device_fact
from mvsearch.study.plan import Plan
from mvsearch.study.plan_checks import located
from mvsearch.study.settings import in_proportion
from mvsearch.utils import machine_lock

if TYPE_CHECKING:
    from mvsearch.training.in_memory import TrainedInMemory

MAX_REPETITIONS = 3
"""Measurements of a candidate whose limit is within the noise of the first; after that it is kept."""

Report = Callable[..., None]
"""Called with `doing`, `done`, `of` and `share` as an evaluation progresses."""


class Evaluator:
    """Measures architectures on this machine as a plan describes."""

    def __init__(self, plan: Plan, *, device: str = "cpu", report: Report | None = None) -> None:
        self.plan, self.device = plan, device
        self.report: Report = report or (lambda **_: None)
        self.data = load_data(plan) if plan.needs_proxy else None
        self._measurements = plan.required_measurements()
        self._proxy_settings = plan.proxy_settings() if plan.needs_proxy else None
        self._measured: tuple[str, dict[str, Metrics]] = ("", {})
        """The key of the last architecture, and its measurements by name."""

    def facts(self) -> dict[str, Any]:
        """What the numbers depend on besides the plan: images, precision, the timed device, versions of the code."""
        facts: dict[str, Any] = {}
        versions: dict[str, int] = {}
        if self.plan.needs_proxy:
            versions["proxies"] = load_proxy(self.plan.proxy.name).version
        for name, measurement in self._measurements.items():
            if (version := measurement.version(self.plan.measurements[name])) is not None:
                versions[name] = version
        if versions:
            facts["code"] = ", ".join(f"{word} {version}" for word, version in versions.items())
        if self.data is not None:
            proxy, task, settings = load_proxy(self.plan.proxy.name), self.plan.space.head.task, self._proxy_settings
            facts["data"] = proxy.images_key(task, settings, self.data)
            if proxy.held_out is not None:
                facts["held_out"] = proxy.held_out(task, settings, self.data).words
            if proxy.weights is not None and (weights := proxy.weights(task, settings, self.data)):
                facts["weights"] = weights
            facts["precision"] = self._precision()
        return facts | {device_fact(name): device for name, device in measured_devices(self.plan).items()}

    def _precision(self) -> str:
        """The precision of trainings: the scores of a GPU and of a CPU do not belong into one study."""
        if self.device == "cpu":
            return FULL
        from mvsearch.training.loop import precision_name

        return precision_name(self.device)

    def __call__(
        self,
        arch: Architecture,
        *,
        rung: int | None = None,
        repeat: int = 0,
        target: Metrics | None = None,
        known: Mapping[str, Metrics] | None = None,
        only: str | None = None,
    ) -> Metrics:
        """The cost, the measurements and the scores of an architecture.

        With `rung` the training ends after so many steps; each `repeat` uses other seeds. Constraints on a score apply
        to full trainings only, not to rungs and repeats, and none to the network to beat: candidates may have to cost
        less. `target` are the metrics of that network, whose measured costs may be limits. `known` are metrics by the
        name of a measurement that is then not taken. With `only` the measurement of that name is all that is done, and
        no constraint is checked. Raises ConstraintViolated for a candidate that violates a constraint, EvaluationFailed
        for one that cannot be measured.
        """
        if target and self.plan.target:
            self.plan = replace(self.plan, target=replace(self.plan.target, metrics=target))
        if only is not None:
            return self._measure_once(arch, only)
        metrics: Metrics = arch.metrics()
        self._check_constraints(arch, metrics)
        untrained = [name for name, measurement in self._measurements.items() if not measurement.trained]
        for name in untrained if not repeat else ():
            metrics |= known[name] if known and name in known else self._measure_once(arch, name)
            self._check_constraints(arch, metrics)
        if self.data is not None:
            metrics |= self._measure_score(arch, self.data, rung, repeat)
            if rung is None and not repeat:
                self._check_constraints(arch, metrics)
        return metrics

    def _check_constraints(self, arch: Architecture, metrics: Metrics) -> None:
        if self.plan.target is None or arch.key != self.plan.target.arch.key:
            self.plan.check_constraints(metrics)

    def _measure_once(self, arch: Architecture, name: str) -> Metrics:
        """A measurement, which all rungs of a candidate share."""
        measured = self._measured_of(arch)
        if name not in measured:
            measured[name] = self._measure_decisively(arch, name)
        return measured[name]

    def _measured_of(self, arch: Architecture) -> dict[str, Metrics]:
        """What was measured of an architecture so far, by measurement."""
        if self._measured[0] != arch.key:
            self._measured = (arch.key, {})
        return self._measured[1]

    def _measure_decisively(self, arch: Architecture, name: str) -> Metrics:
        """A measurement, which is repeated while a limit is within its noise: the repetition with the least noise."""
        measurement, settings = self._measurements[name], self.plan.measurements[name]
        repetitions: list[Metrics] = []
        while not repetitions or (
            len(repetitions) < MAX_REPETITIONS and undecided_limits(self.plan.limits, repetitions[-1])
        ):
            again = f", repetition {len(repetitions)}" if repetitions else ""
            self.report(doing=f"{name}{again}")
            repetitions.append(measurement.measure(arch, settings, self.plan.required_metrics))
        return min(repetitions, key=self._noise)

    def _noise(self, metrics: Metrics) -> float:
        """The largest interval of a limited metric, as a share of the metric."""
        names = {limit.name for limit in self.plan.limits if limit.name in metrics}
        intervals = {name: noise_interval(name, metrics) for name in names}
        return max(((high - low) / max(high, 1e-12) for low, high in intervals.values()), default=0.0)

    def _measure_score(self, arch: Architecture, data: DataSet, rung: int | None, repeat: int) -> Metrics:
        """The proxy's scores, averaged over the plan's seeds; with two or more also their deviation (`top1_std`)."""
        settings = self._proxy_settings
        settings = replace(settings, steps=rung) if settings is not None and rung else settings
        settings = in_proportion(self.plan.space, arch.image_size, settings)
        seeds, scores, details = self.plan.proxy.seeds, [], Metrics()
        for i, seed in enumerate(range(repeat * seeds, (repeat + 1) * seeds)):
            doing = self.plan.proxy.name if seed == 0 and seeds == 1 else f"{self.plan.proxy.name}, seed {seed}"

            def progress(done: float, total: float | None, _step: str = "", /, i: int = i, doing: str = doing) -> None:
                share = {} if rung or not total else {"share": (i + done / total) / seeds}
                self.report(doing=doing, done=done, of=total, **share)

            with machine_lock.shared():
                score, network = self._train(arch, settings, data, seed=seed, progress=progress)
            if network is not None:
                of_network, details = self._measure_trained(arch, network, timed=not repeat)
                score |= of_network
            scores.append(score)
        return mean_metrics(scores) | details

    def _train(
        self, arch: Architecture, settings: Any, data: DataSet, **run: Any
    ) -> "tuple[Metrics, TrainedInMemory | None]":
        """The scores of an architecture, with the trained network if that is measured."""
        proxy = load_proxy(self.plan.proxy.name)
        if proxy.train is None or not any(each.trained for each in self._measurements.values()):
            return proxy.score(arch, settings, data, device=self.device, **run), None
        return proxy.train(arch, settings, data, device=self.device, **run)

    def _measure_trained(
        self, arch: Architecture, network: "TrainedInMemory", *, timed: bool
    ) -> tuple[Metrics, Metrics]:
        """The scores of a trained network; if `timed`, also what is measured once for all seeds and rungs."""
        scores, once = Metrics(), Metrics()
        for name, measurement in self._measurements.items():
            if not measurement.trained:
                continue
            measured, declared = self._measured_of(arch), {metric.name for metric in measurement.scores}
            first = timed and name not in measured
            self.report(doing=name)
            wanted = self.plan.required_metrics if first else declared
            found = measurement.measure_trained(network, self.plan.measurements[name], wanted)
            scores |= {key: value for key, value in found.items() if key in declared}
            if first:
                measured[name] = {key: value for key, value in found.items() if key not in declared}
            once |= measured[name] if timed else {}
        return scores, once


def measured_devices(plan: Plan) -> dict[str, str]:
    """The device of each measurement that a plan needs, where its numbers depend on one.

    Raises EnvironmentFault for a device that is not available, PlanError for a setting that it does not have.
    """
    devices = {}
    for name, measurement in plan.required_measurements().items():
        try:
            devices[name] = measurement.device(plan.measurements[name])
        except PlanError as error:
            raise located(plan, name, error) from None
    return {name: device for name, device in devices.items() if device is not None}


def load_data(plan: Plan, progress: Any = None) -> DataSet:
    """The images of the plan's proxy, which are downloaded and decoded first if necessary."""
    return load(
        plan.data.source,
        path=Path(plan.data.path) if plan.data.path else None,
        size=plan.data.size,
        test_fraction=plan.data.test_fraction,
        seed=plan.data.seed,
        task=plan.space.head.task,
        progress=progress,
    )
