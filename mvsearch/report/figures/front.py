"""The figure of a study's front as data: points, axes and the line of the front."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType

from mvsearch.arch.published import short_name
from mvsearch.metrics.constraints import Constraint
from mvsearch.metrics.formatting import image_sizes, labels, with_error
from mvsearch.metrics.pareto import Objective, front, some_comparable
from mvsearch.metrics.record import Record
from mvsearch.metrics.registry import metric
from mvsearch.report.figures.axes import Axis, choose_axes, known_metrics, round_values
from mvsearch.report.figures.left_out import LeftOut, has, left_out_point, left_out_words
from mvsearch.report.stages import stage_lines
from mvsearch.report.table import metric_columns
from mvsearch.report.validated import ValidatedTrial
from mvsearch.utils.text import join_words, plural

_MOST_NUMBERED = 40


@dataclass(frozen=True)
class Family:
    """The kind of block that has the most MACs, plain convolutions aside, and whether there are other kinds."""

    kind: str
    mixed: bool


@dataclass(frozen=True)
class Point:
    """One candidate, trial `number`, in the units of the axes; `label` is for published models only.

    `x_error` and `y_error` are standard errors, 0 where there is none. `lines` are shown on hovering, `mark` beside the
    marker, which has a ring if the candidate is `validated`.
    """

    x: float
    y: float
    x_error: float
    y_error: float
    area: float | None
    on_front: bool
    label: str | None
    lines: tuple[str, ...]
    number: int
    mark: str = ""
    validated: bool = False
    family: Family | None = None

    @property
    def text(self) -> str:
        """What can be written beside the marker: a published model's name, or the trial and its mark: `17, S`."""
        return self.label or f"{self.number}, {self.mark}".removesuffix(", ")


@dataclass(frozen=True)
class Shade:
    """The forbidden side of a limit: from `low` to `high` along one axis, in its unit, and all of the other axis.

    `edge` is the limit itself.
    """

    along_x: bool
    low: float
    high: float
    edge: float
    words: str


@dataclass(frozen=True)
class FrontFigure:
    """A study along two axes; a third metric, if there is one, is the markers' area.

    `on_front` of a point concerns all objectives; `staircase` is the outline of the front of the two axes.
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
    left_out: tuple[LeftOut, ...] = ()
    shade_label: str = "beyond a limit"

    def group(self, *, published: bool, on_front: bool) -> list[Point]:
        """The points of one kind of marker, the largest first so that no small one is hidden."""
        kind = [p for p in self.points if (p.label is not None) == published and p.on_front == on_front]
        return sorted(kind, key=lambda point: -(point.area or 0))

    @property
    def has_families(self) -> bool:
        """Whether the markers tell families apart."""
        return any(point.family for point in self.points)

    @property
    def validated(self) -> list[Point]:
        """The candidates that were trained for real."""
        return [point for point in self.points if point.validated]

    @property
    def named(self) -> list[Point]:
        """The published models, the candidates with a mark, and the members of the front unless there are too many."""
        numbered = _is_numbered([point.number for point in self.points if point.on_front])
        return [point for point in self.points if point.label or point.mark or (point.on_front and numbered)]

    def share(self, area: float | None) -> float:
        """The marker's area as a share of the largest; without a third metric all have one size."""
        return area / self._largest if area is not None and self._largest > 0 else 0.3

    @cached_property
    def _largest(self) -> float:
        return max(point.area or 0 for point in self.points)


