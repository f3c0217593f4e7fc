"""A table for the terminal that fits its width without cutting a number.

Columns that are aligned right hold numbers, those aligned left names, or text if they may wrap. Where a table is too
wide, first its heads wrap, then the gaps become smaller, names shorten in the middle and text wraps; what still does
not fit continues below, behind the columns that name the rows.
"""

from collections.abc import Iterator, Sequence
from textwrap import wrap

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

_Padding = tuple[int, int, int, int]
_WIDE, _NARROW = (0, 1, 0, 1), (0, 1, 0, 0)
_GAPS = {_WIDE: 3, _NARROW: 2}
"""Characters between two columns by the padding of their cells."""

_SHORTEST_NAME, _SHORTEST_TEXT = 14, 24
"""Names and texts do not become shorter than this, in characters."""


class FittedTable(Table):
    """A table whose numbers are never cut."""

    def __init__(self, *, title: str | None = None) -> None:
        super().__init__(title=title, box=box.SIMPLE_HEAD, padding=_WIDE, pad_edge=False)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        parts = list(self._parts(console, options))
        for i, (padding, chosen) in enumerate(parts):
            part = self._part(padding, chosen, options)
            part.title = self.title if i == 0 else None
            part.caption = self.caption if len(parts) == 1 else None
            yield part
        if len(parts) > 1 and self.caption:  # the last part may be narrow
            yield Text(str(self.caption), style="table.caption")

    def _parts(self, console: Console, options: ConsoleOptions) -> Iterator[tuple[_Padding, dict[int, int]]]:
        """The padding, and the width of each column, of each part."""
        whole = [_measure(console, options, column) for column in self.columns]
        shown = self.show_header
        heads = [_longest(str(column.header).splitlines()) if shown else 0 for column in self.columns]
        words = [_longest(str(column.header).split()) if shown else 0 for column in self.columns]
        natural = list(map(max, whole, heads))
        wrapped = list(map(max, whole, words))
        for padding in (_WIDE, _NARROW):
            for widths in (natural, wrapped):
                if _total(padding, widths) <= options.max_width:
                    yield padding, dict(enumerate(widths))
                    return
        least = [max(min(width, self._least(i)), words[i]) for i, width in enumerate(whole)]
        leading = self._leading()
        parts = [
            _widen({i: least[i] for i in chosen}, wrapped, options.max_width - _total(_NARROW, [0] * len(chosen)))
            for chosen in _split(least, leading, options.max_width)
        ]
        same = {i: min(part[i] for part in parts) for i in leading}  # a row has one name in all parts
        yield from ((_NARROW, {**part, **same}) for part in parts)

    def _least(self, i: int) -> int:
        """The width below which a column does not become narrower."""
        column = self.columns[i]
        if column.justify == "right":
            return 1_000
        if not column.no_wrap:
            return _SHORTEST_TEXT
        names = {str(cell) for cell in column.cells}
        longest = max(map(len, names), default=0)
        distinct = (
            n for n in range(_SHORTEST_NAME, longest) if len({shorten(name, n) for name in names}) == len(names)
        )
        return next(distinct, longest)

    def _leading(self) -> list[int]:
        """The columns that name a row: those up to the first that is aligned left."""
        first = next((i for i, column in enumerate(self.columns) if column.justify == "left"), 0)
        return list(range(first + 1))

    def _part(self, padding: _Padding, widths: dict[int, int], options: ConsoleOptions) -> Table:
        """A table of some columns with these widths."""
        part = Table(box=self.box, padding=padding, pad_edge=False, show_header=self.show_header)
        part.show_footer = self.show_footer
        part.title_justify, part.caption_justify = self.title_justify, self.caption_justify
        cells: list[list[RenderableType]] = []
        for i, width in widths.items():
            column = self.columns[i]
            head = "\n".join(
                line
                for text in str(column.header).splitlines()
                for line in wrap(text, max(width, 1), break_on_hyphens=False)
            )
            part.add_column(
                head,
                column.footer,
                header_style=column.header_style,
                footer_style=column.footer_style,
                style=column.style,
                justify=column.justify,
                vertical=column.vertical,
                overflow=column.overflow,
                width=width,
                no_wrap=column.no_wrap,
            )
            names = column.justify == "left" and column.no_wrap
            cells.append([_shortened(cell, width, options) if names else cell for cell in column.cells])
        for row, values in zip(self.rows, zip(*cells, strict=True), strict=True):
            part.add_row(*values, style=row.style, end_section=row.end_section)
        return part


def plain_table(*heads: str, title: str | None = None, numbers_from: int = 1, wrap: bool = False) -> FittedTable:
    """An empty table; columns from `numbers_from` on are aligned right, and those before them wrap if they may."""
    table = FittedTable(title=title)
    if title is not None:
        table.title_justify = "left"
    for i, head in enumerate(heads):
        numbers = i >= numbers_from
        table.add_column(head, justify="right" if numbers else "left", no_wrap=numbers or not wrap)
    return table


def shorten(text: str, width: int, mark: str = "…") -> str:
    """A text with its middle left out if it is longer than `width`.

    >>> shorten("mobilevitv3_xxs_deeplabv3", 16)
    'mobilev…eeplabv3'
    """
    if len(text) <= width:
        return text
    kept = max(width - len(mark), 2)
    return text[: kept // 2] + mark + text[-(kept - kept // 2) :]


def _shortened(cell: RenderableType, width: int, options: ConsoleOptions) -> RenderableType:
    """A cell of names, each line shortened; a renderable of another kind shortens itself."""
    mark = "..." if options.ascii_only else "…"
    if isinstance(cell, str):
        return "\n".join(shorten(line, width, mark) for line in cell.splitlines())
    if isinstance(cell, Text) and cell.cell_len > width and "\n" not in cell.plain:
        return Text(shorten(cell.plain, width, mark), style=cell.style)
    return cell


def _measure(console: Console, options: ConsoleOptions, column: Column) -> int:
    """The width of the widest cell, the footer included."""
    unlimited = options.update(max_width=10_000)
    cells = [*column.cells, column.footer]
    return max(Measurement.get(console, unlimited, cell).maximum if cell != "" else 0 for cell in cells)


def _longest(words: Sequence[str]) -> int:
    return max(map(len, words), default=0)


def _total(padding: _Padding, widths: Sequence[int]) -> int:
    return sum(widths) + _GAPS[padding] * (len(widths) - 1) + 2  # an edge on each side


def _split(widths: Sequence[int], leading: Sequence[int], limit: int) -> Iterator[list[int]]:
    """The columns in parts that fit, each behind the leading ones; a part has at least one column of its own."""
    part = list(leading)
    for i in range(len(leading), len(widths)):
        if len(part) > len(leading) and _total(_NARROW, [widths[j] for j in (*part, i)]) > limit:
            yield part
            part = list(leading)
        part.append(i)
    yield part


def _widen(widths: dict[int, int], wanted: Sequence[int], room: int) -> dict[int, int]:
    """Widths that use the room: each column as wide as it wants to be, or as the room that is left allows."""
    spare = room - sum(widths.values())
    for i in widths:
        more = max(0, min(wanted[i] - widths[i], spare))
        widths[i] += more
        spare -= more
    return widths
