"""A Scatter as PNG, SVG or self-contained HTML: two panels a row, a marker a family."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from mvsearch.proxy_eval.rank_correlation import published
from mvsearch.report.figures.layout import Frame, Mark
from mvsearch.report.figures.palette import LIGHT, Look, Theme
from mvsearch.report.figures.plot import kind_of
from mvsearch.report.figures.scatter import Scatter, ScorePanel
from mvsearch.utils.atomic_write import write_whole

_MARKER = 6.0
"""A marker's width, in points."""

_PIXELS = 4 / 3
"""In a point, in HTML."""


def plot_scatter(scatter: Scatter, path: Path, theme: Theme = LIGHT) -> None:
    """Draw it into a .png, .svg or .html file; raises PlanError for another suffix."""
    kind = kind_of(path)
    write_whole(path, _html(scatter, theme) if kind == "html" else _picture(scatter, kind, theme))


def _looks(theme: Theme) -> dict[str, Look]:
    families = list(dict.fromkeys(reference.family for reference in published()))
    return dict(zip(families, theme.looks(len(families)), strict=True))


def _rows(scatter: Scatter) -> int:
    return (len(scatter.panels) + 1) // 2


def _picture(scatter: Scatter, kind: str, theme: Theme) -> bytes:
    from mvsearch.report.figures._matplotlib import LEGEND, TITLE, blank, rendered, title
    from mvsearch.report.figures._matplotlib_overlay import MARKERS

    head, plot, foot = 0.42, 2.9, 0.62  # of each panel, in inches

    def figure() -> Any:
        height = TITLE + _rows(scatter) * (head + plot + foot) + 0.3
        made = blank(height)
        title(made, scatter.title, scatter.subtitle, theme)
        for place, panel in enumerate(scatter.panels):
            row, column = divmod(place, 2)
            bottom = height - TITLE - (row + 1) * (head + plot + foot) + foot
            axes = made.add_axes((0.07 + 0.5 * column, bottom / height, 0.415, plot / height))
            _panel(axes, panel, theme)
        handles = [
            made.axes[0].plot([], [], linestyle="", marker=MARKERS[look.marker], color=look.colour, label=family)[0]
            for family, look in _looks(theme).items()
        ]
        made.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.01, 0.0), ncols=len(handles), **LEGEND)
        return made

    return rendered(figure, kind, theme)


def _panel(axes: Any, panel: ScorePanel, theme: Theme) -> None:
    from mvsearch.report.figures._matplotlib import DPI, frame, write_names
    from mvsearch.report.figures._matplotlib_overlay import MARKERS

    axes.set(xlabel=panel.x_label, xlim=panel.x_limits, ylim=panel.y_limits)
    axes.locator_params(axis="x", nbins=5)  # long numbers would touch
    axes.set_title(panel.title, loc="left", fontsize=10, fontweight="bold", parse_math=False, pad=17)
    above = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(panel.said, (0, 1), (0, 6), fontsize=8, color=theme.faint, **above)
    frame(axes)
    looks = _looks(theme)
    for dot in panel.dots:
        look = looks[dot.family]
        if dot.error:
            axes.errorbar(dot.x, dot.y, xerr=dot.error, ecolor=look.colour, elinewidth=1.0, capsize=2.0, zorder=2)
        axes.plot(
            dot.x, dot.y, linestyle="", marker=MARKERS[look.marker], color=look.colour, markersize=_MARKER, zorder=3
        )
    box = axes.get_window_extent().extents
    write_names(axes, [dot.name for dot in panel.dots], _places(panel, box, DPI / 72), theme.grey, theme)


def _places(panel: ScorePanel, box: Sequence[float], pixels: float) -> Any:
    """Where the names go, told how large they are."""
    import numpy as np

    left, bottom, right, top = (float(edge) for edge in box)
    sheet = Frame(panel.x_limits, panel.y_limits, (left, bottom, right, top))
    marks = [Mark(dot.x, dot.y, _MARKER / 2 * pixels) for dot in panel.dots]
    return lambda sizes: sheet.names(marks, sizes, marks, np.empty((0, 2)))


