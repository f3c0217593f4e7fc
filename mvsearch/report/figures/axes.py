"""The axes of figures: a metric with its limits and label, which metrics are drawn by default, and round values."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from mvsearch.errors import PlanError
from mvsearch.metrics.constraints import Constraint
from mvsearch.metrics.formatting import scale
from mvsearch.metrics.pareto import Objective, comparable
from mvsearch.metrics.record import Record
from mvsearch.metrics.registry import GAIN, device_of, is_score, metric, scores, searchable, with_devices
from mvsearch.utils import plugins

_NEAR = 0.35
"""How far beyond the records a limit is still drawn, as a share of their span."""


@dataclass(frozen=True)
class Axis:
    """A metric along an axis, or as a marker's area; values are divided by `size` to be in the label's unit."""

    name: str
    label: str
    size: float
    limits: tuple[float, float]

    @classmethod
    def over(
        cls, name: str, records: Sequence[Record], limits: Sequence[Constraint] = (), *, image_size: str = ""
    ) -> "Axis":
        """An axis that holds every record with its error bars and labels, and limits close by."""
        values = [record.metrics[name] + side * _error(name, record) for record in records for side in (-1, 1)]
        label, size = scale(name, values, image_size)
        low, high = min(values), max(values)
        span = (high - low) or abs(high) or 1.0
        ends = [low - 0.09 * span, high + 0.09 * span]
        for limit in limits:
            if limit.name == name and low - _NEAR * span <= limit.value <= high + _NEAR * span:
                edge = 0.06 * span if limit.at_most else -0.06 * span
                ends += [limit.value + edge]
        return cls(name, label, size, (min(ends) / size, max(ends) / size))

    @property
    def title(self) -> str:
        """The label with the direction that is better."""
        return f"{self.label}, {'higher' if metric(self.name).maximise else 'lower'} is better"

    def of(self, record: Record) -> float:
        """The record's value in the label's unit."""
        return float(record.metrics[self.name]) / self.size

    def error(self, record: Record) -> float:
        """The standard error of that value; 0 where there is none."""
        return _error(self.name, record) / self.size


def _error(name: str, record: Record) -> float:
    return float(record.metrics.get(f"{name}_sem", 0.0))


def choose_axes(
    objectives: Sequence[Objective],
    x: str | None = None,
    y: str | None = None,
    area: str | None = None,
    *,
    known: Collection[str] = (),
) -> tuple[str, str, str | None]:
    """The metrics along x and y, and as area.

    With fewer than three objectives, further `known` metrics fill in: costs, which every network has, or a score.
    Raises PlanError if there are not two metrics.
    """
    for name in filter(None, (x, y, area)):
        if name not in (*searchable(), GAIN.name) and not device_of(name):
            raise PlanError(f"unknown metric {name!r}; {plugins.suggest(name, sorted(known) or searchable())}")
    names = [objective.name for objective in objectives]
    has_score = y is not None or any(map(is_score, names))
    across = x or _x_name([name for name in names if name != y], has_score=has_score)
    fallbacks = [name for name in (*scores(), "params", "macs") if name in known and name != across]
    candidates = [name for name in names if name != across] or fallbacks
    up = y or _first(filter(is_score, candidates), candidates)
    if up is None:
        raise PlanError(f"{across} is the only metric; a figure needs another one for the x axis.")
    if across == up:
        raise PlanError(f"{across} is on both axes; choose two metrics for --x and --y.")
    others = [name for name in names if name not in (across, up)]
    if not others and is_score(up):
        others = [name for name in fallbacks if not is_score(name)]
    return across, up, area or _first(("macs",), others)


def _x_name(names: Sequence[str], *, has_score: bool) -> str:
    """The cost that a score is drawn against: params, if they are among them; without a score, the first."""
    costs = [name for name in names if not is_score(name)]
    return _first(("params",) if has_score else (), costs) or "params"


def _first(preferred: Iterable[str], names: Sequence[str]) -> str | None:
    return next((name for name in (*preferred, *names) if name in names), None)


def pairs(objectives: Sequence[Objective]) -> list[tuple[str, str]]:
    """The metrics along x and y for every trade-off: each cost with each score.

    Without scores, or without costs, each objective with each other.
    """
    names = [objective.name for objective in objectives]
    both = [(cost, score) for score in names for cost in names if is_score(score) and not is_score(cost)]
    return both or list(combinations(sorted(names, key="top1".__eq__), 2))


def known_metrics(records: Sequence[Record]) -> set[str]:
    """The metrics that every record has a number for."""
    names = with_devices(searchable(), (record.metrics for record in records))
    return {name for name in names if len(comparable(records, [Objective.named(name)])) == len(records)}


def limits_around(values: Sequence[float], margin: float) -> tuple[float, float]:
    """The ends of an axis that holds all values, with a margin that is a share of their span."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    span = (high - low) or 0.1 * abs(high) or 1.0
    return low - margin * span, high + margin * span


def round_values(values: Sequence[float]) -> tuple[float, ...]:
    """Two or three round values that span the others, for a size legend; none where the others are equal."""
    if min(values) == max(values):
        return ()
    for digits in ((1, 2, 5), (1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9)):
        steps = [float(f"{digit}e{power}") for power in range(-6, 7) for digit in digits]
        near = [step for step in steps if 0.7 * min(values) <= step <= 1.1 * max(values)]
        if len(near) > 1:
            return tuple(dict.fromkeys((near[0], near[len(near) // 2], near[-1])))
    return ()
