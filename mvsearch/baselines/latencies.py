"""Latencies of networks by name, measured together on one device, as a file that figures can be drawn from again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mvsearch.errors import PlanError
from mvsearch.metrics.record import Latency, is_number
from mvsearch.utils.atomic_write import write_whole


@dataclass(frozen=True)
class DeviceLatencies:
    """Milliseconds per batch by the name of the network, each at its own image size, and the device."""

    device: str
    latency_ms: dict[str, float]


def median_latencies(measured: Mapping[str, Latency]) -> DeviceLatencies:
    """The medians of latencies that were measured together."""
    device = next(iter(measured.values())).device
    return DeviceLatencies(device, {name: latency.median_ms for name, latency in measured.items()})


def write_latencies(path: Path, measured: Mapping[str, Latency]) -> None:
    """Write latencies that were measured together, with everything that the numbers depend on."""
    document = {"latencies": {name: latency.metrics() for name, latency in measured.items()}}
    write_whole(path, (json.dumps(document, indent=2) + "\n").encode())


def read_latencies(path: Path) -> DeviceLatencies:
    """Read a file of `write_latencies`; raises PlanError for any other file, and for one with several devices."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["latencies"]
        times = {str(name): row["latency_ms"] for name, row in rows.items()}
        devices = sorted({str(row["latency_device"]) for row in rows.values()})
    except OSError as error:
        raise PlanError(f"cannot be read ({error.strerror}); use one of `mvsearch paper-figures`.", at=path) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        times, devices = {}, []
    if not times or not all(is_number(value) and value > 0 for value in times.values()):
        raise PlanError(
            "contains no latencies; use a latency.json of `mvsearch paper-figures --x latency_ms`.", at=path
        )
    if len(devices) > 1:
        raise PlanError(f"was measured on {' and '.join(devices)}; use a file of one device.", at=path)
    return DeviceLatencies(devices[0], {name: float(value) for name, value in times.items()})
