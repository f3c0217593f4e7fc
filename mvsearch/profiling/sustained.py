"""Latency over minutes without a pause: does it stay, or does the device become hot and slow?

    windows of equal length ── the median of each ── five equal parts ── the one that differs most from the first

The verdict, with `noise` the sum of the half-widths of the medians of the two parts as shares of them:

    not to be trusted   fewer than MIN_WINDOWS windows, other processes in over a tenth of them, or noise above 10 %
    drifts by x %       the change is above 3 % and above the noise
    steady              otherwise

Criteria and statistics need no torch.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from mvsearch.errors import MvsearchError
from mvsearch.metrics.record import EvaluationFailed
from mvsearch.profiling.device_command import Reading
from mvsearch.profiling.estimate import BUSY, BUSY_CORES, median_interval
from mvsearch.utils.cpu_usage import CpuMeter, core_count
from mvsearch.utils.progress import Progress, no_progress
from mvsearch.utils.sensors import SensorReading, read_sensors

WINDOWS, PARTS = 100, 5
MIN_WINDOWS = 6 * PARTS  # with two in a part, a quarter of steady latencies that scatter by 2 % would drift
STEADY, MAX_NOISE, MAX_BUSY = 0.03, 0.10, 0.10

Verdict = Literal["steady", "drifts", "not to be trusted"]


@dataclass(frozen=True)
class Window:
    """The calls of a span of time: when it ended, their median, and what the system told meanwhile.

    `busy` is whether other processes used the processor, None where that is not known.
    """

    at_s: float
    median_ms: float
    p90_ms: float
    calls: int
    clock_mhz: float | None = None
    celsius: float | None = None
    busy: bool | None = None


@dataclass(frozen=True)
class Part:
    """A fifth of the windows: the median of theirs, and its half-width as a share of it."""

    from_s: float
    to_s: float
    median_ms: float
    half_width: float
    clock_mhz: float | None
    celsius: float | None


@dataclass(frozen=True)
class SustainedLatency:
    """The windows of a measurement of `asked_s` seconds; `ended_by` is what ended it earlier: Ctrl-C, a device."""

    windows: tuple[Window, ...]
    asked_s: float
    ended_by: BaseException | None = None

    @cached_property
    def parts(self) -> list[Part]:
        """Five equal parts; fewer with fewer windows."""
        groups = np.array_split(np.arange(len(self.windows)), min(PARTS, len(self.windows)))
        parts, begin = [], 0.0
        for group in groups:
            part = _part(begin, [self.windows[i] for i in group])
            parts.append(part)
            begin = part.to_s
        return parts

    @cached_property
    def furthest(self) -> Part:
        """The part whose median differs most from that of the first."""
        first = self.parts[0].median_ms
        return max(self.parts, key=lambda part: abs(part.median_ms / first - 1))

    @property
    def change(self) -> float:
        """How much longer a call takes in that part than in the first, as a share."""
        return self.furthest.median_ms / self.parts[0].median_ms - 1

    @property
    def noise(self) -> float:
        """How far the change is uncertain, as a share."""
        return self.parts[0].half_width + self.furthest.half_width

    @property
    def busy_share(self) -> float | None:
        """The share of windows in which other processes used the processor; None where that is not known."""
        known = [window.busy for window in self.windows if window.busy is not None]
        return sum(known) / len(known) if known else None

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the measurement is not to be trusted, in words; empty if it is."""
        doubts = []
        if len(self.windows) < MIN_WINDOWS:
            doubts.append(f"{len(self.windows)} windows are too few (from {MIN_WINDOWS})")
        if (share := self.busy_share) is not None and share > MAX_BUSY:
            doubts.append(f"other processes used the processor in {share:.0%} of the time")
        if self.noise > MAX_NOISE:
            doubts.append(f"the medians of the parts are uncertain by {self.noise:.0%}")
        return tuple(doubts)

    @property
    def verdict(self) -> Verdict:
        """The verdict; the module's docstring has the criteria."""
        if self.doubts:
            return "not to be trusted"
        return "drifts" if abs(self.change) > max(STEADY, self.noise) else "steady"

    @property
    def clock_change(self) -> float | None:
        """The change of the clock from the first part to the furthest, as a share; None where it is not known."""
        before, after = self.parts[0].clock_mhz, self.furthest.clock_mhz
        return None if not before or after is None else after / before - 1

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if self.doubts:
            return f"not to be trusted: {', '.join(self.doubts)}"
        if self.verdict == "steady":
            return f"steady: no part differs from the first by more than {max(abs(self.change), self.noise):.1%}"
        return f"drifts by {self.change:+.1%} {self._cause()}"

    def _cause(self) -> str:
        clock, cooler, hotter = self.clock_change, self.parts[0].celsius, self.furthest.celsius
        heat = "" if cooler is None or hotter is None else f", at {hotter:.0f} °C instead of {cooler:.0f} °C"
        if clock is None:
            return f"(the clock is not known here{heat})"
        explained = self.change > 0 and 1 / (1 + clock) - 1 >= self.change / 2
        what = "the clock is throttled" if explained else "the clock does not explain it"
        return f"({what}: {clock:+.1%}{heat})"


