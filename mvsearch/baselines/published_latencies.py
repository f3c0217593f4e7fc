"""Latencies that others measured on phones and boards. `published_latencies.csv` is the data, with its source.

A latency depends on the device, the precision and the runtime; `DEVICE[:PRECISION[:RUNTIME]]` names all three.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mvsearch.baselines.latencies import DeviceLatencies
from mvsearch.errors import PlanError
from mvsearch.utils import plugins

FILE = Path(__file__).parent / "published_latencies.csv"

SOURCE = "qai-hub-models 0.65.0 (October 2026, BSD-3-Clause)"

FLOAT = "float"


@dataclass(frozen=True)
class PublishedLatency:
    """Milliseconds for one image of `image_size` pixels of a network by name.

    `operators` are those of the timed file, most or all `on_npu`; `tools` are the versions of what made and ran it.
    """

    network: str
    device: str
    precision: str
    runtime: str
    image_size: int
    latency_ms: float
    operators: int
    on_npu: int
    tools: str

    def facts(self) -> dict[str, Any]:
        """Raw values, for `--json`."""
        return {**asdict(self), "source": SOURCE}


@dataclass(frozen=True)
class PublishedLatencies:
    """The latencies of a device in one precision, by network: those of the runtime that is fastest for it.

    With a `runtime` they are those of that one.
    """

    device: str
    precision: str
    runtime: str | None
    rows: dict[str, PublishedLatency]

    @property
    def words(self) -> str:
        """All that the latencies depend on."""
        runtime = self.runtime or "the fastest runtime of each network"
        return f"{self.device} (NPU), {self.precision}, {runtime}, {self.tools}"

    @property
    def tools(self) -> str:
        """The versions of the tools of all rows."""
        return ", ".join(sorted({tool for row in self.rows.values() for tool in row.tools.split(" + ")}))

    @property
    def runtimes(self) -> dict[str, str]:
        """The runtime of each latency, by network."""
        return {name: row.runtime for name, row in self.rows.items()}

    @property
    def times(self) -> DeviceLatencies:
        """The milliseconds alone."""
        return DeviceLatencies(f"npu: {self.words}", {n: row.latency_ms for n, row in self.rows.items()})


@cache
def published_latencies() -> tuple[PublishedLatency, ...]:
    """All rows, in the order of the file."""
    with FILE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    return tuple(_row(**row) for row in rows)


def _row(*, image_size: str, latency_ms: str, operators: str, on_npu: str, **words: str) -> PublishedLatency:
    return PublishedLatency(
        image_size=int(image_size),
        latency_ms=float(latency_ms),
        operators=int(operators),
        on_npu=int(on_npu),
        **words,
    )


@cache
def devices() -> dict[str, str]:
    """The devices by the name that a command takes, e.g. `galaxy_s25`, with the name that the source has."""
    titles = sorted({row.device for row in published_latencies()})
    return {device_name(title): title for title in titles}


def device_name(title: str) -> str:
    """The name that a command takes.

    >>> device_name("Samsung Galaxy S25"), device_name("Dragonwing IQ-9075 EVK")
    ('galaxy_s25', 'dragonwing_iq_9075_evk')
    """
    return re.sub(r"[^a-z0-9]+", "_", title.removeprefix("Samsung ").lower()).strip("_")


def rows_of(device: str) -> list[PublishedLatency]:
    """The rows of a device by its name; raises PlanError, which lists devices, if there are none."""
    known, name = devices(), device_name(device)
    if name not in known:
        near = [other for other in known if name and name in other]  # four of "galaxy"
        guess = near[0] if len(near) == 1 else plugins.nearest(name, [] if near else known)
        hint = f"did you mean {guess!r}? All" if guess else "choose one of"
        listed = ", ".join(near if len(near) > 1 else known)
        raise PlanError(f"no published latencies of the device {device!r}; {hint}: {listed}.")
    return [row for row in published_latencies() if row.device == known[name]]


def latencies_on(text: str) -> list[PublishedLatencies]:
    """The latencies that `DEVICE[:PRECISION[:RUNTIME]]` names: of one precision, or of each.

    Raises PlanError, with a suggestion, for a device, a precision or a runtime that the table does not have.
    """
    device, *rest = text.split(":")
    if len(rest) > 2:
        raise PlanError(f"found {text!r}; use DEVICE, DEVICE:PRECISION or DEVICE:PRECISION:RUNTIME.")
    rows = rows_of(device)
    if rest:
        rows = _select(rows, "precision", rest[0], device)
    if len(rest) > 1:
        rows = _select(rows, "runtime", rest[1], f"{device}:{rest[0]}")
    runtime = rest[1] if len(rest) > 1 else None
    precisions = dict.fromkeys(sorted({row.precision for row in rows}))
    return [PublishedLatencies(rows[0].device, each, runtime, _fastest(rows, each)) for each in precisions]


def latencies_in(text: str) -> PublishedLatencies:
    """The latencies that `DEVICE[:PRECISION[:RUNTIME]]` names in one precision, by default float."""
    return latencies_on(text if ":" in text else f"{text}:{FLOAT}")[0]


def _fastest(rows: Sequence[PublishedLatency], precision: str) -> dict[str, PublishedLatency]:
    """By network the fastest of the rows of a precision, the fastest network first."""
    ordered = sorted((row for row in rows if row.precision == precision), key=lambda row: row.latency_ms)
    found: dict[str, PublishedLatency] = {}
    for row in ordered:
        found.setdefault(row.network, row)
    return found


def _select(rows: list[PublishedLatency], field: str, value: str, place: str) -> list[PublishedLatency]:
    selected = [row for row in rows if getattr(row, field) == value]
    if not selected:
        known = tuple(sorted({getattr(row, field) for row in rows}))
        raise PlanError(
            f"no published latencies of {place} with the {field} {value!r}; {plugins.suggest(value, known)}"
        )
    return selected
