"""Where the points and names of a picture fall on a sheet of pixels: what both drawers need before they draw."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mvsearch.report.labels import Label, Points, Scene, leader, place
from mvsearch.report.picture import FrontPicture, Point, Shade

SMALLEST = 0.04
"""The smallest marker that is still seen, as a share of the largest area."""

SHORTEST_LEADER = 9.0
"""In pixels: a name closer than this needs no line to its point."""


@dataclass(frozen=True)
class Named:
    """A published model's name in its place, in the units of the axes; `line` is empty where the name is near."""

    point: Point
    centre: tuple[float, float]
    line: Points


@dataclass(frozen=True)
class Sheet:
    """A picture within `frame` (left, bottom, right, top, in pixels); `largest` is the largest marker's radius."""

    picture: FrontPicture
    frame: tuple[float, float, float, float]
    largest: float

    def radius(self, point: Point) -> float:
        """Half the width of a marker; a diamond is wider than a circle of its area."""
        circle = math.sqrt(marker_share(self.picture, point.area)) * self.largest
        return circle * (1.0 if point.label is None else math.sqrt(math.pi / 2))

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

    def names(self, sizes: Sequence[tuple[float, float]]) -> list[Named]:
        """Every published model's name in its place, given how wide and high each text is."""
        named = self.picture.named
        centres = self.pixels([(point.x, point.y) for point in named])
        labels = [
            Label(x, y, self.radius(point), width, height)
            for point, (x, y), (width, height) in zip(named, centres, sizes, strict=True)
        ]
        places = place(labels, self._scene())
        return [self._named(*found) for found in zip(named, labels, places, strict=True)]

    def _named(self, point: Point, label: Label, centre: tuple[float, float]) -> Named:
        line = leader(label, centre)
        far = float(np.hypot(*(line[1] - line[0]))) >= SHORTEST_LEADER
        x, y = self.units(np.array(centre))
        return Named(point, (float(x), float(y)), self.units(line) if far else np.empty((0, 2)))

    def _scene(self) -> Scene:
        centres = self.pixels([(point.x, point.y) for point in self.picture.points])
        radii = np.array([self.radius(point) for point in self.picture.points])[:, None]
        edges = [self._dotted(self._edge(shade)) for shade in self.picture.shades]
        lines = np.concatenate([self._dotted(self.picture.staircase), *edges])
        return Scene(np.hstack([centres - radii, centres + radii]), lines, self.frame)

    def _dotted(self, corners: Sequence[tuple[float, float]]) -> Points:
        """Points along a line, close enough that no name slips through."""
        places = self.pixels(corners)
        steps = np.linspace(0, len(places) - 1, 25 * len(places))
        return np.stack([np.interp(steps, range(len(places)), column) for column in places.T], axis=1)

    def _edge(self, shade: Shade) -> list[tuple[float, float]]:
        """From end to end of the plot."""
        x, y = self.picture.x.limits, self.picture.y.limits
        return [(shade.edge, end) for end in y] if shade.along_x else [(end, shade.edge) for end in x]

    @property
    def _limits(self) -> tuple[Points, Points]:
        low, high = np.array([self.picture.x.limits, self.picture.y.limits]).T
        return low, high - low

    @property
    def _extent(self) -> tuple[Points, Points]:
        left, bottom, right, top = self.frame
        return np.array([left, bottom]), np.array([right - left, top - bottom])


def marker_share(picture: FrontPicture, area: float | None) -> float:
    """A marker's area as a share of the largest, but never too small to be seen."""
    return max(picture.share(area), SMALLEST)
