"""An architecture, or the difference of two, in the terminal: tables, and stages as boxes with costs as bars."""

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.cost import Cost
from mvsearch.arch.schema import field_text
from mvsearch.metrics.formatting import pretty
from mvsearch.metrics.registry import metric
from mvsearch.report.figures.architecture_diff import ArchitecturePart, Change, difference, parts, total
from mvsearch.report.figures.palette import LIGHT
from mvsearch.utils.fitted_table import plain_table

_EIGHTHS = " ▏▎▍▌▋▊▉"
_NARROWEST, _WIDEST = 60, 120
_LABEL = 7  # " 45.6 %"


def stage_table(arch: Architecture) -> Table:
    """A row for each stage: width of attention, layers, output and costs."""
    table = plain_table("stage", "block", "dim", "layers", "output", "params", "MACs", numbers_from=2)
    stages = parts(arch)[1:]
    for part in stages:
        costs = pretty("params", part.cost.params), pretty("macs", part.cost.macs)
        table.add_row(
            part.name, part.block, field_text(part.attention_width), field_text(part.layers), part.size, *costs
        )
    table.add_section()
    whole = total(stages)
    costs = pretty("params", whole.params), pretty("macs", whole.macs)
    table.add_row("total", "", "", "", "", *costs, style="bold")
    return table


def difference_table(
    first: Architecture, second: Architecture, *, arrow: str = "→", costs_of_second: bool = False
) -> Table:
    """A row for each part of two architectures: the fields that differ, costs, and their change to the second.

    The costs are the first's; with `costs_of_second` the second's, which is new. `arrow` stands between the values.
    """
    new = "new " if costs_of_second else ""
    table = plain_table("", "stage", "differs", f"{new}params", "change", f"{new}MACs", "change", numbers_from=3)
    table.columns[2].no_wrap, table.columns[2].overflow = False, "fold"
    for change in difference(first, second):
        if change.name != "image" or change.mark:
            cells = change.mark, change.name, _difference(change, arrow), *_costs(*change.costs, costs_of_second)
            table.add_row(*cells, style=_STYLES.get(change.mark, "dim"))
    table.add_section()
    table.add_row("", "total", "", *_costs(first.cost(), second.cost(), costs_of_second), style="bold")
    return table


_STYLES = {"+": "green", "-": "red", "~": "yellow"}


def _difference(change: Change, arrow: str) -> str:
    if change.first is None or change.second is None:
        return f"only in the {'first' if change.first else 'second'}"
    return change.words(arrow)


def _costs(first: Cost, second: Cost, costs_of_second: bool) -> Iterator[str]:
    for name in ("params", "macs"):
        before, after = getattr(first, name), getattr(second, name)
        yield pretty(name, after if costs_of_second else before)
        yield "" if after == before else f"{'+' if after > before else '-'}{pretty(name, abs(after - before))}"


@dataclass(frozen=True)
class Pen:
    """The characters of a diagram: lines of a box, the branches into and out of it, and bars in eighths."""

    corners: tuple[str, str, str, str]
    across: str
    upright: str
    down: str
    up: str
    eighths: str
    full: str

    def bar(self, length: float) -> str:
        """A bar of a length in characters; a positive length is always visible."""
        whole, eighth = divmod(round(length * len(self.eighths)), len(self.eighths))
        return self.full * whole + (self.eighths[eighth] if eighth else "") or self.eighths[1] * (length > 0)


ROUND = Pen(("╭", "╮", "╰", "╯"), "─", "│", "┬", "┴", _EIGHTHS, "█")
PLAIN = Pen(("+", "+", "+", "+"), "-", "|", "+", "+", " #", "#")


class Diagram:
    """An architecture as boxes from the image to the head, with their shares of the costs as bars."""

    def __init__(self, arch: Architecture) -> None:
        self.image, *self.parts = parts(arch)
        self.whole = total(self.parts)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(_NARROWEST, min(_WIDEST, options.max_width))
        inner = max(24, width * 2 // 5 - 4)
        pen = PLAIN if options.ascii_only else ROUND
        bar = (width - inner - 8) // 2 - _LABEL
        heads = (f"{metric(name).label} ({pretty(name, getattr(self.whole, name))})" for name in ("params", "macs"))
        yield Text(f"   {self.image.size}".ljust(inner + 6) + "".join(head.ljust(bar + _LABEL + 2) for head in heads))
        for part in self.parts:
            bars = self._bar(part, "params", LIGHT.primary, pen, bar) + self._bar(
                part, "macs", LIGHT.secondary, pen, bar
            )
            yield from _box(part, pen, inner, bars)

    def _bar(self, part: ArchitecturePart, name: str, colour: str, pen: Pen, width: int) -> Text:
        value, whole = getattr(part.cost, name), getattr(self.whole, name) or 1
        largest = max(getattr(other.cost, name) for other in self.parts) or 1
        filled = pen.bar(width * value / largest)
        share = f" {100 * value / whole:.1f} %".ljust(width - len(filled) + _LABEL)
        return Text.assemble("  ", (filled, colour), share)


def _box(part: ArchitecturePart, pen: Pen, inner: int, bars: Text) -> Iterator[Text]:
    """The name in the upper edge, the output in the lower one, and bars beside the first line between them."""
    colour = LIGHT.primary if part.attention_width else ""
    upper_left, upper_right, lower_left, lower_right = pen.corners
    rest = pen.across * (inner - len(part.name) - 3)
    yield Text.assemble(
        (f"{upper_left}{pen.across}{pen.up}{pen.across} ", colour),
        (part.name, "bold"),
        (f" {rest}{upper_right}", colour),
    )
    for i, line in enumerate(wrap(f"{part.block}: {part.words}" if part.words else part.block, inner)):
        edge = (pen.upright, colour)
        yield Text.assemble(edge, f" {line:<{inner}} ", edge, bars if i == 0 else "")
    branch = pen.across if part.name == "head" else pen.down
    lower = f"{lower_left}{pen.across}{branch}{pen.across} {part.size} "
    yield Text(lower.ljust(inner + 3, pen.across) + lower_right, style=colour)
