"""What the latency of a network is: one way for all commands, whatever else the machine does meanwhile.

    rounds ── time of the network / time of the reference, in the same round ── median ── x known time of the reference

On one thread the time is processor time of this process, which stands still while another process has the processor;
otherwise, and where that clock is too coarse, it is the time on the wall. On a quiet machine both are equal, and the
product is the median of the network's times. docs/evidence/latency.md compares this estimate with others.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import get_clock_info, perf_counter

import numpy as np
from numpy.typing import NDArray

from mvsearch.metrics.record import Latency
from mvsearch.profiling import reference
from mvsearch.profiling.reference import KnownTime
from mvsearch.profiling.timing import WARM_CALLS, WARM_S, Conditions, InterleavedTimes, interleave, summarise
from mvsearch.utils.cpu_usage import CpuUsage, core_count
from mvsearch.utils.progress import Progress, no_progress

BUSY = 0.05
"""The share of time in which other processes have the processor, above which a measurement counts as disturbed."""

BUSY_CORES = 0.25
"""The share of all cores that other processes may use: with more, they share caches and cores with the network."""

QUIET_NOISE, BUSY_NOISE = 0.05, 0.15
"""How far two measurements in different processes differ: on a quiet machine, and on a busy one."""

CONTENTION = 2.5
"""How much longer calls take on a busy machine, in processor time. It is the factor that a measurement may be too high
by where the reference was never timed on a quiet machine."""

PRECISE = 0.03
"""The half-width of the interval of a ratio, above which a network is timed again."""

MAX_REPETITIONS = 4

_CLOCK_RESOLUTION_S = 1e-4
_WAITING, _SPINNING = 0.25, 1.1

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A median, and the interval that contains the median of a long measurement with 95 % probability."""

    low: float
    middle: float
    high: float

    @property
    def half_width(self) -> float:
        """As a share of the median."""
        return (self.high - self.low) / (2 * self.middle) if self.middle > 0 else math.inf


def median_interval(values: Sequence[float] | Array) -> Interval:
    """The median with its interval by order statistics: with few values, the smallest and the largest."""
    ordered = np.sort(np.asarray(values, dtype=float))
    below = max(0, math.floor(len(ordered) / 2 - 0.98 * math.sqrt(len(ordered))))
    return Interval(float(ordered[below]), float(np.median(ordered)), float(ordered[len(ordered) - 1 - below]))


def interleave_precisely(
    calls: Mapping[str, Callable[[], object]],
    conditions: Mapping[str, Conditions],
    *,
    beside: Callable[[], object] | None,
    repeats: int,
    limit_s: float,
    settle: bool = False,
    warm_calls: int = WARM_CALLS,
    keep_partial: bool = False,
    progress: Progress = no_progress,
) -> InterleavedTimes:
    """The rounds of calls and reference; while their ratios are not precise, and in the time limit, all rounds again.

    Of all repetitions it returns the one with the most precise ratios. Ctrl-C during a repetition keeps the earlier.
    """
    begin, best, least = perf_counter(), None, math.inf
    for repetition in range(MAX_REPETITIONS):
        left_s = limit_s - (perf_counter() - begin)
        if best is not None and left_s * MAX_REPETITIONS < limit_s:
            break
        try:
            times = interleave(
                calls,
                repeats=repeats,
                limit_s=left_s,
                reference=beside,
                seed=repetition,
                settle=settle,
                warm_calls=1 if repetition else warm_calls,
                warm_s=0 if repetition else WARM_S,
                turns=best.turns if best else None,
                keep_partial=keep_partial,
                progress=progress if repetition == 0 else no_progress,
            )
        except KeyboardInterrupt:
            if best is None or not keep_partial:
                raise
            return replace(best, planned=best.planned + 1)
        half_width = imprecision(times, list(conditions.values()))
        if best is None or half_width < least:
            best, least = times, half_width
        if half_width <= PRECISE or times.interrupted:
            break
        progress(0, None, "timing again, because the spread is large")
    assert best is not None
    return best


