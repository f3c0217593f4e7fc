"""The weights that a network inherited from another, row by row, for the terminal."""

from typing import TYPE_CHECKING

from mvsearch.utils.fitted_table import FittedTable

if TYPE_CHECKING:
    from mvsearch.nn.weight_transfer import WeightTransfer


def weight_transfer_table(transfer: "WeightTransfer") -> FittedTable:
    """A line for each row of the network; rows that start from scratch have a dash for their source."""
    table = FittedTable(title=f"inherited from {transfer.source}")
    table.caption = f"channels: {transfer.channels}; checksum of the source: {transfer.checksum}"
    table.show_footer = True
    table.add_column("row", "all", no_wrap=True)
    table.add_column("from", no_wrap=True)
    table.add_column("params", f"{transfer.params:,}", justify="right")
    table.add_column("inherited", f"{transfer.transferred:,}", justify="right")
    table.add_column("share", f"{transfer.share:.1%}", justify="right")
    for row in transfer.rows:
        share = f"{row.transferred / row.params:.1%}" if row.params else "-"
        table.add_row(row.name, row.source or "-", f"{row.params:,}", f"{row.transferred:,}", share)
    return table
