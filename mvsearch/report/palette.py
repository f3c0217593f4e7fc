"""How each kind of candidate looks, in every kind of picture.

Okabe and Ito's colours: told apart under the common kinds of colour blindness, and in grey by their lightness.
Shape says who made it (a circle the search, a diamond a paper), filling says whether it is on the front.
"""

from dataclasses import dataclass

BLUE, VERMILION, GREY, PALE, GRID, INK = "#0072B2", "#D55E00", "#8C8C8C", "#D9D9D9", "#ECECEC", "#333333"


@dataclass(frozen=True)
class Kind:
    """One sort of marker; no fill is an outline through which others are seen."""

    published: bool
    on_front: bool
    words: str
    fill: str | None
    edge: str
    opacity: float

    @property
    def bar(self) -> str:
        """The colour of its error bars."""
        return self.edge if self.fill in (None, PALE) else str(self.fill)


KINDS = (
    Kind(False, False, "dominated", PALE, GREY, 0.55),
    Kind(False, True, "on the front", BLUE, "white", 0.95),
    Kind(True, False, "published, dominated", None, VERMILION, 1.0),
    Kind(True, True, "published, on the front", VERMILION, "white", 0.95),
)
"""In the order in which they are drawn: the last lie on top."""
