"""The evaluation of a candidate: cheap metrics first, so that a constraint can prune it before expensive ones."""

import inspect
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet, load
from mvsearch.errors import PlanError
from mvsearch.metrics.record import FULL, Latency, Metrics, averaged
from mvsearch.study.plan import LatencySettings, Plan
from mvsearch.utils import machine_lock, plugins

Report = Callable[..., None]
"""Called with `doing`, `done` and `of` as an evaluation progresses."""

_MEASUREMENTS = {"memory": ("memory_mib", "train_memory_mib"), "latency": ("latency_ms",)}
"""What is measured of an untrained network, cheap before expensive, and the metrics that need it."""


class Evaluator:
    """Measures architectures on this machine as a plan describes."""

    def __init__(self, plan: Plan, *, device: str = "cpu", report: Report | None = None) -> None:
        self.plan, self.device = plan, device
        self.report: Report = report or (lambda **_: None)
        self.data = load_data(plan) if plan.needs_proxy else None
        self._settings = plan.settings()
        self._proxy_settings = plan.proxy_settings() if plan.needs_proxy else None
        self._measured: tuple[str, dict[str, Metrics]] = ("", {})
        """The key of the last architecture, and its measurements by name."""

    def facts(self) -> dict[str, Any]:
        """What the numbers depend on besides the plan: images, precision, the timed device, versions of the code."""
        facts: dict[str, Any] = {}
        modules = {"proxies": plugins.load("proxy", self.plan.proxy.name)} if self.plan.needs_proxy else {}
        if self.plan.uses_metric("latency_ms"):
            modules["latency"] = plugins.load("latency_backend", self.plan.latency.backend)
        if modules:
            facts["code"] = ", ".join(f"{kind} {module.VERSION}" for kind, module in modules.items())
        if self.data is not None:
            facts["data"] = f"{self.data.name} {self.data.checksum}"
            facts["precision"] = self._precision()
        if self.plan.uses_metric("latency_ms"):
            facts["device"] = latency_device(self.plan)
        return facts

    def _precision(self) -> str:
        """The precision of trainings: the scores of a GPU and of a CPU do not belong into one study."""
        if self.device == "cpu":
            return FULL
        from mvsearch.training.loop import precision_name

        return precision_name(self.device)

    def __call__(self, arch: Architecture, *, rung: int | None = None, repeat: int = 0) -> Metrics:
        """The cost, the measurements and the scores of an architecture.

        With `rung` the training ends after so many steps; each `repeat` uses other seeds. Constraints on a score apply
        to full trainings only, not to rungs and repeats. Raises ConstraintViolated for a candidate that violates a
        constraint, EvaluationFailed for one that cannot be measured.
        """
        metrics: Metrics = arch.metrics()
        self.plan.check_constraints(metrics)
        for name, metric_names in _MEASUREMENTS.items() if not repeat else ():
            if self.plan.uses_metric(*metric_names):
                metrics |= self._measure_once(arch, name)
                self.plan.check_constraints(metrics)
        if self.data is not None:
            metrics |= self._measure_score(arch, self.data, rung, repeat)
            if rung is None and not repeat:
                self.plan.check_constraints(metrics)
        return metrics

    def _measure_once(self, arch: Architecture, name: str) -> Metrics:
        """A measurement, which all rungs of a candidate share."""
        if self._measured[0] != arch.key:
            self._measured = (arch.key, {})
        measurements = self._measured[1]
        if name not in measurements:
            self.report(doing=name)
            measure = {"memory": self._measure_memory, "latency": self._measure_latency}[name]
            measurements[name] = measure(arch)
        return measurements[name]

    def _measure_memory(self, arch: Architecture) -> Metrics:
        from mvsearch.profiling.memory import MIB, peak_bytes

        settings, size = self.plan.memory, self.plan.memory.image_size
        peaks = {}
        if self.plan.uses_metric("memory_mib"):
            peaks["memory_mib"] = peak_bytes(arch, batch=settings.batch, image_size=size) / MIB
        if self.plan.uses_metric("train_memory_mib"):
            peak = peak_bytes(arch, batch=settings.train_batch, image_size=size, training=True)
            peaks["train_memory_mib"] = peak / MIB
        return peaks

    def _measure_latency(self, arch: Architecture) -> Metrics:
        from mvsearch.nn import build

        backend = plugins.load("latency_backend", self.plan.latency.backend)
        options = _select_accepted(backend.measure, self._settings["latency"])
        model = build(arch, seed=0)
        latency: Latency = backend.measure(model, **options)
        metrics = latency.metrics()
        if batch := self.plan.latency.throughput_batch:
            throughput: Latency = backend.measure(model, **{**options, "batch": batch})
            metrics |= {"throughput_images_s": throughput.images_s, "throughput_batch": batch}
        return metrics

    def _measure_score(self, arch: Architecture, data: DataSet, rung: int | None, repeat: int) -> Metrics:
        """The proxy's scores, averaged over the plan's seeds; with two or more also their deviation (`top1_std`)."""
        proxy, settings = plugins.load("proxy", self.plan.proxy.name), self._proxy_settings
        settings = replace(settings, steps=rung) if settings is not None and rung else settings
        seeds, scores = self.plan.proxy.seeds, []
        for seed in range(repeat * seeds, (repeat + 1) * seeds):
            doing = self.plan.proxy.name if seed == 0 and seeds == 1 else f"{self.plan.proxy.name}, seed {seed}"

            def progress(done: float, total: float | None, _step: str = "", /, doing: str = doing) -> None:
                self.report(doing=doing, done=done, of=total)

            with machine_lock.shared():
                scores.append(proxy.score(arch, settings, data, seed=seed, device=self.device, progress=progress))
        return averaged(scores)


def latency_device(plan: Plan) -> str:
    """The device that a plan's latencies are measured on; raises EnvironmentFault if it is not available.

    Raises PlanError for a setting that the backend does not have, unless it has its default value.
    """
    backend = plugins.load("latency_backend", plan.latency.backend)
    settings = asdict(plan.latency)
    own = {"backend", "image_size", "throughput_batch"}
    check_accepted(backend, {n: v for n, v in settings.items() if n not in own and v != getattr(LatencySettings, n)})
    device: str = backend.device(**_select_accepted(backend.device, settings))
    return device


def check_accepted(backend: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings, if the latency backend accepts all of them; otherwise raises PlanError with the first that it does
    not."""
    for name in settings.keys() - _select_accepted(backend.measure, settings).keys():
        backend_name = backend.__name__.rpartition(".")[2]
        raise PlanError(f"latency: the backend {backend_name} has no setting {name!r}; remove it.")
    return settings


def _select_accepted(function: Callable[..., Any], settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that a function has parameters for."""
    return {name: value for name, value in settings.items() if name in inspect.signature(function).parameters}


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
