"""A connection to the database of studies: opened, brought up to date, read and written."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL

from mvsearch.errors import StudyError
from mvsearch.study.storage import migrations
from mvsearch.study.storage.engine import make_engine
from mvsearch.study.storage.faults import retry_while_unavailable, translate_db_errors
from mvsearch.study.storage.locks import locks_of
from mvsearch.study.storage.schema import SCHEMA, TABLES, machines, studies
from mvsearch.study.storage.url import check_file, display_url, is_file, parse_url

_P = ParamSpec("_P")
_R = TypeVar("_R")
_D = TypeVar("_D", bound="Database")


def with_retries(method: Callable[Concatenate[_D, _P], _R]) -> Callable[Concatenate[_D, _P], _R]:
    """Repeat the method while a server is unavailable; it must be safe to repeat."""

    @wraps(method)
    def repeat(self: _D, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return retry_while_unavailable(lambda: method(self, *args, **kwargs))

    return repeat


class Database:
    """Our tables at a database URL.

    With `create` missing tables are made and older ones are migrated. Without it, opening writes nothing: an older
    database is read as it is, and migrated before the first write. One of a newer schema is always refused.
    """

    def __init__(self, url: str, *, create: bool) -> None:
        self.url = parse_url(url)
        check_file(self.url, create=create)
        with translate_db_errors(self.url):
            self.engine = make_engine(self.url)
            self.engine.connect().close()  # a server that cannot be reached now is not waited for
        self._locks, self._current = locks_of(self.engine), False
        if create:
            retry_while_unavailable(self._prepare)
        else:
            self._check_version()

    def _prepare(self) -> None:
        """Make what is missing and migrate what is older."""
        with self.lock("open"), translate_db_errors(self.url):
            if self._check_version(missing_ok=True) is None:
                with self.engine.begin() as connection:
                    TABLES.create_all(connection)
                    migrations.stamp(connection)
            self._migrate_once()

    def _migrate_once(self) -> None:
        """Before the first write: the database may be older."""
        if self._current:
            return
        with self._read() as connection:
            version = migrations.version_of(connection)
        if version is None or version.number < SCHEMA:
            with self.lock("migrate"), translate_db_errors(self.url):
                migrations.migrate(self.engine)
        self._current = True

    def _check_version(self, *, missing_ok: bool = False) -> int | None:
        """The schema of the database, None if it has no tables of ours; raises StudyError for one that is newer."""
        with translate_db_errors(self.url), self.engine.connect() as connection:
            version = migrations.version_of(connection)
            migrations.check_not_newer(version, at=self.display_url)
            if version is None and not missing_ok and not sa.inspect(connection).has_table(studies.name):
                raise StudyError("contains no studies of mvsearch; give the study.db of a study.", at=self.display_url)
        return version.number if version else None

    @property
    def display_url(self) -> str:
        """The URL without a password; only the path for a file."""
        return self.url.database or "" if is_file(self.url) else display_url(self.url)

    @property
    def location(self) -> URL | Path:
        """The database, the same however the path of its file is written."""
        return Path(self.url.database or "").resolve() if is_file(self.url) else self.url

    # ---- locks

    def lock(self, name: str, *, temporary: bool = False) -> AbstractContextManager[None]:
        """Wait until no other process, on whatever machine, holds the lock of that name in this database; hold it."""
        return self._locks.hold(name, temporary=temporary)

    def study_lock(self, study: str) -> AbstractContextManager[None]:
        """Held while trials of a study are claimed, or its facts are changed."""
        return self.lock(f"claim {study}")

    def trial_lock(self, study: str, number: int) -> AbstractContextManager[None]:
        """Held while a trial is ended, by its worker or by another that considers the worker dead."""
        return self.lock(f"end {study} {number}", temporary=True)

    def evaluation_lock(self, key: str, settings: str) -> AbstractContextManager[None]:
        """Held while an architecture is measured under these settings, for whatever study."""
        return self.lock(f"measure {key} {settings}", temporary=True)

    def lock_dir(self, study: str) -> Path | None:
        """The folder beside a database file for the lock files of a study's workers; None for a server."""
        if not is_file(self.url):
            return None
        if Path(study).name != study:  # no study of ours has such a name, but the database may come from anywhere
            raise StudyError(f"the name of study {study!r} would lead out of its folder.", at=self.display_url)
        path = Path(self.url.database or "").resolve()  # one folder, however the path is written
        return path.parent if path.parent.name == study else path.with_name(f"{path.name}.{study}")

    # ---- access for the classes that build on this one

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        with translate_db_errors(self.url), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        """One transaction."""
        self._migrate_once()
        with translate_db_errors(self.url), self.engine.begin() as connection:
            yield connection

    def _insert(self, table: sa.Table) -> Any:
        if is_file(self.url):
            from sqlalchemy.dialects import sqlite

            return sqlite.insert(table)
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)

    def _insert_new(self, connection: sa.Connection, table: sa.Table, **row: Any) -> None:
        """Insert a row unless its primary key is there already."""
        # One statement, not a query and an insert: in SQLite a transaction that began by reading cannot write once
        # another has written.
        connection.execute(self._insert(table).values(**row).on_conflict_do_nothing())

    def _replace(self, connection: sa.Connection, table: sa.Table, **row: Any) -> None:
        """Insert a row in place of the one with its primary key."""
        keys = [column.name for column in table.primary_key]
        connection.execute(self._insert(table).values(**row).on_conflict_do_update(index_elements=keys, set_=row))

    def _origin(self, connection: sa.Connection, machine: dict[str, Any]) -> dict[str, Any]:
        """The columns that say where and when a row was measured; a new machine is added to its table."""
        from mvsearch.utils.machine import machine_id

        number = machine_id(machine)
        self._insert_new(connection, machines, id=number, description=machine)
        return {"machine": number, "finished": time.time()}
