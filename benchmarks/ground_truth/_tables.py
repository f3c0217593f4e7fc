"""CSV files: lines as dictionaries of text."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mvsearch.utils.atomic_write import write_whole


def read_table(table: Path) -> list[dict[str, Any]]:
    """The lines of a CSV; none if there is no file."""
    return list(csv.DictReader(table.read_text("utf-8").splitlines())) if table.exists() else []


def write_table(table: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(table, text.getvalue().encode())
