"""Networks and runtimes timed side by side: every pair of them takes its turn in every round."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import EnvironmentFault, PlanError
from mvsearch.export.formats import runtime
from mvsearch.export.runtime import Run
from mvsearch.export.verify import Job
from mvsearch.metrics.record import Latency
from mvsearch.nn import build
from mvsearch.profiling.latency import torch_cpu
from mvsearch.profiling.timing import check, interleaved, summarise
from mvsearch.utils import machine, machine_lock, plugins

EAGER = "torch_cpu"


@dataclass(frozen=True)
class Timed:
    """An architecture's latency on a backend, and that as a multiple of eager torch's, if it was timed as well."""

    arch: Architecture
    latency: Latency
    of_eager: float | None


def bench(
    archs: Sequence[Architecture],
    backends: Sequence[str],
    *,
    batch: int = 1,
    threads: int = 1,
    repeats: int = 50,
    limit_s: float = 30.0,
    say: Callable[[str], None],
    progress: Callable[[int, int], object] = lambda _done, _of: None,
) -> list[Timed]:
    """Time every architecture on every backend, in turns; a pair may take `limit_s` on average.

    `say` hears what is being done, and `progress` of every round before it begins.

    Raises PlanError for a backend that cannot be interleaved with others, EnvironmentFault for missing packages,
    EvaluationFailed for a network that the format of a backend does not support.
    """
    modules = backends_of(backends)
    for arch in archs:
        check(image_size=arch.image_size, batch=batch, repeats=repeats, threads=threads)
    pairs = {_key(i, name): (arch, name) for i, arch in enumerate(archs) for name in modules}
    with ExitStack() as stack:
        calls = {}
        for key, (arch, name) in pairs.items():
            say(f"making {arch.name or arch.key} ready for {name}")
            made = modules[name].ready(build(arch, seed=0), arch.image_size, batch=batch, threads=threads)
            calls[key] = stack.enter_context(made)
        say("warming up")
        stack.enter_context(machine_lock.exclusive())
        times_ms = interleaved(
            calls, repeats=repeats, limit_s=limit_s * len(calls), settle=threads > 1, progress=progress
        )

    def latency(i: int, name: str) -> Latency:
        return summarise(
            times_ms[_key(i, name)],
            batch=batch,
            image_size=archs[i].image_size,
            threads=threads,
            precision="fp32",
            backend=name,
            device=modules[name].device(threads=threads),
        )

    found = []
    for i, arch in enumerate(archs):
        rows = [latency(i, name) for name in modules]
        eager = next((row.median_ms for row in rows if row.backend == EAGER), None)
        found += [Timed(arch, row, eager and row.median_ms / eager) for row in rows]
    return found


def _key(i: int, backend: str) -> str:
    return f"{i} {backend}"


def backends_of(names: Sequence[str]) -> dict[str, ModuleType]:
    """The backends of these names, each one once; what one of them lacks is said of all at once."""
    modules = {name: plugins.load("latency_backend", name, error=PlanError) for name in names}
    for name, module in modules.items():
        if not hasattr(module, "ready"):
            raise PlanError(
                f"{name} cannot take turns with others; `mvsearch profile --latency --backend {name}` times it alone."
            )
    lacking = [found for module in modules.values() if hasattr(module, "missing") and (found := module.missing())[1]]
    if lacking:
        packages = ", ".join(package for _, each in lacking for package in each)
        extras = ",".join(extra for extra, _ in lacking)
        raise EnvironmentFault(
            f"missing packages: {packages}; pip install 'mvsearch[{extras}]' brings them, or choose with --backend."
        )
    return modules


def time_beside_eager(job: Job, run: Run, image: np.ndarray) -> tuple[Latency, Latency]:
    """One image in the file's runtime and in eager torch, one thread each, interleaved."""
    size = job.subject.arch.image_size
    with torch_cpu.ready(job.subject.model, size) as eager_call, machine_lock.exclusive():
        calls = {job.kind: lambda: run(image), "eager": eager_call}
        times_ms = interleaved(calls, repeats=50, limit_s=20.0)
    precision = "fp32" if job.calibration is None else "int8"

    def summary(name: str, backend: str, precision: str, device: str) -> Latency:
        times = times_ms[name]
        return summarise(
            times, batch=1, image_size=size, threads=1, precision=precision, backend=backend, device=device
        )

    device = f"cpu: {machine.cpu_name()}, {runtime(job.module)}, 1 thread"
    return summary(job.kind, job.kind, precision, device), summary("eager", "torch_cpu", "fp32", torch_cpu.device())
