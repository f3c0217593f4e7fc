"""A validation as PNG, SVG or self-contained HTML: circles are candidates, diamonds are baselines."""

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvsearch.report.figures import interactive, static
from mvsearch.report.figures.layout import Mark, NameLayout
from mvsearch.report.figures.palette import LIGHT, SHAPES, Marker, Theme
from mvsearch.report.figures.plot import write_figure
from mvsearch.report.figures.validation import DifferenceBar, NetworkDots, ValidationFigure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MEAN, _SEED = 8.0, 3.5
"""The sizes of markers, in points."""


def plot_validation(figure: ValidationFigure, path: Path, theme: Theme = LIGHT) -> None:
    """Draw it into a .png, .svg or .html file; raises PlanError for another suffix."""
    write_figure(path, theme, draw=lambda: _draw(figure, theme), html=lambda: _html(figure, theme))


def _style(dots: NetworkDots, theme: Theme) -> tuple[str, Marker]:
    return (theme.primary, SHAPES["circle"]) if dots.is_candidate else (theme.secondary, SHAPES["diamond"])


def _colour(bar: DifferenceBar, theme: Theme) -> str:
    return {"better": theme.primary, "worse": theme.secondary}.get(bar.verdict, theme.grey)


# ---- PNG and SVG

_HEIGHT, _BOTTOM, _TOP = 4.3, 0.68, 0.8
"""The height of the figure and of what is below and above the panels, in inches."""
_CHARACTER = 0.0088
"""The width of a character of the names between the panels, as a share of the figure's."""


def _draw(figure: ValidationFigure, theme: Theme) -> "Figure":
    fig = static.blank(_HEIGHT)
    static.title(fig, figure.title, figure.subtitle, theme)
    bottom, height = _BOTTOM / _HEIGHT, (_HEIGHT - _BOTTOM - _TOP) / _HEIGHT
    names = max((len(bar.label) for bar in figure.bars), default=0)
    width = max(0.3, 0.63 - _CHARACTER * names)
    left = fig.add_axes((0.075, bottom, width, height))
    right = fig.add_axes((0.71, bottom, 0.27, height))
    left.set(xlabel=figure.x_label, ylabel=figure.y_label, xlim=figure.x_limits, ylim=figure.y_limits)
    right.set(xlabel=figure.bars_label, xlim=figure.bar_limits, ylim=(max(1, len(figure.bars)) - 0.5, -0.5))
    for axes in (left, right):
        static.frame(axes)
    left.locator_params(axis="y", nbins=6, steps=[1, 2, 5, 10])  # quarters would need one more digit
    _draw_dots(left, figure, theme)
    right.set_yticks(range(len(figure.bars)), [bar.label for bar in figure.bars])
    right.axvline(0, color=theme.ink, linewidth=1.0)
    for place, bar in enumerate(figure.bars):
        ends = [[bar.difference - bar.low], [bar.high - bar.difference]]
        right.errorbar(bar.difference, place, xerr=ends, fmt="o", color=_colour(bar, theme), capsize=3, markersize=5)
    return fig


def _draw_dots(axes: "Axes", figure: ValidationFigure, theme: Theme) -> None:
    for dots in figure.dots:
        colour, shape = _style(dots, theme)
        seeds: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": _SEED, "zorder": 3.5}
        axes.plot(
            [dots.x] * len(dots.scores),
            dots.scores,
            color=colour,
            markeredgecolor=theme.paper,
            markeredgewidth=0.6,
            **seeds,
        )
        mean: dict[str, Any] = {"marker": shape.matplotlib, "markersize": _MEAN, "zorder": 3}
        axes.plot([dots.x], [dots.mean], color=colour, markeredgecolor=theme.paper, **mean)
    static.write_names(axes, _names(figure), theme.grey, theme)


def _names(figure: ValidationFigure) -> NameLayout:
    means = [Mark(dots.x, dots.mean, _MEAN / 2) for dots in figure.dots]
    seeds = [Mark(dots.x, score, _SEED / 2) for dots in figure.dots for score in dots.scores]
    names = [dots.name for dots in figure.dots]
    return NameLayout(figure.x_limits, figure.y_limits, names, means, [*means, *seeds])