def front_figure(
    records: Sequence[Record],
    objectives: Sequence[Objective],
    *,
    title: str,
    limits: Sequence[Constraint] = (),
    beyond: int = 0,
    x: str | None = None,
    y: str | None = None,
    area: str | None = None,
    marks: Mapping[int, str] = MappingProxyType({}),
    validated: Mapping[int, ValidatedTrial] = MappingProxyType({}),
    left_out: Sequence[Record] = (),
    goal: Constraint | None = None,
) -> FrontFigure:
    """A score against params, if they are an objective, with MACs as area; `x`, `y` and `area` name other metrics.

    `marks` are texts beside candidates, by trial; beside `validated` ones is the difference to the baseline too. So
    many complete trials `beyond` the limits are not drawn, which the subtitle says. Trials that are `left_out` have
    crosses. What does not reach the `goal` is shaded as what breaks a limit is.

    Raises PlanError for an unknown metric, StudyError for one that no record has.
    """
    complete = some_comparable(records, objectives)
    x_name, y_name, area_name = choose_axes(objectives, x, y, area, known=known_metrics(complete))
    names = [name for name in (x_name, y_name, area_name) if name]
    measured = some_comparable(complete, [*map(_objective, names)])
    members = {record.number for record in front(complete, objectives)}
    sizes = image_sizes(names, measured)
    edges = (*limits, goal) if goal else limits
    placed = [record for record in left_out if has(record, x_name)]
    across, up = (
        Axis.over(name, [*measured, *(r for r in placed if has(r, name))], edges, image_size=sizes.get(name, ""))
        for name in (x_name, y_name)
    )
    crosses = tuple(left_out_point(record, across, up, describe(record, objectives)) for record in placed)
    others = [f"{beyond} beyond the limits not drawn"] if beyond else []
    if left_out:
        others = [left_out_words(crosses, metric(y_name).label, len(left_out) - len(placed))]
    if unmeasured := len(complete) - len(measured):
        lacking = [metric(name).label for name in names if not all(has(record, name) for record in complete)]
        others.append(f"{unmeasured} without {join_words(lacking, 'or')} not drawn")
    third = Axis.over(area_name, measured, image_size=sizes.get(area_name, "")) if area_name else None
    shades = tuple(_shade(limit, axis, axis is across) for axis in (across, up) for limit in _visible(axis, edges))
    hidden = [limit for limit in limits if limit not in (*_visible(across, limits), *_visible(up, limits))]
    return FrontFigure(
        title,
        _subtitle(len(records), len(complete), members, objectives, hidden, "; ".join(others)),
        across,
        up,
        third,
        round_values([third.of(record) for record in measured]) if third else (),
        tuple(
            _point(record, across, up, third, objectives, record.number in members, marks, validated)
            for record in measured
        ),
        _staircase(measured, across, up),
        shades,
        crosses,
        shade_label="beyond a limit, or not better" if goal else "beyond a limit",
    )


def _point(
    record: Record,
    x: Axis,
    y: Axis,
    area: Axis | None,
    objectives: Sequence[Objective],
    on_front: bool,
    marks: Mapping[int, str],
    validated: Mapping[int, ValidatedTrial],
) -> Point:
    trial = validated.get(record.number)
    return Point(
        x=x.of(record),
        y=y.of(record),
        x_error=x.error(record),
        y_error=y.error(record),
        area=area.of(record) if area else None,
        on_front=on_front,
        label=short_name(record.published) if record.published else None,
        lines=(*describe(record, objectives), *([trial.words] if trial else [])),
        number=record.number,
        mark=", ".join(filter(None, (marks.get(record.number), trial.mark if trial else ""))),
        validated=trial is not None,
    )


def _objective(name: str) -> Objective:
    return Objective(name, metric(name).maximise)


def _visible(axis: Axis, limits: Sequence[Constraint]) -> list[Constraint]:
    low, high = axis.limits
    return [limit for limit in limits if limit.name == axis.name and low < limit.value / axis.size < high]


def _shade(limit: Constraint, axis: Axis, along_x: bool) -> Shade:
    (low, high), edge = axis.limits, limit.value / axis.size
    span = (edge, high) if limit.at_most else (low, edge)
    return Shade(along_x, *span, edge, _limit_text(limit))


def _limit_text(limit: Constraint) -> str:
    return limit.text.replace("<=", "≤").replace(">=", "≥")


def describe(record: Record, objectives: Sequence[Objective]) -> tuple[str, ...]:
    """A candidate's name, its metrics and its rows, a line each."""
    names = metric_columns([record], objectives)
    texts = (with_error(name, record.metrics) for name in names)
    numbers = (f"{label}: {text}" for label, text in zip(labels(names, [record]), texts, strict=True))
    name = f"trial {record.number}: {record.published or record.key}"
    return (name, *numbers, *stage_lines(record.architecture))


def _staircase(records: Sequence[Record], x: Axis, y: Axis) -> tuple[tuple[float, float], ...]:
    pair = (_objective(x.name), _objective(y.name))
    return tuple(outline([(x.of(record), y.of(record)) for record in front(records, pair)], pair[0]))


def outline(members: Sequence[tuple[float, float]], x: Objective) -> list[tuple[float, float]]:
    """The corners of a staircase through the members: y stays at one member's value until the next member."""
    points = sorted(members)
    corners = points[:1]
    for (x0, y0), (x1, y1) in pairwise(points):
        corners += [(x0, y1) if x.maximise else (x1, y0), (x1, y1)]
    return corners


def _subtitle(
    trials: int,
    complete: int,
    members: Collection[int],
    objectives: Sequence[Objective],
    hidden: Sequence[Constraint],
    others: str,
) -> str:
    names = join_words(metric(objective.name).label for objective in objectives)
    count = f"{complete} of {trials} trials complete" if complete < trials else plural(trials, "trial")
    limits = f"; limited to {', '.join(map(_limit_text, hidden))}" if hidden else ""
    numbers, others = " (numbers are trials)" * _is_numbered(members), f"; {others}" if others else ""
    return f"{count}, {len(members)} on the front of {names}{numbers}{limits}{others}"


def _is_numbered(members: Collection[int]) -> bool:
    """Whether the members of a front have their numbers beside them: of many they would only be clutter."""
    return len(members) <= _MOST_NUMBERED
