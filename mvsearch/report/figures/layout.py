"""Where the points and names of a picture fall on a sheet of pixels: what both drawers need before they draw."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mvsearch.report.figures.front import FrontFigure, Point, Shade
from mvsearch.report.figures.labels import Label, Points, Scene, leader, place
from mvsearch.report.figures.overlay import Panel
from mvsearch.report.figures.palette import LANDMARK, marker_size

SMALLEST = 0.04
"""The smallest marker that is still seen, as a share of the largest area."""

SHORTEST_LEADER = 9.0
"""In pixels: a name closer than this needs no line to its point."""


@dataclass(frozen=True)
class Mark:
    """A point that has a name: its place in the units of the axes, and half its marker's width in pixels."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Name:
    """A name in its place, in the units of the axes; `line` is empty where the name is near its point."""

    centre: tuple[float, float]
    line: Points


@dataclass(frozen=True)
class Frame:
    """Axes within a box of pixels (left, bottom, right, top); `x` and `y` are where they begin and end."""

    x: tuple[float, float]
    y: tuple[float, float]
    box: tuple[float, float, float, float]

    def pixels(self, places: Sequence[tuple[float, float]]) -> Points:
        """Where places in the units of the axes lie."""
        low, span = self._limits
        corner, extent = self._extent
        return np.asarray((np.array(places, dtype=float).reshape(-1, 2) - low) / span * extent + corner)

    def units(self, pixels: Points) -> Points:
        """The way back."""
        low, span = self._limits
        corner, extent = self._extent
        return np.asarray((pixels - corner) / extent * span + low)

    def dotted(self, corners: Sequence[tuple[float, float]]) -> Points:
        """Points along a line, in pixels, close enough that no name slips through."""
        places = self.pixels(corners)
        steps = np.linspace(0, len(places) - 1, 25 * len(places))
        return np.stack([np.interp(steps, range(len(places)), column) for column in places.T], axis=1)

    def names(
        self, marks: Sequence[Mark], sizes: Sequence[tuple[float, float]], others: Sequence[Mark], lines: Points
    ) -> list[Name]:
        """A name for each mark in its place, given how wide and high each text is.

        `others` are all markers that are not to be hidden, those of the marks too; `lines` better not crossed.
        """
        labels = [
            Label(x, y, mark.radius, width, height)
            for mark, (x, y), (width, height) in zip(marks, self._centres(marks), sizes, strict=True)
        ]
        centres, radii = self._centres(others), np.array([mark.radius for mark in others])[:, None]
        scene = Scene(np.hstack([centres - radii, centres + radii]), lines, self.box)
        return [self._name(*found) for found in zip(labels, place(labels, scene), strict=True)]

    def _centres(self, marks: Sequence[Mark]) -> Points:
        return self.pixels([(mark.x, mark.y) for mark in marks])

    def _name(self, label: Label, centre: tuple[float, float]) -> Name:
        line = leader(label, centre)
        far = float(np.hypot(*(line[1] - line[0]))) >= SHORTEST_LEADER
        x, y = self.units(np.array(centre))
        return Name((float(x), float(y)), self.units(line) if far else np.empty((0, 2)))

    @property
    def _limits(self) -> tuple[Points, Points]:
        low, high = np.array([self.x, self.y]).T
        return low, high - low

    @property
    def _extent(self) -> tuple[Points, Points]:
        left, bottom, right, top = self.box
        return np.array([left, bottom]), np.array([right - left, top - bottom])


@dataclass(frozen=True)
class Sheet:
    """A picture within a box of pixels (left, bottom, right, top); `largest` is the largest marker's radius."""

    picture: FrontFigure
    box: tuple[float, float, float, float]
    largest: float

    @property
    def frame(self) -> Frame:
        """Its axes in their place."""
        return Frame(self.picture.x.limits, self.picture.y.limits, self.box)

    def radius(self, point: Point) -> float:
        """Half the width of a marker; a diamond is wider than a circle of its area."""
        circle = math.sqrt(marker_share(self.picture, point.area)) * self.largest
        return circle * (1.0 if point.label is None else math.sqrt(math.pi / 2))

    def names(self, sizes: Sequence[tuple[float, float]]) -> list[Name]:
        """Every published model's name in its place, given how wide and high each text is."""
        edges = [self.frame.dotted(self._edge(shade)) for shade in self.picture.shades]
        lines = np.concatenate([self.frame.dotted(self.picture.staircase), *edges])
        return self.frame.names(self._marks(self.picture.named), sizes, self._marks(self.picture.points), lines)

    def _marks(self, points: Sequence[Point]) -> list[Mark]:
        return [Mark(point.x, point.y, self.radius(point)) for point in points]

    def _edge(self, shade: Shade) -> list[tuple[float, float]]:
        """From end to end of the plot."""
        x, y = self.picture.x.limits, self.picture.y.limits
        return [(shade.edge, end) for end in y] if shade.along_x else [(end, shade.edge) for end in x]


def marker_share(picture: FrontFigure, area: float | None) -> float:
    """A marker's area as a share of the largest, but never too small to be seen."""
    return max(picture.share(area), SMALLEST)


def panel_names(panel: Panel, frame: Frame, sizes: Sequence[tuple[float, float]], pixels: float) -> list[Name]:
    """The landmarks' names of a panel in their places, given their sizes and how many pixels a point is."""
    marks = [Mark(mark.x, mark.y, LANDMARK * pixels) for mark in panel.named]
    dots = [
        Mark(dot.x, dot.y, marker_size(i) / 2 * pixels) for i, strand in enumerate(panel.strands) for dot in strand.dots
    ]
    return frame.names(marks, sizes, [*marks, *dots], np.concatenate([frame.dotted(s.line) for s in panel.strands]))
