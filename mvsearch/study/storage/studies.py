"""The table of studies: what each was made with. Renaming and deleting touch every table of ours in one transaction."""

import time
from typing import Any

import sqlalchemy as sa

from mvsearch._version import __version__
from mvsearch.study.storage.database import Database, with_retries
from mvsearch.study.storage.schema import SCHEMA, STUDY_TABLES, machines, records, studies


class Studies(Database):
    """Studies by name."""

    @with_retries
    def study(self, name: str) -> dict[str, Any] | None:
        """What a study was made with; None if there is no such study."""
        query = sa.select(studies.c.facts).where(studies.c.name == name)
        with self._read() as connection:
            facts = connection.execute(query).scalar_one_or_none()
        return None if facts is None else dict(facts)

    @with_retries
    def names(self) -> list[str]:
        """The names of all studies."""
        with self._read() as connection:
            return list(connection.execute(sa.select(studies.c.name).order_by(studies.c.name)).scalars())

    @with_retries
    def add_study(self, name: str, facts: dict[str, Any]) -> None:
        """Add a study, with what its numbers will depend on."""
        with self._write() as connection:
            self._add_study(connection, name, facts)

    def _add_study(self, connection: sa.Connection, name: str, facts: dict[str, Any]) -> None:
        row = {"name": name, "schema": SCHEMA, "version": __version__, "facts": facts, "created": time.time()}
        connection.execute(sa.insert(studies).values(**row))

    @with_retries
    def update_study(self, name: str, facts: dict[str, Any]) -> None:
        """Replace the facts of a study."""
        with self._write() as connection:
            connection.execute(sa.update(studies).where(studies.c.name == name).values(facts=facts))

    @with_retries
    def rename_study(self, name: str, to: str) -> None:
        """Give a study another name."""
        with self._write() as connection:
            connection.execute(sa.update(studies).where(studies.c.name == name).values(name=to))
            for table in STUDY_TABLES:
                connection.execute(sa.update(table).where(table.c.study == name).values(study=to))

    @with_retries
    def delete_study(self, name: str) -> None:
        """Delete a study, its records and its workers; the cache of evaluations stays."""
        with self._write() as connection:
            for table in STUDY_TABLES:
                connection.execute(sa.delete(table).where(table.c.study == name))
            connection.execute(sa.delete(studies).where(studies.c.name == name))

    @with_retries
    def machines(self, study: str) -> list[dict[str, Any]]:
        """The machines on which the trials of a study were measured."""
        used = sa.select(records.c.machine).where(records.c.study == study)
        query = sa.select(machines.c.description).where(machines.c.id.in_(used)).order_by(machines.c.id)
        with self._read() as connection:
            return list(connection.execute(query).scalars())
