"""What all HTML figures share: plotly's JSON, and one self-contained page."""

from collections.abc import Sequence
from html import escape
from typing import Any

from mvsearch.report.figures.layout import Frame, Mark, NameLayout, PlacedName
from mvsearch.report.figures.palette import Theme
from mvsearch.utils.text import two_lines

WIDTH = 800
MARGIN = {"l": 65, "r": 20, "t": 90, "b": 115}

PIXELS = 4 / 3
"""Pixels per point."""

CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["sendChartToCloud"]}
"""Plotly 7 has a button that uploads a figure to its vendor's cloud; studies stay private."""

LETTER, LINE = 6.9, 16.0
"""The width of a letter and the height of a line of 12 pixels, rounded up: the reader's font is not known here."""

LEGEND_BELOW = {"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom"}
HOVER_TEXT = {"hovertemplate": "%{text}<extra></extra>"}


def page(title: str, figures: Sequence[dict[str, Any]], theme: Theme) -> bytes:
    """Figures below each other, in one file that makes no network requests."""
    from plotly import graph_objects

    parts = [
        graph_objects.Figure(figure).to_html(full_html=False, include_plotlyjs=i == 0, div_id=f"plot{i}", config=CONFIG)
        for i, figure in enumerate(figures)
    ]
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width={WIDTH}">
<title>{escape(title)}</title>
<style>body {{ margin: 0 auto; width: {WIDTH}px; background: {theme.paper}; }}</style>
</head>
<body>
{"".join(parts)}
</body>
</html>
""".encode()


def base_layout(title: str, subtitle: str, height: float, theme: Theme) -> dict[str, Any]:
    """What all layouts have in common; a subtitle that is too long is in two lines of smaller letters."""
    long = LETTER * len(subtitle) > WIDTH
    explanation = escape(two_lines(subtitle) if long else subtitle).replace("\n", "<br>")
    return {
        "title": {
            "text": f"<b>{escape(title)}</b>",
            "subtitle": {"text": explanation, "font": {"size": 10 if long else 12, "color": theme.faint}},
            "x": 0.02,
            "y": 1 - 24 / height,
            "yanchor": "top",
        },
        "width": WIDTH,
        "height": height,
        "margin": MARGIN,
        "font": {"color": theme.ink, "family": "Helvetica, Arial, sans-serif"},
        "paper_bgcolor": theme.paper,
        "plot_bgcolor": theme.paper,
        "hoverlabel": {
            "align": "left",
            "bgcolor": theme.paper,
            "bordercolor": theme.grey,
            "font": {"color": theme.ink, "size": 12},
        },
    }


def axis(label: str, limits: tuple[float, float] | None, theme: Theme) -> dict[str, Any]:
    """A line with a grid behind it; without limits it fits the data."""
    lines = {"showline": True, "linecolor": theme.grey, "gridcolor": theme.grid, "zeroline": False, "ticks": "outside"}
    return lines | {"tickcolor": theme.grey, "title": {"text": label, "standoff": 8}, "range": limits}


def plot_box(height: float, margin: dict[str, int] = MARGIN, width: float = WIDTH) -> tuple[float, float, float, float]:
    """The axes within the margins: left, bottom, right and top in pixels."""
    return margin["l"], margin["b"], width - margin["r"], height - margin["t"]


def error_bars(errors: Sequence[float], colour: str) -> dict[str, Any]:
    """Error bars, invisible where all are 0."""
    return {"array": list(errors), "visible": any(errors), "color": colour, "thickness": 1, "width": 3}


def hover(lines: Sequence[str]) -> str:
    """The text on hovering over a point: its name in bold, and the other lines below."""
    name, *others = (escape(line) for line in lines)
    return "<br>".join([f"<b>{name}</b>", *others])


def write_names(layout: NameLayout, box: Sequence[float], line: str) -> list[dict[str, Any]]:
    """Annotations with names in their places; offsets in pixels keep them near their marks after zooming."""
    left, bottom, right, top = map(float, box)
    frame = Frame(layout.x, layout.y, (left, bottom, right, top))
    names = layout.place(box, [(LETTER * len(name), LINE) for name in layout.names], PIXELS)
    placed = zip(layout.names, layout.marks, names, strict=True)
    return [_annotation(frame, text, mark, name, line) for text, mark, name in placed if name is not None]


def _annotation(frame: Frame, text: str, mark: Mark, name: PlacedName, line: str) -> dict[str, Any]:
    (x, y), (text_x, text_y) = frame.pixels([(mark.x, mark.y), name.centre])
    return {
        "text": escape(text),
        "x": mark.x,
        "y": mark.y,
        "ax": text_x - x,
        "ay": y - text_y,  # plotly's pixels count downwards
        "standoff": mark.radius * PIXELS,
        "arrowhead": 0,
        "arrowwidth": 1,
        "arrowcolor": line if len(name.line) else "rgba(0,0,0,0)",
        "font": {"size": 12},
    }
