"""Front figures as PNG, SVG or self-contained HTML, in which hovering over a point shows its architecture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvsearch.report.figures import interactive, static
from mvsearch.report.figures.front import FrontFigure, Point, Shade
from mvsearch.report.figures.front_families import legend_handles, legend_styles, legend_traces, marker_groups
from mvsearch.report.figures.layout import SMALLEST_SHARE, Mark, NameLayout
from mvsearch.report.figures.palette import LIGHT, SHADE_OPACITY, MarkerStyle, Theme
from mvsearch.report.figures.plot import write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE_LABEL = "front of these two axes"
RING_LABEL = "validated: points above its baseline"

_RING = 3.0
"""How much larger than its marker the ring of a validated candidate is, in points."""


def plot_fronts(figures: Sequence[FrontFigure], path: Path, theme: Theme = LIGHT) -> None:
    """Draw one study, one figure below the other, into a .png, .svg or .html file."""
    write_figure(path, theme, draw=lambda: _draw(figures, theme), html=lambda: _html(figures, theme))


_SMALLEST_SHAPE = 0.1
"""The share of the largest area from which shapes can be told apart."""

_CROSS = 6.0
"""The size of the cross of a trial that is pruned, failed or beyond a limit, in points."""


@dataclass(frozen=True)
class CrossStyle:
    """The marker of one kind of trials that are left out of the front."""

    matplotlib: str
    plotly: str
    colour: str


def _cross_styles(theme: Theme) -> dict[str, CrossStyle]:
    return {
        "pruned": CrossStyle("x", "x-thin", theme.grey),
        "failed": CrossStyle("+", "cross-thin", theme.ink),
        "trial beyond a limit": CrossStyle("1", "y-down-open", theme.grey),
    }


def _places(figure: FrontFigure, kind: str) -> tuple[list[float], list[float]]:
    points = [point for point in figure.left_out if point.kind == kind]
    return [point.x for point in points], [point.y for point in points]


def _share(figure: FrontFigure, area: float | None) -> float:
    """A marker's area as a share of the largest, but never too small to be seen, or to have a shape."""
    return max(figure.share(area), _SMALLEST_SHAPE if figure.has_families else SMALLEST_SHARE)


def _names(figure: FrontFigure, largest: float) -> NameLayout:
    """The names of the published models, and the numbers and marks of others, of which plain numbers can be left out;
    `largest` is the radius of the largest marker in points."""

    def mark(point: Point) -> Mark:
        diamond = 1.0 if point.label is None else math.sqrt(math.pi / 2)  # wider than a circle of its area
        ring = _RING if point.validated else 0.0
        return Mark(point.x, point.y, largest * math.sqrt(_share(figure, point.area)) * diamond + ring)

    x, y = figure.x.limits, figure.y.limits
    edges = [
        [(shade.edge, end) for end in y] if shade.along_x else [(end, shade.edge) for end in x]
        for shade in figure.shades
    ]
    names = [point.text for point in figure.named]
    plain = {i for i, point in enumerate(figure.named) if point.label is None and not point.mark}
    marks = [*map(mark, figure.named)]
    crosses = [Mark(point.x, point.y, _CROSS / 2) for point in figure.left_out]
    return NameLayout(x, y, names, marks, [*map(mark, figure.points), *crosses], [figure.staircase, *edges], plain)


# ---- PNG and SVG

_PLOT, _GAP = 3.74, 0.35
"""The heights of a plot, and of the gap to the next plot, in inches."""


def _foot(figure: FrontFigure) -> float:
    """The height of the legend of a plot, in inches."""
    return 1.7 if figure.has_families else 1.1


_LARGEST = 8.0
"""The radius of the largest marker, in points."""


def _draw(figures: Sequence[FrontFigure], theme: Theme) -> "Figure":
    legend = _foot(figures[0])
    height = static.TITLE + len(figures) * (_PLOT + legend + _GAP) - _GAP
    fig = static.blank(height)
    static.title(fig, figures[0].title, figures[0].subtitle, theme)
    for place, figure in enumerate(figures):
        bottom = height - static.TITLE - place * (_PLOT + legend + _GAP) - _PLOT
        axes = fig.add_axes((static.LEFT, bottom / height, static.RIGHT - static.LEFT, _PLOT / height))
        axes.set(xlabel=figure.x.title, ylabel=figure.y.title, xlim=figure.x.limits, ylim=figure.y.limits)
        static.frame(axes)
        for shade in figure.shades:
            _draw_shade(axes, shade, theme)
        axes.plot(*zip(*figure.staircase, strict=True), color=theme.primary, linewidth=1.3, alpha=0.55, zorder=1.5)
        for level, (style, points) in enumerate(groups := marker_groups(figure, theme)):
            _draw_points(axes, figure, style, points, 2 + 0.4 * level / len(groups))
        _draw_rings(axes, figure, theme)
        for kind, look in _cross_styles(theme).items():
            axes.scatter(*_places(figure, kind), s=_CROSS**2, marker=look.matplotlib, color=look.colour, linewidth=1.2)
        _draw_legend(fig, axes, figure, theme)
        if figure.area is not None:
            _draw_size_legend(fig, axes, figure, theme)
        static.write_names(axes, _names(figure, _LARGEST), theme.secondary, theme)
    return fig