# ---- HTML

_HEIGHT_PX, _NARROW_HEIGHT_PX = 430, 640
_PANELS = {False: (((0, 0.56), (0, 1)), ((0.74, 1), (0, 1))), True: (((0, 1), (0.45, 1)), ((0.25, 1), (0, 0.28)))}
"""The domains of both panels along x and y; on a narrow screen they are below each other."""


def _html(figure: ValidationFigure, theme: Theme) -> bytes:
    return interactive.page(figure.title, [{"data": traces(figure, theme), "layout": layout(figure, theme)}], theme)


def layout(figure: ValidationFigure, theme: Theme, *, narrow: bool = False) -> dict[str, Any]:
    """The layout of plotly."""
    base = interactive.base_layout(figure.title, figure.subtitle, _NARROW_HEIGHT_PX if narrow else _HEIGHT_PX, theme)
    (x, y), (x2, y2) = _PANELS[narrow]
    across = {"domain": x2, "anchor": "y2", "zeroline": True, "zerolinecolor": theme.ink}
    ticks = {"tickvals": list(range(len(figure.bars))), "ticktext": [escape(bar.label) for bar in figure.bars]}
    up = ticks | {"domain": y2, "anchor": "x2"}
    return base | {
        "margin": {"l": 60, "r": 20, "t": 90, "b": 60},
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": interactive.axis(figure.x_label, figure.x_limits, theme) | {"domain": x},
        "yaxis": interactive.axis(figure.y_label, figure.y_limits, theme) | {"domain": y},
        "xaxis2": interactive.axis(figure.bars_label.replace("\n", "<br>"), figure.bar_limits, theme) | across,
        "yaxis2": interactive.axis("", (max(1, len(figure.bars)) - 0.5, -0.5), theme) | up,
    }


def traces(figure: ValidationFigure, theme: Theme) -> list[dict[str, Any]]:
    """Seeds and means of each network, then a bar for each comparison."""
    return [trace for dots in figure.dots for trace in _dot_traces(dots, figure, theme)] + [
        _bar_trace(place, bar, theme) for place, bar in enumerate(figure.bars)
    ]


def _dot_traces(dots: NetworkDots, figure: ValidationFigure, theme: Theme) -> list[dict[str, Any]]:
    colour, shape = _style(dots, theme)
    seeds = {"x": [dots.x] * len(dots.scores), "y": list(dots.scores), "hoverinfo": "skip", "mode": "markers"}
    small = {"color": colour, "size": _SEED * interactive.PIXELS + 1, "line": {"color": theme.paper, "width": 0.6}}
    mean = {"x": [dots.x], "y": [dots.mean], "mode": "markers+text", "cliponaxis": False}
    side = "left" if dots.x > sum(figure.x_limits) / 2 else "right"  # a name stays inside the axes
    large = {"color": colour, "size": _MEAN * interactive.PIXELS + 1, "symbol": shape.plotly}
    hover = [interactive.hover(dots.lines)]
    text = {"textposition": f"middle {side}", "text": [f" {escape(dots.name)} "], "hovertext": hover}
    return [
        {"type": "scatter", "marker": large} | mean | text | {"hovertemplate": "%{hovertext}<extra></extra>"},
        {"type": "scatter", "marker": small} | seeds,
    ]


def _bar_trace(place: int, bar: DifferenceBar, theme: Theme) -> dict[str, Any]:
    ends = {"array": [bar.high - bar.difference], "arrayminus": [bar.difference - bar.low], "symmetric": False}
    return {
        **{"type": "scatter", "mode": "markers", "xaxis": "x2", "yaxis": "y2", "x": [bar.difference], "y": [place]},
        "marker": {"color": _colour(bar, theme), "size": 8},
        "error_x": ends | {"thickness": 1.5, "color": _colour(bar, theme)},
        "text": [escape(bar.words)],
    } | interactive.HOVER_TEXT
