"""Images with the class that a network predicts and its probability, and their label where it is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mvsearch.report.figures import static
from mvsearch.report.figures.palette import LIGHT
from mvsearch.report.figures.plot import write_figure
from mvsearch.utils.fitted_table import shorten

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

COLUMNS = 6
_LONGEST = 22
"""Characters of a class in the width of an image."""


@dataclass(frozen=True)
class ClassifiedFigure:
    """Pixels (row, column, 3), uint8, of each image, and the lines above it: the label, if there is one, comes last."""

    title: str
    subtitle: str
    images: "Sequence[np.ndarray]"
    lines: Sequence[tuple[str, ...]]


def plot_classified(figure: ClassifiedFigure, path: Path) -> None:
    """Draw it into a .png or .svg file."""
    write_figure(path, LIGHT, draw=lambda: _draw(figure))


def _draw(figure: ClassifiedFigure) -> "Figure":
    edge, gap, line = 0.16, 0.08, 0.15  # in inches
    side = (static.WIDTH - 2 * edge - (COLUMNS - 1) * gap) / COLUMNS
    above = line * max(map(len, figure.lines), default=1) + 0.05
    rows = -(-len(figure.images) // COLUMNS)
    height = static.TITLE + rows * (side + above + gap) + gap
    fig = static.blank(height)
    static.title(fig, figure.title, figure.subtitle, LIGHT)
    for i, (image, lines) in enumerate(zip(figure.images, figure.lines, strict=True)):
        row, column = divmod(i, COLUMNS)
        left, bottom = edge + column * (side + gap), height - static.TITLE - (row + 1) * (side + above + gap) + gap
        axes = fig.add_axes((left / static.WIDTH, bottom / height, side / static.WIDTH, side / height))
        axes.imshow(image)
        axes.set(xticks=[], yticks=[])
        for below, text in enumerate(reversed(lines)):
            y = (bottom + side + 0.09 + below * line) / height
            ink = LIGHT.faint if below == 0 and len(lines) > 1 else LIGHT.ink
            words = shorten(text, _LONGEST)
            fig.text(left / static.WIDTH, y, words, fontsize=7.5, color=ink, va="center")
    return fig
