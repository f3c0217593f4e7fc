"""The scaling figure as PNG, SVG or self-contained HTML: parameters left, MACs right, a line for each fusion."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvsearch.metrics.formatting import pretty
from mvsearch.report.figures import interactive, static
from mvsearch.report.figures.palette import DASHES, LIGHT, Theme
from mvsearch.report.figures.plot import write_figure
from mvsearch.report.figures.scaling import COSTS, Line, ScalingFigure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZES = "the family"
"""The legend's entry of the members."""


def plot_scaling(figure: ScalingFigure, path: Path, theme: Theme = LIGHT) -> None:
    """Draw it into a .png, .svg or .html file; raises PlanError for another suffix."""
    write_figure(path, theme, draw=lambda: _draw(figure, theme), html=lambda: _html(figure, theme))


def _style(line: Line, theme: Theme) -> tuple[str, str]:
    """The colour and the dashes of a line."""
    styles = {
        "v1: 3x3 fusion": (theme.secondary, "solid"),
        "v1 with 1x1 fusion": (theme.secondary, "dash"),
        "v2: no fusion": (theme.grey, "solid"),
    }
    return styles.get(line.words, (theme.primary, "solid"))


def _points(figure: ScalingFigure, name: str) -> list[tuple[float, float]]:
    """The members' scales and costs, in plain numbers."""
    return [(member.scale, float(getattr(member.arch.cost(), name))) for member in figure.members]


def _draw(figure: ScalingFigure, theme: Theme) -> "Figure":
    fig = static.blank(4.6)
    static.title(fig, figure.title, figure.subtitle, theme)
    for i, name in enumerate(COSTS):
        _draw_panel(fig.add_axes((0.075 + 0.495 * i, 0.2, 0.415, 0.62)), figure, name, theme)
    handles, labels = fig.axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="lower left", bbox_to_anchor=(0.01, 0.005), ncols=4, **static.LEGEND)
    return fig


def _draw_panel(axes: "Axes", figure: ScalingFigure, name: str, theme: Theme) -> None:
    label, size = figure.axis(name)
    axes.set(xlabel=figure.x_label, ylabel=label)
    static.frame(axes)
    for line in figure.lines:
        colour, dashes = _style(line, theme)
        style: dict[str, Any] = {"color": colour, "linestyle": DASHES[dashes], "linewidth": 1.6, "label": line.words}
        axes.step(line.scales, [value / size for value in line.costs[name]], where="post", **style)
    points = [(x, cost / size) for x, cost in _points(figure, name)]
    axes.plot(*zip(*points, strict=True), "o", color=theme.ink, markersize=5, zorder=3, label=_SIZES)
    for member, point in zip(figure.members, points, strict=True):
        axes.annotate(member.name, point, (5, -5), textcoords="offset points", fontsize=8.5, va="top")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.02)


def _html(figure: ScalingFigure, theme: Theme) -> bytes:
    layout = interactive.base_layout(figure.title, figure.subtitle, 480, theme)
    layout |= {"legend": {"orientation": "h", "y": -0.18}}
    traces = []
    for i, name in enumerate(COSTS):
        number = "2" if i else ""
        label, size = figure.axis(name)
        across, up = {"domain": [0.55 * i, 0.45 + 0.55 * i]}, {"rangemode": "tozero", "anchor": f"x{number}"}
        layout[f"xaxis{number}"] = interactive.axis(figure.x_label, None, theme) | across
        layout[f"yaxis{number}"] = interactive.axis(label, None, theme) | up
        traces += _traces(figure, name, size, number, theme)
    return interactive.page(figure.title, [{"data": traces, "layout": layout}], theme)


def _traces(figure: ScalingFigure, name: str, size: float, number: str, theme: Theme) -> list[dict[str, Any]]:
    place = {"type": "scatter", "xaxis": f"x{number}", "yaxis": f"y{number}", "showlegend": not number}
    traces = []
    for line in figure.lines:
        colour, dashes = _style(line, theme)
        values = line.costs[name]
        traces.append(
            place
            | {"x": line.scales, "y": [value / size for value in values], "mode": "lines", "name": line.words}
            | {"line": {"shape": "hv", "color": colour, "dash": dashes, "width": 2}, "legendgroup": line.words}
            | {"text": [pretty(name, value) for value in values]}
            | {"hovertemplate": f"{line.words} at %{{x:.3g}}: %{{text}}<extra></extra>"}
        )
    names, points = [member.name for member in figure.members], _points(figure, name)
    text = [f"<b>{member}</b> {x:.3g}: {pretty(name, cost)}" for member, (x, cost) in zip(names, points, strict=True)]
    dots = {"x": [x for x, _ in points], "y": [cost / size for _, cost in points], "mode": "markers+text"}
    marker = {"name": _SIZES, "marker": {"color": theme.ink, "size": 9}, "legendgroup": _SIZES}
    labels = {"text": names, "textposition": "bottom right", "hovertext": text}
    return [*traces, place | dots | marker | labels | {"hovertemplate": "%{hovertext}<extra></extra>"}]