def processor_clock(times: InterleavedTimes, conditions: Sequence[Conditions]) -> bool:
    """Whether processor time measures the calls: all run on one thread of this process, and the clock is fine enough.

    A runtime whose helper threads spin uses more processor time than passes, and one that waits for another process
    has a much smaller share of the processor than the reference beside it.
    """
    if not _on_one_thread(times, conditions) or get_clock_info("process_time").resolution > _CLOCK_RESOLUTION_S:
        return False
    least = _WAITING * (sum(times.reference_cpu_ms) / sum(times.reference_ms) if times.reference_ms else _WAITING)
    shares = [sum(cpu) / sum(times.times_ms[name]) for name, cpu in times.cpu_ms.items()]
    return all(least < share <= _SPINNING for share in shares)


def _on_one_thread(times: InterleavedTimes, conditions: Sequence[Conditions]) -> bool:
    return bool(times.cpu_ms) and all(each.threads == 1 and each.on_cpu and each.in_process for each in conditions)


def is_busy(usage: CpuUsage | None, share: float | None) -> bool:
    """Whether other processes disturbed a measurement, by the share of the processor that this one had."""
    if share is not None and share < 1 - BUSY:
        return True
    return usage is not None and usage.other_cores is not None and usage.other_cores > BUSY_CORES * core_count()


def imprecision(times: InterleavedTimes, conditions: Sequence[Conditions]) -> float:
    """The largest half-width of the interval of a ratio; 0 without a reference."""
    if not times.reference_ms:
        return 0.0
    clock, below = clock_times(times, conditions), _reference_times(times, conditions)
    return max(median_interval(np.divide(values, below)).half_width for values in clock.values())


def estimate(times: InterleavedTimes, conditions: Mapping[str, Conditions]) -> dict[str, Latency]:
    """The latency of every call by name, with its interval and the state of the machine."""
    all_conditions = list(conditions.values())
    clock, below = clock_times(times, all_conditions), _reference_times(times, all_conditions)
    share = _cpu_share(times) if _on_one_thread(times, all_conditions) else None
    busy = is_busy(times.usage, share)
    known = None
    if len(below):
        kind = "processor time" if clock is times.cpu_ms else times.clock
        described = f"{reference.describe(all_conditions[0])}, {kind}"
        known = reference.known_time(described, float(np.median(below)), quiet=not busy)
    load = times.usage.load if times.usage else None
    return {
        name: replace(
            _latency(clock[name], below, each, known, busy=busy),
            wall_ms=float(np.median(times.times_ms[name])),
            cpu_share=share,
            busy=busy,
            load=load,
        )
        for name, each in conditions.items()
    }


def _latency(
    times_ms: Sequence[float], below: Array, conditions: Conditions, known: KnownTime | None, *, busy: bool
) -> Latency:
    """The latency as a multiple of the reference's known time, or the times themselves without a reference."""
    noise, too_high = (BUSY_NOISE if busy else QUIET_NOISE), 1.0
    if not (known.quiet if known else not busy):
        too_high = CONTENTION
    scaled = np.asarray(times_ms) if known is None else np.divide(times_ms, below) * known.ms
    interval = median_interval(scaled)
    latency = replace(
        summarise(scaled, conditions),
        low_ms=interval.low * (1 - noise) / too_high,
        high_ms=interval.high * (1 + noise),
    )
    if known is None:
        return latency
    return replace(
        latency,
        ratio=latency.median_ms / known.ms,
        ratio_low=interval.low * (1 - noise) / known.ms,
        ratio_high=interval.high * (1 + noise) / known.ms,
        reference=reference.TITLE,
        reference_ms=known.ms,
        reference_quiet=known.quiet,
    )


def clock_times(times: InterleavedTimes, conditions: Sequence[Conditions]) -> dict[str, list[float]]:
    """The milliseconds of every call, by name, on the clock that measures them."""
    return times.cpu_ms if processor_clock(times, conditions) else times.times_ms


def _reference_times(times: InterleavedTimes, conditions: Sequence[Conditions]) -> Array:
    """The milliseconds of the reference in the same rounds, on the same clock."""
    on_processor = processor_clock(times, conditions)
    return np.asarray(times.reference_cpu_ms if on_processor else times.reference_ms)


def _cpu_share(times: InterleavedTimes) -> float:
    """The share of the time of all calls in which the process had the processor."""
    return min(1.0, _total(times.cpu_ms) / max(_total(times.times_ms), 1e-9))


def _total(times: Mapping[str, Sequence[float]]) -> float:
    return sum(sum(values) for values in times.values())
