"""What a network inherited, row by row, for the terminal."""

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

if TYPE_CHECKING:
    from mvsearch.nn.weight_transfer import WeightTransfer


def inheritance_table(found: "WeightTransfer") -> Table:
    """A row of the network a line; whatever starts afresh has a dash for its source."""
    table = Table(
        title=f"inherited from {found.source}",
        caption=f"its checksum: {found.checksum}",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        pad_edge=False,
        show_footer=True,
    )
    table.add_column("row", "all")
    table.add_column("from")
    table.add_column("params", f"{found.params:,}", justify="right")
    table.add_column("inherited", f"{found.transferred:,}", justify="right")
    table.add_column("share", f"{found.transferred / found.params:.1%}", justify="right")
    for row in found.rows:
        share = f"{row.transferred / row.params:.1%}" if row.params else "-"
        table.add_row(row.name, row.source or "-", f"{row.params:,}", f"{row.transferred:,}", share)
    return table
