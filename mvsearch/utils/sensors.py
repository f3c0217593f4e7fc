"""The clock and the temperature of this machine's processor, where the system tells. Loads no torch."""

import re
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/")
_PLAUSIBLE_C = (1.0, 150.0)  # a sensor that is not connected reads 0 or far outside


@dataclass(frozen=True)
class SensorReading:
    """The fastest core's clock in MHz, and the hottest sensor in degrees Celsius; None where the system tells none."""

    clock_mhz: float | None = None
    celsius: float | None = None


def read_sensors(root: Path = _ROOT) -> SensorReading:
    """The readings now: of cpufreq, else of /proc/cpuinfo, and of the thermal zones."""
    clocks = [khz / 1e3 for khz in _numbers(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")]
    clocks = clocks or _cpuinfo_mhz(root / "proc/cpuinfo")
    degrees = [value / 1e3 for value in _numbers(root, "sys/class/thermal/thermal_zone*/temp")]
    degrees = [value for value in degrees if _PLAUSIBLE_C[0] <= value <= _PLAUSIBLE_C[1]]
    return SensorReading(max(clocks, default=None), max(degrees, default=None))


def _numbers(root: Path, pattern: str) -> list[float]:
    values = []
    for path in root.glob(pattern):
        try:
            values.append(float(path.read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return values


def _cpuinfo_mhz(path: Path) -> list[float]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [float(value) for value in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", text, flags=re.MULTILINE)]
