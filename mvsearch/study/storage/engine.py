"""How this process connects to a database: SQLite tuned for several workers, a server not waited for without end."""

import os
import socket
import sqlite3
import threading
import time
from contextlib import suppress
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine

ANSWER_S = 300.0
"""How long a server may take to answer anything but the wait for a lock."""

_LOOK_EVERY_S = 1.0
_SILENT_S = {"keepalives_idle": 60, "keepalives_interval": 10, "keepalives_count": 6}
"""libpq's settings for a machine that vanished: noticed in two minutes, where systems take two hours."""


def connect_args(url: URL) -> dict[str, Any]:
    """Settings of the driver that a URL does not set itself."""
    ours: dict[str, Any] = {"timeout": 60} if url.get_backend_name() == "sqlite" else _SILENT_S
    return {name: value for name, value in ours.items() if name not in url.query}


def tune(engine: Engine) -> None:
    """Set up the connections that an engine will make."""
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _pragmas)
    else:
        _watch_over(engine)


def _pragmas(connection: Any, _: Any) -> None:
    """Write-ahead log, patient waiting; what is committed is on the disk, not in the system's hands."""
    for pragma in ("busy_timeout=60000", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    _write_ahead(connection)


def _write_ahead(connection: Any) -> None:
    """Into write-ahead mode: for this SQLite does not wait for others by itself, whatever its busy_timeout."""
    for wait_s in (0.01, 0.05, 0.2, 1.0, 5.0, 20.0):
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode=WAL")
            return
        time.sleep(wait_s)
    connection.execute("PRAGMA journal_mode=WAL")


_asked: dict[Any, float] = {}
"""Since when an answer is waited for on a connection of this process."""


def _watch_over(engine: Engine) -> None:
    """Hang up on a server that was asked and does not answer: who asked gets an error, as if it had gone away.

    A process whose question was lost on the way, as happens where a server is killed, would wait for ever.
    """
    sa.event.listen(engine, "before_cursor_execute", _executing)
    sa.event.listen(engine, "after_cursor_execute", _executed)
    sa.event.listen(engine, "commit", _ask)
    sa.event.listen(engine, "reset", _resetting)
    for event in ("checkin", "invalidate"):
        sa.event.listen(engine, event, _dropped)
    _watch()


def _ask(connection: sa.Connection) -> None:
    _asked[connection.connection.dbapi_connection] = time.monotonic()


def _executing(connection: sa.Connection, _: Any, statement: str, *__: Any) -> None:
    if "pg_advisory_lock" not in statement:  # others may hold it for as long as a training takes
        _ask(connection)


def _executed(connection: sa.Connection, *_: Any) -> None:
    _asked.pop(connection.connection.dbapi_connection, None)


def _resetting(connection: Any, *_: Any) -> None:
    _asked[connection] = time.monotonic()


def _dropped(connection: Any, *_: Any) -> None:
    _asked.pop(connection, None)


@cache
def _watch() -> None:
    threading.Thread(target=_hang_up, daemon=True, name="silent servers").start()


def _hang_up() -> None:
    while True:
        time.sleep(_LOOK_EVERY_S)
        for connection, since in list(_asked.items()):
            if time.monotonic() - since > ANSWER_S:
                _asked.pop(connection, None)
                with suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as line:
                    line.shutdown(socket.SHUT_RDWR)
