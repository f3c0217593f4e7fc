"""The order in which a candidate is measured: cheap facts decide before costly ones are bought."""

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


class Evaluator:
    """Measures architectures as a plan says, on this machine; `report(doing=, done=, of=)` hears of progress."""

    def __init__(self, plan: Plan, *, device: str = "cpu", report: Report | None = None) -> None:
        self.plan, self.device = plan, device
        self.report: Report = report or (lambda **_: None)
        self.data = load_data(plan) if plan.needs_proxy else None
        self._measured: tuple[str, dict[str, Metrics]] = ("", {})

    def facts(self) -> dict[str, Any]:
        """What the numbers depend on beside the plan: the images, the precision of trainings, the device
        whose time is taken, the code of all."""
        facts: dict[str, Any] = {}
        used = {"proxies": plugins.load("proxy", self.plan.proxy.name)} if self.plan.needs_proxy else {}
        if self.plan.uses_metric("latency_ms"):
            used["latency"] = plugins.load("latency_backend", self.plan.latency.backend)
        if used:
            facts["code"] = ", ".join(f"{word} {module.VERSION}" for word, module in used.items())
        if self.data is not None:
            facts["data"] = f"{self.data.name} {self.data.checksum}"
            facts["precision"] = self._precision()
        if self.plan.uses_metric("latency_ms"):
            facts["device"] = latency_device(self.plan)
        return facts

    def _precision(self) -> str:
        """What trainings multiply in: scores of GPUs and of a CPU are not for one study."""
        if self.device == "cpu":
            return FULL
        from mvsearch.training.loop import precision_name

        return precision_name(self.device)

    def __call__(self, arch: Architecture, *, rung: int | None = None, repeat: int = 0) -> Metrics:
        """What an architecture costs, takes and scores: after `rung` steps, if given; repeats have further seeds.

        Limits on a score are for whole trainings, so no rung and no single repeat is held to them. Raises
        ConstraintViolated for a candidate over a limit, EvaluationFailed for one that cannot be measured.
        """
        metrics: Metrics = arch.metrics()
        self.plan.check_constraints(metrics)
        for doing, measure in self._measurements().items() if not repeat else ():
            metrics |= self._once(arch, doing, measure)
            self.plan.check_constraints(metrics)
        if self.data is not None:
            metrics |= self._proxy(arch, self.data, rung, repeat)
            if rung is None and not repeat:
                self.plan.check_constraints(metrics)
        return metrics

    def _measurements(self) -> dict[str, Callable[[Architecture], Metrics]]:
        """What is measured of an untrained network, cheap before costly."""
        found: dict[str, Callable[[Architecture], Metrics]] = {}
        if self.plan.uses_metric("memory_mib", "train_memory_mib"):
            found["memory"] = self._memory
        if self.plan.uses_metric("latency_ms"):
            found["latency"] = self._latency
        return found

    def _once(self, arch: Architecture, doing: str, measure: Callable[[Architecture], Metrics]) -> Metrics:
        """Once for all rungs of a candidate."""
        if self._measured[0] != arch.key:
            self._measured = (arch.key, {})
        if doing not in self._measured[1]:
            self.report(doing=doing)
            self._measured[1][doing] = measure(arch)
        return self._measured[1][doing]

    def _memory(self, arch: Architecture) -> Metrics:
        from mvsearch.profiling.memory import MIB, peak_bytes

        asked, size = self.plan.memory, self.plan.memory.image_size
        peaks = {}
        if self.plan.uses_metric("memory_mib"):
            peaks["memory_mib"] = peak_bytes(arch, batch=asked.batch, image_size=size) / MIB
        if self.plan.uses_metric("train_memory_mib"):
            peaks["train_memory_mib"] = peak_bytes(arch, batch=asked.train_batch, image_size=size, training=True) / MIB
        return peaks

    def _latency(self, arch: Architecture) -> Metrics:
        from mvsearch.nn import build

        backend = plugins.load("latency_backend", self.plan.latency.backend)
        options = _taken(backend.measure, self.plan.settings()["latency"])
        model = build(arch, seed=0)
        latency: Latency = backend.measure(model, **options)
        metrics = latency.metrics()
        if batch := self.plan.latency.throughput_batch:
            many: Latency = backend.measure(model, **{**options, "batch": batch})
            metrics |= {"throughput_images_s": many.images_s, "throughput_batch": batch}
        return metrics

    def _proxy(self, arch: Architecture, data: DataSet, rung: int | None, repeat: int) -> Metrics:
        """The score, averaged over the plan's seeds; with two or more, `top1_std` says how far it scatters."""
        proxy, settings = plugins.load("proxy", self.plan.proxy.name), self.plan.proxy_settings()
        settings = replace(settings, steps=rung) if rung else settings
        seeds, found = self.plan.proxy.seeds, []
        for seed in range(repeat * seeds, (repeat + 1) * seeds):
            doing = self.plan.proxy.name if seed == 0 and seeds == 1 else f"{self.plan.proxy.name}, seed {seed}"

            def progress(done: int, of: int, doing: str = doing) -> None:
                self.report(doing=doing, done=done, of=of)

            with machine_lock.shared():
                found.append(proxy.score(arch, settings, data, seed=seed, device=self.device, progress=progress))
        return averaged(found)


def latency_device(plan: Plan) -> str:
    """The device that a plan's latencies are taken on; raises EnvironmentFault if it is not there.

    Raises PlanError for a setting that the backend does not have, unless it is at its default.
    """
    backend = plugins.load("latency_backend", plan.latency.backend)
    settings = asdict(plan.latency)
    own = {"backend", "image_size", "throughput_batch"}
    accepted(backend, {n: v for n, v in settings.items() if n not in own and v != getattr(LatencySettings, n)})
    device: str = backend.device(**_taken(backend.device, settings))
    return device


def accepted(backend: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings, if the latency backend takes them all; else raises PlanError, naming the first that it does not."""
    for name in settings.keys() - _taken(backend.measure, settings).keys():
        raise PlanError(f"latency: {backend.__name__.rpartition('.')[2]} has no setting {name!r}; take it out.")
    return settings


def _taken(function: Callable[..., Any], settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that a function has parameters for."""
    return {name: value for name, value in settings.items() if name in inspect.signature(function).parameters}


def load_data(plan: Plan, progress: Any = None) -> DataSet:
    """The images that the plan's proxy sees, fetched and decoded first if they were not yet."""
    return load(
        plan.data.source,
        path=Path(plan.data.path) if plan.data.path else None,
        size=plan.data.size,
        test_fraction=plan.data.test_fraction,
        seed=plan.data.seed,
        task=plan.space.head.task,
        progress=progress,
    )
