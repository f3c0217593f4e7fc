"""What a plot of a study shows, as data: points, axes and the line of the front. Nothing here draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from mvsearch.errors import PlanError
from mvsearch.pareto import Objective, front, some_comparable
from mvsearch.record import Record
from mvsearch.report.table import metric_columns
from mvsearch.report.units import scale, short_name, unit, with_error


@dataclass(frozen=True)
class Axis:
    """A metric along an axis, or as a marker's area; values are divided by `size` to be in the label's unit."""

    name: str
    label: str
    size: float
    limits: tuple[float, float]

    @classmethod
    def over(cls, name: str, records: Sequence[Record]) -> "Axis":
        """Wide enough for every record and for the markers and labels around the outermost."""
        values = [record.metrics[name] + side * _error(name, record) for record in records for side in (-1, 1)]
        label, size = scale(name, values)
        low, high = min(values) / size, max(values) / size
        margin = 0.09 * ((high - low) or abs(high) or 1.0)
        return cls(name, label, size, (low - margin, high + margin))

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
class FrontPicture:
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


def front_picture(
    records: Sequence[Record], objectives: Sequence[Objective], *, title: str, x: str | None = None
) -> FrontPicture:
    """Top-1 against `x` (params, if it is an objective), or the first two objectives if top-1 is none."""
    x_name, y_name, area_name = drawn(objectives, x)
    names = [name for name in (x_name, y_name, area_name) if name]
    shown = some_comparable(records, list(dict.fromkeys([*objectives, *map(Objective.named, names)])))
    members = {record.number for record in front(shown, objectives)}
    across, up = Axis.over(x_name, shown), Axis.over(y_name, shown)
    area = Axis.over(area_name, shown) if area_name else None
    return FrontPicture(
        title,
        _subtitle(len(records), len(shown), len(members), objectives),
        across,
        up,
        area,
        _round_values([area.of(record) for record in shown]) if area else (),
        tuple(
            Point(
                across.of(record),
                up.of(record),
                across.error(record),
                up.error(record),
                area.of(record) if area else None,
                record.number in members,
                short_name(record.published) if record.published else None,
                _lines(record, objectives),
            )
            for record in shown
        ),
        _staircase(shown, across, up),
    )


def drawn(objectives: Sequence[Objective], x: str | None = None) -> tuple[str, str, str | None]:
    """The metrics across, up, and as area: of the objectives, what is left for the area is MACs if it can be."""
    sought = [objective.name for objective in objectives]
    costs = sorted((name for name in sought if name != "top1"), key=lambda name: name != "params")
    across = Objective.named(x).name if x else (costs[0] if costs else "params") if "top1" in sought else sought[0]
    upward = sorted((name for name in sought if name != across), key=lambda name: name != "top1")
    if not upward:
        raise PlanError(f"{across} alone makes no plot; choose another metric for the x axis.")
    rest = sorted(upward[1:], key=lambda name: name != "macs")
    return across, upward[0], rest[0] if rest else None


def _lines(record: Record, objectives: Sequence[Objective]) -> tuple[str, ...]:
    """What is said of a candidate when one asks: its name, its numbers, its choices."""
    numbers = (
        f"{unit(name).head}: {with_error(name, record.metrics)}" for name in metric_columns([record], objectives)
    )
    choices = (f"{name} = {value}" for name, value in record.choices.items())
    return (f"trial {record.number}: {record.published or record.key}", *numbers, *choices)


def _staircase(records: Sequence[Record], x: Axis, y: Axis) -> tuple[tuple[float, float], ...]:
    """The corners of the outline of what is reached: y stays as good as at one member until the next is reached."""
    pair = [Objective.named(x.name), Objective.named(y.name)]
    members = sorted((x.of(record), y.of(record)) for record in front(records, pair))
    corners = members[:1]
    for (x0, y0), (x1, y1) in pairwise(members):
        corners += [(x0, y1) if pair[0].maximise else (x1, y0), (x1, y1)]
    return tuple(corners)


def _round_values(values: Sequence[float]) -> tuple[float, ...]:
    """Up to three of 1, 2, 5, 10 ... that span the values: what a size legend can show."""
    steps = [digit * 10.0**power for power in range(-6, 7) for digit in (1, 2, 5)]
    near = [step for step in steps if 0.7 * min(values) <= step <= 1.1 * max(values)] or [max(values)]
    return tuple(dict.fromkeys((near[0], near[len(near) // 2], near[-1])))


def _subtitle(trials: int, shown: int, members: int, objectives: Sequence[Objective]) -> str:
    *most, last = (unit(objective.name).head for objective in objectives)
    sought = f"{', '.join(most)} and {last}" if most else last
    found = f"{shown} of {trials} trials complete" if shown < trials else f"{trials} trial{'s' * (trials > 1)}"
    return f"{found}, {members} on the front of {sought}"
