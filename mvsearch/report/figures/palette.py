"""How things look, in every kind of picture and on light and dark paper.

Okabe and Ito's colours (Color Universal Design, 2008): told apart under the common kinds of colour blindness, and in
grey by their lightness. Shape says who made a candidate (a circle the search, a diamond a paper), filling whether it
is on the front. Where several studies share a plot, each has its colour, its dashes and its marker.
"""

from dataclasses import dataclass
from itertools import cycle, islice


@dataclass(frozen=True)
class Kind:
    """One sort of marker; no fill is an outline through which others are seen."""

    published: bool
    on_front: bool
    words: str
    fill: str | None
    edge: str
    bar: str
    opacity: float


@dataclass(frozen=True)
class Look:
    """One of several studies in one plot: colours alone are never all that tells them apart."""

    colour: str
    dashes: str
    marker: str


@dataclass(frozen=True)
class Theme:
    """The colours of one kind of paper: `own` for what the search found, `printed` for the published models."""

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
    def kinds(self) -> tuple[Kind, ...]:
        """In the order in which they are drawn: the last lie on top."""
        return (
            Kind(False, False, "dominated", self.pale, self.grey, self.grey, 0.55),
            Kind(False, True, "on the front", self.primary, self.paper, self.primary, 0.95),
            Kind(True, False, "published, dominated", None, self.secondary, self.secondary, 1.0),
            Kind(True, True, "published, on the front", self.secondary, self.paper, self.secondary, 0.95),
        )

    def looks(self, several: int) -> list[Look]:
        """A look for each of several studies; where the colours are used up, dashes and markers still differ."""
        ways = zip(cycle(self.hues), cycle(_DASHES), cycle(_MARKERS), strict=False)
        return [Look(*way) for way in islice(ways, several)]


WASH = 0.16
"""How strongly an area is shaded, so that what lies in it is still read."""

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_MARKERS = ("circle", "square", "triangle", "cross", "star", "hexagon")


LANDMARK = 7.5
"""Half the width of a published model's diamond among several studies, in points: wider than any of their markers."""


def marker_size(place: int) -> float:
    """Of one of several studies, in points: the later, which lie on top, are smaller, so that none hides another."""
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
