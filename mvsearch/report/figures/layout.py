"""Where names go within axes: what both the static and the interactive figure need."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from mvsearch.report.figures.labels import Label, Obstacles, Points, leader, place

SMALLEST_SHARE = 0.04
"""The smallest visible marker, as a share of the largest area."""

SHORTEST_LEADER = 9.0
"""In pixels: a name closer than this needs no line to its point."""

Corners = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Mark:
    """A marker: its place in the units of the axes, and half its width in points."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class PlacedName:
    """The centre of a name, and the line to its mark, empty if the mark is near; in the units of the axes."""

    centre: tuple[float, float]
    line: Points


@dataclass(frozen=True)
class Frame:
    """Axes within a box of pixels (left, bottom, right, top); `x` and `y` are their limits."""

    x: tuple[float, float]
    y: tuple[float, float]
    box: tuple[float, float, float, float]

    def pixels(self, places: Corners) -> Points:
        """Convert from the units of the axes."""
        low, span = self._limits
        corner, extent = self._extent
        return np.asarray((np.array(places, dtype=float).reshape(-1, 2) - low) / span * extent + corner)

    def units(self, pixels: Points) -> Points:
        """Convert to the units of the axes."""
        low, span = self._limits
        corner, extent = self._extent
        return np.asarray((pixels - corner) / extent * span + low)

    def sample(self, corners: Corners) -> Points:
        """Points along a line, in pixels, so close that no name fits between them."""
        places = self.pixels(corners)
        steps = np.linspace(0, len(places) - 1, 25 * len(places))
        return np.stack([np.interp(steps, range(len(places)), column) for column in places.T], axis=1)

    @property
    def _limits(self) -> tuple[Points, Points]:
        low, high = np.array([self.x, self.y]).T
        return low, high - low

    @property
    def _extent(self) -> tuple[Points, Points]:
        left, bottom, right, top = self.box
        return np.array([left, bottom]), np.array([right - left, top - bottom])


@dataclass(frozen=True)
class NameLayout:
    """Names of marks within axes. They hide none of the `markers`, and avoid crossing the `lines`.

    The names of `optional` marks, by index, are left out where they would crowd others.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    names: Sequence[str]
    marks: Sequence[Mark]
    markers: Sequence[Mark]
    lines: Sequence[Corners] = ()
    optional: Collection[int] = ()

    def place(
        self, box: Sequence[float], sizes: Sequence[tuple[float, float]], pixels_per_point: float
    ) -> list[PlacedName | None]:
        """The place of each name, None for one that is left out, given the axes' box and the size of each text in
        pixels.
        """
        left, bottom, right, top = map(float, box)
        frame = Frame(self.x, self.y, (left, bottom, right, top))
        labels = [
            Label(x, y, mark.radius * pixels_per_point, width, height, optional=i in self.optional)
            for i, (mark, (x, y), (width, height)) in enumerate(
                zip(self.marks, self._centres(frame, self.marks), sizes, strict=True)
            )
        ]
        centres = self._centres(frame, self.markers)
        radii = np.array([mark.radius for mark in self.markers]).reshape(-1, 1) * pixels_per_point
        lines = np.concatenate([np.empty((0, 2)), *(frame.sample(line) for line in self.lines)])
        obstacles = Obstacles(np.hstack([centres - radii, centres + radii]), lines, frame.box)
        return [
            None if centre is None else self._placed_name(frame, label, centre)
            for label, centre in zip(labels, place(labels, obstacles), strict=True)
        ]

    @staticmethod
    def _centres(frame: Frame, marks: Sequence[Mark]) -> Points:
        return frame.pixels([(mark.x, mark.y) for mark in marks])

    @staticmethod
    def _placed_name(frame: Frame, label: Label, centre: tuple[float, float]) -> PlacedName:
        line = leader(label, centre)
        far = np.hypot(*(line[1] - line[0])) >= SHORTEST_LEADER
        x, y = frame.units(np.array([centre]))[0]
        return PlacedName((float(x), float(y)), frame.units(line) if far else np.empty((0, 2)))
