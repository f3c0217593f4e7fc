"""Our tables, which lie beside Optuna's own in the same database.

    studies        name, what is searched, what its numbers depend on
    records        one finished trial each, complete: what `front` and `compare` read, without Optuna
    evaluations    the cache: metrics by architecture and settings, so that no measurement is paid for twice
    architectures  each network once, by key
    machines       what the numbers were measured on
    repeats        which worker measures which trial with a further seed
    workers        who works on a study, where the database is a server
    schema         the version of these tables, one row for each migration

A change here needs a migration in `migrations/` and a golden database of the schema before it, in
tests/fixtures/databases.
"""

import math
from numbers import Real
from typing import Any

import sqlalchemy as sa

SCHEMA = 3
"""The version of the tables below."""

TABLES = sa.MetaData()


class SafeText(sa.types.TypeDecorator[str]):
    """Text that every database accepts: lone surrogates and NUL, which some refuse, are written as escapes."""

    impl = sa.Text
    cache_ok = True

    @property
    def python_type(self) -> type[str]:
        """The type of a value in Python."""
        return str

    def process_bind_param(self, value: str | None, _: sa.Dialect) -> str | None:
        """The text as it is stored."""
        return value and value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


studies = sa.Table(
    "mvsearch_studies",
    TABLES,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("schema", sa.Integer, nullable=False),  # read by versions before schema 3, which then refuse the study
    sa.Column("version", sa.String(32), nullable=False),
    sa.Column("facts", sa.JSON, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
)
records = sa.Table(
    "mvsearch_records",
    TABLES,
    sa.Column("study", sa.String(64), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(12), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("reason", SafeText),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("choices", sa.JSON, nullable=False),
    sa.Column("published", sa.String(64)),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("cached", sa.Boolean, nullable=False),
    sa.Column("machine", sa.String(12)),
    sa.Column("finished", sa.Float, nullable=False),
)
evaluations = sa.Table(
    "mvsearch_evaluations",
    TABLES,
    sa.Column("key", sa.String(12), primary_key=True),
    sa.Column("settings", sa.String(12), primary_key=True),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("machine", sa.String(12)),
    sa.Column("finished", sa.Float, nullable=False),
)
architectures = sa.Table(
    "mvsearch_architectures",
    TABLES,
    sa.Column("key", sa.String(12), primary_key=True),
    sa.Column("document", sa.JSON, nullable=False),
)
machines = sa.Table(
    "mvsearch_machines",
    TABLES,
    sa.Column("id", sa.String(12), primary_key=True),
    sa.Column("description", sa.JSON, nullable=False),
)
repeats = sa.Table(
    "mvsearch_repeats",
    TABLES,
    sa.Column("study", sa.String(64), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("worker", sa.String(64), nullable=False),
)
workers = sa.Table(
    "mvsearch_workers",
    TABLES,
    sa.Column("study", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("host", sa.String(64), nullable=False),
    sa.Column("beat", sa.Integer, key="counter"),  # NULL: not running
    sa.Column("words", sa.JSON, nullable=False, key="status"),
)
schema = sa.Table(
    "mvsearch_schema",
    TABLES,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("mvsearch", sa.String(32), nullable=False),
    sa.Column("applied", sa.Float, nullable=False),
)

STUDY_TABLES = (records, repeats, workers)
"""The tables whose rows belong to one study."""


def json_safe(value: Any) -> Any:
    """A value that JSON can hold in every database. A number that is not finite was not measured, and is left out.

    >>> json_safe({"loss": float("nan"), "classes": (0.5, float("inf"))})
    {'classes': [0.5, None]}
    """
    if isinstance(value, dict):
        return {str(name): json_safe(item) for name, item in value.items() if not _is_not_finite(item)}
    if isinstance(value, list | tuple):
        return [None if _is_not_finite(item) else json_safe(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    return float(value) if isinstance(value, Real) else str(value)


def _is_not_finite(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, int) and not math.isfinite(value)
