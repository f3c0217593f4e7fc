"""What all backends share: a copy of the network, warm-up, the number of calls that fit the time limit, statistics."""

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from time import perf_counter, process_time, sleep
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mvsearch.errors import PlanError
from mvsearch.metrics.record import Latency
from mvsearch.nn.fuse import fuse
from mvsearch.utils.cpu_usage import CpuMeter, CpuUsage
from mvsearch.utils.progress import Progress, no_progress

WARM_CALLS = 5
WARM_S = 0.3
SETTLE_S = 0.01  # idle threads spin for a few milliseconds before they sleep
COLD_S = 0.02  # shorter calls run once untimed: after another network a first call takes half a millisecond longer
SAMPLE_S = 0.005  # shorter calls are timed several at once
SHORTEST_S = 5e-5  # no network is faster
_REFERENCE = ""  # a name that no call has
LARGEST_KEPT_BLOCK = 31 * 2**20  # bytes; glibc keeps no blocks above 32 MiB
_TIMED_CALLS = 3  # from which it is told how long more of them take; the fastest counts
MIN_CALLS = 3  # timed however long they take: with fewer calls there is no spread


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What a latency depends on beside the network.

    Where it does not run `in_process`, the processor time of this process says nothing about it.
    """

    batch: int
    image_size: int
    threads: int
    precision: str
    backend: str
    device: str
    in_process: bool = True

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


def settle_allocator() -> None:
    """Bring the C library's allocator into the state that it has after a large network ran.

    glibc maps a large block into memory at each allocation, with a page fault for every 4 KiB, until a block of that
    size was freed once: then it keeps them. Without this, eager MobileViTv3-XXS has 3,300 page faults in a call and
    takes 1.4 times as long as in a process that ran MobileViTv3-XS before.
    """
    torch.empty(LARGEST_KEPT_BLOCK, dtype=torch.uint8).fill_(0)


def warm_up(
    call: Callable[[], object],
    *,
    limit_s: float,
    calls: int = WARM_CALLS,
    warm_s: float = WARM_S,
    clock: Callable[[], float] = perf_counter,
) -> float:
    """Call until caches are filled and clocks have risen; the seconds of the fastest call."""
    begin, fastest, done = clock(), float("inf"), 0
    while done < 1 or ((done < calls or clock() - begin < warm_s) and clock() - begin < limit_s):
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


def seconds_of_rounds(
    calls: Sequence[Callable[[], object]], *, repeats: int, threads: int, limit_s: float, clock: Callable[[], float]
) -> float:
    """About how long it takes to warm up and to call each of these in turn so often, from a few calls of each.

    `clock` counts the processor time of all threads.
    """
    fastest = [min(seconds_of(call, clock) for _ in range(_TIMED_CALLS)) for call in calls]
    round_s = sum(Turn.of(seconds / threads, settle=threads > 1).calls * seconds for seconds in fastest)
    return len(calls) * WARM_S + min(limit_s, repeats * round_s)


@dataclass(frozen=True)
class Turn:
    """The calls of a network in a round: `untimed` ones fill the caches and wake its threads, `timed` ones follow."""

    untimed: int
    timed: int

    @classmethod
    def of(cls, seconds: float, *, settle: bool = False) -> "Turn":
        """For calls of so many seconds. With `settle`, threads sleep before a turn."""
        return cls(int(settle or seconds < COLD_S), math.ceil(SAMPLE_S / max(seconds, SHORTEST_S)))

    @property
    def calls(self) -> int:
        """All of them."""
        return self.untimed + self.timed


@dataclass(frozen=True)
class InterleavedTimes:
    """The milliseconds of every call by name, on the clock on the wall and of processor time of this process: of short
    calls the means of several. `turns` are how each was called in a round.

    `reference_ms` and `reference_cpu_ms` are those of the reference in the same rounds, empty without one. `planned` is
    the number of rounds that were planned: fewer are there after Ctrl-C. `usage` is that of the machine meanwhile,
    `clock` what `times_ms` was measured with.
    """

    times_ms: dict[str, list[float]]
    planned: int
    turns: Mapping[str, Turn] = field(default_factory=dict)
    cpu_ms: dict[str, list[float]] = field(default_factory=dict)
    reference_ms: list[float] = field(default_factory=list)
    reference_cpu_ms: list[float] = field(default_factory=list)
    usage: CpuUsage | None = None
    clock: str = "wall time"

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the rounds early."""
        return any(len(times) < self.planned for times in self.times_ms.values())