def _draw_shade(axes: "Axes", shade: Shade, theme: Theme) -> None:
    """What a limit forbids: a grey area behind a dashed line, and its text along the line."""
    span, line = (axes.axvspan, axes.axvline) if shade.along_x else (axes.axhspan, axes.axhline)
    span(shade.low, shade.high, color=theme.grey, alpha=SHADE_OPACITY, linewidth=0, zorder=0.6)
    line(shade.edge, color=theme.grey, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1.2)
    offset = 3 if shade.edge == shade.low else -3
    axes.annotate(
        shade.words,
        (shade.edge, 0) if shade.along_x else (0, shade.edge),
        xycoords=("data", "axes fraction") if shade.along_x else ("axes fraction", "data"),
        xytext=(offset, 4) if shade.along_x else (4, offset),
        textcoords="offset points",
        rotation="vertical" if shade.along_x else "horizontal",
        ha="right" if shade.along_x and offset < 0 else "left",
        va="bottom" if shade.along_x or offset > 0 else "top",
        fontsize=8,
        color=theme.faint,
        zorder=4,
    )


def _draw_points(axes: "Axes", figure: FrontFigure, style: MarkerStyle, group: Sequence[Point], zorder: float) -> None:
    static.error_bars(axes, group, style.bar, zorder)
    axes.scatter(
        [point.x for point in group],
        [point.y for point in group],
        s=[math.pi * _LARGEST**2 * _share(figure, point.area) / style.shape.of_s for point in group],
        marker=style.shape.matplotlib,
        facecolor=style.fill or "none",
        edgecolor=style.edge,
        linewidth=1.4 if style.fill is None else 0.8,
        alpha=style.opacity,
        zorder=zorder,
    )


def _draw_rings(axes: "Axes", figure: FrontFigure, theme: Theme) -> None:
    radii = [_LARGEST * math.sqrt(_share(figure, point.area)) + _RING for point in figure.validated]
    axes.scatter(
        [point.x for point in figure.validated],
        [point.y for point in figure.validated],
        s=[(2 * radius) ** 2 for radius in radii],
        facecolor="none",
        edgecolor=theme.ink,
        linewidth=1.0,
        zorder=2.9,
    )


def _draw_legend(fig: "Figure", axes: "Axes", figure: FrontFigure, theme: Theme) -> None:
    """The kinds of markers, below the plot on the left."""
    from matplotlib.patches import Patch

    handles: list[Any] = legend_handles(figure, theme)
    if figure.validated:
        ring = {"marker": "o", "markersize": 10, "markerfacecolor": "none", "markeredgecolor": theme.ink}
        handles.append(static.legend_line(RING_LABEL, linestyle="", **ring))
    handles += [
        static.legend_line(kind, linestyle="", marker=look.matplotlib, markersize=_CROSS, color=look.colour)
        for kind, look in _cross_styles(theme).items()
        if any(point.kind == kind for point in figure.left_out)
    ]
    if len(figure.staircase) > 1:
        handles.append(static.legend_line(LINE_LABEL, color=theme.primary, alpha=0.55))
    if figure.shades:
        handles.append(Patch(facecolor=theme.grey, alpha=SHADE_OPACITY, label=figure.shade_label))
    columns = 2 if figure.has_families else 3
    _legend_below(fig, axes, _foot(figure), "lower left", handles=handles, ncols=columns)


def _draw_size_legend(fig: "Figure", axes: "Axes", figure: FrontFigure, theme: Theme) -> None:
    """The areas of markers, below the plot on the right, if they differ."""
    if figure.area is None or not figure.area_key:
        return
    colours: dict[str, Any] = {"color": theme.pale, "edgecolor": theme.grey}
    sizes = [
        axes.scatter([], [], s=(2 * _LARGEST) ** 2 * _share(figure, value), label=f"{value:g}", **colours)
        for value in figure.area_key
    ]
    look: dict[str, Any] = {
        "title": f"area: {figure.area.label}",
        "title_fontsize": 8.5,
        "labelspacing": 0.7,
        "ncols": 3,
    }
    _legend_below(fig, axes, _foot(figure), "lower right", handles=sizes, **look)


