"""The figure of several studies as data: their fronts, and their hypervolumes over time.

Where a side has several runs, its line is what half of them reach, and a band goes from the worst to the best.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from mvsearch.arch.published import short_name
from mvsearch.errors import StudyError
from mvsearch.metrics.formatting import image_sizes, pretty
from mvsearch.metrics.pareto import Objective, comparable
from mvsearch.metrics.record import Metrics, Record
from mvsearch.metrics.registry import metric
from mvsearch.report.figures.axes import Axis, choose_axes, known_metrics, pairs
from mvsearch.report.figures.front import describe, outline
from mvsearch.study.comparison import Comparison, Side

_MOST_IN_TITLE = 3

MOST_NAMES = 16
"""With more published models in one panel, their names would hide it."""

Line = tuple[tuple[float, float], ...]
"""Points in the units of the axes."""


@dataclass(frozen=True)
class ComparisonDot:
    """A member of a front, with its standard errors and the lines that are shown on hovering."""

    x: float
    y: float
    x_error: float
    y_error: float
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Series:
    """One side in one panel: its line, the outline of its band (empty for a single run), and its members."""

    name: str
    line: Line
    band: Line
    dots: tuple[ComparisonDot, ...]


@dataclass(frozen=True)
class PublishedPoint:
    """A published model that a side evaluated; with several runs, at the medians of their values."""

    x: float
    y: float
    label: str


@dataclass(frozen=True)
class Panel:
    """One plot; its series are in the order of the sides, which have the same styles in every panel."""

    x_label: str
    y_label: str
    x_limits: tuple[float, float]
    y_limits: tuple[float, float]
    series: tuple[Series, ...]
    published: tuple[PublishedPoint, ...] = ()

    @property
    def named(self) -> tuple[PublishedPoint, ...]:
        """The published models whose names are written: all, or none of too many."""
        return self.published if len(self.published) <= MOST_NAMES else ()


@dataclass(frozen=True)
class ComparisonFigure:
    """The fronts, a panel for each pair of metrics, and the hypervolume against evaluations and against seconds.

    `remarks` explain it; `warnings` are the reasons why the studies are not comparable.
    """

    title: str
    remarks: tuple[str, ...]
    warnings: tuple[str, ...]
    fronts: tuple[Panel, ...]
    curves: tuple[Panel, Panel]


def comparison_figure(
    comparison: Comparison, *, x: str | None = None, y: str | None = None, all_pairs: bool = False
) -> ComparisonFigure:
    """The fronts along `x` and `y`, by default the axes of a single study's figure, or along all pairs of metrics.

    Raises PlanError for an unknown metric, StudyError for one that some member of a front lacks.
    """
    axes = (pairs(comparison.objectives) if all_pairs else []) or [_axes(comparison, x, y)]
    evaluations = [[range(1, run.evaluations + 1) for run in side.runs] for side in comparison.sides]
    seconds = [[run.seconds for run in side.runs] for side in comparison.sides]
    return ComparisonFigure(
        _title(comparison),
        _remarks(comparison),
        tuple(f"not comparable: {warning}" for warning in comparison.warnings),
        tuple(_front_panel(comparison, *names) for names in axes),
        (
            _curve_panel(comparison, "evaluations", evaluations),
            _curve_panel(comparison, "seconds of evaluation", seconds),
        ),
    )


def _axes(comparison: Comparison, x: str | None, y: str | None) -> tuple[str, str]:
    known = known_metrics([member for run in comparison.runs for member in run.front])
    across, up, _ = choose_axes(comparison.objectives, x, y, known=known)
    for name in (across, up):
        if name not in known:
            raise StudyError(
                f"not every member of these fronts has a number for {name}; draw {', '.join(sorted(known))}."
            )
    return across, up


def _title(comparison: Comparison) -> str:
    names = [side.name for side in comparison.sides]
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) <= _MOST_IN_TITLE else f"{len(names)} studies"


def _remarks(comparison: Comparison) -> tuple[str, ...]:
    values = (f"{metric(name).label} {pretty(name, value)}" for name, value in comparison.reference.items())
    point = f"reference point: {', '.join(values)}"
    if all(len(side.runs) == 1 for side in comparison.sides):
        return (point,)
    return (point, "line: reached by at least half of the seeds; band: from the worst to the best seed")


# ---- fronts


def _front_panel(comparison: Comparison, x: str, y: str) -> Panel:
    pair = (Objective.named(x), Objective.named(y))
    members = [member for run in comparison.runs for member in run.front]
    sizes = image_sizes((x, y), members)
    across, up = (Axis.over(name, members, image_size=sizes.get(name, "")) for name in (x, y))
    series = tuple(
        Series(
            side.name,
            _staircase(side, side.half, pair, across, up),
            _band(side, pair, across, up),
            _dots(side, comparison, across, up),
        )
        for side in comparison.sides
    )
    published = _published_points(comparison, pair, across, up)
    return Panel(across.label, up.label, across.limits, up.limits, series, published)


def _published_points(
    comparison: Comparison, pair: tuple[Objective, Objective], across: Axis, up: Axis
) -> tuple[PublishedPoint, ...]:
    """Those within the axes, which fit the fronts; a point that several sides share is there once."""
    points: dict[PublishedPoint, None] = {}
    for side in comparison.sides:
        by_name: dict[str, list[Record]] = {}
        for record in comparable([record for run in side.runs for record in run.records], pair):
            if record.published:
                by_name.setdefault(record.published, []).append(record)
        for name, records in by_name.items():
            x, y = (median(map(axis.of, records)) for axis in (across, up))
            if across.limits[0] <= x <= across.limits[1] and up.limits[0] <= y <= up.limits[1]:
                points[PublishedPoint(x, y, short_name(name))] = None
    return tuple(points)


def _dots(side: Side, comparison: Comparison, across: Axis, up: Axis) -> tuple[ComparisonDot, ...]:
    return tuple(
        ComparisonDot(
            across.of(member),
            up.of(member),
            across.error(member),
            up.error(member),
            (f"{run.name}, {lines[0]}", *lines[1:]),
        )
        for run in side.runs
        for member in run.front
        for lines in (describe(member, comparison.objectives),)
    )


def _staircase(side: Side, times: int, pair: tuple[Objective, Objective], across: Axis, up: Axis) -> Line:
    """The outline of what so many runs reach, continued to the edges of the plot on the dominated side."""
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
    """The area between what one run and what every run reaches."""
    if len(side.runs) < 2:
        return ()
    best, worst = (_staircase(side, times, pair, across, up) for times in (1, len(side.runs)))
    return (*best, *reversed(worst))


# ---- hypervolumes


def _curve_panel(comparison: Comparison, label: str, spent: Sequence[Sequence[Sequence[float]]]) -> Panel:
    series = tuple(_curve(side, budgets) for side, budgets in zip(comparison.sides, spent, strict=True))
    right = max(x for curve in series for x, _ in curve.line)
    top = max(y for curve in series for _, y in (*curve.line, *curve.band))
    return Panel(label, "hypervolume", (0.0, 1.03 * right), (0.0, 1.08 * top), series)


def _curve(side: Side, spent: Sequence[Sequence[float]]) -> Series:
    """The median over the runs, as far as all of them go, as steps; and the band from the least to the most."""
    end = min(budgets[-1] for budgets in spent)
    places = np.unique([0.0, *(budget for budgets in spent for budget in budgets if budget <= end)])
    values = np.array(
        [
            np.concatenate(([0.0], run.hypervolumes))[np.searchsorted(budgets, places, side="right")]
            for run, budgets in zip(side.runs, spent, strict=True)
        ]
    )
    low, middle, high = (_steps(places, row) for row in (values.min(0), np.median(values, 0), values.max(0)))
    return Series(side.name, middle, (*high, *reversed(low)) if len(side.runs) > 1 else (), ())


def _steps(places: Sequence[float] | np.ndarray, values: np.ndarray) -> Line:
    x, y = np.repeat(places, 2)[1:], np.repeat(values, 2)[:-1]
    return tuple(zip(x.tolist(), y.tolist(), strict=True))
