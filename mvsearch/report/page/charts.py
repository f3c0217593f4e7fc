"""The plots of a report, as plotly reads them, in light colours; the page swaps these where it is dark."""

from collections.abc import Sequence
from dataclasses import fields, replace
from html import escape
from itertools import pairwise
from typing import Any

from mvsearch.metrics.pareto import comparable
from mvsearch.metrics.record import Record
from mvsearch.report.figures import architecture_diff
from mvsearch.report.figures._plotly import Format, axis, base_layout, layout, traces
from mvsearch.report.figures.front import FrontPicture, front_picture, pairs
from mvsearch.report.figures.palette import DARK, LIGHT, Theme
from mvsearch.report.page.findings import Findings
from mvsearch.space.variables import Choice
from mvsearch.utils.units import pretty, unit, volume

Figure = dict[str, Any]
"""`data` and `layout` of plotly; where a narrow screen needs another layout, `narrow` too."""

_WIDE = Format(800, 590, 24, 150, 0.72, 100)
_NARROW = Format(340, 560, 16, 205, 0.08, 84)

SHADES = 5
"""Into so many colours are trials told apart by their score."""

MOST = 300
"""So many lines are still seen apart."""

_SPELT = 5
"""A choice of so many values has each of them written at its axis."""


def inks() -> dict[str, str]:
    """Each colour of light paper, and what stands for it on dark paper."""
    named = {getattr(LIGHT, f.name): getattr(DARK, f.name) for f in fields(Theme) if f.name != "hues"}
    return named | dict(zip(shades(LIGHT), shades(DARK), strict=True))


def shades(theme: Theme) -> list[str]:
    """From hardly seen to the theme's own colour: the better, the stronger."""
    steps = [0.12 + 0.88 * i / (SHADES - 1) for i in range(SHADES)]
    return [_between(theme.pale, theme.own, step) for step in steps]