def _legend_below(fig: "Figure", axes: "Axes", height: float, corner: str, **legend: Any) -> None:
    foot = axes.get_position().y0 - (height - 0.03) / fig.get_size_inches()[1]
    fig.legend(loc=corner, bbox_to_anchor=(0.01 if "left" in corner else 0.985, foot), **legend, **static.LEGEND)


# ---- HTML

_LARGEST_PX = 13.0
"""The radius of the largest marker, in pixels."""

_KEY_STEP = 75
"""The distance between the circles of the size legend, in pixels."""

LEGEND_LEFT = {"x": 0, "y": 0, "yref": "container", "yanchor": "bottom", "itemsizing": "constant", "tracegroupgap": 0}

_LEGEND_LINE = 19
"""The height of a line of the legend, in pixels."""


@dataclass(frozen=True)
class Format:
    """The size of a plot and its upper and lower margin in pixels, and the place of the size legend: where it begins,
    as a share of the width, and how far below the axis it is."""

    width: int = 800
    height: int = 600
    top: int = 90
    bottom: int = 115
    key_from: float = 0.72
    key_down: int = 88

    def with_lines(self, lines: int) -> "Format":
        """The format with room for further lines of the legend."""
        return replace(self, height=self.height + _LEGEND_LINE * lines, bottom=self.bottom + _LEGEND_LINE * lines)


def _html(figures: Sequence[FrontFigure], theme: Theme) -> bytes:
    parts = [{"data": traces(figure, theme), "layout": layout(figure, theme)} for figure in figures]
    return interactive.page(figures[0].title, parts, theme)


def traces(figure: FrontFigure, theme: Theme) -> list[dict[str, Any]]:
    """The line of the front, the candidates by kind, and rings around those that were validated."""
    x, y = zip(*figure.staircase, strict=True)
    line: dict[str, Any] = {
        "type": "scatter",
        "x": x,
        "y": y,
        "mode": "lines",
        "line": {"color": theme.primary, "width": 1.5},
    }
    line |= {"opacity": 0.55, "hoverinfo": "skip", "name": LINE_LABEL}
    rings = [_ring_trace(figure, theme)] if figure.validated else []
    crosses = (
        [_cross_trace(figure, kind, look) for kind, look in _cross_styles(theme).items()] if figure.left_out else []
    )
    markers = [_trace(figure, style, points) for style, points in marker_groups(figure, theme)]
    return [line, *markers, *legend_traces(figure, theme), *crosses, *rings]


def _cross_trace(figure: FrontFigure, kind: str, look: CrossStyle) -> dict[str, Any]:
    points = [point for point in figure.left_out if point.kind == kind]
    x, y = _places(figure, kind)
    marker = {"symbol": look.plotly, "size": _CROSS * interactive.PIXELS, "color": look.colour}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": kind,
        "visible": bool(points),
        "x": x,
        "y": y,
        "marker": marker | {"line": {"width": 1.5, "color": look.colour}},
        "text": [interactive.hover(point.lines) for point in points],
    } | interactive.HOVER_TEXT


def _ring_trace(figure: FrontFigure, theme: Theme) -> dict[str, Any]:
    sizes = [2 * (_LARGEST_PX * _share(figure, p.area) ** 0.5 + _RING * interactive.PIXELS) for p in figure.validated]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": RING_LABEL,
        "hoverinfo": "skip",
        "x": [point.x for point in figure.validated],
        "y": [point.y for point in figure.validated],
        "marker": {"symbol": "circle-open", "size": sizes, "color": theme.ink, "line": {"width": 1}},
    }


def _trace(figure: FrontFigure, style: MarkerStyle, group: Sequence[Point]) -> dict[str, Any]:
    marker = {
        "symbol": style.shape.plotly,
        "size": [style.shape.plotly_size(_LARGEST_PX * _share(figure, point.area) ** 0.5) for point in group],
        "color": style.fill or "rgba(0,0,0,0)",
        "line": {"color": style.edge, "width": 1 if style.fill else 2},
        "opacity": style.opacity,
    }
    return {
        "type": "scatter",
        "mode": "markers",
        "name": style.words,
        "visible": bool(group),
        **({"showlegend": False, "legendgroup": style.words} if figure.has_families else {}),
        "x": [point.x for point in group],
        "y": [point.y for point in group],
        "marker": marker,
        "error_x": interactive.error_bars([point.x_error for point in group], style.bar),
        "error_y": interactive.error_bars([point.y_error for point in group], style.bar),
        "text": [interactive.hover(point.lines) for point in group],
    } | interactive.HOVER_TEXT


