"""What all backends share: a copy of the network, warm-up, the number of calls that fit the time limit, statistics."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from time import perf_counter, sleep
from typing import Any

import numpy as np
import torch
from torch import nn

from mvsearch.errors import PlanError
from mvsearch.metrics.record import Latency
from mvsearch.nn.fuse import fuse
from mvsearch.utils.progress import Progress, no_progress

WARM_CALLS = 5
WARM_S = 0.3
SETTLE_S = 0.01  # idle threads spin for a few milliseconds before they sleep
MIN_CALLS = 3  # timed however long they take: with fewer calls there is no spread


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What a latency depends on beside the network."""

    batch: int
    image_size: int
    threads: int
    precision: str
    backend: str
    device: str

    @property
    def on_cpu(self) -> bool:
        """Whether the network runs on the CPU."""
        return self.device.startswith("cpu")


def check(*, image_size: int, batch: int, repeats: int, threads: int) -> None:
    """Raises PlanError for numbers that cannot be measured, before a model is copied or the machine is waited for."""
    for name, value in {"image_size": image_size, "batch": batch, "repeats": repeats, "threads": threads}.items():
        if value < 1:
            raise PlanError(f"{name}={value} cannot be measured; use 1 or more.", at="latency")


def copy_with_images(
    model: nn.Module,
    image_size: int,
    batch: int,
    *,
    device: str,
    dtype: torch.dtype,
    memory_format: torch.memory_format,
    fused: bool = False,
) -> tuple[nn.Module, torch.Tensor]:
    """A copy of the model in eval mode, and images for it that do not use the global random state.

    With `fused` the copy is the one that `mvsearch.nn.fuse` returns, and both are channels last.
    """
    target: dict[str, Any] = {"device": device, "dtype": dtype}
    target["memory_format"] = torch.channels_last if fused else memory_format
    images = torch.rand(batch, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))
    return (fuse(model) if fused else deepcopy(model).eval()).to(**target), images.to(**target)


@contextmanager
def fixed_threads(threads: int) -> Iterator[None]:
    """Use this many torch threads, and restore the caller's number after."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def warm_up(
    call: Callable[[], object],
    *,
    limit_s: float,
    calls: int = WARM_CALLS,
    clock: Callable[[], float] = perf_counter,
) -> float:
    """Call until caches are filled and clocks have risen; the seconds of the fastest call."""
    begin, fastest, done = clock(), float("inf"), 0
    while done < 1 or ((done < calls or clock() - begin < WARM_S) and clock() - begin < limit_s):
        fastest, done = min(fastest, seconds_of(call, clock)), done + 1
    return fastest


def seconds_of(call: Callable[[], object], clock: Callable[[], float] = perf_counter) -> float:
    """How long one call takes."""
    begin = clock()
    call()
    return clock() - begin


def affordable(repeats: int, *, seconds: float, limit_s: float) -> int:
    """As many repeats of so many seconds as fit the time limit, but enough for a spread."""
    if seconds * repeats <= limit_s:
        return repeats
    return max(min(MIN_CALLS, repeats), int(limit_s / seconds))


@dataclass(frozen=True)
class InterleavedTimes:
    """The milliseconds of every call, by name, and how many rounds were planned: fewer are there after Ctrl-C."""

    times_ms: dict[str, list[float]]
    planned: int

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the rounds early."""
        return any(len(times) < self.planned for times in self.times_ms.values())


def interleave(
    calls: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    limit_s: float,
    seed: int = 0,
    settle: bool = False,
    warm_calls: int = WARM_CALLS,
    keep_partial: bool = False,
    progress: Progress = no_progress,
) -> InterleavedTimes:
    """Time calls side by side: all of them run in every round, and the order changes from round to round. So anything
    else that runs on the machine affects all calls alike.

    All calls are warmed up first; `limit_s` is the limit of all of them together. With `settle`, a call waits until the
    threads of the previous one sleep, and runs once untimed to wake its own. With `keep_partial`, Ctrl-C after a first
    round ends the rounds, and the complete ones are returned.
    """
    seconds = sum(warm_up(call, limit_s=limit_s / len(calls), calls=warm_calls) for call in calls.values())
    if settle:
        seconds = 2 * seconds + SETTLE_S * len(calls)
    order = list(calls)
    times_ms: dict[str, list[float]] = {name: [] for name in calls}
    shuffle = random.Random(seed).shuffle
    rounds = affordable(repeats, seconds=seconds, limit_s=limit_s)
    complete = 0
    try:
        for complete in range(rounds):
            progress(complete, rounds, "timing")
            shuffle(order)
            for name in order:
                if settle:
                    sleep(SETTLE_S)
                    calls[name]()
                times_ms[name].append(seconds_of(calls[name]) * 1e3)
    except KeyboardInterrupt:
        if not (keep_partial and complete):
            raise
        times_ms = {name: times[:complete] for name, times in times_ms.items()}
    return InterleavedTimes(times_ms, rounds)


def summarise(times_ms: Sequence[float], conditions: Conditions) -> Latency:
    """Median and spread of the times, with the conditions that they depend on."""
    p10, median, p90 = (float(value) for value in np.percentile(np.asarray(times_ms, dtype=float), [10, 50, 90]))
    return Latency(median_ms=median, p10_ms=p10, p90_ms=p90, repeats=len(times_ms), **asdict(conditions))
