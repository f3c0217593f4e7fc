"""A FrontPicture as one HTML file that needs nothing else: hovering over a point says all that is known of it."""

from html import escape
from typing import Any

from mvsearch.report.palette import BLUE, GREY, GRID, INK, KINDS, VERMILION, Kind
from mvsearch.report.picture import FrontPicture
from mvsearch.report.sheet import Named, Sheet, marker_share

WIDTH, HEIGHT = 960, 640
MARGIN = {"l": 70, "r": 25, "t": 85, "b": 100}
LARGEST = 14.0
"""The largest marker's radius, in pixels."""

LETTER, LINE = 6.9, 16.0
"""A generous guess at how wide and high a letter of 12 pixels is: the reader's font is not known here."""


def draw(picture: FrontPicture) -> bytes:
    """The file's content; the same picture gives the same bytes."""
    from plotly import graph_objects

    figure = graph_objects.Figure(data=_traces(picture), layout=_layout(picture))
    html: str = figure.to_html(include_plotlyjs=True, div_id="front", config={"displaylogo": False})
    return html.encode()


def _traces(picture: FrontPicture) -> list[dict[str, Any]]:
    x, y = zip(*picture.staircase, strict=True)
    line = {"color": BLUE, "width": 1.5}
    staircase = {"type": "scatter", "x": x, "y": y, "mode": "lines", "line": line, "opacity": 0.55, "hoverinfo": "skip"}
    return [staircase | {"name": "front of these two axes"}, *(_trace(picture, kind) for kind in KINDS)]


def _trace(picture: FrontPicture, kind: Kind) -> dict[str, Any]:
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
        "text": [_hover(point.lines) for point in group],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _bars(errors: list[float], kind: Kind) -> dict[str, Any]:
    return {"array": errors, "visible": any(errors), "color": kind.bar, "thickness": 1, "width": 3}


def _hover(lines: tuple[str, ...]) -> str:
    name, *rest = (escape(line) for line in lines)
    return "<br>".join([f"<b>{name}</b>", *rest])


def _layout(picture: FrontPicture) -> dict[str, Any]:
    area = f"; area of a marker: {picture.area.label}" if picture.area else ""
    frame = {"showline": True, "linecolor": GREY, "gridcolor": GRID, "zeroline": False, "ticks": "outside"}
    return {
        "title": {
            "text": f"<b>{escape(picture.title)}</b>",
            "subtitle": {"text": escape(picture.subtitle) + area, "font": {"size": 12}},
            "x": 0.02,
        },
        "width": WIDTH,
        "height": HEIGHT,
        "margin": MARGIN,
        "font": {"color": INK, "family": "Helvetica, Arial, sans-serif"},
        "plot_bgcolor": "white",
        "xaxis": frame | {"title": {"text": picture.x.label}, "range": picture.x.limits},
        "yaxis": frame | {"title": {"text": picture.y.label}, "range": picture.y.limits},
        "legend": {"orientation": "h", "y": -0.14, "itemsizing": "constant"},
        "hoverlabel": {"align": "left"},
        "annotations": _annotations(picture),
    }


def _annotations(picture: FrontPicture) -> list[dict[str, Any]]:
    """The published models' names, held to their points by pixels, so that they stay there when one zooms in."""
    frame = (MARGIN["l"], MARGIN["b"], WIDTH - MARGIN["r"], HEIGHT - MARGIN["t"])
    sheet = Sheet(picture, frame, LARGEST)
    return [
        _annotation(sheet, name) for name in sheet.names([(LETTER * len(str(p.label)), LINE) for p in picture.named])
    ]


def _annotation(sheet: Sheet, name: Named) -> dict[str, Any]:
    (x, y), (text_x, text_y) = sheet.pixels([(name.point.x, name.point.y), name.centre])
    return {
        "text": escape(str(name.point.label)),
        "x": name.point.x,
        "y": name.point.y,
        "ax": text_x - x,
        "ay": y - text_y,  # plotly's pixels count downwards
        "standoff": sheet.radius(name.point),
        "arrowhead": 0,
        "arrowwidth": 1,
        "arrowcolor": VERMILION if len(name.line) else "rgba(0,0,0,0)",
        "font": {"size": 12},
    }
