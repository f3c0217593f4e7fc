"""An Overlay as one HTML file that needs nothing else: the fronts, and below them the two curves."""

from html import escape
from textwrap import wrap
from typing import Any

from mvsearch.report.figures._plotly import MARGIN, WIDTH, annotations, axis, base_layout, hover, page, text_size
from mvsearch.report.figures.layout import Frame, Mark, panel_names
from mvsearch.report.figures.overlay import Dot, Overlay, Panel, Strand
from mvsearch.report.figures.palette import LANDMARK, WASH, Look, Theme, marker_size

HEIGHT, CURVE, LINE = 560, 350, 17
"""In pixels: a plot of fronts, one of the two curves, and a line below the title."""

PIXELS = 4 / 3
"""In a point."""

LETTERS = 120
"""What a line below the title holds."""

SYMBOLS = {
    "circle": "circle",
    "square": "square",
    "triangle": "triangle-up",
    "cross": "x",
    "star": "star",
    "hexagon": "hexagon",
}


def draw(overlay: Overlay, theme: Theme) -> bytes:
    """The file's content; the same overlay gives the same bytes."""
    looks = theme.looks(len(overlay.fronts[0].strands))
    fronts = [_fronts(overlay, panel, looks, theme) for panel in overlay.fronts]
    return page(overlay.title, [*fronts, _curves(overlay, looks, theme)], theme)


def _fronts(overlay: Overlay, panel: Panel, looks: list[Look], theme: Theme) -> dict[str, Any]:
    words = _words(overlay, theme)
    layout = base_layout(overlay.title, overlay.remarks[0], HEIGHT + LINE * len(words), theme) | {
        "margin": MARGIN | {"t": MARGIN["t"] + LINE * len(words)},
        "xaxis": axis(panel.x_label, panel.x_limits, theme),
        "yaxis": axis(panel.y_label, panel.y_limits, theme),
        "legend": {"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom"},
        "annotations": [*words, *_names(panel, theme)],
    }
    return {"data": [*_traces(panel, looks, "", legend=True), *_landmarks(panel, theme)], "layout": layout}


def _landmarks(panel: Panel, theme: Theme) -> list[dict[str, Any]]:
    """Published models as outlines; what lies under them still answers when one points at it."""
    if not panel.landmarks:
        return []
    size = 2 * LANDMARK * PIXELS / 1.3  # plotly's diamond is wider than its size
    look = {"symbol": "diamond-open", "size": size, "color": theme.ink, "line": {"width": 1.5}}
    places = {"x": [mark.x for mark in panel.landmarks], "y": [mark.y for mark in panel.landmarks]}
    shown = {
        "type": "scatter",
        "mode": "markers",
        "name": "published",
        "marker": look,
        "hoverinfo": "skip",
        "cliponaxis": False,
    }
    return [shown | places]


def _names(panel: Panel, theme: Theme) -> list[dict[str, Any]]:
    """The landmarks' names; lines above the plot add to the height of the whole, not of the plot."""
    box = (MARGIN["l"], MARGIN["b"], WIDTH - MARGIN["r"], HEIGHT - MARGIN["t"])
    frame = Frame(panel.x_limits, panel.y_limits, box)
    words = [mark.label for mark in panel.named]
    marks = [Mark(mark.x, mark.y, LANDMARK * PIXELS) for mark in panel.named]
    return annotations(
        frame, words, marks, panel_names(panel, frame, [text_size(word) for word in words], PIXELS), theme.ink
    )


def _words(overlay: Overlay, theme: Theme) -> list[dict[str, Any]]:
    """What stands between the title and the plot, a line each."""
    remarks = [(line, theme.faint) for remark in overlay.remarks[1:] for line in wrap(remark, LETTERS)]
    warnings = [(line, theme.secondary) for warning in overlay.warnings for line in wrap(warning, LETTERS)]
    place = {"xref": "paper", "yref": "paper", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom"}
    place |= {"xshift": 16 - MARGIN["l"], "showarrow": False}
    lines = [*remarks, *warnings]
    return [
        place | {"text": escape(line), "font": {"size": 12, "color": colour}, "yshift": 8 + LINE * (len(lines) - i)}
        for i, (line, colour) in enumerate(lines, 1)
    ]


def _curves(overlay: Overlay, looks: list[Look], theme: Theme) -> dict[str, Any]:
    layout = base_layout("", "", CURVE, theme) | {"margin": MARGIN | {"t": 45, "b": 55}}
    data = []
    for number, (panel, domain) in enumerate(zip(overlay.curves, ([0, 0.46], [0.56, 1]), strict=True), 1):
        layout[f"xaxis{number}"] = axis(panel.x_label, panel.x_limits, theme) | {
            "domain": domain,
            "anchor": f"y{number}",
        }
        layout[f"yaxis{number}"] = axis(panel.y_label, panel.y_limits, theme) | {"anchor": f"x{number}"}
        data += _traces(panel, looks, str(number), legend=False)
    return {"data": data, "layout": layout}


def _traces(panel: Panel, looks: list[Look], number: str, *, legend: bool) -> list[dict[str, Any]]:
    where = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
    found = []
    for place, (strand, look) in enumerate(zip(panel.strands, looks, strict=True)):
        of_it = where | {"type": "scatter", "legendgroup": strand.name, "name": strand.name}
        if strand.band:
            found.append(of_it | _band(strand, look))
        found.append(of_it | _line(strand, look) | {"showlegend": legend})
        if strand.dots:
            found.append(of_it | _members(strand.dots, look, marker_size(place)))
    return found


def _band(strand: Strand, look: Look) -> dict[str, Any]:
    x, y = zip(*strand.band, strict=True)
    area = {"fill": "toself", "fillcolor": look.colour, "opacity": WASH, "line": {"width": 0}, "mode": "lines"}
    return {"x": x, "y": y, "hoverinfo": "skip", "showlegend": False} | area


def _line(strand: Strand, look: Look) -> dict[str, Any]:
    x, y = zip(*strand.line, strict=True)
    # Simplified, a small step after a long level would be a slope.
    line = {"color": look.colour, "width": 2, "dash": look.dashes, "simplify": False}
    return {"x": x, "y": y, "mode": "lines", "line": line, "hoverinfo": "skip"}


def _members(dots: tuple[Dot, ...], look: Look, size: float) -> dict[str, Any]:
    bars = {"color": look.colour, "thickness": 1, "width": 3}
    return {
        "x": [dot.x for dot in dots],
        "y": [dot.y for dot in dots],
        "error_x": bars | _errors([dot.x_error for dot in dots]),
        "error_y": bars | _errors([dot.y_error for dot in dots]),
        "mode": "markers",
        "marker": {"symbol": SYMBOLS[look.marker], "size": PIXELS * size, "color": look.colour, "opacity": 0.9},
        "text": [hover(dot.lines) for dot in dots],
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
    }


def _errors(errors: list[float]) -> dict[str, Any]:
    return {"array": errors, "visible": any(errors)}
