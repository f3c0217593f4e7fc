"""An architecture, or the difference of two, as PNG or SVG: stages as boxes, and their costs as bars."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.cost import Cost
from mvsearch.metrics.formatting import pretty
from mvsearch.metrics.registry import metric
from mvsearch.report.figures.architecture_diff import difference, parts
from mvsearch.report.figures.palette import SHADE_OPACITY, Theme
from mvsearch.report.figures.static import LEGEND, blank, render, title

_WIDTH, _HEIGHT, _MARGINS = 9.0, 0.62, 1.25
"""The width, the height of a row, and the margins above and below all rows, in inches."""

_LETTERS = 46
"""Letters on a line of a box."""


@dataclass(frozen=True)
class _Row:
    """A box: its text, its output, and its cost in each architecture."""

    name: str
    words: str
    size: str
    attention: bool
    mark: str
    costs: tuple[Cost, ...]


def draw_architectures(archs: Sequence[Architecture], title: str, kind: str, theme: Theme) -> bytes:
    """The content of a `png` or `svg` file for one architecture, or for two beside each other."""
    return render(lambda: _figure(archs, title, theme), kind, theme)


def _figure(archs: Sequence[Architecture], text: str, theme: Theme) -> Figure:
    rows = _rows(archs)
    height = _HEIGHT * len(rows) + _MARGINS
    figure = blank(height, _WIDTH)
    bottom, tall = 0.45 / height, 1 - _MARGINS / height
    title(figure, text, _subtitle(archs), theme)
    size = archs[-1].image_size  # as the maps below
    _draw_boxes(figure.add_axes((0.02, bottom, 0.42, tall)), rows, f"3 x {size} x {size}", theme)
    for i, name in enumerate(("params", "macs")):
        colour = (theme.primary, theme.secondary)[i]
        _draw_bars(figure.add_axes((0.46 + 0.275 * i, bottom, 0.2, tall)), rows, name, colour, theme)
    if len(archs) > 1:
        first = Patch(color=theme.pale, label=archs[0].name or archs[0].key)
        second = Patch(color=theme.primary, label=f"{archs[1].name or archs[1].key} (in colour)")
        figure.legend(handles=[first, second], loc="lower right", bbox_to_anchor=(0.99, 0.0), ncols=2, **LEGEND)
    return figure


def _subtitle(archs: Sequence[Architecture]) -> str:
    costs = [arch.cost() for arch in archs]
    costs_text = (
        f"{' → '.join(pretty(n, getattr(c, n)) for c in costs)} {metric(n).description}" for n in ("params", "macs")
    )
    sizes = " → ".join(dict.fromkeys(f"{arch.image_size}" for arch in archs))
    return f"{', '.join(costs_text)} at {sizes} px"


def _rows(archs: Sequence[Architecture]) -> list[_Row]:
    if len(archs) == 1:
        return [
            _Row(
                part.name,
                f"{part.block}: {part.words}".removesuffix(": "),
                part.size,
                part.attention_width is not None,
                "",
                (part.cost,),
            )
            for part in parts(archs[0])[1:]
        ]
    rows = []
    for change in difference(archs[0], archs[1]):
        part = change.second or change.first
        if part is None or part.name == "image":
            continue
        only = f"only in the {'first' if change.second is None else 'second'}"
        words = only if change.mark in "+-" and change.mark else change.words() or part.block
        rows.append(_Row(part.name, words, part.size, part.attention_width is not None, change.mark, change.costs))
    return rows


def _draw_boxes(axes: Axes, rows: Sequence[_Row], image: str, theme: Theme) -> None:
    axes.set(xlim=(0, 1), ylim=(len(rows), 0))
    axes.axis("off")
    axes.text(0.14, -0.02, image, fontsize=8, color=theme.faint, ha="left", va="center")
    axes.annotate("", (0.1, 0.18), (0.1, -0.14), arrowprops={"arrowstyle": "->", "color": theme.grey})
    for i, row in enumerate(rows):
        edge = theme.secondary if row.mark else theme.primary if row.attention else theme.grey
        box = FancyBboxPatch((0.01, i + 0.2), 0.98, 0.56, "round,pad=0,rounding_size=0.03", mutation_aspect=3)
        box.set(facecolor=(theme.primary if row.attention else theme.pale, SHADE_OPACITY), edgecolor=edge)
        axes.add_patch(box)
        axes.text(0.03, i + 0.48, f"{row.mark} {row.name}".strip(), fontsize=9, fontweight="bold", va="center")
        words = fill(row.words, _LETTERS, max_lines=3, placeholder=" …")
        size = 7.0 if words.count("\n") < 2 else 6.2
        axes.text(0.335, i + 0.48, words, fontsize=size, va="center", linespacing=1.15)
        if i + 1 < len(rows):
            axes.annotate("", (0.1, i + 1.19), (0.1, i + 0.77), arrowprops={"arrowstyle": "->", "color": theme.grey})
        axes.text(0.14, i + 0.98, row.size, fontsize=8, color=theme.faint, ha="left", va="center")


def _draw_bars(axes: Axes, rows: Sequence[_Row], name: str, colour: str, theme: Theme) -> None:
    """Bars of one cost; of two architectures, the first's is pale above the second's."""
    largest = max(getattr(cost, name) for row in rows for cost in row.costs) or 1
    axes.set(xlim=(0, largest), ylim=(len(rows), 0))
    axes.set_title(metric(name).label, loc="left", fontsize=10)
    axes.axis("off")
    count = len(rows[0].costs)
    for i, row in enumerate(rows):
        for j, cost in enumerate(row.costs):
            value, at = getattr(cost, name), i + 0.48 + 0.25 * (j - (count - 1) / 2)
            axes.barh(at, value, height=0.46 / count, color=colour if j == count - 1 else theme.pale)
            axes.text(value + largest * 0.02, at, pretty(name, value), fontsize=8 if count == 1 else 7, va="center")
