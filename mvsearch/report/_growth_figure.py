"""Growth as PNG, SVG or self-contained HTML: parameters left, MACs right, a line a fusion, a dot a size."""

import io
from html import escape
from pathlib import Path
from typing import Any

from mvsearch.report.growth import COSTS, Growth, Line
from mvsearch.report.palette import BLUE, GREY, GRID, INK, VERMILION
from mvsearch.report.plot import drawn_kind, write_whole
from mvsearch.report.units import pretty

_LOOKS = {
    "v1: 3x3 fusion": (VERMILION, "solid"),
    "v1 with 1x1 fusion": (VERMILION, "dash"),
    "v2: no fusion": (GREY, "solid"),
}
"""Colour and dash of a line; blue for the others. Lines are told apart without colours too."""

_DASHES = {"solid": "-", "dash": (0, (4, 2))}


def plot_growth(growth: Growth, path: Path) -> None:
    """Draw it into a .png, .svg or .html file; raises PlanError for another suffix."""
    kind = drawn_kind(path)
    write_whole(path, _html(growth) if kind == "html" else _picture(growth, kind))


def _look(line: Line) -> tuple[str, str]:
    return _LOOKS.get(line.words, (BLUE, "solid"))


def _picture(growth: Growth, kind: str) -> bytes:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from mvsearch.report._matplotlib import DPI, INCHES, LEGEND, STYLE

    content = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(INCHES[0], 4.6), dpi=DPI)
        FigureCanvasAgg(figure)
        figure.text(0.02, 0.95, growth.title, fontsize=13, fontweight="bold", va="center", parse_math=False)
        figure.text(0.02, 0.893, growth.subtitle, fontsize=9, color="#666666", va="center", parse_math=False)
        for i, name in enumerate(COSTS):
            _panel(figure.add_axes((0.075 + 0.495 * i, 0.2, 0.415, 0.62)), growth, name)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower left", bbox_to_anchor=(0.01, 0.005), ncols=4, **LEGEND)
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(content, format=kind, dpi=DPI, metadata=metadata)
    return content.getvalue()


def _panel(axes: Any, growth: Growth, name: str) -> None:
    label, size = growth.axis(name)
    axes.set(xlabel=growth.across, ylabel=label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for line in growth.lines:
        colour, dash = _look(line)
        values = [value / size for value in line.costs[name]]
        axes.step(
            line.scales, values, where="post", color=colour, linestyle=_DASHES[dash], linewidth=1.6, label=line.words
        )
    xs = [member.scale for member in growth.members]
    ys = [getattr(member.arch.cost(), name) / size for member in growth.members]
    axes.plot(xs, ys, linestyle="", marker="o", color=INK, markersize=5, zorder=3, label="the family")
    for member, x, y in zip(growth.members, xs, ys, strict=True):
        axes.annotate(member.name, (x, y), (5, -5), textcoords="offset points", fontsize=8.5, va="top")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.02)


def _html(growth: Growth) -> bytes:
    from plotly import graph_objects

    axes = {name: growth.axis(name) for name in COSTS}
    frame = {"showline": True, "linecolor": GREY, "gridcolor": GRID, "zeroline": False, "ticks": "outside"}
    layout: dict[str, Any] = {
        "title": {
            "text": f"<b>{escape(growth.title)}</b>",
            "subtitle": {"text": escape(growth.subtitle), "font": {"size": 12}},
            "x": 0.02,
        },
        "width": 960,
        "height": 540,
        "margin": {"l": 70, "r": 25, "t": 85, "b": 100},
        "font": {"color": INK, "family": "Helvetica, Arial, sans-serif"},
        "plot_bgcolor": "white",
        "legend": {"orientation": "h", "y": -0.18},
    }
    for i, name in enumerate(COSTS):
        tail = "" if i == 0 else "2"
        layout[f"xaxis{tail}"] = frame | {"title": {"text": growth.across}, "domain": [0.55 * i, 0.45 + 0.55 * i]}
        below = {"title": {"text": axes[name][0]}, "rangemode": "tozero", "anchor": f"x{tail}"}
        layout[f"yaxis{tail}"] = frame | below
    traces = [trace for i, name in enumerate(COSTS) for trace in _traces(growth, name, axes[name][1], "2" if i else "")]
    figure = graph_objects.Figure(data=traces, layout=layout)
    html: str = figure.to_html(include_plotlyjs=True, div_id="growth", config={"displaylogo": False})
    return html.encode()


def _traces(growth: Growth, name: str, size: float, tail: str) -> list[dict[str, Any]]:
    place = {"type": "scatter", "xaxis": f"x{tail}", "yaxis": f"y{tail}", "showlegend": not tail}
    made = []
    for line in growth.lines:
        colour, dash = _look(line)
        values = line.costs[name]
        made.append(
            place
            | {"x": line.scales, "y": [value / size for value in values], "mode": "lines", "name": line.words}
            | {"line": {"shape": "hv", "color": colour, "dash": dash, "width": 2}, "legendgroup": line.words}
            | {"text": [pretty(name, value) for value in values]}
            | {"hovertemplate": f"{line.words} at %{{x:.3g}}: %{{text}}<extra></extra>"}
        )
    costs = [getattr(member.arch.cost(), name) for member in growth.members]
    text = [f"<b>{m.name}</b> {m.scale:.3g}: {pretty(name, c)}" for m, c in zip(growth.members, costs, strict=True)]
    dots = {"x": [m.scale for m in growth.members], "y": [cost / size for cost in costs], "mode": "markers+text"}
    marker = {"name": "the family", "marker": {"color": INK, "size": 9}, "legendgroup": "the family"}
    names = {"text": [m.name for m in growth.members], "textposition": "bottom right", "hovertext": text}
    return [*made, place | dots | marker | names | {"hovertemplate": "%{hovertext}<extra></extra>"}]
