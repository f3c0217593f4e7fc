"""The figures of a report as plotly's JSON, in light colours, which the page replaces in a dark scheme."""

from collections.abc import Sequence
from dataclasses import fields, replace
from html import escape
from itertools import pairwise
from typing import Any

from mvsearch.arch.schema import field_text
from mvsearch.metrics.formatting import pretty, volume
from mvsearch.metrics.pareto import comparable
from mvsearch.metrics.record import Record
from mvsearch.metrics.registry import GAIN, metric
from mvsearch.report.figures import validation_plot
from mvsearch.report.figures.axes import pairs
from mvsearch.report.figures.front import FrontFigure
from mvsearch.report.figures.front_plot import Format, layout, traces
from mvsearch.report.figures.interactive import LEGEND_BELOW, axis, base_layout
from mvsearch.report.figures.palette import DARK, LIGHT, Theme
from mvsearch.report.figures.validation import validation_figure
from mvsearch.report.findings import Findings
from mvsearch.space.variables import Choice
from mvsearch.validation.outcome import Validation

Figure = dict[str, Any]
"""`data` and `layout` of plotly, and `narrow`, the layout for a narrow screen, if that is another."""

_WIDE = Format(800, 590, 24, 150, 0.72, 100)
_NARROW = Format(340, 560, 16, 205, 0.08, 84)

SHADES = 5
"""The number of colours that trials are divided into by their score."""

MOST_LINES = 300
"""The most lines that remain distinguishable."""

_MOST_TICKS = 5
"""A choice of at most so many values has each of them at its axis."""

_STROKE = 0.15
"""Half the length of the stroke for a value whose neighbours have no effect, in rows."""
_ROW = 42
_LEGEND = (80, 125)
"""Pixels: the height of the axis of a choice, and of the legend on a wide and on a narrow screen."""


def dark_colours() -> dict[str, str]:
    """The colour of the dark theme for each colour of the light one."""
    named = {getattr(LIGHT, f.name): getattr(DARK, f.name) for f in fields(Theme) if f.name != "hues"}
    hues = zip((*LIGHT.hues, *shades(LIGHT)), (*DARK.hues, *shades(DARK)), strict=True)
    return dict(hues) | named


def shades(theme: Theme) -> list[str]:
    """From pale to the theme's own colour: the better the score, the stronger."""
    steps = [0.12 + 0.88 * i / (SHADES - 1) for i in range(SHADES)]
    return [_mix(theme.pale, theme.primary, step) for step in steps]


