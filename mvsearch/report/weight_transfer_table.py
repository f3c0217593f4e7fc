"""The weights that a network inherited from another, row by row, for the terminal."""

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

if TYPE_CHECKING:
    from mvsearch.nn.weight_transfer import WeightTransfer


def weight_transfer_table(transfer: "WeightTransfer") -> Table:
    """A line for each row of the network; rows that start from scratch have a dash for their source."""
    table = Table(
        title=f"inherited from {transfer.source}",
        caption=f"channels: {transfer.channels}; checksum of the source: {transfer.checksum}",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        pad_edge=False,
        show_footer=True,
    )
    table.add_column("row", "all")
    table.add_column("from")
    table.add_column("params", f"{transfer.params:,}", justify="right")
    table.add_column("inherited", f"{transfer.transferred:,}", justify="right")
    table.add_column("share", f"{transfer.share:.1%}", justify="right")
    for row in transfer.rows:
        share = f"{row.transferred / row.params:.1%}" if row.params else "-"
        table.add_row(row.name, row.source or "-", f"{row.params:,}", f"{row.transferred:,}", share)
    return table
