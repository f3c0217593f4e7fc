"""What all backends share: a copy to work on, warm-up, how many calls can be afforded, and the statistics."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from time import perf_counter, sleep
from typing import Any

import numpy as np
import torch
from torch import nn

from mvsearch.errors import PlanError
from mvsearch.metrics.record import Latency
from mvsearch.nn.fuse import fuse
from mvsearch.utils import machine_lock

WARM_CALLS = 5
WARM_S = 0.3
SETTLE_S = 0.01  # threads that have nothing to do spin for a few milliseconds before they sleep
FEWEST = 3  # calls that are timed however long they take: with fewer there is no spread


def check(*, image_size: int, batch: int, repeats: int, threads: int) -> None:
    """Refuse what cannot be measured before anything is copied or waited for."""
    for name, value in {"image_size": image_size, "batch": batch, "repeats": repeats, "threads": threads}.items():
        if value < 1:
            raise PlanError(f"latency: {name}={value} cannot be measured; use 1 or more.")


def inputs(
    model: nn.Module,
    image_size: int,
    batch: int,
    *,
    device: str,
    dtype: torch.dtype,
    memory_format: torch.memory_format,
    fused: bool = False,
) -> tuple[nn.Module, torch.Tensor]:
    """A copy of the model in eval mode, and images for it, made without the global random state.

    With `fused` the copy is a fused one (`mvsearch.nn.fuse`), and all is channels last.
    """
    placed: dict[str, Any] = {"device": device, "dtype": dtype}
    placed["memory_format"] = torch.channels_last if fused else memory_format
    images = torch.rand(batch, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))
    return (fuse(model) if fused else deepcopy(model).eval()).to(**placed), images.to(**placed)


@contextmanager
def fixed_threads(threads: int) -> Iterator[None]:
    """Run with this many torch threads, and go back to the caller's."""
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
    """Call until caches are filled and clocks are up; the seconds of the fastest call. A call must wait for its end."""
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
    """As many of the repeats as fit into the time limit at so many seconds a call, but never too few for a spread."""
    if seconds * repeats <= limit_s:
        return repeats
    return max(min(FEWEST, repeats), int(limit_s / seconds))


def interleaved(
    calls: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    limit_s: float,
    seed: int = 0,
    settle: bool = False,
    warm_calls: int = WARM_CALLS,
    keep: bool = False,
    progress: Callable[[int, int], object] = lambda _done, _of: None,
) -> dict[str, list[float]]:
    """Milliseconds of every call, by name: round after round, each in a new order, so that whatever else the machine
    does meets all of them alike. All are warmed up first; `limit_s` is for all of them together. With `settle`
    each waits until the threads of the one before are asleep, and runs once untimed to wake its own. `progress` hears
    of every round before it begins. With `keep`, Ctrl-C after a first round ends the rounds: whole ones are returned.
    """
    seconds = sum(warm_up(call, limit_s=limit_s / len(calls), calls=warm_calls) for call in calls.values())
    if settle:
        seconds = 2 * seconds + SETTLE_S * len(calls)
    order = list(calls)
    times_ms: dict[str, list[float]] = {name: [] for name in calls}
    shuffle = random.Random(seed).shuffle
    rounds = affordable(repeats, seconds=seconds, limit_s=limit_s)
    whole = 0
    try:
        for whole in range(rounds):
            progress(whole, rounds)
            shuffle(order)
            for name in order:
                if settle:
                    sleep(SETTLE_S)
                    calls[name]()
                times_ms[name].append(seconds_of(calls[name]) * 1e3)
    except KeyboardInterrupt:
        if not (keep and whole):
            raise
        return {name: times[:whole] for name, times in times_ms.items()}
    return times_ms


def summarise(
    times_ms: Sequence[float], *, batch: int, image_size: int, threads: int, precision: str, backend: str, device: str
) -> Latency:
    """Median and spread of the times, beside all that they depend on."""
    p10, median, p90 = (float(value) for value in np.percentile(np.asarray(times_ms, dtype=float), [10, 50, 90]))
    return Latency(
        median_ms=median,
        p10_ms=p10,
        p90_ms=p90,
        repeats=len(times_ms),
        batch=batch,
        image_size=image_size,
        threads=threads,
        precision=precision,
        backend=backend,
        device=device,
    )


def measured(
    call: Callable[[], object],
    image_size: int,
    *,
    batch: int,
    repeats: int,
    threads: int,
    limit_s: float,
    backend: str,
    device: str,
) -> Latency:
    """Time a call that runs one batch in float32, alone on the machine."""
    with machine_lock.exclusive():
        [times_ms] = interleaved({backend: call}, repeats=repeats, limit_s=limit_s).values()
    return summarise(
        times_ms, batch=batch, image_size=image_size, threads=threads, precision="fp32", backend=backend, device=device
    )
