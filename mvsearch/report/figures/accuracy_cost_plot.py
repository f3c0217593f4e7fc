"""An Arena as PNG, SVG or self-contained HTML: a colour a version of ours, a shape a way to train for rivals."""

import math
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from mvsearch.report.figures.accuracy_cost import Arena, Bubble
from mvsearch.report.figures.layout import SMALLEST, Frame, Mark
from mvsearch.report.figures.palette import LIGHT, Theme
from mvsearch.report.figures.plot import kind_of
from mvsearch.utils.atomic_write import write_whole

_LARGEST = 11.0
"""The largest bubble's radius, in points."""

_HEIGHT, _FOOT = 4.9, 1.25
"""Of the plot and of what lies below it, in inches."""

_PIXELS = 4 / 3
"""In a point, in HTML."""


def plot_arena(arena: Arena, path: Path, theme: Theme = LIGHT) -> None:
    """Draw it into a .png, .svg or .html file; raises PlanError for another suffix."""
    kind = kind_of(path)
    write_whole(path, _html(arena, theme) if kind == "html" else _picture(arena, kind, theme))


_MARKERS = {"longer": "square", "distilled": "triangle", "pretrained": "diamond"}
"""Rivals that were trained with more than the usual; all else is a circle."""


@dataclass(frozen=True)
class _Shape:
    """What the two call it, and its area: in the unit of matplotlib's `s`, and in squares of half of plotly's size."""

    matplotlib: str
    plotly: str
    of_s: float
    of_square: float


_SHAPES = {
    "circle": _Shape("o", "circle", math.pi / 4, math.pi),
    "square": _Shape("s", "square", 1.0, 4.0),
    "triangle": _Shape("^", "triangle-up", 0.5, math.sqrt(3)),
    "diamond": _Shape("D", "diamond", 1.0, 3.38),
}


def _colour(group: str, theme: Theme) -> str:
    own = {"MobileViTv3": theme.primary, "MobileViTv2": theme.hues[2], "MobileViTv1": theme.secondary}
    training = {"supervised": theme.grey, "longer": theme.ink, "distilled": theme.hues[3], "pretrained": theme.ink}
    return (own | training)[group]


def _shape(group: str) -> _Shape:
    return _SHAPES[_MARKERS.get(group, "circle")]


def _ours(group: str) -> bool:
    return group.startswith("MobileViT")


def _opacity(group: str) -> float:
    return 0.95 if _ours(group) else 0.75


def _words(group: str) -> str:
    trained = {"supervised": "rival", "longer": "rival, trained for longer"}
    return group if _ours(group) else trained.get(group, f"rival, {group}")


def _radius(arena: Arena, bubble: Bubble) -> float:
    return _LARGEST * math.sqrt(max(arena.share(bubble.area), SMALLEST))


def _picture(arena: Arena, kind: str, theme: Theme) -> bytes:
    from matplotlib.lines import Line2D

    from mvsearch.report.figures._matplotlib import (
        DPI,
        LEFT,
        LEGEND,
        RIGHT,
        TITLE,
        blank,
        frame,
        rendered,
        title,
        write_names,
    )

    def figure() -> Any:
        height = TITLE + _HEIGHT + _FOOT
        made = blank(height)
        title(made, arena.title, arena.subtitle, theme)
        axes = made.add_axes((LEFT, _FOOT / height, RIGHT - LEFT, _HEIGHT / height))
        axes.set(xlabel=arena.x_label, ylabel="ImageNet-1k Top-1 (%)", xlim=arena.x_limits, ylim=arena.y_limits)
        axes.set_xticks([place for place, _ in arena.ticks], [words for _, words in arena.ticks])
        frame(axes)
        for group, chain in arena.chains:
            axes.plot(*zip(*chain, strict=True), color=_colour(group, theme), linewidth=1.2, alpha=0.6, zorder=2.4)
        for bubble in sorted(arena.bubbles, key=lambda bubble: -bubble.area):  # none is hidden by a larger one
            shape = _shape(bubble.group)
            axes.scatter(
                bubble.x,
                bubble.y,
                s=math.pi * _radius(arena, bubble) ** 2 / shape.of_s,
                marker=shape.matplotlib,
                color=_colour(bubble.group, theme),
                edgecolor=theme.paper,
                linewidth=0.8,
                alpha=_opacity(bubble.group),
                zorder=3,
            )
        look: dict[str, Any] = {"linestyle": "", "markersize": 6.5}
        handles = [
            Line2D([], [], marker=_shape(group).matplotlib, color=_colour(group, theme), label=_words(group), **look)
            for group in arena.groups
        ]
        foot = {"loc": "lower left", "bbox_to_anchor": (0.01, 0.0)}
        made.legend(handles=handles, ncols=3, **foot, **LEGEND)
        sizes = [
            axes.scatter([], [], s=(2 * _LARGEST) ** 2 * arena.share(value), color=theme.pale, edgecolor=theme.grey)
            for value in arena.area_key
        ]
        foot = {"loc": "lower right", "bbox_to_anchor": (0.985, 0.015), "title": "area: MACs (G)"}
        airy = LEGEND | {"ncols": 3, "title_fontsize": 8.5, "handletextpad": 0.9, "labelspacing": 1.0}
        made.legend(sizes, [f"{value:g}" for value in arena.area_key], **foot, **airy)
        names = [bubble.label for bubble in arena.bubbles]
        write_names(axes, names, _places(arena, axes.get_window_extent().extents, DPI / 72), theme.grey, theme)
        return made

    return rendered(figure, kind, theme)


