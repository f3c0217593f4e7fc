"""A FrontPicture as PNG or SVG. The object interface of matplotlib: no pyplot, no state left behind."""

import io
import math

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from mvsearch.report.palette import BLUE, GREY, GRID, INK, KINDS, PALE, VERMILION
from mvsearch.report.picture import FrontPicture
from mvsearch.report.sheet import Sheet, marker_share

INCHES = (8.0, 5.5)
DPI = 130
LARGEST = 8.0
"""The largest marker's radius, in points."""

STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that labels are as wide everywhere
    "font.size": 9,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "svg.hashsalt": "mvsearch",
}
LEGEND = {"frameon": False, "fontsize": 8.5, "handletextpad": 0.4, "columnspacing": 1.4}


def draw(picture: FrontPicture, kind: str) -> bytes:
    """The content of a `png` or `svg` file; the same picture gives the same bytes."""
    content = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        front_figure(picture).savefig(content, format=kind, dpi=DPI, metadata=metadata)
    return content.getvalue()


def front_figure(picture: FrontPicture) -> Figure:
    """The whole sheet: title, plot, legends, and at last the names, which need everything else in its place."""
    figure = Figure(figsize=INCHES, dpi=DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.085, 0.2, 0.895, 0.68))
    _frame(axes, picture)
    _title(figure, picture)
    _points(axes, picture)
    _legends(figure, axes, picture)
    _names(axes, picture)
    return figure


def _frame(axes: Axes, picture: FrontPicture) -> None:
    axes.set(xlabel=picture.x.label, ylabel=picture.y.label, xlim=picture.x.limits, ylim=picture.y.limits)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _title(figure: Figure, picture: FrontPicture) -> None:
    figure.text(0.02, 0.958, picture.title, fontsize=13, fontweight="bold", va="center", parse_math=False)
    figure.text(0.02, 0.914, picture.subtitle, fontsize=9, color="#666666", va="center")


def _points(axes: Axes, picture: FrontPicture) -> None:
    axes.plot(*zip(*picture.staircase, strict=True), color=BLUE, linewidth=1.3, alpha=0.55, zorder=1.5)
    for level, kind in enumerate(KINDS):
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


def _legends(figure: Figure, axes: Axes, picture: FrontPicture) -> None:
    """Below the plot, where they hide nothing: left what the markers mean, right what their area means."""
    kinds = [
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
        for kind in KINDS
        if picture.group(published=kind.published, on_front=kind.on_front)
    ]
    if len(picture.staircase) > 1:
        kinds.append(Line2D([], [], color=BLUE, alpha=0.55, label="front of these two axes"))
    figure.legend(handles=kinds, loc="lower left", bbox_to_anchor=(0.01, 0.005), ncols=3, **LEGEND)
    if picture.area is not None:
        _area_legend(figure, axes, picture, f"area: {picture.area.label}")


def _area_legend(figure: Figure, axes: Axes, picture: FrontPicture, title: str) -> None:
    sizes = [
        axes.scatter(
            [], [], s=_square(picture.share(value), diamond=False), color=PALE, edgecolor=GREY, label=f"{value:.3g}"
        )
        for value in picture.area_key
    ]
    at = {"loc": "lower right", "bbox_to_anchor": (0.985, 0.005), "ncols": 3}
    figure.legend(handles=sizes, title=title, title_fontsize=8.5, labelspacing=0.7, **at, **LEGEND)


def _names(axes: Axes, picture: FrontPicture) -> None:
    """The published models' names, each tied to its point by a thin line unless it is close by."""
    texts = [axes.text(0, 0, str(point.label), fontsize=8, ha="center", va="center") for point in picture.named]
    extents = [text.get_window_extent() for text in texts]
    frame = axes.get_window_extent()
    sheet = Sheet(picture, (frame.x0, frame.y0, frame.x1, frame.y1), LARGEST * DPI / 72)
    for text, name in zip(texts, sheet.names([(box.width + 4, box.height + 2) for box in extents]), strict=True):
        text.set(position=name.centre, zorder=4, path_effects=[withStroke(linewidth=2, foreground="white")])
        axes.plot(*name.line.T, color=VERMILION, linewidth=0.8, zorder=3)