def _html(scatter: Scatter, theme: Theme) -> bytes:
    from mvsearch.report.figures._plotly import WIDTH, axis, base_layout, page

    top, height, gap, left, width = 120, 330, 110, 50, 330  # in pixels; a panel's place
    whole = top + _rows(scatter) * (height + gap)
    layout = base_layout(scatter.title, scatter.subtitle, whole, theme)
    layout |= {"margin": {"l": 0, "r": 0, "t": 0, "b": 0}, "annotations": []}
    layout["legend"] = {"orientation": "h", "x": 0.01, "y": 0, "yref": "container", "yanchor": "bottom"}
    data = []
    for place, panel in enumerate(scatter.panels):
        row, column = divmod(place, 2)
        tail = str(place + 1) if place else ""
        x0, y1 = left + column * WIDTH / 2, whole - top - row * (height + gap)
        box = (x0, y1 - height, x0 + width, y1)
        across = {"domain": [box[0] / WIDTH, box[2] / WIDTH], "anchor": f"y{tail}"}
        up = {"domain": [box[1] / whole, box[3] / whole], "anchor": f"x{tail}"}
        layout[f"xaxis{tail}"] = axis(panel.x_label, panel.x_limits, theme) | across
        layout[f"yaxis{tail}"] = axis("", panel.y_limits, theme) | up
        layout["annotations"] += _words(panel, box, tail, theme)
        data += _traces(panel, tail, theme)
    return page(scatter.title, [{"data": data, "layout": layout}], theme)


def _words(panel: ScorePanel, box: tuple[float, float, float, float], tail: str, theme: Theme) -> list[dict[str, Any]]:
    from mvsearch.report.figures._plotly import annotations, text_size

    frame = Frame(panel.x_limits, panel.y_limits, box)
    marks = [Mark(dot.x, dot.y, _MARKER / 2 * _PIXELS) for dot in panel.dots]
    names = _places(panel, box, _PIXELS)([text_size(dot.name) for dot in panel.dots])
    here = {"xref": f"x{tail}", "yref": f"y{tail}", "axref": "pixel", "ayref": "pixel"}
    written = annotations(frame, [dot.name for dot in panel.dots], marks, names, theme.grey)
    head = {"xref": f"x{tail} domain", "yref": f"y{tail} domain", "y": 1, "yanchor": "bottom", "showarrow": False}
    head |= {"x": 0, "xanchor": "left"}
    title = {"text": f"<b>{escape(panel.title)}</b>", "font": {"size": 14}, "yshift": 16}
    said = {"text": escape(panel.said), "font": {"size": 12, "color": theme.faint}}
    return [*(each | here for each in written), head | title, head | said]


def _traces(panel: ScorePanel, tail: str, theme: Theme) -> list[dict[str, Any]]:
    from mvsearch.report.figures._plotly_overlay import SYMBOLS

    made = []
    for family, look in _looks(theme).items():
        dots = [dot for dot in panel.dots if dot.family == family]
        bars = {"array": [dot.error for dot in dots], "visible": any(dot.error for dot in dots), "thickness": 1}
        marker = {"symbol": SYMBOLS[look.marker], "color": look.colour, "size": _MARKER * _PIXELS + 1}
        made.append(
            {"type": "scatter", "mode": "markers", "name": family, "legendgroup": family, "showlegend": not tail}
            | {"xaxis": f"x{tail}", "yaxis": f"y{tail}", "marker": marker, "error_x": bars}
            | {"x": [dot.x for dot in dots], "y": [dot.y for dot in dots]}
            | {"text": [escape(dot.words) for dot in dots], "hovertemplate": "%{text}<extra></extra>"}
        )
    return made
