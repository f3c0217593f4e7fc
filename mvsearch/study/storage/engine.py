"""How this process connects to a database: SQLite tuned for several workers, servers with a limit on their silence."""

import json
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

from mvsearch.study.storage.schema import json_safe
from mvsearch.study.storage.url import is_file

RESPONSE_LIMIT_S = 300.0
"""How long a server may take for anything but the wait for a lock."""

_CHECK_INTERVAL_S = 1.0
_KEEPALIVES = {"keepalives_idle": 60, "keepalives_interval": 10, "keepalives_count": 6}
"""libpq's settings: a machine that left the network is noticed in two minutes, where systems take two hours."""


def make_engine(url: URL) -> Engine:
    """An engine for our tables."""
    engine = sa.create_engine(
        url, connect_args=connect_args(url), json_serializer=lambda value: json.dumps(json_safe(value))
    )
    tune(engine)
    return engine


def connect_args(url: URL) -> dict[str, Any]:
    """Settings of the driver that the URL does not set itself."""
    settings: dict[str, Any] = {"timeout": 60} if is_file(url) else _KEEPALIVES
    return {name: value for name, value in settings.items() if name not in url.query}


def tune(engine: Engine) -> None:
    """Set up the connections that an engine will make."""
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _set_pragmas)
    else:
        _watch_requests(engine)


def _set_pragmas(connection: Any, _: Any) -> None:
    """Write-ahead log, and up to a minute of waiting for others. Each commit is synced to the disk."""
    for pragma in ("busy_timeout=60000", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    _set_write_ahead(connection)


def _set_write_ahead(connection: Any) -> None:
    """Switch to write-ahead mode, with retries: here SQLite ignores its busy_timeout."""
    for wait_s in (0.01, 0.05, 0.2, 1.0, 5.0, 20.0):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise  # e.g. a full disk, which waiting does not cure
        time.sleep(wait_s)
    connection.execute("PRAGMA journal_mode=WAL")


_requests: dict[Any, float] = {}
"""The connections of this process that wait for a response, and since when."""


def _watch_requests(engine: Engine) -> None:
    """Close a connection whose server does not respond: the request then fails as if the server had gone away.

    Otherwise a request that was lost on the way, as happens when a server is killed, would wait without end.
    """
    sa.event.listen(engine, "before_cursor_execute", _before_execute)
    sa.event.listen(engine, "after_cursor_execute", _after_execute)
    sa.event.listen(engine, "commit", _start_request)
    sa.event.listen(engine, "reset", _before_reset)
    for event in ("checkin", "invalidate"):
        sa.event.listen(engine, event, _after_return)
    _start_watchdog()


def _start_request(connection: sa.Connection) -> None:
    _requests[connection.connection.dbapi_connection] = time.monotonic()


def _before_execute(connection: sa.Connection, _: Any, statement: str, *__: Any) -> None:
    if "pg_advisory_lock" not in statement:  # another process may hold it for as long as a training takes
        _start_request(connection)


def _after_execute(connection: sa.Connection, *_: Any) -> None:
    _requests.pop(connection.connection.dbapi_connection, None)


def _before_reset(connection: Any, *_: Any) -> None:
    _requests[connection] = time.monotonic()


def _after_return(connection: Any, *_: Any) -> None:
    _requests.pop(connection, None)


@cache
def _start_watchdog() -> None:
    threading.Thread(target=_close_silent_connections, daemon=True, name="database watchdog").start()


def _close_silent_connections() -> None:
    while True:
        time.sleep(_CHECK_INTERVAL_S)
        for connection, since in list(_requests.items()):
            if time.monotonic() - since > RESPONSE_LIMIT_S:
                _requests.pop(connection, None)
                with suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as line:
                    line.shutdown(socket.SHUT_RDWR)
