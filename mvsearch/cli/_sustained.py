"""`mvsearch bench --sustained`: latency over minutes, and whether it stays."""

import math
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._output import console, print_json, table

if TYPE_CHECKING:
    from mvsearch.arch.architecture import Architecture
    from mvsearch.profiling.latency import TimingOptions
    from mvsearch.profiling.sustained import SustainedLatency

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


class Duration(click.ParamType[float]):
    """A length of time: 90s, 10m, 1h; a number alone is seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|)\s*", str(value))
        seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
        if not 0 < seconds < math.inf:
            self.fail(f"found {value!r}; use e.g. 90s, 10m or 1h.", param, ctx)
        return seconds


@dataclass(frozen=True)
class Drawing:
    """The file of a figure, if there is one, and how it is drawn."""

    path: Path | None
    theme: str
    force: bool


def run_sustained(
    arch: "Architecture", backend: str, options: "TimingOptions", duration_s: float, drawing: Drawing, *, as_json: bool
) -> None:
    """Measure, print the parts with the verdict, and draw; Ctrl-C or a device that fails keeps what was measured."""
    from contextlib import nullcontext

    from mvsearch.cli._progress import Steps
    from mvsearch.nn import build
    from mvsearch.profiling.latency import load_backend
    from mvsearch.profiling.sustained import Clocks, measure_sustained
    from mvsearch.report.figures.palette import THEMES
    from mvsearch.report.figures.plot import PICTURES, refuse_to_draw
    from mvsearch.report.figures.sustained import plot_sustained
    from mvsearch.utils import machine_lock

    if drawing.path is not None:
        refuse_to_draw(drawing.path, force=drawing.force, kinds=PICTURES)
    timer = load_backend(backend)
    conditions = timer.conditions(arch.image_size, options)
    with (
        Steps() as steps,
        timer.prepare(build(arch.deploy(), seed=0), arch.image_size, options) as call,
        nullcontext() if timer.remote else machine_lock.exclusive(),
    ):
        clocks = Clocks() if conditions.on_cpu else Clocks(sensors=None, meter=None)
        latency = measure_sustained(call, duration_s, clocks=clocks, progress=steps)
    about = {"name": arch.name, "key": arch.key, "image_size": arch.image_size, "backend": backend}
    about |= {"device": conditions.device, "precision": conditions.precision}
    device = f"{conditions.device}, {conditions.precision}"
    if as_json:
        print_json(about | {"batch": options.batch, "threads": options.threads} | to_json(latency))
    else:
        _print(latency, f"{arch.name or arch.key} at {arch.image_size} px on {device}")
    if drawing.path is not None:
        title = f"{arch.name or arch.key}: {latency.verdict}"
        plot_sustained(
            latency, drawing.path, title=title, subtitle=f"{device}; {latency.sentence}", theme=THEMES[drawing.theme]
        )
        console(stderr=True).print(f"wrote {drawing.path}", style="dim")
    if latency.ended_by is not None:
        raise latency.ended_by


def to_json(latency: "SustainedLatency") -> dict[str, Any]:
    """All that was measured, with the verdict and the numbers that it rests on."""
    return {
        "verdict": latency.verdict,
        "sentence": latency.sentence,
        "change": latency.change,
        "noise": latency.noise,
        "busy_share": latency.busy_share,
        "clock_change": latency.clock_change,
        "asked_s": latency.asked_s,
        "interrupted": latency.ended_by is not None,
        "ended_by": None if latency.ended_by is None else str(latency.ended_by) or "Ctrl-C",
        "parts": [asdict(part) for part in latency.parts],
        "windows": [asdict(window) for window in latency.windows],
    }


def _print(latency: "SustainedLatency", title: str) -> None:
    from mvsearch.utils.units import three_digits

    rows = table("seconds", "median", "of the first", "clock", "temperature")
    for part in latency.parts:
        rows.add_row(
            f"{part.from_s:.3g} to {part.to_s:.3g}",
            f"{three_digits(part.median_ms)} ms",
            f"{part.median_ms / latency.parts[0].median_ms:.3f}",
            "-" if part.clock_mhz is None else f"{part.clock_mhz:,.0f} MHz",
            "-" if part.celsius is None else f"{part.celsius:.0f} °C",
        )
    screen = console()
    screen.print(title)
    screen.print(rows)
    calls = sum(window.calls for window in latency.windows)
    screen.print(f"{calls:,} calls in {len(latency.windows)} windows. Latency is {latency.sentence}.")
