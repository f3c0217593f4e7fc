"""Places for the labels of a figure so that none hides a point or another label. Plain geometry, in pixels.

Every label tries places on rings around its point and takes the cheapest; further rounds let labels move again once
the places of the others are known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]
"""Rows of left, bottom, right, top."""

Points = NDArray[np.float64]
"""Rows of x, y."""

GAPS = (3.0, 9.0, 17.0, 27.0, 40.0, 56.0)
ANGLES = np.arange(24) * (2 * np.pi / 24)
ROUNDS = 4
OPTIONAL_GAPS = 3
"""An optional label is near its point, or left out."""
CROWDED = 3.0
"""The cost from which on an optional label is left out."""
_TOUCH = 6.0
AIR = np.array([-6.0, -3.0, 6.0, 3.0])
"""The margin around a text: two that touch read as one, and one that touches another's marker reads as its name."""


@dataclass(frozen=True)
class Obstacles:
    """What labels avoid: hiding markers, crossing a line, and leaving the frame."""

    markers: Boxes
    line: Points
    frame: tuple[float, float, float, float]


@dataclass(frozen=True)
class Label:
    """A point to be named: its place, its marker's radius, and the size of its text.

    An `optional` label is left out where it would crowd others.
    """

    x: float
    y: float
    radius: float
    width: float
    height: float
    optional: bool = False


def place(labels: Sequence[Label], obstacles: Obstacles) -> list[tuple[float, float] | None]:
    """The centre of each label's text; None for one that is left out."""
    candidates = [_candidates(label) for label in labels]
    fixed = [_fixed_costs(label, boxes, obstacles) for label, boxes in zip(labels, candidates, strict=True)]
    best: list[int | None] = [None] * len(labels)
    order = sorted(range(len(labels)), key=lambda i: labels[i].optional)
    for _ in range(ROUNDS):
        before = list(best)
        for i in order:
            others = [(labels[j], candidates[j][k]) for j, k in enumerate(best) if j != i and k is not None]
            costs = fixed[i] + _crowding_costs(labels[i], candidates[i], others)
            nearest = int(np.argmin(costs))
            best[i] = None if labels[i].optional and costs[nearest] > CROWDED else nearest
        if best == before:
            break
    return [None if k is None else _centre(candidates[i][k]) for i, k in enumerate(best)]


def leader(label: Label, centre: tuple[float, float]) -> Points:
    """The line from the marker's edge to the nearest point of the text's box, as two rows."""
    start, end = _leaders(label, _box(*centre, label.width, label.height)[None])
    return np.concatenate([start, end])


def _candidates(label: Label) -> Boxes:
    """Boxes around the point, each ring a little further from the marker's edge; the preferred first."""
    rings = []
    for gap in GAPS[:OPTIONAL_GAPS] if label.optional else GAPS:
        across, up = label.width / 2 + label.radius + gap, label.height / 2 + label.radius + gap
        # The nearest point of the box, not its centre, is at this distance from the marker.
        x = np.clip(np.cos(ANGLES) * across * 1.4, -across, across)
        y = np.clip(np.sin(ANGLES) * up * 1.4, -up, up)
        rings.append(_box(label.x + x, label.y + y, label.width, label.height))
    return np.concatenate(rings)


def _fixed_costs(label: Label, boxes: Boxes, obstacles: Obstacles) -> Points:
    """The cost of each place without regard to other labels: distance, hidden markers, crossed lines, a cut frame."""
    start, end = _leaders(label, boxes)
    left, bottom, right, top = obstacles.frame
    low, high = np.array([left, bottom]), np.array([right, top])
    outside = np.maximum(low - boxes[:, :2], 0).sum(axis=1) + np.maximum(boxes[:, 2:] - high, 0).sum(axis=1)
    markers = obstacles.markers[(np.abs(_centres(obstacles.markers) - (label.x, label.y)) > 1e-6).any(axis=1)]
    hidden = _overlap(boxes, obstacles.markers).sum(axis=1) / (label.height**2)
    crossed = _hits(_along(start, end), markers)
    on_line = _count_inside(obstacles.line, boxes)
    distance = np.hypot(*(end - start).T) / label.height
    return np.asarray(50 * outside + 40 * hidden + crossed + 0.25 * on_line + 1.2 * distance)


