"""The one benchmark: networks timed side by side, whatever runs them.

Every case has a turn in every round, and the order changes from round to round. So anything else that runs on the
machine affects all cases alike, and the ratio of two latencies within a round carries over to machines of the same kind
where the latencies themselves do not.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean

import numpy as np
from torch import nn

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import EnvironmentFault, PlanError
from mvsearch.export.job import ExportJob
from mvsearch.export.runtime import Runner
from mvsearch.export.speed import Ratio, Speed
from mvsearch.metrics.record import Latency
from mvsearch.nn import build
from mvsearch.profiling import reference
from mvsearch.profiling.estimate import clock_times, estimate, interleave_precisely, median_interval
from mvsearch.profiling.latency import LIMIT_S, REPEATS, Call, LatencyBackend, TimingOptions, load_backend
from mvsearch.profiling.timing import WARM_CALLS, Conditions, check, seconds_of_rounds
from mvsearch.utils import machine, machine_lock
from mvsearch.utils.installation import install_hint
from mvsearch.utils.progress import Progress, no_progress

EAGER = "torch_cpu"


@dataclass(frozen=True)
class Case:
    """One row of a benchmark: a network, the `variant` of running it, and a context in which a call runs one batch."""

    network: str
    variant: str
    conditions: Conditions
    prepare: Callable[[], AbstractContextManager[Call]]


@dataclass(frozen=True)
class CaseTiming:
    """The latency of a case, and its time in each round on the clock that the latency was measured with."""

    network: str
    variant: str
    latency: Latency
    times_ms: list[float] = field(repr=False)

    @property
    def mean_ms(self) -> float:
        """The mean over the rounds, which the paper prints."""
        return fmean(self.times_ms)

    def ratio_to(self, other: "CaseTiming") -> tuple[float, float, float]:
        """This time over the other's in the same round: the median, and the 10th and 90th percentile."""
        ratios = np.divide(self.times_ms, other.times_ms)
        low, middle, high = (float(value) for value in np.percentile(ratios, [10, 50, 90]))
        return middle, low, high


@dataclass(frozen=True)
class BenchmarkResult:
    """The timings of all cases; `interrupted` tells that Ctrl-C ended the rounds early."""

    timings: list[CaseTiming]
    interrupted: bool

    @property
    def busy(self) -> bool:
        """Whether other processes disturbed the measurement."""
        return any(timing.latency.busy for timing in self.timings)

    @property
    def away(self) -> float | None:
        """The share of time in which other processes had the processor, where that is known (one CPU thread)."""
        share = self.timings[0].latency.cpu_share
        return None if share is None else 1 - share


def run_benchmark(
    cases: Sequence[Case],
    *,
    repeats: int = REPEATS,
    limit_s: float = LIMIT_S,
    warm_calls: int = WARM_CALLS,
    progress: Progress = no_progress,
) -> BenchmarkResult:
    """Time all cases, interleaved, with exclusive access to the machine; a case may take `limit_s` on average.

    Ctrl-C after the first round ends the rounds and keeps the complete ones. Raises PlanError for what cannot be
    measured.
    """
    for case in cases:
        limits = case.conditions
        check(image_size=limits.image_size, batch=limits.batch, repeats=repeats, threads=limits.threads)
    conditions = {str(i): case.conditions for i, case in enumerate(cases)}
    with ExitStack() as stack:
        beside, calls = stack.enter_context(reference.prepare(cases[0].conditions)), {}
        for i, case in enumerate(cases):
            progress(0, None, f"preparing {case.network} for {case.variant}, batch {case.conditions.batch}")
            calls[str(i)] = stack.enter_context(case.prepare())
        stack.enter_context(machine_lock.exclusive())
        progress(0, None, "warming up")
        times = interleave_precisely(
            calls,
            conditions,
            beside=beside,
            repeats=repeats,
            limit_s=limit_s * len(calls),
            settle=any(case.conditions.threads > 1 and case.conditions.on_cpu for case in cases),
            warm_calls=warm_calls,
            keep_partial=True,
            progress=progress,
        )
    latencies, clock = estimate(times, conditions), clock_times(times, list(conditions.values()))
    timings = [CaseTiming(case.network, case.variant, latencies[str(i)], clock[str(i)]) for i, case in enumerate(cases)]
    return BenchmarkResult(timings, times.interrupted)


def backend_case(
    network: str, model: nn.Module, image_size: int, backend: LatencyBackend, options: TimingOptions, *, variant: str
) -> Case:
    """A network on a latency backend."""
    conditions = backend.conditions(image_size, options)
    return Case(network, variant, conditions, lambda: backend.prepare(model, image_size, options))


# Architectures on several backends


@dataclass(frozen=True)
class ArchitectureTiming:
    """An architecture's latency on a backend, and its ratio to eager PyTorch's where that was timed as well."""

    arch: Architecture
    latency: Latency
    ratio_to_eager: float | None