def _part(begin: float, windows: Sequence[Window]) -> Part:
    interval = median_interval([window.median_ms for window in windows])
    return Part(begin, windows[-1].at_s, interval.middle, interval.half_width, *(_median(windows, n) for n in _SENSORS))


_SENSORS = ("clock_mhz", "celsius")


def _median(windows: Sequence[Window], name: str) -> float | None:
    known = [value for window in windows if (value := getattr(window, name)) is not None]
    return statistics.median(known) if known else None


@dataclass(frozen=True)
class Clocks:
    """What a measurement reads: the time on the wall, the sensors, and a meter of the processor.

    The sensors and the meter of this machine say nothing of a device elsewhere: None there.
    """

    wall: Callable[[], float] = time.perf_counter
    sensors: Callable[[], SensorReading] | None = read_sensors
    meter: Callable[[], CpuMeter] | None = CpuMeter


def measure_sustained(
    call: Callable[[], object], duration_s: float, *, clocks: Clocks | None = None, progress: Progress = no_progress
) -> SustainedLatency:
    """Call without a pause for so many seconds. A call that returns a Reading was timed by a device.

    Ctrl-C or a device that fails after the first window ends it, and the complete ones are kept.
    """
    clocks = clocks or Clocks()
    start, windows = clocks.wall(), list[Window]()
    try:
        while (elapsed := clocks.wall() - start) < duration_s:
            progress(int(WINDOWS * elapsed / duration_s), WINDOWS, "measuring")
            windows.append(_window(call, start, duration_s / WINDOWS, clocks))
    except (KeyboardInterrupt, EvaluationFailed, MvsearchError) as error:
        if not windows:
            raise
        return SustainedLatency(tuple(windows), duration_s, ended_by=error)
    return SustainedLatency(tuple(windows), duration_s)


def _window(call: Callable[[], object], start: float, length_s: float, clocks: Clocks) -> Window:
    meter = clocks.meter() if clocks.meter else None
    begin, times, reading = clocks.wall(), list[float](), SensorReading()
    while not times or clocks.wall() - begin < length_s:
        before = clocks.wall()
        result = call()
        times.append(result.latency_ms if isinstance(result, Reading) else (clocks.wall() - before) * 1e3)
        if isinstance(result, Reading):
            reading = _reported(result)
    if clocks.sensors:
        reading = clocks.sensors()
    p90 = float(np.percentile(times, 90))
    end = clocks.wall() - start
    return Window(end, statistics.median(times), p90, len(times), reading.clock_mhz, reading.celsius, _busy(meter))


def _reported(reading: Reading) -> SensorReading:
    """The clock and the temperature that the command of a device printed."""
    numbers = {k: float(v) for k, v in reading.details.items() if isinstance(v, int | float)}
    return SensorReading(numbers.get("clock_mhz"), numbers.get("celsius", numbers.get("battery_c")))


def _busy(meter: CpuMeter | None) -> bool | None:
    """Whether others used the processor; in a short span, whether this process had less than all of the time."""
    if meter is None:
        return None
    usage = meter.read()
    if usage.other_cores is not None:
        return usage.other_cores > BUSY_CORES * core_count()
    return usage.process_s < (1 - BUSY) * usage.wall_s