def _crowding_costs(label: Label, boxes: Boxes, others: Sequence[tuple[Label, Boxes]]) -> Points:
    """The cost of each place next to the labels that have one: covered text, and leaders that cross others."""
    others = [other for other in others if _within_reach(label, boxes, *other)]
    if not others:
        return np.zeros(len(boxes))
    placed = np.array([box for _, box in others])
    lines = [_leaders(other, box[None]) for other, box in others]
    theirs = np.concatenate([_along(start, end)[0] for start, end in lines])
    mine = _along(*_leaders(label, boxes))
    markers = np.array([_box(other.x, other.y, 2 * other.radius, 2 * other.radius) for other, _ in others])
    touched = (6 * _overlap(boxes + AIR, markers) + 12 * _overlap(boxes + AIR, placed)).sum(axis=1) / label.height**2
    covered = 48 * _overlap(boxes, placed).sum(axis=1) / label.height**2
    astray = 6 * _hits(mine, placed) + 3 * _hits(mine, markers) + 6 * _count_inside(theirs, boxes)
    close = np.logical_and.reduce([np.abs(np.subtract.outer(mine[..., i], theirs[:, i])) < 3 for i in (0, 1)])
    return np.asarray(covered + touched + astray + 2 * close.any(axis=(1, 2)))


def _within_reach(label: Label, boxes: Boxes, other: Label, box: Points) -> bool:
    """Whether a label's text or leader can touch another's text, marker or leader."""
    low = np.minimum(boxes[:, :2].min(axis=0), (label.x, label.y)) - _TOUCH
    high = np.maximum(boxes[:, 2:].max(axis=0), (label.x, label.y)) + _TOUCH
    theirs_low = np.minimum(box[:2], (other.x - other.radius, other.y - other.radius))
    theirs_high = np.maximum(box[2:], (other.x + other.radius, other.y + other.radius))
    return bool((theirs_low <= high).all() and (theirs_high >= low).all())


def _leaders(label: Label, boxes: Boxes) -> tuple[Points, Points]:
    point = np.array([label.x, label.y])
    end = np.clip(point, boxes[:, :2], boxes[:, 2:])
    away = end - point
    length = np.maximum(np.hypot(*away.T), 1e-9)[:, None]
    return point + away / length * np.minimum(label.radius, length), end


def _along(start: Points, end: Points) -> NDArray[np.float64]:
    """Eight points of each line."""
    steps = np.linspace(0.02, 0.98, 8)[:, None]
    return np.asarray(start[:, None] + (end - start)[:, None] * steps)


def _box(x: Points | float, y: Points | float, width: float, height: float) -> Boxes:
    return np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=-1)


def _centres(boxes: Boxes) -> Points:
    return np.asarray((boxes[:, :2] + boxes[:, 2:]) / 2)


def _centre(box: Boxes) -> tuple[float, float]:
    x, y = _centres(box[None])[0]
    return float(x), float(y)


def _overlap(boxes: Boxes, others: Boxes) -> NDArray[np.float64]:
    """The area that each box shares with each other one."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.asarray(np.clip(high - low, 0, None).prod(axis=2))


def _hits(lines: NDArray[np.float64], boxes: Boxes) -> NDArray[np.int64]:
    """The number of boxes that each line, a row of points, crosses."""
    x, y = lines[:, :, None, 0], lines[:, :, None, 1]
    inside = (x >= boxes[:, 0]) & (y >= boxes[:, 1]) & (x <= boxes[:, 2]) & (y <= boxes[:, 3])
    return np.asarray(inside.any(axis=1).sum(axis=-1))


def _count_inside(points: Points, boxes: Boxes) -> NDArray[np.int64]:
    """The number of points inside each box."""
    inside = (points >= boxes[:, None, :2]) & (points <= boxes[:, None, 2:])
    return np.asarray(inside.all(axis=2).sum(axis=-1))
