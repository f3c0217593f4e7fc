"""The latency of one batch by a backend, with exclusive access to the machine; on request, throughput as well."""

from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import PlanError
from mvsearch.metrics.record import Metrics
from mvsearch.metrics.registry import LATENCY_MS, THROUGHPUT_IMAGES_S
from mvsearch.profiling.latency import LIMIT_S, LatencyBackend, TimingOptions, load_backend
from mvsearch.profiling.measurements import Measurement
from mvsearch.utils import machine, plugins

if TYPE_CHECKING:
    from torch import nn

_WITHOUT_EFFECT = ("timeout_s", "retries", "exclusive")
"""Settings that do not change what a latency is."""

_LATER = ("fused", "run", "format", "devices", "predict", "known")
"""Settings that older studies do not have."""

KNOWN_NETWORKS = 4
"""Networks that a known backend measures, as a multiple of those that latency is predicted from."""


@dataclass(frozen=True)
class LatencySettings:
    """`latency:` where and how latency is measured."""

    backend: str = "torch_cpu"
    """The runtime that is timed."""
    batch: int = 1
    """Images at a time."""
    repeats: int = 50
    """Timed rounds; fewer where they would take longer than 30 s."""
    threads: int = 1
    """CPU threads."""
    image_size: int | None = None
    """The side of the images in pixels; by default the space's."""
    throughput_batch: int = 0
    """If above 0, throughput is measured at this batch size as well."""
    precision: str = "fp32"
    """The precision of numbers, for backends that have others than fp32."""
    graph: bool = False
    """Replay a captured CUDA graph, for backends that have it."""
    fused: bool = False
    """Time the network that `mvsearch.nn.fuse` returns, for backends that have it."""
    run: str = ""
    """With `backend: command`, the command that measures a file on your device, e.g. `./measure.sh {file}`."""
    format: str = ""
    """The export format of the file that the command measures."""
    devices: tuple[str, ...] = ()
    """Names of devices that each measure every network, for `{device}` in the command; the slowest counts."""
    timeout_s: float = 300.0
    """The most seconds of one run of the command."""
    retries: int = 2
    """Further runs of a command that fails or differs by more than 10 %, and how often a slow device is waited for."""
    exclusive: bool = False
    """Nothing else uses this machine while the command runs: for a command that runs the network here."""

    predict: int | None = None
    """Measure this many networks, and predict the latency of others where a prediction decides as much."""
    known: tuple[str, ...] = ()
    """With `predict`, other backends to learn from: each measures four times as many networks on this machine first."""

    @property
    def options(self) -> TimingOptions:
        """How the network is run while it is timed."""
        return TimingOptions(
            **{each.name: getattr(self, each.name) for each in fields(TimingOptions) if hasattr(self, each.name)}
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
        from mvsearch.profiling.timing import seconds_of_rounds

        backend, size = load_backend(settings.backend), settings.image_size or arch.image_size
        arch = arch.deploy()
        if backend.remote:
            return _seconds_remote(backend, build(arch, seed=0), size, settings)
        clock = machine.clock_for("cpu" if backend.conditions(size, settings.options).on_cpu else "cuda")
        start = clock()
        batches, total = [settings.batch, *([settings.throughput_batch] if settings.throughput_batch else [])], 0.0
        for batch in batches:
            options = replace(settings.options, batch=batch)
            with (
                reference.prepare(backend.conditions(size, options)) as beside,
                backend.prepare(build(arch, seed=0), size, options) as call,
            ):
                total += clock() - start
                total += seconds_of_rounds(
                    (call, beside), repeats=settings.repeats, threads=settings.threads, limit_s=LIMIT_S, clock=clock
                )
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
        backend.check(settings.options)
        return backend.device(settings.options)

    def stored_settings(self, settings: LatencySettings, image_size: int) -> dict[str, Any]:
        """Those that the latency depends on; of the later ones only those that are set: older studies have none."""
        stored = super().stored_settings(settings, image_size)
        stored |= {"devices": list(settings.devices), "known": list(settings.known)}
        return {n: v for n, v in stored.items() if n not in _WITHOUT_EFFECT and (v or n not in _LATER)}


def _seconds_remote(backend: LatencyBackend, model: "nn.Module", size: int, settings: LatencySettings) -> float:
    """The processor time to write the file, and the time of the runs of the command, the reference's included."""
    from mvsearch.profiling.device_check import RUNS
    from mvsearch.profiling.timing import seconds_of

    clock = machine.clock_for("cpu")
    start = clock()
    with backend.prepare(model, size, settings.options) as call:
        return clock() - start + (RUNS + 1) * seconds_of(call)


MEASUREMENT: Measurement = Timing()
