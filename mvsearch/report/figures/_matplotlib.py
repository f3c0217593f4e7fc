"""FrontPictures as PNG or SVG. The object interface of matplotlib: no pyplot, no state left behind."""

import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from mvsearch.report.figures.front import FrontFigure, Shade
from mvsearch.report.figures.layout import Name, Sheet, marker_share
from mvsearch.report.figures.palette import WASH, Theme

WIDTH, TITLE, PLOT, FOOT, GAP = 8.0, 0.66, 3.74, 1.1, 0.35
"""In inches: the sheet, and from top to bottom its title, then for each picture the plot and what lies below it; the
gap is between one picture and the next."""

LEFT, RIGHT = 0.085, 0.98
"""Where a plot begins and ends, as shares of the width."""

DPI = 130
LARGEST = 8.0
"""The largest marker's radius, in points."""

LEGEND = {"frameon": False, "fontsize": 8.5, "handletextpad": 0.4, "columnspacing": 1.4}


def draw(pictures: Sequence[FrontFigure], kind: str, theme: Theme) -> bytes:
    """The content of a `png` or `svg` file; the same pictures give the same bytes."""
    return rendered(lambda: draw_front_figure(pictures, theme), kind, theme)


def rendered(make: Callable[[], Figure], kind: str, theme: Theme) -> bytes:
    """A figure as the content of a file, made and saved in a theme's colours."""
    content = io.BytesIO()
    with matplotlib.rc_context(_style(theme)):
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        make().savefig(content, format=kind, dpi=DPI, metadata=metadata)
    return content.getvalue()


def _style(theme: Theme) -> dict[str, Any]:
    inked = ("axes.labelcolor", "xtick.color", "ytick.color", "text.color")
    return {
        "font.family": "DejaVu Sans",  # comes with matplotlib, so that labels are as wide everywhere
        "font.size": 9,
        "figure.facecolor": theme.paper,
        "axes.facecolor": theme.paper,
        "axes.edgecolor": theme.grey,
        "grid.color": theme.grid,
        "svg.hashsalt": "mvsearch",
        **dict.fromkeys(inked, theme.ink),
    }


