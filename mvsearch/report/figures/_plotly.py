"""FrontPictures as one HTML file that needs nothing else: hovering over a point says all that is known of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from mvsearch.report.figures.front import FrontFigure, Shade
from mvsearch.report.figures.layout import Frame, Mark, Name, Sheet, marker_share
from mvsearch.report.figures.palette import WASH, Kind, Theme

WIDTH, HEIGHT = 800, 600
MARGIN = {"l": 65, "r": 20, "t": 90, "b": 115}
LARGEST = 13.0
"""The largest marker's radius, in pixels."""

CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["sendChartToCloud"]}
"""Plotly 7 has a button that uploads a plot to its makers' cloud; a study is nobody else's business."""


@dataclass(frozen=True)
class Format:
    """The size of a plot in pixels, and where its size legend is: from where across, and how far below the axis."""

    width: int
    height: int
    top: int
    bottom: int
    key_from: float
    key_down: int

    @property
    def margin(self) -> dict[str, int]:
        """What is kept free round the axes."""
        return MARGIN | {"t": self.top, "b": self.bottom}


USUAL = Format(WIDTH, HEIGHT, MARGIN["t"], MARGIN["b"], 0.72, 88)

LETTER, LINE = 6.9, 16.0
"""A generous guess at how wide and high a letter of 12 pixels is: the reader's font is not known here."""


def draw(pictures: Sequence[FrontFigure], theme: Theme) -> bytes:
    """The file's content; the same pictures give the same bytes."""
    figures = [{"data": traces(picture, theme), "layout": layout(picture, theme)} for picture in pictures]
    return page(pictures[0].title, figures, theme)


