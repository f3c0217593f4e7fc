"""The accuracy-cost figure as PNG, SVG or self-contained HTML: colours are versions, shapes are ways of training."""

import math
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvsearch.report.figures import interactive, static
from mvsearch.report.figures.accuracy_cost import AccuracyCostFigure, Bubble
from mvsearch.report.figures.layout import SMALLEST_SHARE, Mark, NameLayout
from mvsearch.report.figures.palette import LIGHT, SHAPES, Marker, Theme
from mvsearch.report.figures.plot import write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LARGEST = 11.0
"""The largest bubble's radius, in points."""

_Y_LABEL = "ImageNet-1k Top-1 (%)"


def plot_accuracy_cost(figure: AccuracyCostFigure, path: Path, theme: Theme = LIGHT) -> None:
    """Draw it into a .png, .svg or .html file; raises PlanError for another suffix."""
    write_figure(path, theme, draw=lambda: _draw(figure, theme), html=lambda: _html(figure, theme))


_SHAPES = {"longer": "square", "distilled": "triangle", "pretrained": "diamond"}
"""Baselines with more than supervised training; all other markers are circles."""


def _colour(group: str, theme: Theme) -> str:
    versions = {"MobileViTv3": theme.primary, "MobileViTv2": theme.hues[2], "MobileViTv1": theme.secondary}
    training = {"supervised": theme.grey, "longer": theme.ink, "distilled": theme.hues[3], "pretrained": theme.ink}
    return (versions | training)[group]


def _shape(group: str) -> Marker:
    return SHAPES[_SHAPES.get(group, "circle")]


def _is_baseline(group: str) -> bool:
    return not group.startswith("MobileViT")


def _opacity(group: str) -> float:
    return 0.75 if _is_baseline(group) else 0.95


def _words(group: str) -> str:
    training = {"supervised": "baseline", "longer": "baseline, trained for longer"}
    return training.get(group, f"baseline, {group}") if _is_baseline(group) else group


def _radius(figure: AccuracyCostFigure, bubble: Bubble) -> float:
    return _LARGEST * math.sqrt(max(figure.share(bubble.area), SMALLEST_SHARE))


def _by_area(figure: AccuracyCostFigure) -> list[Bubble]:
    """The largest first, so that no bubble is hidden by a larger one."""
    return sorted(figure.bubbles, key=lambda bubble: -bubble.area)


def _names(figure: AccuracyCostFigure) -> NameLayout:
    marks = [Mark(bubble.x, bubble.y, _radius(figure, bubble)) for bubble in figure.bubbles]
    names, chains = [bubble.label for bubble in figure.bubbles], [chain for _, chain in figure.chains]
    return NameLayout(figure.x_limits, figure.y_limits, names, marks, marks, chains)


# ---- PNG and SVG

_PLOT, _FOOT = 4.9, 1.25
"""The heights of the plot and of the legends, in inches."""


def _draw(figure: AccuracyCostFigure, theme: Theme) -> "Figure":
    height = static.TITLE + _PLOT + _FOOT
    fig = static.blank(height)
    static.title(fig, figure.title, figure.subtitle, theme)
    axes = fig.add_axes((static.LEFT, _FOOT / height, static.RIGHT - static.LEFT, _PLOT / height))
    axes.set(xlabel=figure.x_label, ylabel=_Y_LABEL, xlim=figure.x_limits, ylim=figure.y_limits)
    axes.set_xticks([place for place, _ in figure.ticks], [label for _, label in figure.ticks])
    static.frame(axes)
    for group, chain in figure.chains:
        axes.plot(*zip(*chain, strict=True), color=_colour(group, theme), linewidth=1.2, alpha=0.6, zorder=2.4)
    for bubble in _by_area(figure):
        shape = _shape(bubble.group)
        axes.scatter(
            bubble.x,
            bubble.y,
            s=math.pi * _radius(figure, bubble) ** 2 / shape.of_s,
            marker=shape.matplotlib,
            color=_colour(bubble.group, theme),
            edgecolor=theme.paper,
            linewidth=0.8,
            alpha=_opacity(bubble.group),
            zorder=3,
        )
    _draw_legends(fig, axes, figure, theme)
    static.write_names(axes, _names(figure), theme.grey, theme)
    return fig


