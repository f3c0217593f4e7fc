"""An Overlay as PNG or SVG: the fronts, and below them the two curves side by side."""

import math
from textwrap import wrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mvsearch.report.figures._matplotlib import (
    DPI,
    LEFT,
    LEGEND,
    PLOT,
    RIGHT,
    TITLE,
    blank,
    frame,
    rendered,
    title,
    write_names,
)
from mvsearch.report.figures.layout import Frame, Name, panel_names
from mvsearch.report.figures.overlay import Overlay, Panel, Strand
from mvsearch.report.figures.palette import LANDMARK, WASH, Look, Theme, marker_size

LABEL, CURVE, FOOT, LINE = 0.66, 2.3, 0.3, 0.2
"""In inches: an axis label with the gap below it, the height of a curve, the legend, and a line below the title."""

LETTERS = 115
"""What a line below the title holds."""

MIDDLE = 0.09
"""Between the two curves, as a share of the width."""

DASHES: dict[str, Any] = {
    "solid": "-",
    "dash": (0, (5, 2)),
    "dot": (0, (1, 1.5)),
    "dashdot": "-.",
    "longdash": (0, (9, 3)),
}
MARKERS = {"circle": "o", "square": "s", "triangle": "^", "cross": "X", "star": "*", "hexagon": "h"}


def draw(overlay: Overlay, kind: str, theme: Theme) -> bytes:
    """The content of a `png` or `svg` file; the same overlay gives the same bytes."""
    return rendered(lambda: _figure(overlay, theme), kind, theme)


def _figure(overlay: Overlay, theme: Theme) -> Figure:
    remarks = [line for remark in overlay.remarks[1:] for line in wrap(remark, LETTERS)]
    warnings = [line for warning in overlay.warnings for line in wrap(warning, LETTERS)]
    head = TITLE + LINE * len(remarks + warnings)
    height = head + len(overlay.fronts) * (PLOT + LABEL) + CURVE + LABEL + FOOT
    figure = blank(height)
    title(figure, overlay.title, overlay.remarks[0], theme)
    for place, line in enumerate(remarks + warnings, 1):
        colour = theme.faint if place <= len(remarks) else theme.secondary
        figure.text(0.02, 1 - (0.475 + place * LINE) / height, line, color=colour, va="center", parse_math=False)
    looks = theme.looks(len(overlay.fronts[0].strands))
    for place, panel in enumerate(overlay.fronts, 1):
        foot = height - head - place * PLOT - (place - 1) * LABEL
        axes = figure.add_axes((LEFT, foot / height, RIGHT - LEFT, PLOT / height))
        _panel(axes, panel, looks)
        _landmarks(axes, panel, theme)
    width = (RIGHT - LEFT - MIDDLE) / 2
    for left, panel in zip((LEFT, LEFT + width + MIDDLE), overlay.curves, strict=True):
        _panel(figure.add_axes((left, (FOOT + LABEL) / height, width, CURVE / height)), panel, looks)
    _legend(figure, overlay, looks, theme)
    return figure


def _panel(axes: Axes, panel: Panel, looks: list[Look]) -> None:
    axes.set(xlabel=panel.x_label, ylabel=panel.y_label, xlim=panel.x_limits, ylim=panel.y_limits)
    frame(axes)
    for place, (strand, look) in enumerate(zip(panel.strands, looks, strict=True)):
        if strand.band:
            axes.fill(*zip(*strand.band, strict=True), color=look.colour, alpha=WASH, linewidth=0, zorder=1.2)
        axes.plot(
            *zip(*strand.line, strict=True), color=look.colour, linestyle=DASHES[look.dashes], linewidth=1.5, zorder=2
        )
        _dots(axes, strand, look, marker_size(place))


def _dots(axes: Axes, strand: Strand, look: Look, size: float) -> None:
    x, y = [dot.x for dot in strand.dots], [dot.y for dot in strand.dots]
    unsure = [dot for dot in strand.dots if dot.x_error or dot.y_error]
    axes.errorbar(
        [dot.x for dot in unsure],
        [dot.y for dot in unsure],
        xerr=[dot.x_error for dot in unsure],
        yerr=[dot.y_error for dot in unsure],
        linestyle="",
        ecolor=look.colour,
        elinewidth=1.0,
        capsize=2.0,
        zorder=2.5,
    )
    edge = axes.get_facecolor()
    marker = MARKERS[look.marker]
    axes.scatter(x, y, s=size**2, marker=marker, color=look.colour, edgecolor=edge, linewidth=0.7, alpha=0.9, zorder=3)


def _landmarks(axes: Axes, panel: Panel, theme: Theme) -> None:
    """Published models as outlines, through which a side's own marker is seen, and their names."""
    where = [mark.x for mark in panel.landmarks], [mark.y for mark in panel.landmarks]
    axes.plot(*where, **_outline(theme), zorder=3.5, clip_on=False)
    frame = Frame(panel.x_limits, panel.y_limits, axes.get_window_extent().extents)

    def places(sizes: list[tuple[float, float]]) -> list[Name]:
        return panel_names(panel, frame, sizes, DPI / 72)

    write_names(axes, [mark.label for mark in panel.named], places, theme.ink, theme)


def _outline(theme: Theme) -> dict[str, Any]:
    look = {"marker": "D", "markerfacecolor": "none", "markeredgecolor": theme.ink, "markeredgewidth": 1.2}
    return look | {"linestyle": "", "markersize": 2 * LANDMARK / math.sqrt(2)}


def _legend(figure: Figure, overlay: Overlay, looks: list[Look], theme: Theme) -> None:
    handles = [
        Line2D([], [], color=look.colour, linestyle=DASHES[look.dashes], marker=MARKERS[look.marker], label=strand.name)
        for strand, look in zip(overlay.fronts[0].strands, looks, strict=True)
    ]
    if any(panel.landmarks for panel in overlay.fronts):
        handles.append(Line2D([], [], label="published", **_outline(theme)))
    style = LEGEND | {"handlelength": 3.2}
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.01, 0.0), ncols=4, **style)