def page(title: str, figures: Sequence[dict[str, Any]], theme: Theme) -> bytes:
    """Figures below each other, as one file that asks nothing of the network."""
    from plotly import graph_objects

    drawn = [
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
{"".join(drawn)}
</body>
</html>
""".encode()


def base_layout(title: str, below: str, height: float, theme: Theme) -> dict[str, Any]:
    """What all plots have in common."""
    return {
        "title": {
            "text": f"<b>{escape(title)}</b>",
            "subtitle": {"text": escape(below), "font": {"size": 12, "color": theme.faint}},
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
    """A line with a grid behind it; without limits as long as it has to be."""
    lines = {"showline": True, "linecolor": theme.grey, "gridcolor": theme.grid, "zeroline": False, "ticks": "outside"}
    return lines | {"tickcolor": theme.grey, "title": {"text": label, "standoff": 8}, "range": limits}


def traces(picture: FrontFigure, theme: Theme) -> list[dict[str, Any]]:
    """The front's line, and the candidates kind by kind."""
    x, y = zip(*picture.staircase, strict=True)
    line = {"color": theme.primary, "width": 1.5}
    outline = {"type": "scatter", "x": x, "y": y, "mode": "lines", "line": line, "opacity": 0.55, "hoverinfo": "skip"}
    return [outline | {"name": "front of these two axes"}, *(_trace(picture, kind) for kind in theme.kinds)]


def _trace(picture: FrontFigure, kind: Kind) -> dict[str, Any]:
    group = picture.group(published=kind.published, on_front=kind.on_front)
    marker = {
        "symbol": "diamond" if kind.published else "circle",
        "size": [2 * LARGEST * marker_share(picture, point.area) ** 0.5 for point in group],
        "color": kind.fill or "rgba(0,0,0,0)",
        "line": {"color": kind.edge, "width": 1 if kind.fill else 2},
        "opacity": kind.opacity,
    }
    return {
        "type": "scatter",
        "mode": "markers",
        "name": kind.words,
        "visible": bool(group),
        "x": [point.x for point in group],
        "y": [point.y for point in group],
        "marker": marker,
        "error_x": _bars([point.x_error for point in group], kind),
        "error_y": _bars([point.y_error for point in group], kind),
        "text": [hover(point.lines) for point in group],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _bars(errors: list[float], kind: Kind) -> dict[str, Any]:
    return {"array": errors, "visible": any(errors), "color": kind.bar, "thickness": 1, "width": 3}


def hover(lines: tuple[str, ...]) -> str:
    """What a point says: its name, and the rest below."""
    name, *rest = (escape(line) for line in lines)
    return "<br>".join([f"<b>{name}</b>", *rest])


def layout(picture: FrontFigure, theme: Theme, form: Format = USUAL) -> dict[str, Any]:
    """Axes, names, limits and the legend of sizes."""
    return base_layout(picture.title, picture.subtitle, form.height, theme) | {
        "margin": form.margin,
        "xaxis": axis(picture.x.label, picture.x.limits, theme),
        "yaxis": axis(picture.y.label, picture.y.limits, theme),
        "legend": {"x": 0, "y": 0, "yref": "container", "yanchor": "bottom", "itemsizing": "constant"},
        "shapes": [
            *(part for shade in picture.shades for part in _shade(shade, theme)),
            *_size_key(picture, theme, form),
        ],
        "annotations": [
            *_annotations(picture, theme, form),
            *(_words(shade, theme) for shade in picture.shades),
            *_size_words(picture, form),
        ],
    }


def _shade(shade: Shade, theme: Theme) -> list[dict[str, Any]]:
    """What a limit forbids: a wash of grey behind a dashed line."""
    along, across = ("x", "y") if shade.along_x else ("y", "x")
    place = {f"{across}ref": f"{across} domain", f"{across}0": 0, f"{across}1": 1}
    wash = {"type": "rect", f"{along}0": shade.low, f"{along}1": shade.high, "line": {"width": 0}}
    edge = {"type": "line", f"{along}0": shade.edge, f"{along}1": shade.edge}
    line = {"line": {"color": theme.grey, "width": 1, "dash": "dash"}}
    return [place | wash | {"fillcolor": theme.grey, "opacity": WASH, "layer": "below"}, place | edge | line]


def _words(shade: Shade, theme: Theme) -> dict[str, Any]:
    upper = shade.edge == shade.low
    said = {"text": escape(shade.words), "showarrow": False, "font": {"size": 11, "color": theme.faint}}
    if shade.along_x:
        at = {"x": shade.edge, "yref": "y domain", "y": 0, "yanchor": "bottom", "textangle": -90}
        return said | at | {"xanchor": "left" if upper else "right"}
    at = {"y": shade.edge, "xref": "x domain", "x": 0, "xanchor": "left"}
    return said | at | {"yanchor": "bottom" if upper else "top"}


_KEY_STEP = 75
"""How far the circles of the size legend are from each other, in pixels."""


def _size_key(picture: FrontFigure, theme: Theme, form: Format) -> list[dict[str, Any]]:
    """Circles of known size below the plot, at the right."""
    place = {"type": "circle", "xref": "paper", "yref": "paper", "xsizemode": "pixel", "ysizemode": "pixel"}
    look = {"fillcolor": theme.pale, "line": {"color": theme.grey, "width": 1}, "xanchor": form.key_from, "yanchor": 0}
    circles = []
    for i, value in enumerate(picture.area_key):
        radius = LARGEST * max(picture.share(value), 0) ** 0.5
        x, y = i * _KEY_STEP, -form.key_down
        circles.append(place | look | {"x0": x - radius, "x1": x + radius, "y0": y - radius, "y1": y + radius})
    return circles


def _size_words(picture: FrontFigure, form: Format) -> list[dict[str, Any]]:
    if picture.area is None:
        return []
    place = {"xref": "paper", "yref": "paper", "x": form.key_from, "y": 0, "showarrow": False, "xanchor": "left"}
    head = {"text": f"area: {picture.area.label}", "xshift": -LARGEST, "yshift": -form.key_down + 30}
    values = [
        {"text": f"{value:.3g}", "xshift": i * _KEY_STEP + LARGEST + 3, "yshift": -form.key_down}
        for i, value in enumerate(picture.area_key)
    ]
    return [place | {"yanchor": "middle"} | words for words in (head, *values)]


def _annotations(picture: FrontFigure, theme: Theme, form: Format) -> list[dict[str, Any]]:
    """The published models' names."""
    box = (MARGIN["l"], form.bottom, form.width - MARGIN["r"], form.height - form.top)
    sheet = Sheet(picture, box, LARGEST)
    words = [str(point.label) for point in picture.named]
    marks = [Mark(point.x, point.y, sheet.radius(point)) for point in picture.named]
    return annotations(sheet.frame, words, marks, sheet.names([text_size(word) for word in words]), theme.secondary)


def text_size(text: str) -> tuple[float, float]:
    """How wide and high it is at most, in pixels."""
    return LETTER * len(text), LINE


def annotations(
    frame: Frame, words: Sequence[str], marks: Sequence[Mark], names: Sequence[Name], line: str
) -> list[dict[str, Any]]:
    """Names in their places, held to their points by pixels, so that they stay there when one zooms in."""
    return [_annotation(frame, *named, line) for named in zip(words, marks, names, strict=True)]


def _annotation(frame: Frame, text: str, mark: Mark, name: Name, line: str) -> dict[str, Any]:
    (x, y), (text_x, text_y) = frame.pixels([(mark.x, mark.y), name.centre])
    return {
        "text": escape(text),
        "x": mark.x,
        "y": mark.y,
        "ax": text_x - x,
        "ay": y - text_y,  # plotly's pixels count downwards
        "standoff": mark.radius,
        "arrowhead": 0,
        "arrowwidth": 1,
        "arrowcolor": line if len(name.line) else "rgba(0,0,0,0)",
        "font": {"size": 12},
    }
