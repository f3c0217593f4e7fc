"""Growth as PNG, SVG or self-contained HTML: parameters left, MACs right, a line a fusion, a dot a size."""

from pathlib import Path
from typing import Any

from mvsearch.metrics.formatting import pretty
from mvsearch.report.figures.palette import LIGHT, Theme
from mvsearch.report.figures.plot import kind_of
from mvsearch.report.figures.scaling import COSTS, Growth, Line
from mvsearch.utils.atomic_write import write_whole

_DASHES = {"solid": "-", "dash": (0, (4, 2))}


def plot_growth(growth: Growth, path: Path, theme: Theme = LIGHT) -> None:
    """Draw it into a .png, .svg or .html file; raises PlanError for another suffix."""
    kind = kind_of(path)
    write_whole(path, _html(growth, theme) if kind == "html" else _picture(growth, kind, theme))


def _look(line: Line, theme: Theme) -> tuple[str, str]:
    """Colour and dash of a line. Lines are told apart without colours too."""
    looks = {
        "v1: 3x3 fusion": (theme.secondary, "solid"),
        "v1 with 1x1 fusion": (theme.secondary, "dash"),
        "v2: no fusion": (theme.grey, "solid"),
    }
    return looks.get(line.words, (theme.primary, "solid"))


def _picture(growth: Growth, kind: str, theme: Theme) -> bytes:
    from mvsearch.report.figures._matplotlib import LEGEND, blank, rendered, title

    def figure() -> Any:
        made = blank(4.6)
        title(made, growth.title, growth.subtitle, theme)
        for i, name in enumerate(COSTS):
            _panel(made.add_axes((0.075 + 0.495 * i, 0.2, 0.415, 0.62)), growth, name, theme)
        handles, labels = made.axes[0].get_legend_handles_labels()
        made.legend(handles, labels, loc="lower left", bbox_to_anchor=(0.01, 0.005), ncols=4, **LEGEND)
        return made

    return rendered(figure, kind, theme)


def _panel(axes: Any, growth: Growth, name: str, theme: Theme) -> None:
    label, size = growth.axis(name)
    axes.set(xlabel=growth.across, ylabel=label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(linewidth=0.8)
    axes.set_axisbelow(True)
    for line in growth.lines:
        colour, dash = _look(line, theme)
        values = [value / size for value in line.costs[name]]
        axes.step(
            line.scales, values, where="post", color=colour, linestyle=_DASHES[dash], linewidth=1.6, label=line.words
        )
    xs = [member.scale for member in growth.members]
    ys = [getattr(member.arch.cost(), name) / size for member in growth.members]
    axes.plot(xs, ys, linestyle="", marker="o", color=theme.ink, markersize=5, zorder=3, label="the family")
    for member, x, y in zip(growth.members, xs, ys, strict=True):
        axes.annotate(member.name, (x, y), (5, -5), textcoords="offset points", fontsize=8.5, va="top")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.02)


def _html(growth: Growth, theme: Theme) -> bytes:
    from mvsearch.report.figures._plotly import axis, base_layout, page

    layout = base_layout(growth.title, growth.subtitle, 480, theme) | {"legend": {"orientation": "h", "y": -0.18}}
    axes = {name: growth.axis(name) for name in COSTS}
    for i, name in enumerate(COSTS):
        tail = "" if i == 0 else "2"
        layout[f"xaxis{tail}"] = axis(growth.across, None, theme) | {"domain": [0.55 * i, 0.45 + 0.55 * i]}
        below = {"rangemode": "tozero", "anchor": f"x{tail}"}
        layout[f"yaxis{tail}"] = axis(axes[name][0], None, theme) | below
    sizes = [(name, axes[name][1], "2" if i else "") for i, name in enumerate(COSTS)]
    traces = [trace for which in sizes for trace in _traces(growth, *which, theme)]
    return page(growth.title, [{"data": traces, "layout": layout}], theme)


def _traces(growth: Growth, name: str, size: float, tail: str, theme: Theme) -> list[dict[str, Any]]:
    place = {"type": "scatter", "xaxis": f"x{tail}", "yaxis": f"y{tail}", "showlegend": not tail}
    made = []
    for line in growth.lines:
        colour, dash = _look(line, theme)
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
    marker = {"name": "the family", "marker": {"color": theme.ink, "size": 9}, "legendgroup": "the family"}
    names = {"text": [m.name for m in growth.members], "textposition": "bottom right", "hovertext": text}
    return [*made, place | dots | marker | names | {"hovertemplate": "%{hovertext}<extra></extra>"}]
