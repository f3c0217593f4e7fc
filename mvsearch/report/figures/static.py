"""What all PNG and SVG figures share, with matplotlib's object interface: no pyplot, no global state.

Matplotlib is imported when the first figure is drawn.
"""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mvsearch.report.figures.layout import NameLayout
from mvsearch.report.figures.palette import Theme
from mvsearch.utils.text import two_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

WIDTH, TITLE = 8.0, 0.66
"""The width of a figure and the height of its title, in inches."""

LEFT, RIGHT = 0.085, 0.98
"""The edges of a plot, as shares of the width."""

DPI = 130
PIXELS = DPI / 72
"""Pixels per point."""

LEGEND = {"frameon": False, "fontsize": 8.5, "handletextpad": 0.4, "columnspacing": 1.4}


def render(draw: "Callable[[], Figure]", kind: str, theme: Theme) -> bytes:
    """The content of a `png` or `svg` file, in a theme's colours; the same figure gives the same bytes."""
    import matplotlib

    content = io.BytesIO()
    with matplotlib.rc_context(_style(theme)):
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        draw().savefig(content, format=kind, dpi=DPI, metadata=metadata)
    return content.getvalue()


def _style(theme: Theme) -> dict[str, Any]:
    ink = ("axes.labelcolor", "xtick.color", "ytick.color", "text.color")
    return {
        "font.family": "DejaVu Sans",  # comes with matplotlib, so that labels are as wide everywhere
        "font.size": 9,
        "figure.facecolor": theme.paper,
        "axes.facecolor": theme.paper,
        "axes.edgecolor": theme.grey,
        "grid.color": theme.grid,
        "text.parse_math": False,  # a dollar in the name of a study or a network is a dollar
        "svg.hashsalt": "mvsearch",
        **dict.fromkeys(ink, theme.ink),
    }


def blank(height: float, width: float = WIDTH) -> "Figure":
    """An empty figure, in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def title(figure: "Figure", text: str, subtitle: str, theme: Theme) -> None:
    """A title and an explanation at the top; a long one is in smaller letters, so that nothing is cut off."""
    height = figure.get_size_inches()[1]
    _fit(figure, figure.text(0.02, 1 - 0.23 / height, text, fontsize=13, fontweight="bold", va="center"))
    explanation = figure.text(0.02, 1 - 0.475 / height, subtitle, fontsize=9, color=theme.faint, va="center")
    if _excess(figure, explanation) > 1:
        explanation.set_text(two_lines(subtitle))
        explanation.set_fontsize(7.5)
    _fit(figure, explanation)


def _excess(figure: "Figure", text: "Text") -> float:
    """The width of a text as a share of the figure's width between its margins."""
    return float(text.get_window_extent().width / (0.96 * figure.get_size_inches()[0] * figure.dpi))


def _fit(figure: "Figure", text: "Text") -> None:
    """Smaller letters until the text fits; hinting makes the width of a size uncertain by some percent."""
    while (excess := _excess(figure, text)) > 1:
        text.set_fontsize(0.97 * float(text.get_fontsize()) / excess)


def legend_line(label: str, **look: Any) -> "Line2D":
    """An entry of a legend for lines or markers that look like this."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **look)


def frame(axes: "Axes") -> None:
    """Two lines, and a grid behind everything."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(linewidth=0.8)
    axes.set_axisbelow(True)


def error_bars(axes: "Axes", points: Any, colour: str, zorder: float) -> None:
    """The standard errors of points with `x`, `y`, `x_error` and `y_error`, where there are any."""
    uncertain = [point for point in points if point.x_error or point.y_error]
    axes.errorbar(
        [point.x for point in uncertain],
        [point.y for point in uncertain],
        xerr=[point.x_error for point in uncertain],
        yerr=[point.y_error for point in uncertain],
        linestyle="",
        ecolor=colour,
        elinewidth=1.0,
        capsize=2.0,
        zorder=zorder,
    )


def write_names(axes: "Axes", layout: NameLayout, line: str, theme: Theme) -> None:
    """Names in their places, each with a line to its mark unless it is near; those without a place are left out."""
    from matplotlib.patheffects import withStroke

    texts = [axes.text(0, 0, name, fontsize=8, ha="center", va="center") for name in layout.names]
    extents = [text.get_window_extent() for text in texts]
    sizes = [(extent.width + 4, extent.height + 2) for extent in extents]
    for text, name in zip(texts, layout.place(axes.get_window_extent().extents, sizes, PIXELS), strict=True):
        if name is None:
            text.remove()
            continue
        text.set(position=name.centre, zorder=4, path_effects=[withStroke(linewidth=2, foreground=theme.paper)])
        axes.plot(*name.line.T, color=line, linewidth=0.8, zorder=3)
