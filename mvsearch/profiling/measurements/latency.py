"""The latency of one batch by a backend, with exclusive access to the machine; on request, throughput as well."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import PlanError
from mvsearch.metrics.record import Metrics
from mvsearch.metrics.registry import LATENCY_MS, THROUGHPUT_IMAGES_S
from mvsearch.profiling.latency import LIMIT_S, TimingOptions, check_options, load_backend
from mvsearch.profiling.measurements import Measurement
from mvsearch.utils import machine, plugins

_TIMED_CALLS = 3
"""Calls from which it is told how long a measurement takes; the fastest counts."""


@dataclass(frozen=True)
class LatencySettings:
    """`latency:` where and how latency is measured."""

    backend: str = "torch_cpu"
    """The runtime that is timed."""
    batch: int = 1
    """Images at a time."""
    repeats: int = 50
    """Timed calls; fewer where they would take longer than 30 s."""
    threads: int = 1
    """CPU threads."""
    image_size: int | None = None
    """The side of the images in pixels; by default the space's."""
    throughput_batch: int = 0
    """If above 0, images a second are measured at this batch as well."""
    precision: str = "fp32"
    """The precision of numbers, for backends that have others than fp32."""
    graph: bool = False
    """Replay a captured CUDA graph, for backends that have it."""
    fused: bool = False
    """Time the network that `mvsearch.nn.fuse` returns, for backends that have it."""

    @property
    def options(self) -> TimingOptions:
        """How the network is run while it is timed."""
        return TimingOptions(
            batch=self.batch, threads=self.threads, precision=self.precision, graph=self.graph, fused=self.fused
        )


class Timing(Measurement):
    """Times a network with random weights."""

    metrics = (LATENCY_MS, THROUGHPUT_IMAGES_S)
    settings_type = LatencySettings
    positive = ("batch", "repeats", "threads")
    exclusive = True

    def measure(self, arch: Architecture, settings: LatencySettings, _wanted: Collection[str]) -> Metrics:
        """Median and spread, with all that they depend on."""
        from mvsearch.nn import build

        backend, model = load_backend(settings.backend), build(arch.deploy(), seed=0)
        size = settings.image_size or arch.image_size
        metrics = backend.measure(model, size, settings.options, repeats=settings.repeats).metrics()
        if batch := settings.throughput_batch:
            options = replace(settings.options, batch=batch)
            latency = backend.measure(model, size, options, repeats=settings.repeats)
            metrics |= {"throughput_images_s": latency.images_s, "throughput_batch": batch}
        return metrics

    def seconds(self, arch: Architecture, settings: LatencySettings) -> float:
        """The time to prepare the network, and that of its calls and of as many of the reference, from a few of each.

        On a CPU it is processor time. Repetitions of measurements that are not precise are not counted.
        """
        from mvsearch.nn import build
        from mvsearch.profiling import reference
        from mvsearch.profiling.timing import WARM_S, seconds_of

        backend, size = load_backend(settings.backend), settings.image_size or arch.image_size
        clock = machine.clock_for("cpu" if backend.conditions(size, settings.options).on_cpu else "cuda")
        start = clock()
        batches, total = [settings.batch, *([settings.throughput_batch] if settings.throughput_batch else [])], 0.0
        for batch in batches:
            options = replace(settings.options, batch=batch)
            with (
                reference.prepare(backend.conditions(size, options)) as beside,
                backend.prepare(build(arch, seed=0), size, options) as call,
            ):
                prepared_s = clock() - start
                round_s = sum(min(seconds_of(each, clock) for _ in range(_TIMED_CALLS)) for each in (call, beside))
            waking = 2 if settings.threads > 1 else 1  # each call once untimed
            total += prepared_s + WARM_S + min(LIMIT_S, settings.repeats * waking * round_s)
            start = clock()
        return total

    def check(self, settings: LatencySettings) -> None:
        """Raises PlanError for an unknown backend."""
        plugins.check("latency_backend", settings.backend, error=PlanError)

    def version(self, settings: LatencySettings) -> int:
        """The backend's."""
        return load_backend(settings.backend).version

    def device(self, settings: LatencySettings) -> str:
        """The backend's; raises PlanError for a setting that it does not have, unless it has its default value."""
        backend = load_backend(settings.backend)
        check_options(backend, settings.options)
        return backend.device(settings.options)

    def stored_settings(self, settings: LatencySettings, image_size: int) -> dict[str, Any]:
        """All of them; `fused` only where it is set, because older studies do not have it."""
        stored = super().stored_settings(settings, image_size)
        return {name: value for name, value in stored.items() if name != "fused" or value}


MEASUREMENT: Measurement = Timing()
