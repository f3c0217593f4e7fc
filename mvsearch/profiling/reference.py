"""The reference network that is timed beside every other network, and its fastest known time on this machine.

Other processes slow a network down by two or three times: they take the processor away, and empty its caches. The
reference is slowed down alike, so the ratio of both in the same rounds hardly changes. Its fastest known time on this
machine turns the ratio into milliseconds again.

That time is kept in a file beside the lock files of the machine, so that all processes of a user share it. It only ever
falls, by at least `STEP`, so it is constant once the machine was quiet for a moment.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mvsearch.errors import EnvironmentFault
from mvsearch.utils import machine_lock
from mvsearch.utils.atomic_write import write_whole

if TYPE_CHECKING:
    from torch import nn

    from mvsearch.profiling.latency import Call, LatencyBackend, TimingOptions
    from mvsearch.profiling.timing import Conditions

NAME = "mobilevitv3_xxs"
IMAGE_SIZE = 128
TITLE = f"{NAME} at {IMAGE_SIZE} px"
STEP = 0.03


@dataclass(frozen=True)
class KnownTime:
    """The fastest known time of the reference; `quiet` if nothing else used the machine during a measurement of it."""

    ms: float
    quiet: bool

    def update(self, ms: float, *, quiet: bool) -> "KnownTime":
        """The known time after another measurement."""
        return KnownTime(ms if ms < self.ms * (1 - STEP) else self.ms, self.quiet or quiet)


@contextmanager
def prepare(conditions: "Conditions") -> "Iterator[Call]":
    """A call that runs one image through the reference, by eager PyTorch on the device of these conditions."""
    backend, options = _backend(conditions)
    with backend.prepare(network(), IMAGE_SIZE, options) as call:
        yield call


def describe(conditions: "Conditions") -> str:
    """The device of the reference, and how it is run there."""
    backend, options = _backend(conditions)
    return f"{backend.device(options)}, {options.precision}"


def _backend(conditions: "Conditions") -> "tuple[LatencyBackend, TimingOptions]":
    from mvsearch.profiling.latency import TimingOptions, load_backend

    if conditions.on_cpu:
        return load_backend("torch_cpu"), TimingOptions(threads=conditions.threads)
    return load_backend("torch_cuda"), TimingOptions(threads=conditions.threads, precision=conditions.precision)


@cache
def network() -> "nn.Module":
    """The reference with fresh weights; once a process."""
    from mvsearch.arch.published import published
    from mvsearch.nn import build

    return build(published(NAME), seed=0)


def known_time(conditions: str, measured_ms: float, *, quiet: bool) -> KnownTime:
    """The fastest known time under these conditions, this measurement included; it is stored if it is faster.

    A file that cannot be read or written is ignored: the measurement then stands alone.
    """
    path, key, known = times_file(), f"{TITLE}; {conditions}", KnownTime(measured_ms, quiet)
    with suppress(EnvironmentFault), machine_lock.named("reference"):
        times = _read(path)
        if before := times.get(key):
            known = before.update(measured_ms, quiet=quiet)
        if known != before:
            entries = {name: [time.ms, time.quiet] for name, time in {**times, key: known}.items()}
            write_whole(path, json.dumps(entries, indent=1).encode())
    return known


def _read(path: Path) -> dict[str, KnownTime]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {str(key): KnownTime(float(ms), bool(quiet)) for key, (ms, quiet) in entries.items() if ms > 0}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def times_file() -> Path:
    """The file of the fastest known times."""
    return Path(tempfile.gettempdir(), f"mvsearch-{machine_lock.user_name()}-reference.json")