def layout(figure: FrontFigure, theme: Theme, form: Format | None = None) -> dict[str, Any]:
    """Axes, names, limits and the legend of sizes."""
    families = len(legend_styles(figure, theme)) - len(theme.markers) if figure.has_families else 0
    form = (form or Format()).with_lines(len({point.kind for point in figure.left_out}) + max(0, families))
    margin = interactive.MARGIN | {"t": form.top, "b": form.bottom}
    names = _names(figure, _LARGEST_PX / interactive.PIXELS)
    shades = [part for shade in figure.shades for part in _shade_shapes(shade, theme)]
    texts = [_shade_text(shade, theme) for shade in figure.shades]
    return interactive.base_layout(figure.title, figure.subtitle, form.height, theme) | {
        "margin": margin,
        "xaxis": interactive.axis(figure.x.title, figure.x.limits, theme),
        "yaxis": interactive.axis(figure.y.title, figure.y.limits, theme),
        "legend": LEGEND_LEFT,
        "shapes": [*shades, *_size_key(figure, theme, form)],
        "annotations": [
            *interactive.write_names(names, interactive.plot_box(form.height, margin, form.width), theme.secondary),
            *texts,
            *_size_texts(figure, form),
        ],
    }


def _shade_shapes(shade: Shade, theme: Theme) -> list[dict[str, Any]]:
    """What a limit forbids: a grey area behind a dashed line."""
    along, across = ("x", "y") if shade.along_x else ("y", "x")
    place = {f"{across}ref": f"{across} domain", f"{across}0": 0, f"{across}1": 1}
    area = {"type": "rect", f"{along}0": shade.low, f"{along}1": shade.high, "line": {"width": 0}}
    edge = {"type": "line", f"{along}0": shade.edge, f"{along}1": shade.edge}
    line = {"line": {"color": theme.grey, "width": 1, "dash": "dash"}}
    return [place | area | {"fillcolor": theme.grey, "opacity": SHADE_OPACITY, "layer": "below"}, place | edge | line]


def _shade_text(shade: Shade, theme: Theme) -> dict[str, Any]:
    upper = shade.edge == shade.low
    text = {"text": escape(shade.words), "showarrow": False, "font": {"size": 11, "color": theme.faint}}
    if shade.along_x:
        place = {"x": shade.edge, "yref": "y domain", "y": 0, "yanchor": "bottom", "textangle": -90}
        return text | place | {"xanchor": "left" if upper else "right"}
    place = {"y": shade.edge, "xref": "x domain", "x": 0, "xanchor": "left"}
    return text | place | {"yanchor": "bottom" if upper else "top"}


def _size_key(figure: FrontFigure, theme: Theme, form: Format) -> list[dict[str, Any]]:
    """Circles of known size below the plot, on the right."""
    place = {"type": "circle", "xref": "paper", "yref": "paper", "xsizemode": "pixel", "ysizemode": "pixel"}
    look = {"fillcolor": theme.pale, "line": {"color": theme.grey, "width": 1}, "xanchor": form.key_from, "yanchor": 0}
    circles = []
    for i, value in enumerate(figure.area_key):
        radius = _LARGEST_PX * _share(figure, value) ** 0.5
        x, y = i * _KEY_STEP, -form.key_down
        circles.append(place | look | {"x0": x - radius, "x1": x + radius, "y0": y - radius, "y1": y + radius})
    return circles


def _size_texts(figure: FrontFigure, form: Format) -> list[dict[str, Any]]:
    if figure.area is None or not figure.area_key:
        return []
    place = {"xref": "paper", "yref": "paper", "x": form.key_from, "y": 0, "showarrow": False, "xanchor": "left"}
    head = {"text": f"area: {figure.area.label}", "xshift": -_LARGEST_PX, "yshift": -form.key_down + 30}
    values = [
        {"text": f"{value:g}", "xshift": i * _KEY_STEP + _LARGEST_PX + 3, "yshift": -form.key_down}
        for i, value in enumerate(figure.area_key)
    ]
    return [place | {"yanchor": "middle"} | text for text in (head, *values)]
