"""The comparison of studies as PNG, SVG or self-contained HTML: the fronts, and below them the two curves."""

import math
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from mvsearch.report.figures import interactive, static
from mvsearch.report.figures.comparison import ComparisonDot, ComparisonFigure, Panel, Series
from mvsearch.report.figures.layout import Mark, NameLayout
from mvsearch.report.figures.palette import (
    DASHES,
    LIGHT,
    PUBLISHED_RADIUS,
    SHADE_OPACITY,
    SHAPES,
    SeriesStyle,
    Theme,
    marker_size,
)
from mvsearch.report.figures.plot import write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_comparison(figure: ComparisonFigure, path: Path, theme: Theme = LIGHT) -> None:
    """Draw it into a .png, .svg or .html file."""
    write_figure(path, theme, draw=lambda: _draw(figure, theme), html=lambda: _html(figure, theme))


def _names(panel: Panel) -> NameLayout:
    marks = [Mark(point.x, point.y, PUBLISHED_RADIUS) for point in panel.named]
    dots = [Mark(dot.x, dot.y, marker_size(i) / 2) for i, series in enumerate(panel.series) for dot in series.dots]
    names, lines = [point.label for point in panel.named], [series.line for series in panel.series]
    return NameLayout(panel.x_limits, panel.y_limits, names, marks, [*marks, *dots], lines)


def _texts(figure: ComparisonFigure, theme: Theme, letters: int) -> list[tuple[str, str]]:
    """The lines between title and plot, with their colours: remarks, then warnings."""
    remarks = [(line, theme.faint) for remark in figure.remarks[1:] for line in wrap(remark, letters)]
    return remarks + [(line, theme.secondary) for warning in figure.warnings for line in wrap(warning, letters)]


# ---- PNG and SVG

_PLOT, _LABEL, _CURVE, _FOOT, _LINE = 3.74, 0.66, 2.3, 0.3, 0.2
"""In inches: a plot, an axis label with the gap below it, a curve, the legend, and a line below the title."""

_MIDDLE = 0.09
"""The gap between the two curves, as a share of the width."""


def _draw(figure: ComparisonFigure, theme: Theme) -> "Figure":
    texts = _texts(figure, theme, 115)
    head = static.TITLE + _LINE * len(texts)
    height = head + len(figure.fronts) * (_PLOT + _LABEL) + _CURVE + _LABEL + _FOOT
    fig = static.blank(height)
    static.title(fig, figure.title, figure.remarks[0], theme)
    for place, (line, colour) in enumerate(texts, 1):
        fig.text(0.02, 1 - (0.475 + place * _LINE) / height, line, color=colour, va="center")
    styles = theme.series(len(figure.fronts[0].series))
    for place, panel in enumerate(figure.fronts, 1):
        foot = height - head - place * _PLOT - (place - 1) * _LABEL
        axes = fig.add_axes((static.LEFT, foot / height, static.RIGHT - static.LEFT, _PLOT / height))
        _draw_panel(axes, panel, styles)
        x, y = [point.x for point in panel.published], [point.y for point in panel.published]
        axes.plot(x, y, **_published_style(theme), zorder=3.5, clip_on=False)
        static.write_names(axes, _names(panel), theme.ink, theme)
    width = (static.RIGHT - static.LEFT - _MIDDLE) / 2
    for left, panel in zip((static.LEFT, static.LEFT + width + _MIDDLE), figure.curves, strict=True):
        _draw_panel(fig.add_axes((left, (_FOOT + _LABEL) / height, width, _CURVE / height)), panel, styles)
    _draw_legend(fig, figure, styles, theme)
    return fig


def _draw_panel(axes: "Axes", panel: Panel, styles: list[SeriesStyle]) -> None:
    axes.set(xlabel=panel.x_label, ylabel=panel.y_label, xlim=panel.x_limits, ylim=panel.y_limits)
    static.frame(axes)
    for place, (series, style) in enumerate(zip(panel.series, styles, strict=True)):
        if series.band:
            axes.fill(*zip(*series.band, strict=True), color=style.colour, alpha=SHADE_OPACITY, linewidth=0, zorder=1.2)
        line = {"color": style.colour, "linestyle": DASHES[style.dashes], "linewidth": 1.5}
        axes.plot(*zip(*series.line, strict=True), **line, zorder=2)
        static.error_bars(axes, series.dots, style.colour, 2.5)
        axes.scatter(
            [dot.x for dot in series.dots],
            [dot.y for dot in series.dots],
            s=marker_size(place) ** 2,
            marker=style.shape.matplotlib,
            color=style.colour,
            edgecolor=axes.get_facecolor(),
            linewidth=0.7,
            alpha=0.9,
            zorder=3,
        )


def _published_style(theme: Theme) -> dict[str, Any]:
    """Published models as outlines that do not hide the markers of a study."""
    style = {"marker": SHAPES["diamond"].matplotlib, "markerfacecolor": "none", "markeredgecolor": theme.ink}
    return style | {"markeredgewidth": 1.2, "linestyle": "", "markersize": 2 * PUBLISHED_RADIUS / math.sqrt(2)}


def _draw_legend(fig: "Figure", figure: ComparisonFigure, styles: list[SeriesStyle], theme: Theme) -> None:
    handles = [
        static.legend_line(
            series.name, color=style.colour, linestyle=DASHES[style.dashes], marker=style.shape.matplotlib
        )
        for series, style in zip(figure.fronts[0].series, styles, strict=True)
    ]
    if any(panel.published for panel in figure.fronts):
        handles.append(static.legend_line("published", **_published_style(theme)))
    legend = static.LEGEND | {"handlelength": 3.2}
    fig.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.01, 0.0), ncols=4, **legend)


