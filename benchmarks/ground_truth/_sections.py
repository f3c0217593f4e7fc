"""Generated parts of Markdown pages: a program writes what is between its two comments."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from mvsearch.utils.atomic_write import write_whole


def write_section(page: Path, name: str, text: str) -> None:
    """Replace the text of a section; raises ValueError if the page has no such section."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    content = page.read_text("utf-8")
    before, found, rest = content.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{page} has no section {begin} ... {end}")
    write_whole(page, f"{before}{begin}\n{text.strip()}\n{end}{after}".encode())


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1) -> str:
    """A table; the first columns are texts, the others numbers."""
    lines = [heads, [*["---"] * texts, *["--:"] * (len(heads) - texts)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