def _draw_legends(fig: "Figure", axes: "Axes", figure: AccuracyCostFigure, theme: Theme) -> None:
    """The groups on the left, and on the right what the areas mean."""
    handles = [
        static.legend_line(
            _words(group), linestyle="", marker=_shape(group).matplotlib, markersize=6.5, color=_colour(group, theme)
        )
        for group in figure.groups
    ]
    left: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0.01, 0.0), "ncols": 3}
    fig.legend(handles=handles, **left, **static.LEGEND)
    sizes = [
        axes.scatter([], [], s=(2 * _LARGEST) ** 2 * figure.share(value), color=theme.pale, edgecolor=theme.grey)
        for value in figure.area_key
    ]
    right: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (0.985, 0.015), "title": "area: MACs (G)"}
    spacing = static.LEGEND | {"ncols": 3, "title_fontsize": 8.5, "handletextpad": 0.9, "labelspacing": 1.0}
    fig.legend(sizes, [f"{value:g}" for value in figure.area_key], **right, **spacing)


# ---- HTML


def _html(figure: AccuracyCostFigure, theme: Theme) -> bytes:
    height = 720
    ticks = {"tickvals": [place for place, _ in figure.ticks], "ticktext": [label for _, label in figure.ticks]}
    layout = interactive.base_layout(figure.title, f"{figure.subtitle}; area is MACs", height, theme) | {
        "xaxis": interactive.axis(figure.x_label, figure.x_limits, theme) | ticks,
        "yaxis": interactive.axis(_Y_LABEL, figure.y_limits, theme),
        "legend": interactive.LEGEND_BELOW | {"itemsizing": "constant"},
        "annotations": interactive.write_names(_names(figure), interactive.plot_box(height), theme.grey),
    }
    traces = [_chain(group, chain, theme) for group, chain in figure.chains]
    traces += [_legend_entry(group, theme) for group in figure.groups]
    return interactive.page(figure.title, [{"data": [*traces, _trace(figure, theme)], "layout": layout}], theme)


def _chain(group: str, chain: Any, theme: Theme) -> dict[str, Any]:
    x, y = zip(*chain, strict=True)
    line = {"color": _colour(group, theme), "width": 1.5}
    style = {"mode": "lines", "line": line, "opacity": 0.6, "hoverinfo": "skip", "showlegend": False}
    return {"type": "scatter", "x": x, "y": y} | style


def _legend_entry(group: str, theme: Theme) -> dict[str, Any]:
    """An entry without points: all bubbles are one trace, so that none is hidden by a larger one."""
    marker = {"color": _colour(group, theme), "symbol": _shape(group).plotly, "size": 9}
    empty = {"type": "scatter", "mode": "markers", "x": [None], "y": [None]}
    return empty | {"name": escape(_words(group)), "marker": marker}


def _trace(figure: AccuracyCostFigure, theme: Theme) -> dict[str, Any]:
    bubbles = _by_area(figure)
    shapes = [_shape(bubble.group) for bubble in bubbles]
    radii = [_radius(figure, bubble) * interactive.PIXELS for bubble in bubbles]
    marker = {
        "color": [_colour(bubble.group, theme) for bubble in bubbles],
        "symbol": [shape.plotly for shape in shapes],
        "size": [shape.plotly_size(radius) for radius, shape in zip(radii, shapes, strict=True)],
        "opacity": [_opacity(bubble.group) for bubble in bubbles],
        "line": {"color": theme.paper, "width": 1},
    }
    return {
        "type": "scatter",
        "mode": "markers",
        "showlegend": False,
        "x": [bubble.x for bubble in bubbles],
        "y": [bubble.y for bubble in bubbles],
        "marker": marker,
        "text": [interactive.hover(bubble.lines) for bubble in bubbles],
    } | interactive.HOVER_TEXT
