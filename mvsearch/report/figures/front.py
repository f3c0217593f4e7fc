"""What a plot of a study shows, as data: points, axes and the line of the front. Nothing here draws."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise

from mvsearch.arch.published import short_name
from mvsearch.errors import PlanError
from mvsearch.metrics.constraints import Limit
from mvsearch.metrics.formatting import scale, with_error
from mvsearch.metrics.pareto import Objective, comparable, front, some_comparable
from mvsearch.metrics.record import Record
from mvsearch.metrics.registry import metric, scores, searchable
from mvsearch.report.stages import stage_lines
from mvsearch.report.table import metric_columns

_NEAR = 0.35
"""How far beyond the records a limit may lie and still be drawn, as a share of their span."""


@dataclass(frozen=True)
class Axis:
    """A metric along an axis, or as a marker's area; values are divided by `size` to be in the label's unit."""

    name: str
    label: str
    size: float
    limits: tuple[float, float]

    @classmethod
    def over(cls, name: str, records: Sequence[Record], limits: Sequence[Limit] = ()) -> "Axis":
        """Wide enough for every record, for the markers and labels around the outermost, and for limits close by."""
        values = [record.metrics[name] + side * _error(name, record) for record in records for side in (-1, 1)]
        label, size = scale(name, values)
        low, high = min(values), max(values)
        span = (high - low) or abs(high) or 1.0
        ends = [low - 0.09 * span, high + 0.09 * span]
        for limit in limits:
            if limit.name == name and low - _NEAR * span <= limit.value <= high + _NEAR * span:
                edge = 0.06 * span if limit.at_most else -0.06 * span
                ends += [limit.value + edge]
        return cls(name, label, size, (min(ends) / size, max(ends) / size))

    def of(self, record: Record) -> float:
        """The record's value in the label's unit."""
        return float(record.metrics[self.name]) / self.size

    def error(self, record: Record) -> float:
        """The standard error of that value; 0 where it is not known, or exact."""
        return _error(self.name, record) / self.size


def _error(name: str, record: Record) -> float:
    return float(record.metrics.get(f"{name}_sem", 0.0))


@dataclass(frozen=True)
class Point:
    """One candidate, in the units of the axes; `label` is for published models only.

    `x_error` and `y_error` are standard errors, 0 where there is none to show.
    """

    x: float
    y: float
    x_error: float
    y_error: float
    area: float | None
    on_front: bool
    label: str | None
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Shade:
    """The side of a limit that is forbidden: from `low` to `high` along one axis, in its unit, and across all of the
    other. `edge` is the limit itself."""

    along_x: bool
    low: float
    high: float
    edge: float
    words: str


@dataclass(frozen=True)
class FrontFigure:
    """A study seen along two axes; a third metric, if there is one, is the markers' area.

    `on_front` of a point is about all objectives; `staircase` is the outline of what is reached in the two drawn.
    """

    title: str
    subtitle: str
    x: Axis
    y: Axis
    area: Axis | None
    area_key: tuple[float, ...]
    points: tuple[Point, ...]
    staircase: tuple[tuple[float, float], ...]
    shades: tuple[Shade, ...] = ()

    def group(self, *, published: bool, on_front: bool) -> list[Point]:
        """One of the four kinds of marker, the largest first so that no small one is hidden."""
        kind = [p for p in self.points if (p.label is not None) == published and p.on_front == on_front]
        return sorted(kind, key=lambda point: -(point.area or 0))

    @property
    def named(self) -> list[Point]:
        """The published models."""
        return [point for point in self.points if point.label is not None]

    def share(self, area: float | None) -> float:
        """The marker's area, as a share of the largest; where area says nothing, all are of one modest size."""
        return area / self._largest if area is not None and self._largest > 0 else 0.3

    @cached_property
    def _largest(self) -> float:
        return max(point.area or 0 for point in self.points)


def front_figure(
    records: Sequence[Record],
    objectives: Sequence[Objective],
    *,
    title: str,
    limits: Sequence[Limit] = (),
    x: str | None = None,
    y: str | None = None,
    area: str | None = None,
) -> FrontFigure:
    """A score against params, if they are sought, with MACs as area; `x`, `y` and `area` name other metrics.

    Raises PlanError for a metric that there is not, StudyError for one that no record has.
    """
    x_name, y_name, area_name = drawn(objectives, x, y, area, beside=known(some_comparable(records, objectives)))
    names = [name for name in (x_name, y_name, area_name) if name]
    shown = some_comparable(records, list(dict.fromkeys([*objectives, *map(Objective.named, names)])))
    members = {record.number for record in front(shown, objectives)}
    across, up = Axis.over(x_name, shown, limits), Axis.over(y_name, shown, limits)
    third = Axis.over(area_name, shown) if area_name else None
    shades = tuple(_shade(limit, axis, axis is across) for axis in (across, up) for limit in _seen(axis, limits))
    unseen = [limit for limit in limits if limit not in (*_seen(across, limits), *_seen(up, limits))]
    return FrontFigure(
        title,
        _subtitle(len(records), len(shown), len(members), objectives, unseen),
        across,
        up,
        third,
        round_values([third.of(record) for record in shown]) if third else (),
        tuple(_point(record, across, up, third, record.number in members, objectives) for record in shown),
        _staircase(shown, across, up),
        shades,
    )


