"""What a plot of several studies shows, as data: their fronts over each other, and how their hypervolumes grew.

Where a side has several runs, its line is what half of them reach, and a band goes from the worst to the best.
Nothing here draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from mvsearch.arch.published import short_name
from mvsearch.errors import StudyError
from mvsearch.metrics.formatting import pretty
from mvsearch.metrics.pareto import Objective, comparable
from mvsearch.metrics.record import Metrics, Record
from mvsearch.metrics.registry import metric
from mvsearch.report.figures.front import Axis, drawn, known, lines_about, outline, pairs
from mvsearch.study.comparison import Comparison, Side

_FEW = 3
"""Names that a title still holds."""

MOST_NAMES = 16
"""Of more landmarks in one plot the names would hide it."""

Line = tuple[tuple[float, float], ...]
"""Points in the units of the axes."""


@dataclass(frozen=True)
class Dot:
    """A member of a front, with its standard errors and what it says when one asks."""

    x: float
    y: float
    x_error: float
    y_error: float
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Strand:
    """One side in one panel: its line, the outline of its band (empty for a single run), and its members."""

    name: str
    line: Line
    band: Line
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Landmark:
    """A published model that some side evaluated; where a side has several runs, at the medians of what they found."""

    x: float
    y: float
    label: str


@dataclass(frozen=True)
class Panel:
    """One plot; its strands come in the order of the sides, which have the same looks in every panel."""

    x_label: str
    y_label: str
    x_limits: tuple[float, float]
    y_limits: tuple[float, float]
    strands: tuple[Strand, ...]
    landmarks: tuple[Landmark, ...] = ()

    @property
    def named(self) -> tuple[Landmark, ...]:
        """The landmarks whose names are written: all, unless they are so many that no name could be read."""
        return self.landmarks if len(self.landmarks) <= MOST_NAMES else ()


@dataclass(frozen=True)
class Overlay:
    """The fronts, a panel for each pair of metrics, and the hypervolume against evaluations and against seconds.

    `remarks` explain it; `warnings` say what should not have been compared.
    """

    title: str
    remarks: tuple[str, ...]
    warnings: tuple[str, ...]
    fronts: tuple[Panel, ...]
    curves: tuple[Panel, Panel]


def overlay(comparison: Comparison, *, x: str | None = None, y: str | None = None, every_pair: bool = False) -> Overlay:
    """The fronts along `x` and `y`, by default what a single study would be drawn along, or along every pair.

    Raises PlanError for a metric that there is not, StudyError for one that some member of a front lacks.
    """
    ways = (pairs(comparison.objectives) if every_pair else []) or [_chosen(comparison, x, y)]
    evaluations = [[range(1, len(run.records) + 1) for run in side.runs] for side in comparison.sides]
    seconds = [[run.seconds for run in side.runs] for side in comparison.sides]
    return Overlay(
        _title(comparison),
        _remarks(comparison),
        tuple(f"not comparable: {warning}" for warning in comparison.warnings),
        tuple(_front_panel(comparison, across, up) for across, up in ways),
        (
            _curve_panel(comparison, "evaluations", evaluations),
            _curve_panel(comparison, "seconds of evaluation", seconds),
        ),
    )


def _chosen(comparison: Comparison, x: str | None, y: str | None) -> tuple[str, str]:
    beside = known([member for run in comparison.runs for member in run.front])
    across, up, _ = drawn(comparison.objectives, x, y, beside=beside)
    for name in (across, up):
        if name not in beside:
            raise StudyError(
                f"not every member of these fronts has a number for {name}; draw {', '.join(sorted(beside))}."
            )
    return across, up


def _title(comparison: Comparison) -> str:
    names = [side.name for side in comparison.sides]
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) <= _FEW else f"{len(names)} studies"


def _remarks(comparison: Comparison) -> tuple[str, ...]:
    values = (f"{metric(name).label} {pretty(name, value)}" for name, value in comparison.reference.items())
    point = f"reference point: {', '.join(values)}"
    if all(len(side.runs) == 1 for side in comparison.sides):
        return (point,)
    return (point, "line: what at least half of the seeds reach; band: from the worst to the best")


# ---- fronts


def _front_panel(comparison: Comparison, x: str, y: str) -> Panel:
    pair = (Objective.named(x), Objective.named(y))
    members = [member for run in comparison.runs for member in run.front]
    across, up = Axis.over(x, members), Axis.over(y, members)
    strands = (
        Strand(side.name, _staircase(side, side.half, pair, across, up), _band(side, pair, across, up), dots)
        for side, dots in ((side, _dots(side, comparison, across, up)) for side in comparison.sides)
    )
    landmarks = _landmarks(comparison, pair, across, up)
    return Panel(across.label, up.label, across.limits, up.limits, tuple(strands), landmarks)


def _landmarks(
    comparison: Comparison, pair: tuple[Objective, Objective], across: Axis, up: Axis
) -> tuple[Landmark, ...]:
    """Those within the axes, which are as wide as the fronts; what several sides agree on is there once."""
    found: dict[Landmark, None] = {}
    for side in comparison.sides:
        met: dict[str, list[Record]] = {}
        for record in comparable([record for run in side.runs for record in run.records], pair):
            if record.published:
                met.setdefault(record.published, []).append(record)
        for name, records in met.items():
            x, y = (median(map(axis.of, records)) for axis in (across, up))
            if across.limits[0] <= x <= across.limits[1] and up.limits[0] <= y <= up.limits[1]:
                found[Landmark(x, y, short_name(name))] = None
    return tuple(found)


def _dots(side: Side, comparison: Comparison, across: Axis, up: Axis) -> tuple[Dot, ...]:
    return tuple(
        Dot(
            across.of(member),
            up.of(member),
            across.error(member),
            up.error(member),
            (f"{run.name}, {about[0]}", *about[1:]),
        )
        for run in side.runs
        for member in run.front
        for about in (lines_about(member, comparison.objectives),)
    )


def _staircase(side: Side, times: int, pair: tuple[Objective, Objective], across: Axis, up: Axis) -> Line:
    """The outline of what so many runs reach, led on to the edges of the plot: who gets that far gets further."""
    x, y = pair
    worst_x, worst_y = across.limits[0 if x.maximise else 1], up.limits[0 if y.maximise else 1]
    line = outline([_place(row, across, up) for row in side.surface(pair, times)], x)
    first, last = line[0], line[-1]
    if x.maximise:
        return ((worst_x, first[1]), *line, (last[0], worst_y))
    return ((first[0], worst_y), *line, (worst_x, last[1]))


def _place(row: Metrics, across: Axis, up: Axis) -> tuple[float, float]:
    return float(row[across.name]) / across.size, float(row[up.name]) / up.size


def _band(side: Side, pair: tuple[Objective, Objective], across: Axis, up: Axis) -> Line:
    """The area that some runs reach and others do not."""
    if len(side.runs) < 2:
        return ()
    best, worst = (_staircase(side, times, pair, across, up) for times in (1, len(side.runs)))
    return (*best, *reversed(worst))


# ---- hypervolumes


def _curve_panel(comparison: Comparison, label: str, spent: Sequence[Sequence[Sequence[float]]]) -> Panel:
    strands = tuple(_curve(side, at) for side, at in zip(comparison.sides, spent, strict=True))
    most = max(x for strand in strands for x, _ in strand.line)
    top = max(y for strand in strands for _, y in (*strand.line, *strand.band))
    return Panel(label, "hypervolume", (0.0, 1.03 * most), (0.0, 1.08 * top), strands)


def _curve(side: Side, spent: Sequence[Sequence[float]]) -> Strand:
    """The median over the runs, as far as all of them go, as steps; and the band from the least to the most."""
    end = min(at[-1] for at in spent)
    places = np.unique([0.0, *(value for at in spent for value in at if value <= end)])
    values = np.array(
        [
            np.concatenate(([0.0], run.hypervolumes))[np.searchsorted(at, places, side="right")]
            for run, at in zip(side.runs, spent, strict=True)
        ]
    )
    low, middle, high = (_steps(places, found) for found in (values.min(0), np.median(values, 0), values.max(0)))
    return Strand(side.name, middle, (*high, *reversed(low)) if len(side.runs) > 1 else (), ())


def _steps(places: Sequence[float] | np.ndarray, values: np.ndarray) -> Line:
    x, y = np.repeat(places, 2)[1:], np.repeat(values, 2)[:-1]
    return tuple(zip(x.tolist(), y.tolist(), strict=True))
