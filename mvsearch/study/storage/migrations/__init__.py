"""The version of a database, and the steps from each version to the next.

A migration is a file `to_N.py` with `upgrade(connection)`, which brings a database from schema N-1 to schema N.
It names the tables as they were then, and never imports `schema`. Each runs in one transaction with the row that
records it; since SQLite commits changes of tables at once, a step must be safe to repeat after it was killed.

Databases of schema 1 and 2 have no table of versions: each of their studies names its schema.
"""

import time
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from mvsearch._version import __version__
from mvsearch.errors import StudyError
from mvsearch.study.storage.migrations import to_2, to_3
from mvsearch.study.storage.schema import SCHEMA, schema, studies

STEPS = {2: to_2.upgrade, 3: to_3.upgrade}
"""By the version that a step leads to."""


class Version(NamedTuple):
    """The schema of a database, and the mvsearch that wrote it."""

    number: int
    mvsearch: str


def version_of(connection: sa.Connection) -> Version | None:
    """The version of a database; None if there are no studies to migrate."""
    inspector = sa.inspect(connection)
    if inspector.has_table(schema.name):
        query = sa.select(schema.c.version, schema.c.mvsearch).order_by(schema.c.version.desc()).limit(1)
        if (row := connection.execute(query).one_or_none()) is not None:
            return Version(*row)
    if not inspector.has_table(studies.name):
        return None
    oldest = sa.select(studies.c.schema, studies.c.version).order_by(studies.c.schema).limit(1)
    row = connection.execute(oldest).one_or_none()
    return Version(*row) if row is not None else None


def check_not_newer(version: Version | None, *, at: str) -> None:
    """Raises StudyError for a database that a newer mvsearch wrote."""
    if version is not None and version.number > SCHEMA:
        raise StudyError(
            f"this database was written by mvsearch {version.mvsearch} (schema {version.number}), and this is mvsearch "
            f"{__version__} (schema {SCHEMA}); install that version, or use another database.",
            at=at,
        )


def migrate(engine: Engine) -> None:
    """Bring a database to the schema of this version, step by step. The caller holds a lock."""
    with engine.connect() as connection:
        version = version_of(connection)
    for number in range((version.number if version else 1) + 1, SCHEMA + 1):
        with engine.begin() as connection:
            STEPS[number](connection)
            stamp(connection, number)


def stamp(connection: sa.Connection, number: int = SCHEMA) -> None:
    """Record that the database has this schema now; earlier schemas have no table for it."""
    if sa.inspect(connection).has_table(schema.name):
        row = {"version": number, "mvsearch": __version__, "applied": time.time()}
        connection.execute(sa.insert(schema).values(**row))
    connection.execute(sa.update(studies).values(schema=number, version=__version__))
