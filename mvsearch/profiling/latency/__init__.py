"""How long a network takes on a device: one file a backend, and the file's name is the backend's.

    profiling/latency/x.py
      BACKEND: LatencyBackend

What every backend promises, and a test asks of every file here:

* The latency comes with its spread (10th and 90th percentile) and with the number of rounds: fewer than `repeats`
  where these would take longer than `limit_s`.
* It is measured with exclusive access to the machine, after warm-up calls that are not counted.
* The caller's model and settings stay as they were: weights, mode, device, threads, random state.
* `device` is the same string for the same machine and software; two studies are compared only where it is the same. A
  backend that cannot run here raises `EnvironmentFault` from `device` and `measure`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Protocol

from mvsearch.errors import Location, PlanError
from mvsearch.utils import plugins
from mvsearch.utils.text import join_words

if TYPE_CHECKING:
    from torch import nn

    from mvsearch.metrics.record import Latency
    from mvsearch.profiling.timing import Conditions

Call = Callable[[], object]
"""Runs one batch, and returns once it is computed."""

REPEATS = 50
LIMIT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class TimingOptions:
    """How a network is run while it is timed: `batch` images at a time with `threads` CPU threads.

    `precision` is fp32, tf32, fp16 or bf16; `graph` replays a captured CUDA graph; `fused` runs the network that
    `mvsearch.nn.fuse` returns; `channels_last` is the memory format. `run` is the command that measures a file of the
    format `format` on a device, or on each of `devices`: it may take `timeout_s`, an odd run is repeated `retries`
    times, and with `exclusive` nothing else uses this machine meanwhile. A backend lists in `supports` those that it
    has, besides `batch` and `threads`.
    """

    batch: int = 1
    threads: int = 1
    precision: str = "fp32"
    graph: bool = False
    fused: bool = False
    channels_last: bool = True
    run: str = ""
    format: str = ""
    devices: tuple[str, ...] = ()
    timeout_s: float = 300.0
    retries: int = 2
    exclusive: bool = False


DEFAULT_OPTIONS = TimingOptions()


class LatencyBackend(Protocol):
    """Measures latency. `version` rises when the same options would give another latency.

    `side_by_side` is False for a backend that measures with a clock of its own, so that its latency cannot be compared
    with that of others in one table; `remote` is True where that is the clock of another device, and one call of
    `prepare` is one measurement there.
    """

    name: str
    version: int = 3
    supports: frozenset[str] = frozenset()
    side_by_side: bool = True
    remote: bool = False

    def device(self, options: TimingOptions = DEFAULT_OPTIONS) -> str:
        """The hardware and software that the latency depends on."""
        ...

    def prepare(
        self, model: "nn.Module", image_size: int, options: TimingOptions = DEFAULT_OPTIONS
    ) -> AbstractContextManager[Call]:
        """A context in which there is a call that runs one batch through a copy of the model."""
        ...

    def measure(
        self,
        model: "nn.Module",
        image_size: int,
        options: TimingOptions = DEFAULT_OPTIONS,
        *,
        repeats: int = REPEATS,
        limit_s: float = LIMIT_S,
    ) -> "Latency":
        """Time one batch with exclusive access to the machine. Warm-up calls are not counted."""
        ...

    def conditions(self, image_size: int, options: TimingOptions) -> "Conditions":
        """All that a latency of this backend depends on."""
        from mvsearch.profiling.timing import Conditions

        return Conditions(
            batch=options.batch,
            image_size=image_size,
            threads=options.threads,
            precision=options.precision,
            backend=self.name,
            device=self.device(options),
        )

    def check(self, options: TimingOptions) -> None:
        """Raises PlanError for options that cannot be measured; loads no torch."""
        check_options(self, options)

    def missing_packages(self) -> tuple[str | None, list[str]]:
        """The extra that brings the packages the backend needs, and those of them that are not installed."""
        return None, []


def backend_names() -> tuple[str, ...]:
    """The names of all backends, without importing any."""
    return plugins.names("latency_backend")


def load_backend(name: str) -> LatencyBackend:
    """The backend of a name; raises PlanError, with a suggestion, if there is none."""
    backend: LatencyBackend = plugins.load("latency_backend", name, error=PlanError).BACKEND
    return backend


def check_options(backend: LatencyBackend, options: TimingOptions) -> None:
    """Raises PlanError for the first option that is set and that the backend does not have."""
    for field in fields(TimingOptions):
        changed = getattr(options, field.name) != field.default
        if changed and field.name not in ("batch", "threads", *backend.supports):
            others = [name for name in backend_names() if field.name in load_backend(name).supports]
            cure = f"remove it, or use the backend {join_words(others, 'or')}"
            raise PlanError(f"{backend.name} has no such setting; {cure}.", at=Location(key=f"latency.{field.name}"))