def benchmark_architectures(
    archs: Sequence[Architecture],
    backends: Sequence[str],
    options: TimingOptions,
    *,
    repeats: int = REPEATS,
    progress: Progress = no_progress,
) -> list[ArchitectureTiming]:
    """Time every architecture on every backend, interleaved; on remote backends, one after the other.

    The weights are fresh, since they do not affect latency. Raises PlanError for a backend that cannot be interleaved,
    EnvironmentFault for missing packages, EvaluationFailed for a network that the format of a backend does not support,
    KeyboardInterrupt for Ctrl-C.
    """
    loaded = benchmark_backends(backends, options)
    models = [(arch, build(arch.deploy(), seed=0)) for arch in archs]
    latencies: dict[tuple[int, str], Latency] = {}
    for i, (arch, model) in enumerate(models):
        for backend in (each for each in loaded if each.remote):
            progress(i, len(models), f"measuring {arch.name or arch.key} by {backend.name}")
            latencies[i, backend.name] = backend.measure(model, arch.image_size, options, repeats=repeats)
    here = TimingOptions(batch=options.batch, threads=options.threads)
    cases = {
        (i, backend.name): backend_case(
            str(arch.name or arch.key), model, arch.image_size, backend, here, variant=backend.name
        )
        for i, (arch, model) in enumerate(models)
        for backend in loaded
        if not backend.remote
    }
    if cases:
        result = run_benchmark([*cases.values()], repeats=repeats, progress=progress)
        if result.interrupted:
            raise KeyboardInterrupt
        latencies |= {key: timing.latency for key, timing in zip(cases, result.timings, strict=True)}
    return [_compare(arch, i, backend, latencies) for i, arch in enumerate(archs) for backend in loaded]


def _compare(
    arch: Architecture, i: int, backend: LatencyBackend, latencies: dict[tuple[int, str], Latency]
) -> ArchitectureTiming:
    """A latency, with its ratio to eager PyTorch's on the same machine."""
    latency, eager = latencies[i, backend.name], latencies.get((i, EAGER))
    ratio = latency.median_ms / eager.median_ms if eager and not backend.remote else None
    return ArchitectureTiming(arch, latency, ratio)


def benchmark_backends(names: Sequence[str], options: TimingOptions) -> list[LatencyBackend]:
    """The backends of these names, each once. One EnvironmentFault names the missing packages of all of them.

    The options of a command are those of the remote ones; raises PlanError where there is none.
    """
    backends = [load_backend(name) for name in dict.fromkeys(names)]
    for backend in remote if (remote := [each for each in backends if each.remote]) else backends:
        backend.check(options)
    for backend in backends:
        if not (backend.side_by_side or backend.remote):
            raise PlanError(
                f"{backend.name} cannot be interleaved with others; use `mvsearch profile --latency --backend "
                f"{backend.name}`."
            )
    missing = [entry for entry in (backend.missing_packages() for backend in backends) if entry[1]]
    if missing:
        packages = ", ".join(package for _, names in missing for package in names)
        hint = install_hint(*(extra for extra, _ in missing if extra))
        raise EnvironmentFault(
            f"missing packages: {packages}; install them with `{hint}`, or choose others with --backend."
        )
    return backends


# Exported files


def time_file(job: ExportJob, run: Runner, image: np.ndarray, repeats: int, threads: int) -> Latency:
    """The latency of one image in a file of a job with so many threads.

    Raises KeyboardInterrupt for Ctrl-C.
    """
    result = run_benchmark([_file_case(job, image, run, job.precision, threads)], repeats=repeats)
    if result.interrupted:
        raise KeyboardInterrupt
    return result.timings[0].latency


def seconds_to_time_file(job: ExportJob, run: Runner, image: np.ndarray, repeats: int, threads: int) -> float:
    """About how much processor time `time_file` takes."""
    case = _file_case(job, image, run, job.precision, threads)
    with reference.prepare(case.conditions) as beside, case.prepare() as call:
        return seconds_of_rounds(
            (call, beside), repeats=repeats, threads=threads, limit_s=LIMIT_S, clock=machine.clock_for("cpu")
        )


def _file_case(job: ExportJob, image: np.ndarray, run: Runner, precision: str, threads: int = 1) -> Case:
    """One image in a file of a job, which `run` runs."""
    name = job.format.name
    conditions = Conditions(
        batch=1,
        image_size=job.export_model.arch.image_size,
        threads=threads,
        precision=precision,
        backend=name,
        device=machine.describe_cpu(job.runtime.version, threads),
        in_process=job.runtime.in_process,
    )
    return Case("network", f"{name} {precision}", conditions, lambda: nullcontext(lambda: run(image)))


def time_exported(job: ExportJob, run: Runner, run_float32: Runner | None, image: np.ndarray) -> Speed:
    """Times one image in the file, in eager PyTorch and in the float32 file beside an int8 one.

    All run with one thread each, interleaved.
    """
    size = job.export_model.arch.image_size
    case = partial(_file_case, job, image)
    eager = backend_case("network", job.export_model.model, size, load_backend(EAGER), TimingOptions(), variant="eager")
    cases = [case(run, "int8" if run_float32 else "fp32"), eager]
    if run_float32:
        cases.append(case(run_float32, "fp32"))
    result = run_benchmark(cases, limit_s=10.0)
    if result.interrupted:
        raise KeyboardInterrupt
    file, beside, *float32 = result.timings
    if not float32:
        return Speed(file.latency, beside.latency)
    interval = median_interval(np.divide(file.times_ms, float32[0].times_ms))
    ratio = Ratio(interval.low, interval.middle, interval.high)
    return Speed(file.latency, beside.latency, float32[0].latency, ratio)
