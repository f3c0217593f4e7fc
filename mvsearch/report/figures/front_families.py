"""The markers of a front figure: four kinds of them, or, where rows have several kinds of blocks, one for each family.

shape     the family: the kind of block that all stages have, beside plain convolutions; a circle if they are mixed
colour    the kind of block with the most MACs, so that mixed networks are told apart too
filled    on the front; an outline is dominated
edge      dark: a published model
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.blocks import PLAIN_BLOCKS
from mvsearch.metrics.record import Record
from mvsearch.report.figures import static
from mvsearch.report.figures.front import Family, FrontFigure, Point
from mvsearch.report.figures.palette import MarkerStyle, Theme
from mvsearch.utils import plugins

PLAIN = " and ".join(sorted(PLAIN_BLOCKS))
"""The family of networks without any other block."""

MIXED = "mixed: most MACs in blocks of this colour"
_SHAPES = ("square", "triangle", "diamond", "cross", "star", "hexagon")
_DOMINATED = 0.6


def family(document: Mapping[str, Any]) -> Family:
    """The family of an architecture."""
    macs: dict[str, int] = {}
    for stage in Architecture.from_dict(dict(document)).stages():
        if stage.block in plugins.names("block") and stage.block not in PLAIN_BLOCKS:
            macs[stage.block] = macs.get(stage.block, 0) + stage.cost.macs
    return Family(max(macs, key=lambda kind: macs[kind]), len(macs) > 1) if macs else Family(PLAIN, False)


def with_families(figure: FrontFigure, records: Sequence[Record]) -> FrontFigure:
    """The figure with the family of each candidate."""
    families = {record.number: family(record.architecture) for record in records}
    return replace(figure, points=tuple(_with_family(point, families[point.number]) for point in figure.points))


def _with_family(point: Point, family: Family) -> Point:
    name, *others = point.lines
    return replace(point, family=family, lines=(name, _words(family), *others))


def _words(family: Family) -> str:
    return f"mixed, most MACs in {family.kind}" if family.mixed else f"blocks: {family.kind}"


def marker_groups(figure: FrontFigure, theme: Theme) -> list[tuple[MarkerStyle, list[Point]]]:
    """Each kind of marker with its points, in the order in which they are drawn: the last lie on top."""
    if not figure.has_families:
        return [(style, figure.group(published=style.published, on_front=style.on_front)) for style in theme.markers]
    groups: dict[MarkerStyle, list[Point]] = {}
    for point in sorted(figure.points, key=lambda point: (point.on_front, -(point.area or 0))):
        if point.family:
            groups.setdefault(_style(point.family, point.on_front, bool(point.label), theme), []).append(point)
    return list(groups.items())


def legend_styles(figure: FrontFigure, theme: Theme) -> list[MarkerStyle]:
    """The markers that the legend shows."""
    if not figure.has_families:
        return [style for style, points in marker_groups(figure, theme) if points]
    families = {point.family for point in figure.points if point.family}
    shown = [_style(Family(kind, False), True, False, theme) for kind in sorted({each.kind for each in families})]
    if any(each.mixed for each in families):
        shown.append(MarkerStyle(False, True, MIXED, theme.grey, theme.paper, theme.grey, 1.0, "circle"))
    if not all(point.on_front for point in figure.points):
        shown.append(MarkerStyle(False, False, "outline: dominated", None, theme.grey, theme.grey, 1.0, "circle"))
    if any(point.label for point in figure.points):
        shown.append(MarkerStyle(True, True, "edge: published model", theme.pale, theme.ink, theme.ink, 1.0, "square"))
    return shown


def legend_handles(figure: FrontFigure, theme: Theme) -> list[Any]:
    """Matplotlib's legend of the markers."""
    return [
        static.legend_line(
            style.words,
            linestyle="",
            marker=style.shape.matplotlib,
            markersize=9 if style.marker == "star" else 6 if style.published else 7,
            markerfacecolor=style.fill or "none",
            markeredgecolor=style.edge,
        )
        for style in legend_styles(figure, theme)
    ]


def legend_traces(figure: FrontFigure, theme: Theme) -> list[dict[str, Any]]:
    """Plotly's legend of families; a click on a kind of block hides its candidates. Without families there is none."""
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": style.words,
            "legendgroup": style.words,
            "x": [None],
            "y": [None],
            "marker": {
                "symbol": style.shape.plotly,
                "size": 11,
                "color": style.fill or "rgba(0,0,0,0)",
                "line": {"color": style.edge, "width": 1 if style.fill else 2},
            },
        }
        for style in (legend_styles(figure, theme) if figure.has_families else ())
    ]


def _style(family: Family, on_front: bool, published: bool, theme: Theme) -> MarkerStyle:
    kinds = [kind for kind in plugins.names("block") if kind not in PLAIN_BLOCKS]
    place = kinds.index(family.kind) if family.kind in kinds else len(kinds)
    colour = theme.hues[place % len(theme.hues)] if family.kind in kinds else theme.grey
    shape = "circle" if family.mixed else _SHAPES[place % len(_SHAPES)] if family.kind in kinds else "pentagon"
    edge = theme.ink if published and on_front else theme.paper if on_front else colour
    fill = colour if on_front else None
    return MarkerStyle(published, on_front, family.kind, fill, edge, colour, 0.95 if on_front else _DOMINATED, shape)