def _mix(first: str, second: str, share: float) -> str:
    channels = ((int(first[i : i + 2], 16), int(second[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in channels)


# ---- the front


def fronts(findings: Findings) -> list[Figure]:
    """The front along the study's own axes, then along each pair of objectives that the first does not show, then what
    the score adds beyond size."""
    first = findings.figure("")
    axes = (first.x.name, first.y.name)
    others = [findings.figure("", x=x, y=y) for x, y in pairs(findings.objectives) if (x, y) != axes]
    gain = [findings.figure("", y=GAIN.name)] if findings.gains else []
    return [_front(figure) for figure in (first, *others, *gain)]


def _front(figure: FrontFigure) -> Figure:
    untitled = replace(figure, subtitle="")
    return {
        "data": traces(untitled, LIGHT),
        "layout": _fluid(layout(untitled, LIGHT, _WIDE)),
        "narrow": _fluid(layout(untitled, LIGHT, _NARROW)),
    }


def _fluid(layout: dict[str, Any]) -> dict[str, Any]:
    """As wide as the page, and without a title: the page has one."""
    return {key: value for key, value in layout.items() if key not in ("width", "title")}


# ---- choices


def sample_by_score(findings: Findings) -> list[Record]:
    """The trials whose choices are drawn, from the worst to the best score: all, or an even sample of them."""
    score = findings.score
    ranked = sorted(
        comparable(findings.measured, [score]),
        key=lambda r: (score.cost(r.metrics[score.name]), r.number),
        reverse=True,
    )
    step = max(1, -(-len(ranked) // MOST_LINES))
    return ranked[::-1][::step][::-1]


def choices(findings: Findings) -> Figure:
    """Parallel coordinates: a line for each trial, and a row with an axis for each choice, so that any number fits."""
    ranked, axes = sample_by_score(findings), findings.space.choices
    groups = [ranked[len(ranked) * i // SHADES : len(ranked) * (i + 1) // SHADES] for i in range(SHADES)]
    lines = [_lines(findings, group, ranked, colour) for group, colour in zip(groups, shades(LIGHT), strict=True)]
    lines = [line for line in lines if line["x"]]
    for before, line in pairwise(lines):
        line["showlegend"] = line["name"] != before["name"]
    names = {"tickvals": list(range(len(axes))), "ticktext": [escape(c.name) for c in axes], "ticks": ""}
    layout = {
        "xaxis": {"visible": False, "range": (-0.05, 1.05), "fixedrange": True},
        "yaxis": axis("", (len(axes) - 0.5, -0.5), LIGHT)
        | names
        | {"showline": False, "gridcolor": LIGHT.grey, "fixedrange": True, "automargin": True},
        "legend": LEGEND_BELOW,
        "annotations": [tick for place, choice in enumerate(axes) for tick in _ticks(place, choice)],
        "hovermode": "closest",
    }
    wide, narrow = (
        base_layout("", "", _ROW * len(axes) + legend, LIGHT)
        | layout
        | {"margin": {"l": 10, "r": 15, "t": 5, "b": legend}}
        for legend in _LEGEND
    )
    return {"data": lines, "layout": _fluid(wide), "narrow": _fluid(narrow)}


def _lines(findings: Findings, group: Sequence[Record], ranked: Sequence[Record], colour: str) -> dict[str, Any]:
    """The lines of one colour as one trace with gaps. An offset by rank separates lines of equal choices."""
    ranks = {record.number: i for i, record in enumerate(ranked)}
    points: list[tuple[float | None, float | None, str]] = []
    gap, score, axes = (None, None, ""), findings.score.name, findings.space.choices
    for record in group:
        offset = 0.05 * (ranks[record.number] / max(1, len(ranked) - 1) - 0.5)
        for place, choice in enumerate(axes):
            if choice.name not in record.choices:  # it has no effect there
                points.append(gap)
                continue
            x = _position(choice, record.choices[choice.name]) + offset
            value = escape(f"{choice.name}: {record.choices[choice.name]}")
            words = f"trial {record.number}, {pretty(score, record.metrics[score])}<br>{value}"
            alone = not any(other.name in record.choices for other in _neighbours(axes, place))
            points += [(x, y, words) for y in ((place - _STROKE, place + _STROKE) if alone else (place,))]
        points.append(gap)
    values = sorted(record.metrics[score] for record in group)
    ends = dict.fromkeys(pretty(score, value) for value in (*values[:1], *values[-1:]))  # one where they look the same
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x for x, _, _ in points],
        "y": [y for _, y, _ in points],
        "text": [words for _, _, words in points],
        "hovertemplate": "%{text}<extra></extra>",
        "line": {"color": colour, "width": 1.4},
        "name": f"{metric(score).label} {' to '.join(ends)}",
    }


def _neighbours(choices: Sequence[Choice], place: int) -> list[Choice]:
    return [choices[i] for i in (place - 1, place + 1) if 0 <= i < len(choices)]


def axis_values(choice: Choice) -> list[Any]:
    """The values of a choice from left to right: numbers ascend, whatever their order in the file; others keep it."""
    numbers = [value for value in choice.values if type(value) in (int, float)]
    return [*sorted(numbers), *(value for value in choice.values if type(value) not in (int, float))]


def _position(choice: Choice, value: Any) -> float:
    values = axis_values(choice)
    return values.index(value) / (len(values) - 1) if len(values) > 1 else 0.5


def _ticks(place: int, choice: Choice) -> list[dict[str, Any]]:
    """The values below an axis: all of a few, else the ends and the middle. Those at the ends stay inside."""
    values = axis_values(choice)
    ticks = values if len(values) <= _MOST_TICKS else (values[0], values[len(values) // 2], values[-1])
    style = {"showarrow": False, "yanchor": "top", "font": {"size": 10, "color": LIGHT.faint}, "y": place}
    style |= {"bgcolor": LIGHT.paper, "borderpad": 0, "yshift": -3}
    anchors = {0.0: "left", 1.0: "right"}
    places = [(_position(choice, value), value) for value in ticks]
    return [
        style | {"x": x, "xanchor": anchors.get(x, "center"), "text": escape(field_text(value))} for x, value in places
    ]


# ---- progress


def progress(findings: Findings) -> Figure:
    """Hypervolume against evaluations, as steps."""
    hypervolumes, records = findings.hypervolumes, findings.measured
    numbers = list(range(1, len(hypervolumes) + 1))
    gains = [0, *(i for i, (before, after) in enumerate(pairwise(hypervolumes), 1) if after > before)]
    line: dict[str, Any] = {"type": "scatter", "mode": "lines", "x": numbers, "y": hypervolumes, "hoverinfo": "skip"}
    line |= {"line": {"color": LIGHT.primary, "width": 2, "shape": "hv"}}
    dots = {
        "type": "scatter",
        "mode": "markers",
        "x": [numbers[i] for i in gains],
        "y": [hypervolumes[i] for i in gains],
        "marker": {
            "symbol": ["diamond" if records[i].published else "circle" for i in gains],
            "color": [LIGHT.secondary if records[i].published else LIGHT.primary for i in gains],
            "size": 8,
        },
        "text": [f"{escape(_name(records[i]))}<br>hypervolume {volume(hypervolumes[i])}" for i in gains],
        "hovertemplate": "%{text}<extra></extra>",
    }
    low, high = min(hypervolumes), max(hypervolumes)
    margin = 0.08 * ((high - low) or 1.0)
    layout = base_layout("", "", 340, LIGHT) | {
        "margin": {"l": 65, "r": 20, "t": 15, "b": 55},
        "xaxis": axis("evaluations", (0, len(hypervolumes) + 1), LIGHT),
        "yaxis": axis("hypervolume", (max(0.0, low - margin), high + margin), LIGHT) | {"exponentformat": "none"},
        "showlegend": False,
    }
    return {"data": [line, dots], "layout": _fluid(layout)}


def _name(record: Record) -> str:
    return f"trial {record.number}: {record.published or record.key}"


# ---- validations


def validation(outcome: Validation) -> Figure:
    """Scores by seed against parameters, and the differences to the baselines."""
    figure = validation_figure(outcome)
    wide, narrow = (validation_plot.layout(figure, LIGHT, narrow=narrow) for narrow in (False, True))
    margin = {"margin": {"l": 60, "r": 20, "t": 15, "b": 60}}
    return {
        "data": validation_plot.traces(figure, LIGHT),
        "layout": _fluid(wide | margin),
        "narrow": _fluid(narrow | margin),
    }
