"""Trials that a front figure shows only when asked: pruned, failed, and complete ones beyond a limit."""

from collections.abc import Sequence
from dataclasses import dataclass

from mvsearch.metrics.record import Record, is_number
from mvsearch.metrics.registry import metric
from mvsearch.report.figures.axes import Axis

_AT_EDGE = 0.02
"""How far from the edge of the plot a trial without a value is drawn, as a share of the axis."""


@dataclass(frozen=True)
class LeftOut:
    """A trial that is pruned, failed or beyond a limit, in the units of the axes; `lines` are shown on hovering.

    `kind` is `pruned`, `failed` or `trial beyond a limit`. `at_edge`: it has no value for y, so it is drawn where y is
    worst.
    """

    kind: str
    x: float
    y: float
    at_edge: bool
    lines: tuple[str, ...]


def has(record: Record, name: str) -> bool:
    """Whether a record has a number for a metric."""
    return is_number(record.metrics.get(name))


def left_out_point(record: Record, x: Axis, y: Axis, lines: tuple[str, ...]) -> LeftOut:
    """The place of a record that has a number for x."""
    kind = record.state if record.state in ("pruned", "failed") else "trial beyond a limit"
    reason = (f"{kind}: {record.reason}",) if record.reason else (kind,)
    at_edge = not has(record, y.name)
    return LeftOut(kind, x.of(record), _worst(y) if at_edge else y.of(record), at_edge, (*lines, *reason))


def _worst(axis: Axis) -> float:
    low, high = axis.limits
    inset = _AT_EDGE * (high - low)
    return low + inset if metric(axis.name).maximise else high - inset


def left_out_words(points: Sequence[LeftOut], label: str, missing: int) -> str:
    """How many there are, e.g. `6 pruned, 1 failed (at the edge: without a scaled loss)`; `missing` have no place."""
    kinds = dict.fromkeys(point.kind for point in points)
    counts = [f"{sum(point.kind == kind for point in points)} {kind.removeprefix('trial ')}" for kind in kinds]
    edge = f" (at the edge: without {label})" if any(point.at_edge for point in points) else ""
    return ", ".join(counts) + edge + (f", {missing} without a place not drawn" if missing else "")