def _between(one: str, other: str, share: float) -> str:
    parts = ((int(one[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in parts)


# ---- the front


def fronts(findings: Findings) -> list[Figure]:
    """The front along the study's own axes, then along those of its objectives that the first does not show."""
    ways = list(pairs(findings.objectives))
    first = _picture(findings)
    rest = [_picture(findings, x, y) for x, y in ways if (x, y) != (first.x.name, first.y.name)]
    return [_front(picture) for picture in (first, *rest)]


def _picture(findings: Findings, x: str | None = None, y: str | None = None) -> FrontPicture:
    return front_picture(findings.kept, findings.objectives, title="", limits=findings.limits, x=x, y=y)


def _front(picture: FrontPicture) -> Figure:
    bare = replace(picture, subtitle="")
    return {
        "data": traces(bare, LIGHT),
        "layout": _fluid(layout(bare, LIGHT, _WIDE)),
        "narrow": _fluid(layout(bare, LIGHT, _NARROW)),
    }


def _fluid(made: dict[str, Any]) -> dict[str, Any]:
    """As wide as the page gives room, without a title: the page has one."""
    return {key: value for key, value in made.items() if key not in ("width", "title")}


# ---- choices


def shown(findings: Findings) -> list[Record]:
    """The trials whose choices are drawn, from the worst to the best score; of very many, evenly thinned."""
    score = findings.score
    ranked = sorted(
        comparable(findings.kept, [score]), key=lambda r: (score.cost(r.metrics[score.name]), r.number), reverse=True
    )
    step = max(1, -(-len(ranked) // MOST))
    return ranked[::-1][::step][::-1]


def choices(findings: Findings) -> Figure:
    """Parallel coordinates: a line a trial, an axis a choice, the better the score the stronger."""
    ranked, axes = shown(findings), findings.space.choices
    groups = [ranked[len(ranked) * i // SHADES : len(ranked) * (i + 1) // SHADES] for i in range(SHADES)]
    lines = [_lines(findings, group, ranked, colour) for group, colour in zip(groups, shades(LIGHT), strict=True)]
    names = {"tickvals": list(range(len(axes))), "ticktext": [escape(c.name) for c in axes], "tickangle": -40}
    marks = [mark for place, choice in enumerate(axes) for mark in _marks(place, choice)]
    made = base_layout("", "", 440, LIGHT) | {
        "margin": {"l": 45, "r": 15, "t": 15, "b": 130},
        "xaxis": axis("", (-0.6, len(axes) - 0.6), LIGHT) | names | {"showline": False, "gridcolor": LIGHT.grey},
        "yaxis": {"visible": False, "range": (-0.06, 1.06), "fixedrange": True},
        "legend": {"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom"},
        "annotations": marks,
        "hovermode": "closest",
    }
    return {"data": [line for line in lines if line["x"]], "layout": _fluid(made)}


def _lines(findings: Findings, group: Sequence[Record], ranked: Sequence[Record], colour: str) -> dict[str, Any]:
    """Trials of one colour as one trace; a gap ends each. Lines that would lie on each other are a little apart."""
    places = {record.number: i for i, record in enumerate(ranked)}
    x: list[float | None] = []
    y: list[float | None] = []
    text: list[str] = []
    score = findings.score.name
    for record in group:
        aside = 0.07 * (places[record.number] / max(1, len(ranked) - 1) - 0.5)
        for place, choice in enumerate(findings.space.choices):
            x.append(place)
            y.append(_height(choice, record.choices[choice.name]) + aside)
            said = f"{choice.name}: {record.choices[choice.name]}"
            text.append(f"trial {record.number}, {pretty(score, record.metrics[score])}<br>{escape(said)}")
        x, y, text = [*x, None], [*y, None], [*text, ""]
    values = [record.metrics[score] for record in group]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "text": text,
        "hovertemplate": "%{text}<extra></extra>",
        "line": {"color": colour, "width": 1.4},
        "name": f"{unit(score).head} {pretty(score, min(values))} to {pretty(score, max(values))}" if values else "",
    }


def _height(choice: Choice, value: Any) -> float:
    last = len(choice.values) - 1
    return choice.values.index(value) / last if last else 0.5


def _marks(place: int, choice: Choice) -> list[dict[str, Any]]:
    """The values along an axis: all of a few, else the ends and the middle."""
    values = choice.values
    written = values if len(values) <= _SPELT else (values[0], values[len(values) // 2], values[-1])
    look = {"showarrow": False, "xanchor": "right", "xshift": -3, "font": {"size": 10, "color": LIGHT.faint}}
    return [
        look
        | {
            "x": place,
            "y": _height(choice, value),
            "text": escape(architecture_diff.shown(value)),
            "bgcolor": LIGHT.paper,
        }
        for value in written
    ]


# ---- progress


def progress(findings: Findings) -> Figure:
    """Hypervolume against evaluations, as steps."""
    reached = findings.hypervolumes
    numbers = list(range(1, len(reached) + 1))
    gains = [0, *(i for i, (before, now) in enumerate(pairwise(reached), 1) if now > before)]
    kept = findings.kept
    text = [f"{escape(_name(kept[i]))}<br>hypervolume {volume(reached[i])}" for i in gains]
    line = {"type": "scatter", "mode": "lines", "x": numbers, "y": reached, "hoverinfo": "skip"}
    dots = {"type": "scatter", "mode": "markers", "x": [numbers[i] for i in gains], "y": [reached[i] for i in gains]}
    look = {
        "symbol": ["diamond" if kept[i].published else "circle" for i in gains],
        "color": [LIGHT.printed if kept[i].published else LIGHT.own for i in gains],
        "size": 8,
    }
    top, low = max(reached), min(reached)
    span = (top - low) or 1.0
    made = base_layout("", "", 340, LIGHT) | {
        "margin": {"l": 65, "r": 20, "t": 15, "b": 55},
        "xaxis": axis("evaluations", (0, len(reached) + 1), LIGHT),
        "yaxis": axis("hypervolume", (max(0.0, low - 0.08 * span), top + 0.08 * span), LIGHT),
        "showlegend": False,
    }
    lines = {"line": {"color": LIGHT.own, "width": 2, "shape": "hv"}}
    marks = {"marker": look, "text": text, "hovertemplate": "%{text}<extra></extra>"}
    return {"data": [line | lines, dots | marks], "layout": _fluid(made)}


def _name(record: Record) -> str:
    return f"trial {record.number}: {record.published or record.key}"
