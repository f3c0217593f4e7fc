"""Every finished trial as a row of a table for other tools: its choices, metrics and state."""

import csv as writer
import io
from collections.abc import Collection, Sequence
from typing import Any

from mvsearch.errors import EnvironmentFault
from mvsearch.metrics.record import Record
from mvsearch.utils.installation import install_hint


def table(records: Sequence[Record], within: Collection[int]) -> list[dict[str, Any]]:
    """Rows with the same columns: number, key, state, reason, published, seconds, cached, within_limits; then every
    choice as `choice.NAME` and every metric that is a number, by its name; None where a trial has none.

    `within` are the numbers of the trials within the study's limits; only complete trials have `within_limits`."""
    rows = [_row(record, record.number in within) for record in records]
    columns = dict.fromkeys(column for row in rows for column in row)
    return [{column: row.get(column) for column in columns} for row in rows]


def _row(record: Record, within: bool) -> dict[str, Any]:
    fields = ("number", "key", "state", "reason", "published", "seconds", "cached")
    return {
        **{name: getattr(record, name) for name in fields},
        "within_limits": within if record.state == "complete" else None,
        **{f"choice.{name}": value for name, value in record.choices.items()},
        **{name: value for name, value in record.metrics.items() if isinstance(value, int | float | str)},
    }


def csv(records: Sequence[Record], within: Collection[int]) -> bytes:
    """The table as CSV, UTF-8."""
    rows, text = table(records, within), io.StringIO()
    dict_writer = writer.DictWriter(text, list(rows[0]) if rows else ["number"], lineterminator="\n")
    dict_writer.writeheader()
    dict_writer.writerows(rows)
    return text.getvalue().encode()


def parquet(records: Sequence[Record], within: Collection[int]) -> bytes:
    """The table as Parquet; raises EnvironmentFault without pyarrow."""
    try:
        import pyarrow
        from pyarrow.parquet import write_table
    except ImportError:
        hint = install_hint("parquet")
        raise EnvironmentFault(f"pyarrow is not installed; use `{hint}`, or write a .csv.") from None
    rows, content = table(records, within), io.BytesIO()
    columns = {name: _column([row[name] for row in rows]) for name in (rows[0] if rows else ())}
    write_table(pyarrow.table(columns), content)
    return content.getvalue()


def _column(values: list[Any]) -> list[Any]:
    """The values as text if they mix words and numbers, as choices may: a column of Parquet has one type."""
    kinds = {type(value) for value in values if value is not None}
    return values if len(kinds) <= 1 or kinds <= {int, float} else [None if v is None else str(v) for v in values]