def _point(
    record: Record, x: Axis, y: Axis, area: Axis | None, on_front: bool, objectives: Sequence[Objective]
) -> Point:
    return Point(
        x.of(record),
        y.of(record),
        x.error(record),
        y.error(record),
        area.of(record) if area else None,
        on_front,
        short_name(record.published) if record.published else None,
        lines_about(record, objectives),
    )


def drawn(
    objectives: Sequence[Objective],
    x: str | None = None,
    y: str | None = None,
    area: str | None = None,
    *,
    beside: Collection[str] = (),
) -> tuple[str, str, str | None]:
    """The metrics across, up, and as area.

    Where fewer than three are sought, what is known `beside` them stands in: costs that come with any network, or a
    score. Raises PlanError if there are no two.
    """
    for name in filter(None, (x, y, area)):
        Objective.named(name)
    sought = [objective.name for objective in objectives]
    across = x or _across([name for name in sought if name != y], scored=y is not None or any(map(_scored, sought)))
    stand_ins = [name for name in (*scores(), "params", "macs") if name in beside and name != across]
    others = [name for name in sought if name != across] or stand_ins
    up = y or _first(filter(_scored, others), others)
    if up is None:
        raise PlanError(f"{across} alone makes no plot; choose another metric for the x axis.")
    if across == up:
        raise PlanError(f"{across} against itself makes no plot; choose two metrics for --x and --y.")
    rest = [name for name in sought if name not in (across, up)]
    if not rest and _scored(up):
        rest = [name for name in stand_ins if not _scored(name)]
    return across, up, area or _first(("macs",), rest)


def _across(names: Sequence[str], *, scored: bool) -> str:
    """The cost that a score is drawn against: params, if they are among them; without a score, what comes first."""
    costs = [name for name in names if not _scored(name)]
    return _first(("params",) if scored else (), costs) or "params"


def _scored(name: str) -> bool:
    return name in scores()


def _first(preferred: Iterable[str], names: Sequence[str]) -> str | None:
    return next((name for name in (*preferred, *names) if name in names), None)


def pairs(objectives: Sequence[Objective]) -> list[tuple[str, str]]:
    """What to draw across and up so that every trade-off is seen: each score against each cost.

    Where there are no scores, or nothing else, each objective against each other.
    """
    sought = [objective.name for objective in objectives]
    both = [(cost, score) for score in sought for cost in sought if score in scores() and cost not in scores()]
    return both or list(combinations(sorted(sought, key="top1".__eq__), 2))


def known(records: Sequence[Record]) -> set[str]:
    """The metrics that every record has a number for."""
    return {name for name in searchable() if len(comparable(records, [Objective.named(name)])) == len(records)}


def _seen(axis: Axis, limits: Sequence[Limit]) -> list[Limit]:
    low, high = axis.limits
    return [limit for limit in limits if limit.name == axis.name and low < limit.value / axis.size < high]


def _shade(limit: Limit, axis: Axis, along_x: bool) -> Shade:
    (low, high), edge = axis.limits, limit.value / axis.size
    span = (edge, high) if limit.at_most else (low, edge)
    return Shade(along_x, *span, edge, _written(limit))


def _written(limit: Limit) -> str:
    return limit.text.replace("<=", "≤").replace(">=", "≥")


def lines_about(record: Record, objectives: Sequence[Objective]) -> tuple[str, ...]:
    """What is said of a candidate when one asks: its name, its numbers, its rows."""
    numbers = (
        f"{metric(name).label}: {with_error(name, record.metrics)}" for name in metric_columns([record], objectives)
    )
    name = f"trial {record.number}: {record.published or record.key}"
    return (name, *numbers, *stage_lines(record.architecture))


def _staircase(records: Sequence[Record], x: Axis, y: Axis) -> tuple[tuple[float, float], ...]:
    pair = (Objective.named(x.name), Objective.named(y.name))
    return tuple(outline([(x.of(record), y.of(record)) for record in front(records, pair)], pair[0]))


def outline(members: Sequence[tuple[float, float]], x: Objective) -> list[tuple[float, float]]:
    """The corners of what a front reaches: y stays as good as at one member until the next is reached."""
    places = sorted(members)
    corners = places[:1]
    for (x0, y0), (x1, y1) in pairwise(places):
        corners += [(x0, y1) if x.maximise else (x1, y0), (x1, y1)]
    return corners


def round_values(values: Sequence[float]) -> tuple[float, ...]:
    """Two or three round values that span the others: what a size legend can show."""
    for digits in ((1, 2, 5), (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)):
        steps = [float(f"{digit}e{power}") for power in range(-6, 7) for digit in digits]
        near = [step for step in steps if 0.7 * min(values) <= step <= 1.1 * max(values)]
        if len(near) > 1:
            return tuple(dict.fromkeys((near[0], near[len(near) // 2], near[-1])))
    return (max(values),)


def _subtitle(trials: int, shown: int, members: int, objectives: Sequence[Objective], unseen: Sequence[Limit]) -> str:
    *most, last = (metric(objective.name).label for objective in objectives)
    sought = f"{', '.join(most)} and {last}" if most else last
    found = f"{shown} of {trials} trials complete" if shown < trials else f"{trials} trial{'s' * (trials > 1)}"
    kept = f"; limited to {', '.join(map(_written, unseen))}" if unseen else ""
    return f"{found}, {members} on the front of {sought}{kept}"
