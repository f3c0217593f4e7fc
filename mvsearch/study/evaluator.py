"""The evaluation of a candidate: cheap metrics first, so that a constraint can prune it before expensive ones."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet, load
from mvsearch.metrics.record import FULL, Metrics, averaged
from mvsearch.profiling.latency import TimingOptions, check_options, load_backend
from mvsearch.study.plan import Plan
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
        versions: dict[str, int] = {}
        if self.plan.needs_proxy:
            versions["proxies"] = plugins.load("proxy", self.plan.proxy.name).VERSION
        if self.plan.uses_metric("latency_ms"):
            versions["latency"] = load_backend(self.plan.latency.backend).version
        if versions:
            facts["code"] = ", ".join(f"{word} {version}" for word, version in versions.items())
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

        settings, options = self.plan.latency, timing_options(self.plan)
        backend, model = load_backend(settings.backend), build(arch, seed=0)
        size = self._settings["latency"]["image_size"]
        metrics = backend.measure(model, size, options, repeats=settings.repeats).metrics()
        if batch := settings.throughput_batch:
            latency = backend.measure(model, size, replace(options, batch=batch), repeats=settings.repeats)
            metrics |= {"throughput_images_s": latency.images_s, "throughput_batch": batch}
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
    backend, options = load_backend(plan.latency.backend), timing_options(plan)
    check_options(backend, options)
    return backend.device(options)


def timing_options(plan: Plan) -> TimingOptions:
    """How the plan's networks are run while they are timed."""
    settings = plan.latency
    return TimingOptions(
        batch=settings.batch,
        threads=settings.threads,
        precision=settings.precision,
        graph=settings.graph,
        fused=settings.fused,
    )


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