def _places(arena: Arena, box: Any, pixels: float) -> Any:
    """Where the names go, told how large they are."""
    left, bottom, right, top = (float(edge) for edge in box)
    sheet = Frame(arena.x_limits, arena.y_limits, (left, bottom, right, top))
    marks = _marks(arena, pixels)
    lines = np.concatenate([np.empty((0, 2)), *(sheet.dotted(chain) for _, chain in arena.chains)])
    return lambda sizes: sheet.names(marks, sizes, marks, lines)


def _marks(arena: Arena, pixels: float) -> list[Mark]:
    return [Mark(bubble.x, bubble.y, _radius(arena, bubble) * pixels) for bubble in arena.bubbles]


def _html(arena: Arena, theme: Theme) -> bytes:
    from mvsearch.report.figures._plotly import MARGIN, WIDTH, annotations, axis, base_layout, page, text_size

    height = 720
    box = (MARGIN["l"], MARGIN["b"], WIDTH - MARGIN["r"], height - MARGIN["t"])
    names = _places(arena, box, _PIXELS)([text_size(bubble.label) for bubble in arena.bubbles])
    words = [bubble.label for bubble in arena.bubbles]
    sheet = Frame(arena.x_limits, arena.y_limits, box)
    ticks = {"tickvals": [place for place, _ in arena.ticks], "ticktext": [text for _, text in arena.ticks]}
    legend = {"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom", "itemsizing": "constant"}
    layout = base_layout(arena.title, f"{arena.subtitle}; area is MACs", height, theme) | {
        "xaxis": axis(arena.x_label, arena.x_limits, theme) | ticks,
        "yaxis": axis("ImageNet-1k Top-1 (%)", arena.y_limits, theme),
        "legend": legend,
        "annotations": annotations(sheet, words, _marks(arena, _PIXELS), names, theme.grey),
    }
    traces = [_chain(group, chain, theme) for group, chain in arena.chains]
    traces += [_legend(group, theme) for group in arena.groups]
    return page(arena.title, [{"data": [*traces, _trace(arena, theme)], "layout": layout}], theme)


def _chain(group: str, chain: Any, theme: Theme) -> dict[str, Any]:
    x, y = zip(*chain, strict=True)
    line = {"color": _colour(group, theme), "width": 1.5}
    look = {"mode": "lines", "line": line, "opacity": 0.6, "hoverinfo": "skip", "showlegend": False}
    return {"type": "scatter", "x": x, "y": y} | look


def _legend(group: str, theme: Theme) -> dict[str, Any]:
    """A group's entry: the bubbles are one trace, so that none is hidden by a larger one of another group."""
    marker = {"color": _colour(group, theme), "symbol": _shape(group).plotly, "size": 9}
    place = {"type": "scatter", "mode": "markers", "x": [None], "y": [None]}
    return place | {"name": escape(_words(group)), "marker": marker}


def _trace(arena: Arena, theme: Theme) -> dict[str, Any]:
    from mvsearch.report.figures._plotly import hover

    bubbles = sorted(arena.bubbles, key=lambda bubble: -bubble.area)
    shapes = [_shape(bubble.group) for bubble in bubbles]
    radii = [_radius(arena, bubble) * _PIXELS for bubble in bubbles]
    marker = {
        "color": [_colour(bubble.group, theme) for bubble in bubbles],
        "symbol": [shape.plotly for shape in shapes],
        "size": [2 * r * math.sqrt(math.pi / shape.of_square) for r, shape in zip(radii, shapes, strict=True)],
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
        "text": [hover(bubble.lines) for bubble in bubbles],
        "hovertemplate": "%{text}<extra></extra>",
    }
