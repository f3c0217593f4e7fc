"""Colours, markers and dashes of every figure, on a light and on a dark background.

Okabe and Ito's colours (Color Universal Design, 2008) can be distinguished under the common kinds of colour blindness,
and in grey by their lightness. Where several studies share a figure, each has its colour, its dashes and its marker.
"""

import math
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any


@dataclass(frozen=True)
class Marker:
    """A marker: its names in matplotlib and plotly, and its area in units of matplotlib's `s` and plotly's size²/4."""

    matplotlib: str
    plotly: str
    of_s: float = 1.0
    of_square: float = 4.0

    def plotly_size(self, radius: float) -> float:
        """The size in plotly at which it has the area of a circle of this radius."""
        return 2 * radius * math.sqrt(math.pi / self.of_square)


SHAPES = {
    "circle": Marker("o", "circle", math.pi / 4, math.pi),
    "square": Marker("s", "square"),
    "triangle": Marker("^", "triangle-up", 0.5, math.sqrt(3)),
    "diamond": Marker("D", "diamond", 1.0, 3.38),
    "cross": Marker("X", "x", 0.625, 3.2),
    "star": Marker("*", "star", 0.281, 2.2),
    "hexagon": Marker("h", "hexagon", 0.65, 2.6),
    "pentagon": Marker("p", "pentagon", 0.594, 2.38),
}

DASHES: dict[str, Any] = {
    "solid": "-",
    "dash": (0, (5, 2)),
    "dot": (0, (1, 1.5)),
    "dashdot": "-.",
    "longdash": (0, (9, 3)),
}
"""Plotly's names of dashes, and the same dashes for matplotlib."""


@dataclass(frozen=True)
class MarkerStyle:
    """One kind of marker of the front figure; without a fill it is an outline that does not hide others."""

    published: bool
    on_front: bool
    words: str
    fill: str | None
    edge: str
    bar: str
    opacity: float
    marker: str = ""

    @property
    def shape(self) -> Marker:
        """By default a diamond for a published model, a circle for a candidate of the search."""
        return SHAPES[self.marker or ("diamond" if self.published else "circle")]


@dataclass(frozen=True)
class SeriesStyle:
    """One of several series in a figure: they differ by more than their colours."""

    colour: str
    dashes: str
    shape: Marker


@dataclass(frozen=True)
class Theme:
    """The colours on one background: `primary` for candidates of the search, `secondary` for published models."""

    paper: str
    ink: str
    faint: str
    grey: str
    pale: str
    grid: str
    primary: str
    secondary: str
    hues: tuple[str, ...]

    @property
    def markers(self) -> tuple[MarkerStyle, ...]:
        """In the order in which they are drawn: the last lie on top."""
        return (
            MarkerStyle(False, False, "dominated", self.pale, self.grey, self.grey, 0.55),
            MarkerStyle(False, True, "on the front", self.primary, self.paper, self.primary, 0.95),
            MarkerStyle(True, False, "published, dominated", None, self.secondary, self.secondary, 1.0),
            MarkerStyle(True, True, "published, on the front", self.secondary, self.paper, self.secondary, 0.95),
        )

    def series(self, count: int) -> list[SeriesStyle]:
        """A style for each series; colours repeat after seven, dashes and markers at other intervals."""
        shapes = cycle(SHAPES[name] for name in ("circle", "square", "triangle", "cross", "star", "hexagon"))
        styles = zip(cycle(self.hues), cycle(DASHES), shapes, strict=False)
        return [SeriesStyle(*style) for style in islice(styles, count)]


SHADE_OPACITY = 0.16
"""The opacity of shaded areas, through which text remains readable."""

PUBLISHED_RADIUS = 7.5
"""Half the width of a published model's diamond in a comparison, in points: wider than the markers of any study."""


def marker_size(place: int) -> float:
    """The marker size of one of several studies, in points: later ones are smaller, so that none hides another."""
    return max(3.5, 10 * 0.65**place)


LIGHT = Theme(
    paper="#FFFFFF",
    ink="#333333",
    faint="#666666",
    grey="#8C8C8C",
    pale="#D9D9D9",
    grid="#ECECEC",
    primary="#0072B2",
    secondary="#D55E00",
    hues=("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"),
)
DARK = Theme(
    paper="#15181C",
    ink="#E4E6E8",
    faint="#A6ACB3",
    grey="#8A9097",
    pale="#454B52",
    grid="#2B3036",
    primary="#56B4E9",
    secondary="#E69F00",
    hues=("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#FFFFFF"),
)
THEMES = {"light": LIGHT, "dark": DARK}
