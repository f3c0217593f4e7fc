"""The rows of a whole study, to be sent to another database."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from mvsearch.errors import StudyError
from mvsearch.study.storage.database import with_retries
from mvsearch.study.storage.schema import SCHEMA, architectures, evaluations, machines, records
from mvsearch.study.storage.studies import Studies

Rows = dict[str, list[dict[str, Any]]]
"""Rows by table, with values that JSON can hold."""

_SENT = {"architectures": architectures, "machines": machines, "evaluations": evaluations, "records": records}


class Transfer(Studies):
    """Studies with all that belongs to them."""

    @with_retries
    def export_rows(self, study: str, others: Sequence[str] = ()) -> Rows:
        """The records of a study, and the architectures, machines and evaluations that they refer to, by table.

        `others` are the keys of networks that need not be trials, whose evaluations belong to the study too.
        """
        keys = sa.select(records.c.key).where(records.c.study == study)
        used = sa.select(records.c.machine).where(records.c.study == study)
        known = evaluations.c.key.in_(keys) | evaluations.c.key.in_(others)
        measured = sa.select(evaluations.c.machine).where(known)
        queries = {
            "architectures": sa.select(architectures).where(architectures.c.key.in_(keys)).order_by("key"),
            "machines": sa.select(machines).where(machines.c.id.in_(used) | machines.c.id.in_(measured)).order_by("id"),
            "evaluations": sa.select(evaluations).where(known).order_by("key", "settings"),
            "records": sa.select(*(column for column in records.c if column.name != "study"))
            .where(records.c.study == study)
            .order_by("number"),
        }
        with self._read() as connection:
            return {table: [dict(row) for row in connection.execute(q).mappings()] for table, q in queries.items()}

    def import_rows(self, study: str, facts: dict[str, Any], rows: Rows) -> None:
        """Add a study with exported rows, in one transaction; rows that are there already stay as they are."""
        with self._write() as connection:
            self._add_study(connection, study, facts)
            for name, table_rows in rows.items():
                for row in table_rows:
                    owner = {"study": study} if name == "records" else {}
                    self._insert_new(connection, _SENT[name], **owner, **row)


def check_rows(rows: dict[str, list[Any]], source: str) -> None:
    """Raises StudyError for rows that `import_rows` cannot write: of other tables, columns or types."""
    for name, table_rows in rows.items():
        columns = [column for column in _SENT[name].c if column.name != "study"] if name in _SENT else []
        if not columns or not all(isinstance(row, dict) and _fits(columns, row) for row in table_rows):
            raise StudyError(f"rows of {name!r} do not fit schema {SCHEMA}; were they edited?", at=source)


def _fits(columns: list[sa.Column[Any]], row: dict[str, Any]) -> bool:
    return row.keys() <= {column.name for column in columns} and all(_accepts(c, row.get(c.name)) for c in columns)


def _accepts(column: sa.Column[Any], value: Any) -> bool:
    if value is None:
        return bool(column.nullable)
    return type(value) is (dict if isinstance(column.type, sa.JSON) else column.type.python_type)