def blank(inches: float) -> Figure:
    """A sheet of the usual width."""
    figure = Figure(figsize=(WIDTH, inches), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def draw_front_figure(pictures: Sequence[FrontFigure], theme: Theme) -> Figure:
    """The whole sheet: title, plots, legends, and at last the names, which need everything else in its place."""
    height = TITLE + len(pictures) * (PLOT + FOOT + GAP) - GAP
    figure = blank(height)
    title(figure, pictures[0].title, pictures[0].subtitle, theme)
    for place, picture in enumerate(pictures):
        foot = height - TITLE - place * (PLOT + FOOT + GAP) - PLOT - FOOT
        axes = figure.add_axes((LEFT, (foot + FOOT) / height, RIGHT - LEFT, PLOT / height))
        _frame(axes, picture)
        _shades(axes, picture.shades, theme)
        _points(axes, picture, theme)
        _legends(figure, axes, picture, theme)
        _names(axes, picture, theme)
    return figure


def title(figure: Figure, text: str, below: str, theme: Theme) -> None:
    """A title and a line of explanation, at the head of a sheet."""
    height = figure.get_size_inches()[1]
    figure.text(0.02, 1 - 0.23 / height, text, fontsize=13, fontweight="bold", va="center", parse_math=False)
    figure.text(0.02, 1 - 0.475 / height, below, fontsize=9, color=theme.faint, va="center", parse_math=False)


def frame(axes: Axes) -> None:
    """Two lines and a grid behind everything."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(linewidth=0.8)
    axes.set_axisbelow(True)


def _frame(axes: Axes, picture: FrontFigure) -> None:
    axes.set(xlabel=picture.x.label, ylabel=picture.y.label, xlim=picture.x.limits, ylim=picture.y.limits)
    frame(axes)


def _shades(axes: Axes, shades: Sequence[Shade], theme: Theme) -> None:
    """What limits forbid: a wash of grey behind a dashed line, and its words along the line."""
    for shade in shades:
        span, line = (axes.axvspan, axes.axvline) if shade.along_x else (axes.axhspan, axes.axhline)
        span(shade.low, shade.high, color=theme.grey, alpha=WASH, linewidth=0, zorder=0.6)
        line(shade.edge, color=theme.grey, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1.2)
        side = 3 if shade.edge == shade.low else -3
        axes.annotate(
            shade.words,
            (shade.edge, 0) if shade.along_x else (0, shade.edge),
            xycoords=("data", "axes fraction") if shade.along_x else ("axes fraction", "data"),
            xytext=(side, 4) if shade.along_x else (4, side),
            textcoords="offset points",
            rotation="vertical" if shade.along_x else "horizontal",
            ha="right" if shade.along_x and side < 0 else "left",
            va="bottom" if shade.along_x or side > 0 else "top",
            fontsize=8,
            color=theme.faint,
            zorder=4,
        )


def _points(axes: Axes, picture: FrontFigure, theme: Theme) -> None:
    axes.plot(*zip(*picture.staircase, strict=True), color=theme.primary, linewidth=1.3, alpha=0.55, zorder=1.5)
    for level, kind in enumerate(theme.kinds):
        group = picture.group(published=kind.published, on_front=kind.on_front)
        unsure = [point for point in group if point.x_error or point.y_error]
        axes.errorbar(
            [point.x for point in unsure],
            [point.y for point in unsure],
            xerr=[point.x_error for point in unsure],
            yerr=[point.y_error for point in unsure],
            linestyle="",
            ecolor=kind.bar,
            elinewidth=1.0,
            capsize=2.0,
            zorder=2 + level / 10,
        )
        axes.scatter(
            [point.x for point in group],
            [point.y for point in group],
            s=[_square(marker_share(picture, point.area), diamond=kind.published) for point in group],
            marker="D" if kind.published else "o",
            facecolor=kind.fill or "none",
            edgecolor=kind.edge,
            linewidth=1.4 if kind.fill is None else 0.8,
            alpha=kind.opacity,
            zorder=2 + level / 10,
        )


def _square(share: float, *, diamond: bool) -> float:
    """matplotlib's size for a marker: the area of the square round a circle, but of a diamond itself."""
    return share * (2 * LARGEST) ** 2 * (math.pi / 4 if diamond else 1)


def _legends(figure: Figure, axes: Axes, picture: FrontFigure, theme: Theme) -> None:
    """Below the plot, where they hide nothing: left what the markers mean, right what their area means."""
    kinds: list[Any] = [
        Line2D(
            [],
            [],
            linestyle="",
            marker="D" if kind.published else "o",
            markersize=6 if kind.published else 7,
            markerfacecolor=kind.fill or "none",
            markeredgecolor=kind.edge,
            label=kind.words,
        )
        for kind in theme.kinds
        if picture.group(published=kind.published, on_front=kind.on_front)
    ]
    if len(picture.staircase) > 1:
        kinds.append(Line2D([], [], color=theme.primary, alpha=0.55, label="front of these two axes"))
    if picture.shades:
        kinds.append(Patch(facecolor=theme.grey, alpha=WASH, label="beyond a limit"))
    below(figure, axes, "lower left", handles=kinds)
    if picture.area is not None:
        sizes = [
            axes.scatter(
                [],
                [],
                s=_square(picture.share(value), diamond=False),
                color=theme.pale,
                edgecolor=theme.grey,
                label=f"{value:.3g}",
            )
            for value in picture.area_key
        ]
        words = f"area: {picture.area.label}"
        below(figure, axes, "lower right", handles=sizes, title=words, title_fontsize=8.5, labelspacing=0.7)


def below(figure: Figure, axes: Axes, corner: str, **legend: Any) -> None:
    """A legend in a corner of the room below a plot."""
    foot = axes.get_position().y0 - (FOOT - 0.03) / figure.get_size_inches()[1]
    figure.legend(loc=corner, bbox_to_anchor=(0.01 if "left" in corner else 0.985, foot), ncols=3, **legend, **LEGEND)


def _names(axes: Axes, picture: FrontFigure, theme: Theme) -> None:
    """The published models' names."""
    sheet = Sheet(picture, axes.get_window_extent().extents, LARGEST * DPI / 72)
    write_names(axes, [str(point.label) for point in picture.named], sheet.names, theme.secondary, theme)


def write_names(
    axes: Axes, words: Sequence[str], places: Callable[[list[tuple[float, float]]], list[Name]], line: str, theme: Theme
) -> None:
    """Names where `places`, told how large they are, puts them; a line ties each to its point unless it is near."""
    texts = [axes.text(0, 0, word, fontsize=8, ha="center", va="center", parse_math=False) for word in words]
    extents = [text.get_window_extent() for text in texts]
    for text, name in zip(texts, places([(found.width + 4, found.height + 2) for found in extents]), strict=True):
        text.set(position=name.centre, zorder=4, path_effects=[withStroke(linewidth=2, foreground=theme.paper)])
        axes.plot(*name.line.T, color=line, linewidth=0.8, zorder=3)