def interleave(
    calls: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    limit_s: float,
    reference: Callable[[], object] | None = None,
    seed: int = 0,
    settle: bool = False,
    warm_calls: int = WARM_CALLS,
    warm_s: float = WARM_S,
    turns: Mapping[str, Turn] | None = None,
    keep_partial: bool = False,
    progress: Progress = no_progress,
) -> InterleavedTimes:
    """Time calls side by side: all of them and the reference run in every round, and the order changes from round to
    round. So anything else that runs on the machine affects all calls alike.

    All calls are warmed up first; `limit_s` is the limit of all of them together. A call shorter than `COLD_S` runs
    once untimed, because the network before it used the caches; one shorter than `SAMPLE_S` is timed several times in a
    row; `turns` are those of earlier rounds. With `settle`, a call waits until the threads of the previous one sleep,
    and runs once untimed to wake its own. With `keep_partial`, Ctrl-C after a first round ends the rounds, and the
    complete ones are returned.
    """
    share_s, deadline = limit_s / len(calls), perf_counter() + limit_s
    everything = {**calls} if reference is None else {**calls, _REFERENCE: reference}
    seconds = {n: warm_up(call, limit_s=share_s, calls=warm_calls, warm_s=warm_s) for n, call in everything.items()}
    turns = turns or {name: Turn.of(each, settle=settle) for name, each in seconds.items()}
    round_s = sum(turns[name].calls * each + SETTLE_S * settle for name, each in seconds.items())
    meter = CpuMeter()
    rounds = _Rounds(everything, turns, affordable(repeats, seconds=round_s, limit_s=limit_s), deadline, settle)
    rounds.run(random.Random(seed), keep_partial=keep_partial, progress=progress)
    return InterleavedTimes(
        times_ms={name: rounds.times_ms[name] for name in calls},
        planned=rounds.planned,
        turns=turns,
        cpu_ms={name: rounds.cpu_ms[name] for name in calls},
        reference_ms=rounds.times_ms.get(_REFERENCE, []),
        reference_cpu_ms=rounds.cpu_ms.get(_REFERENCE, []),
        usage=meter.read(),
    )


class _Rounds:
    """The rounds of calls, and the milliseconds of each call in the complete ones. After the deadline there are no
    more than `MIN_CALLS`."""

    def __init__(
        self,
        calls: Mapping[str, Callable[[], object]],
        turns: Mapping[str, Turn],
        planned: int,
        deadline: float,
        settle: bool,
    ) -> None:
        self.calls, self.planned, self._turns, self._deadline, self._settle = calls, planned, turns, deadline, settle
        self.times_ms: dict[str, list[float]] = {name: [] for name in calls}
        self.cpu_ms: dict[str, list[float]] = {name: [] for name in calls}

    def run(self, rng: random.Random, *, keep_partial: bool, progress: Progress) -> None:
        """Time all rounds; with `keep_partial`, Ctrl-C after the first keeps the complete ones."""
        order, complete, planned = list(self.calls), 0, self.planned
        try:
            for complete in range(planned):
                if complete >= MIN_CALLS and perf_counter() > self._deadline:
                    self.planned = complete
                    break
                progress(complete, planned, "timing")
                rng.shuffle(order)
                for name in order:
                    self._time(name)
        except KeyboardInterrupt:
            if not (keep_partial and complete):
                raise
            for times in (*self.times_ms.values(), *self.cpu_ms.values()):
                del times[complete:]

    def _time(self, name: str) -> None:
        call, turn = self.calls[name], self._turns[name]
        if self._settle:
            sleep(SETTLE_S)
        for _ in range(turn.untimed):
            call()
        begin = process_time()
        wall_s = sum(seconds_of(call) for _ in range(turn.timed))
        self.cpu_ms[name].append((process_time() - begin) / turn.timed * 1e3)
        self.times_ms[name].append(wall_s / turn.timed * 1e3)


def summarise(times_ms: Sequence[float] | NDArray[np.float64], conditions: Conditions) -> Latency:
    """Median and spread of the times, with the conditions that they depend on."""
    p10, median, p90 = (float(value) for value in np.percentile(np.asarray(times_ms, dtype=float), [10, 50, 90]))
    described = {name: value for name, value in asdict(conditions).items() if name != "in_process"}
    return Latency(median_ms=median, p10_ms=p10, p90_ms=p90, repeats=len(times_ms), **described)
