"""How much of the processor this process and all others use, over a span of time. Loads no torch."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

STAT = Path("/proc/stat")
MIN_SPAN_S = 0.25
"""The counters of the system advance in steps of 10 ms on each core: shorter spans say nothing of other processes."""


@dataclass(frozen=True)
class CpuUsage:
    """A span of time: its seconds, the processor seconds of this process, and the cores that others used on average.

    `other_cores` includes what a hypervisor took; None where the system does not tell, or the span was too short.
    `load` is the load average of the last minute, None on Windows.
    """

    wall_s: float
    process_s: float
    other_cores: float | None
    load: float | None


class CpuMeter:
    """Measures the usage from when it is made."""

    def __init__(self) -> None:
        self._wall, self._process, self._busy = time.perf_counter(), time.process_time(), _busy_s()

    def read(self) -> CpuUsage:
        """The usage so far."""
        busy, process_s, wall_s = _busy_s(), time.process_time() - self._process, time.perf_counter() - self._wall
        others = None
        if busy is not None and self._busy is not None and wall_s >= MIN_SPAN_S:
            others = max(0.0, (busy - self._busy - process_s) / wall_s)
        return CpuUsage(wall_s, process_s, others, load_average())


def load_average() -> float | None:
    """The processes that used or waited for a processor in the last minute; None where the system does not tell."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def core_count() -> int:
    """The number of cores of the machine."""
    return os.cpu_count() or 1


def _busy_s(stat: Path | None = None) -> float | None:
    """Seconds that all cores together were busy since the machine started: user, nice, system, interrupts, stolen."""
    try:
        fields = [int(word) for word in (stat or STAT).read_text(encoding="ascii").split("\n")[0].split()[1:]]
        user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return None
