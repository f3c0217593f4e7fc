"""Proxy scores as PNG, SVG or self-contained HTML: two panels a row, a marker for each series or group."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvsearch.report.figures import interactive, static
from mvsearch.report.figures.layout import Mark, NameLayout
from mvsearch.report.figures.palette import LIGHT, SeriesStyle, Theme
from mvsearch.report.figures.plot import write_figure
from mvsearch.report.figures.proxy_scores import ProxyScoresFigure, ScorePanel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKER = 6.0
"""A marker's width, in points."""


def plot_proxy_scores(figure: ProxyScoresFigure, path: Path, theme: Theme = LIGHT) -> None:
    """Draw it into a .png, .svg or .html file; raises PlanError for another suffix."""
    write_figure(path, theme, draw=lambda: _draw(figure, theme), html=lambda: _html(figure, theme))


def _styles(figure: ProxyScoresFigure, theme: Theme) -> dict[str, SeriesStyle]:
    return dict(zip(figure.groups, theme.series(len(figure.groups)), strict=True))


def _rows(figure: ProxyScoresFigure) -> int:
    return (len(figure.panels) + 1) // 2


def _names(panel: ScorePanel) -> NameLayout:
    markers = {dot: Mark(dot.x, dot.y, _MARKER / 2) for dot in panel.dots}
    named = [dot for dot in panel.dots if dot.name]
    names, marks = [dot.name for dot in named], [markers[dot] for dot in named]
    return NameLayout(panel.x_limits, panel.y_limits, names, marks, list(markers.values()))


# ---- PNG and SVG

_HEAD, _PLOT, _FOOT = 0.42, 2.9, 0.62
"""The heights of a panel's title, of its plot, and of its axis label, in inches."""


def _draw(figure: ProxyScoresFigure, theme: Theme) -> "Figure":
    step = _HEAD + _PLOT + _FOOT
    height = static.TITLE + _rows(figure) * step + 0.3
    fig = static.blank(height)
    static.title(fig, figure.title, figure.subtitle, theme)
    for place, panel in enumerate(figure.panels):
        row, column = divmod(place, 2)
        bottom = height - static.TITLE - (row + 1) * step + _FOOT
        axes = fig.add_axes((0.07 + 0.5 * column, bottom / height, 0.415, _PLOT / height))
        _draw_panel(axes, panel, _styles(figure, theme), theme)
    handles = [
        fig.axes[0].plot([], [], linestyle="", marker=style.shape.matplotlib, color=style.colour, label=group)[0]
        for group, style in _styles(figure, theme).items()
    ]
    fig.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.01, 0.0), ncols=len(handles), **static.LEGEND)
    return fig


def _draw_panel(axes: "Axes", panel: ScorePanel, styles: Mapping[str, SeriesStyle], theme: Theme) -> None:
    axes.set(xlabel=panel.x_label, xlim=panel.x_limits, ylim=panel.y_limits)
    axes.locator_params(axis="x", nbins=5)  # long numbers would touch
    axes.set_title(panel.title, loc="left", fontsize=10, fontweight="bold", pad=17)
    above: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(panel.subtitle, (0, 1), (0, 6), fontsize=8, color=theme.faint, **above)
    static.frame(axes)
    for dot in panel.dots:
        style = styles[dot.group]
        if dot.error:
            axes.errorbar(dot.x, dot.y, xerr=dot.error, ecolor=style.colour, elinewidth=1.0, capsize=2.0, zorder=2)
        marker: dict[str, Any] = {"marker": style.shape.matplotlib, "markersize": _MARKER, "linestyle": ""}
        axes.plot(dot.x, dot.y, color=style.colour, zorder=3, **marker)
    static.write_names(axes, _names(panel), theme.grey, theme)


# ---- HTML

_TOP_PX, _PLOT_PX, _GAP_PX, _LEFT_PX, _WIDTH_PX = 120, 330, 110, 50, 330
"""The title, the height of a panel, the gap below it, its left margin and its width, in pixels."""


def _html(figure: ProxyScoresFigure, theme: Theme) -> bytes:
    height = _TOP_PX + _rows(figure) * (_PLOT_PX + _GAP_PX)
    layout = interactive.base_layout(figure.title, figure.subtitle, height, theme)
    layout |= {"margin": {"l": 0, "r": 0, "t": 0, "b": 0}, "annotations": []}
    layout |= {"legend": interactive.LEGEND_BELOW | {"x": 0.01}}
    data = []
    for place, panel in enumerate(figure.panels):
        row, column = divmod(place, 2)
        number = str(place + 1) if place else ""
        left, top = _LEFT_PX + column * interactive.WIDTH / 2, height - _TOP_PX - row * (_PLOT_PX + _GAP_PX)
        right, bottom = left + _WIDTH_PX, top - _PLOT_PX
        across = {"domain": [left / interactive.WIDTH, right / interactive.WIDTH], "anchor": f"y{number}"}
        up = {"domain": [bottom / height, top / height], "anchor": f"x{number}"}
        layout[f"xaxis{number}"] = interactive.axis(panel.x_label, panel.x_limits, theme) | across
        layout[f"yaxis{number}"] = interactive.axis("", panel.y_limits, theme) | up
        refs = {"xref": f"x{number}", "yref": f"y{number}", "axref": "pixel", "ayref": "pixel"}
        names = interactive.write_names(_names(panel), (left, bottom, right, top), theme.grey)
        layout["annotations"] += [*(name | refs for name in names), *_titles(panel, number, theme)]
        data += _traces(panel, number, _styles(figure, theme))
    return interactive.page(figure.title, [{"data": data, "layout": layout}], theme)


def _titles(panel: ScorePanel, number: str, theme: Theme) -> list[dict[str, Any]]:
    place = {"xref": f"x{number} domain", "yref": f"y{number} domain", "y": 1, "yanchor": "bottom", "showarrow": False}
    place |= {"x": 0, "xanchor": "left"}
    title = {"text": f"<b>{escape(panel.title)}</b>", "font": {"size": 14}, "yshift": 16}
    subtitle = {"text": escape(panel.subtitle), "font": {"size": 12, "color": theme.faint}}
    return [place | title, place | subtitle]


def _traces(panel: ScorePanel, number: str, styles: Mapping[str, SeriesStyle]) -> list[dict[str, Any]]:
    traces = []
    for group, style in styles.items():
        dots = [dot for dot in panel.dots if dot.group == group]
        bars = {"array": [dot.error for dot in dots], "visible": any(dot.error for dot in dots), "thickness": 1}
        marker = {"symbol": style.shape.plotly, "color": style.colour, "size": _MARKER * interactive.PIXELS + 1}
        traces.append(
            {"type": "scatter", "mode": "markers", "name": escape(group), "legendgroup": group}
            | {
                "showlegend": not number,
                "xaxis": f"x{number}",
                "yaxis": f"y{number}",
                "marker": marker,
                "error_x": bars,
            }
            | {"x": [dot.x for dot in dots], "y": [dot.y for dot in dots]}
            | {"text": [escape(dot.words) for dot in dots]}
            | interactive.HOVER_TEXT
        )
    return traces
