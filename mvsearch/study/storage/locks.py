"""Locks by name between processes: files beside a database that is a file, advisory locks of a server.

Both are released however their process ends: by the operating system, or by the server with the connection.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

from mvsearch.study.storage.faults import retry_while_unavailable, translate_db_errors
from mvsearch.study.storage.url import is_file


class FileLocks:
    """A file for each name, in a folder beside the database file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def hold(self, name: str, *, temporary: bool = False) -> Iterator[None]:
        """Wait for the file's lock, and hold it. A temporary one leaves no file behind."""
        from filelock import FileLock

        self.folder.mkdir(exist_ok=True)
        with FileLock(self.folder / name):
            try:
                yield
            finally:
                if temporary:  # removed while it is held, so that a process that waits for it opens a new file
                    with suppress(OSError):
                        (self.folder / name).unlink()


class AdvisoryLocks:
    """PostgreSQL's advisory locks, each on a connection of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @contextmanager
    def hold(self, name: str, *, temporary: bool = False) -> Iterator[None]:
        """Wait for the lock, however long another process holds it, and hold it."""
        key = sa.func.hashtextextended(f"mvsearch {name}", 0)
        connection = retry_while_unavailable(lambda: self._connect(sa.func.pg_advisory_lock(key)))
        try:
            yield
        finally:
            with suppress(DBAPIError):  # the server went away, and the lock with it
                connection.execute(sa.select(sa.func.pg_advisory_unlock(key)))
            connection.close()

    def _connect(self, function: sa.ColumnElement[Any]) -> sa.Connection:
        """A connection on which the server has executed the function; the lock lasts as long as the connection."""
        with translate_db_errors(self.engine.url):
            connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            try:
                connection.execute(sa.select(function))
            except BaseException:
                connection.close()
                raise
            return connection


def locks_of(engine: Engine) -> FileLocks | AdvisoryLocks:
    """The locks that fit the kind of database."""
    if not is_file(engine.url):
        return AdvisoryLocks(engine)
    path = Path(engine.url.database or "").resolve()  # one folder, however the path is written
    return FileLocks(path.with_name(f"{path.name}.locks"))
