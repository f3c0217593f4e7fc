"""Latencies of networks by name, all measured in one contest on one device, as a file that may be drawn again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mvsearch.errors import PlanError
from mvsearch.metrics.record import Latency, is_number
from mvsearch.utils.atomic_write import write_whole


@dataclass(frozen=True)
class Times:
    """Milliseconds a batch by name of network, and the device they were measured on."""

    device: str
    latency_ms: dict[str, float]


def write(path: Path, measured: Mapping[str, Latency]) -> None:
    """What a contest measured, all that the numbers depend on included."""
    facts = {"latencies": {name: latency.metrics() for name, latency in measured.items()}}
    write_whole(path, (json.dumps(facts, indent=2) + "\n").encode())


def times(measured: Mapping[str, Latency]) -> Times:
    """The medians of a contest."""
    device = next(iter(measured.values())).device
    return Times(device, {name: latency.median_ms for name, latency in measured.items()})


def read(path: Path) -> Times:
    """A file that `write` wrote; raises PlanError for any other, and for one that mixes devices."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["latencies"]
        found = {str(name): row["latency_ms"] for name, row in rows.items()}
        devices = sorted({str(row["latency_device"]) for row in rows.values()})
    except OSError as error:
        raise PlanError(
            f"cannot be read ({error.strerror}); give a file of `mvsearch paper-figures`.", at=path
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        found, devices = {}, []
    if not found or not all(is_number(value) and value > 0 for value in found.values()):
        raise PlanError(
            "holds no latencies; give a latency.json that `mvsearch paper-figures --x latency_ms` left.", at=path
        )
    if len(devices) > 1:
        raise PlanError(f"was measured on {' and '.join(devices)}; give a file of one device.", at=path)
    return Times(devices[0], {name: float(value) for name, value in found.items()})