# ---- HTML

_HEIGHT_PX, _CURVE_PX, _LINE_PX = 560, 350, 17
"""A plot of fronts, one of the two curves, and a line below the title, in pixels."""


def _html(figure: ComparisonFigure, theme: Theme) -> bytes:
    styles = theme.series(len(figure.fronts[0].series))
    fronts = [_front(figure, panel, styles, theme) for panel in figure.fronts]
    return interactive.page(figure.title, [*fronts, _curves(figure, styles, theme)], theme)


def _front(figure: ComparisonFigure, panel: Panel, styles: list[SeriesStyle], theme: Theme) -> dict[str, Any]:
    texts = _text_annotations(figure, theme)
    layout = interactive.base_layout(figure.title, figure.remarks[0], _HEIGHT_PX + _LINE_PX * len(texts), theme) | {
        "margin": interactive.MARGIN | {"t": interactive.MARGIN["t"] + _LINE_PX * len(texts)},
        "xaxis": interactive.axis(panel.x_label, panel.x_limits, theme),
        "yaxis": interactive.axis(panel.y_label, panel.y_limits, theme),
        "legend": interactive.LEGEND_BELOW,
        "annotations": [*texts, *interactive.write_names(_names(panel), interactive.plot_box(_HEIGHT_PX), theme.ink)],
    }
    return {"data": [*_traces(panel, styles, "", legend=True), *_published_trace(panel, theme)], "layout": layout}


def _published_trace(panel: Panel, theme: Theme) -> list[dict[str, Any]]:
    """Published models as outlines; markers below them still react to the pointer."""

    if not panel.published:
        return []
    size = 2 * PUBLISHED_RADIUS * interactive.PIXELS / 1.3  # plotly's diamond is wider than its size
    marker = {"symbol": "diamond-open", "size": size, "color": theme.ink, "line": {"width": 1.5}}
    places = {"x": [point.x for point in panel.published], "y": [point.y for point in panel.published]}
    trace = {"type": "scatter", "mode": "markers", "name": "published", "hoverinfo": "skip", "cliponaxis": False}
    return [trace | places | {"marker": marker}]


def _text_annotations(figure: ComparisonFigure, theme: Theme) -> list[dict[str, Any]]:
    place = {"xref": "paper", "yref": "paper", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom"}
    place |= {"xshift": 16 - interactive.MARGIN["l"], "showarrow": False}
    texts = _texts(figure, theme, 120)
    return [
        place | {"text": escape(line), "font": {"size": 12, "color": colour}, "yshift": 8 + _LINE_PX * (len(texts) - i)}
        for i, (line, colour) in enumerate(texts, 1)
    ]


def _curves(figure: ComparisonFigure, styles: list[SeriesStyle], theme: Theme) -> dict[str, Any]:
    layout = interactive.base_layout("", "", _CURVE_PX, theme) | {"margin": interactive.MARGIN | {"t": 45, "b": 55}}
    data = []
    for number, (panel, domain) in enumerate(zip(figure.curves, ([0, 0.46], [0.56, 1]), strict=True), 1):
        across = {"domain": domain, "anchor": f"y{number}"}
        layout[f"xaxis{number}"] = interactive.axis(panel.x_label, panel.x_limits, theme) | across
        layout[f"yaxis{number}"] = interactive.axis(panel.y_label, panel.y_limits, theme) | {"anchor": f"x{number}"}
        data += _traces(panel, styles, str(number), legend=False)
    return {"data": data, "layout": layout}


def _traces(panel: Panel, styles: list[SeriesStyle], number: str, *, legend: bool) -> list[dict[str, Any]]:
    traces = []
    for place, (series, style) in enumerate(zip(panel.series, styles, strict=True)):
        shared = {"xaxis": f"x{number}", "yaxis": f"y{number}", "type": "scatter"}
        shared |= {"legendgroup": series.name, "name": escape(series.name)}
        if series.band:
            traces.append(shared | _band(series, style))
        traces.append(shared | _line(series, style) | {"showlegend": legend})
        if series.dots:
            traces.append(shared | _members(series.dots, style, marker_size(place)))
    return traces


def _band(series: Series, style: SeriesStyle) -> dict[str, Any]:
    x, y = zip(*series.band, strict=True)
    area = {
        "fill": "toself",
        "fillcolor": style.colour,
        "opacity": SHADE_OPACITY,
        "line": {"width": 0},
        "mode": "lines",
    }
    return {"x": x, "y": y, "hoverinfo": "skip", "showlegend": False} | area


def _line(series: Series, style: SeriesStyle) -> dict[str, Any]:
    x, y = zip(*series.line, strict=True)
    # Simplified, a small step after a long level would be a slope.
    line = {"color": style.colour, "width": 2, "dash": style.dashes, "simplify": False}
    return {"x": x, "y": y, "mode": "lines", "line": line, "hoverinfo": "skip"}


def _members(dots: tuple[ComparisonDot, ...], style: SeriesStyle, size: float) -> dict[str, Any]:
    size_px = interactive.PIXELS * size
    marker = {"symbol": style.shape.plotly, "size": size_px, "color": style.colour, "opacity": 0.9}
    return {
        "x": [dot.x for dot in dots],
        "y": [dot.y for dot in dots],
        "error_x": interactive.error_bars([dot.x_error for dot in dots], style.colour),
        "error_y": interactive.error_bars([dot.y_error for dot in dots], style.colour),
        "mode": "markers",
        "marker": marker,
        "text": [interactive.hover(dot.lines) for dot in dots],
        "showlegend": False,
    } | interactive.HOVER_TEXT
