"""The database of studies: our tables beside Optuna's own, in the same file.

    studies        name, what it searches, what its numbers depend on
    records        one finished candidate each, complete: what `front` and `compare` read, without Optuna
    evaluations    the cache: metrics by architecture and settings, so that nothing is paid for twice
    architectures  each network once, by key
    machines       what the numbers were measured on
    repeats        who measures which candidate once more
    workers        the workers of a database server (`workers/heartbeat`)

One finished candidate is one transaction. A server that is away is waited for; a file is there or it is not.
"""

import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import wraps
from numbers import Real
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from filelock import FileLock
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
)

from mvsearch._version import __version__
from mvsearch.errors import DatabaseUnavailable, EnvironmentFault, StudyError
from mvsearch.metrics.record import Metrics, Record
from mvsearch.study.retry import RETRY_POLICY
from mvsearch.study.storage.engine import connect_args, tune
from mvsearch.utils import plugins

_LOG = logging.getLogger(__name__)
_P = ParamSpec("_P")
_R = TypeVar("_R")

SCHEMA = 2
_DATABASES = ("sqlite", "postgresql+psycopg")
_HARMLESS = ("host", "port", "user", "dbname", "sslmode", "sslrootcert", "connect_timeout", "application_name")
"""Settings in a URL that may be shown; in any other, known or misspelt, may be a secret."""

_FEW = 500  # numbers named in one query
_LEAST_ROOM = 1 << 20  # bytes without which SQLite may fail to open a database
_META = sa.MetaData()


class SafeText(sa.types.TypeDecorator[str]):
    """Text that every database takes, whatever was said: signs that it would not take are spelled out."""

    impl = sa.Text
    cache_ok = True

    @property
    def python_type(self) -> type[str]:
        """What a row holds."""
        return str

    def process_bind_param(self, value: str | None, _: sa.Dialect) -> str | None:
        """The text with surrogates and NUL written as escapes."""
        return value and value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


_studies = sa.Table(
    "mvsearch_studies",
    _META,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("schema", sa.Integer, nullable=False),
    sa.Column("version", sa.String(32), nullable=False),
    sa.Column("facts", sa.JSON, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
)
_records = sa.Table(
    "mvsearch_records",
    _META,
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
_evaluations = sa.Table(
    "mvsearch_evaluations",
    _META,
    sa.Column("key", sa.String(12), primary_key=True),
    sa.Column("settings", sa.String(12), primary_key=True),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("machine", sa.String(12)),
    sa.Column("finished", sa.Float, nullable=False),
)
_architectures = sa.Table(
    "mvsearch_architectures",
    _META,
    sa.Column("key", sa.String(12), primary_key=True),
    sa.Column("document", sa.JSON, nullable=False),
)
_machines = sa.Table(
    "mvsearch_machines",
    _META,
    sa.Column("id", sa.String(12), primary_key=True),
    sa.Column("description", sa.JSON, nullable=False),
)
_repeats = sa.Table(
    "mvsearch_repeats",
    _META,
    sa.Column("study", sa.String(64), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("worker", sa.String(64), nullable=False),
)
_workers = sa.Table(
    "mvsearch_workers",
    _META,
    sa.Column("study", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("host", sa.String(64), nullable=False),
    sa.Column("beat", sa.Integer),  # NULL: not at work
    sa.Column("words", sa.JSON, nullable=False),
)

_PARTS = (_records, _repeats, _workers)
"""The tables whose rows belong to one study."""

_SENT = {"architectures": _architectures, "machines": _machines, "evaluations": _evaluations, "records": _records}
"""The tables whose rows travel with a study."""

_trials = sa.table("studies", sa.column("study_name"))
"""Optuna's table, by the names in which its trials are found."""


def retry_while_unavailable(act: Callable[[], _R]) -> _R:
    """What `act` returns; it is done again while a database server is away, up to ten minutes. It must bear that."""
    start, wait_s = time.monotonic(), 0.5
    while True:
        try:
            return act()
        except DatabaseUnavailable as error:
            if time.monotonic() - start > RETRY_POLICY.database_wait_s:
                raise
            _LOG.warning("%s Waiting for it.", error)
            time.sleep(wait_s)
            wait_s = min(15.0, 2 * wait_s)


def _patient(method: "Callable[Concatenate[Store, _P], _R]") -> "Callable[Concatenate[Store, _P], _R]":
    @wraps(method)
    def done(self: "Store", /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return retry_while_unavailable(lambda: method(self, *args, **kwargs))

    return done


class Store:
    """Our tables at a database URL. `create` makes what is missing; without it nothing is ever written by opening."""

    def __init__(self, url: str, *, create: bool) -> None:
        self.url = _parsed(url)
        self._refuse_missing(create)
        with translate_db_errors(self.url):
            self.engine = _engine(self.url)
            self.engine.connect().close()  # what is not there now is not waited for
            if create:
                retry_while_unavailable(self._make_tables)
            elif not sa.inspect(self.engine).has_table(_studies.name):
                raise StudyError("holds no studies of mvsearch; give the study.db of one.", at=self.shown)

    def _make_tables(self) -> None:
        with translate_db_errors(self.url), self.locked("open"), self.engine.begin() as connection:
            _META.create_all(connection)

    @property
    def shown(self) -> str:
        """The URL without a password; the path alone for a file."""
        return self.url.database or "" if self._is_file else shown(self.url)

    @property
    def _is_file(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    def _refuse_missing(self, create: bool) -> None:
        if not self._is_file:
            return
        path = Path(self.url.database or "")
        if not create and not path.exists():
            raise StudyError("there is no such study; `mvsearch run SPACE` makes one.", at=path)
        if not path.parent.is_dir():
            raise EnvironmentFault("there is no such folder to keep a database in; make it first.", at=path.parent)

    def place(self, study: str) -> Path | None:
        """The folder beside a database file where the locks of a study are; None where the database is a server."""
        if not self._is_file:
            return None
        if Path(study).name != study:  # no study of ours is called so, but a database may come from anywhere
            raise StudyError(
                f"the name of study {study!r} leads out of its folder; nothing is done with it.", at=self.shown
            )
        path = Path(self.url.database or "").resolve()  # one place, however the path to it is written
        return path.parent if path.parent.name == study else path.with_name(f"{path.name}.{study}")

    @contextmanager
    def locked(self, what: str, *, fleeting: bool = False) -> Iterator[None]:
        """Wait until no other process, on whatever machine, holds the lock of that name in this database; hold it.

        A `fleeting` one leaves no file behind.
        """
        if self._is_file:
            path = Path(self.url.database or "").resolve()
            folder = path.with_name(f"{path.name}.locks")
            folder.mkdir(exist_ok=True)
            with FileLock(folder / what):
                try:
                    yield
                finally:
                    if fleeting:  # while it is held, so that who waits for it begins anew
                        with suppress(OSError):
                            (folder / what).unlink()
            return
        key = sa.func.hashtextextended(f"mvsearch {what}", 0)
        connection = retry_while_unavailable(lambda: self._asked(sa.func.pg_advisory_lock(key)))
        try:
            yield
        finally:
            with suppress(DBAPIError):  # the server went away, and the lock with it
                connection.execute(sa.select(sa.func.pg_advisory_unlock(key)))
            connection.close()

    def _asked(self, function: sa.ColumnElement[Any]) -> sa.Connection:
        """The connection on which the server was asked for something that lasts as long as it does."""
        with translate_db_errors(self.url):
            connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            try:
                connection.execute(sa.select(function))
            except BaseException:
                connection.close()
                raise
            return connection

    def claiming(self, study: str) -> AbstractContextManager[None]:
        """Let nobody else claim candidates of a study."""
        return self.locked(f"claim {study}")

    def ending(self, study: str, number: int) -> AbstractContextManager[None]:
        """Let nobody else end a candidate of a study, or take it for lost."""
        return self.locked(f"end {study} {number}", fleeting=True)

    def measuring(self, key: str, settings: str) -> AbstractContextManager[None]:
        """Let nobody else measure this architecture under these settings, in whatever study."""
        return self.locked(f"measure {key} {settings}", fleeting=True)

    # ---- studies

    @_patient
    def study(self, name: str) -> dict[str, Any] | None:
        """What a study was made with, or None; raises StudyError if a newer version wrote it."""
        with translate_db_errors(self.url), self.engine.connect() as connection:
            row = connection.execute(sa.select(_studies).where(_studies.c.name == name)).one_or_none()
        if row is None:
            return None
        if row.schema != SCHEMA:
            raise StudyError(
                f"study {name!r} was written by mvsearch {row.version} (format {row.schema}), this is "
                f"{__version__} (format {SCHEMA}); install that version, or start anew with --name.",
                at=self.shown,
            )
        return dict(row.facts)

    @_patient
    def names(self) -> list[str]:
        """The names of all studies here."""
        with translate_db_errors(self.url), self.engine.connect() as connection:
            return list(connection.execute(sa.select(_studies.c.name).order_by(_studies.c.name)).scalars())

    @_patient
    def add_study(self, name: str, facts: dict[str, Any]) -> None:
        """Note a new study and what its numbers will depend on."""
        row = {"name": name, "schema": SCHEMA, "version": __version__, "facts": facts, "created": time.time()}
        with translate_db_errors(self.url), self.engine.begin() as connection:
            connection.execute(sa.insert(_studies).values(**row))

    @_patient
    def amend_study(self, name: str, facts: dict[str, Any]) -> None:
        """Replace what is known of a study."""
        with translate_db_errors(self.url), self.engine.begin() as connection:
            connection.execute(sa.update(_studies).where(_studies.c.name == name).values(facts=facts))

    @_patient
    def rename_study(self, name: str, to: str) -> None:
        """Give a study another name in every table, in one transaction; Optuna's trials come along."""
        with translate_db_errors(self.url), self.engine.begin() as connection:
            connection.execute(sa.update(_studies).where(_studies.c.name == name).values(name=to))
            for table in _PARTS:
                connection.execute(sa.update(table).where(table.c.study == name).values(study=to))
            connection.execute(_trials_renamed(name, to))

    @_patient
    def remove_study(self, name: str, *, trials_to: str | None = None) -> None:
        """Forget a study, its records and its workers; the cache of evaluations stays.

        In the same transaction Optuna's trials get the name `trials_to`, if one is given.
        """
        with translate_db_errors(self.url), self.engine.begin() as connection:
            for table in _PARTS:
                connection.execute(sa.delete(table).where(table.c.study == name))
            connection.execute(sa.delete(_studies).where(_studies.c.name == name))
            if trials_to is not None:
                connection.execute(_trials_renamed(name, trials_to))

    # ---- candidates

    @_patient
    def remember(self, key: str, settings: str, metrics: Metrics, seconds: float, machine: dict[str, Any]) -> None:
        """Note a measurement for the cache before its candidate is finished: a rung, or a repeat."""
        with translate_db_errors(self.url), self.engine.begin() as connection:
            measured = {"metrics": metrics, "seconds": seconds, **self._origin(connection, machine)}
            self._once(connection, _evaluations, key=key, settings=settings, **measured)

    def _origin(self, connection: sa.Connection, machine: dict[str, Any]) -> dict[str, Any]:
        """Where and when a row was measured; the machine is noted if it is new."""
        from mvsearch.utils.machine import machine_id

        number = machine_id(machine)
        self._once(connection, _machines, id=number, description=machine)
        return {"machine": number, "finished": time.time()}

    @_patient
    def save(self, study: str, record: Record, *, settings: str, machine: dict[str, Any]) -> None:
        """Write a finished candidate, and its measurement for the cache, in one transaction.

        Raises StudyError if another has that number already; then the measurement alone is kept.
        """
        this = (_records.c.study == study, _records.c.number == record.number)
        with translate_db_errors(self.url), self.engine.begin() as connection:
            self._once(connection, _architectures, key=record.key, document=record.architecture)
            origin = self._origin(connection, machine)
            if record.state == "complete" and not record.cached:
                measured = {"metrics": record.metrics, "seconds": record.seconds, **origin}
                self._once(connection, _evaluations, key=record.key, settings=settings, **measured)
            row = {
                column: getattr(record, column)
                for column in (
                    "number",
                    "key",
                    "state",
                    "reason",
                    "metrics",
                    "choices",
                    "published",
                    "seconds",
                    "cached",
                )
            }
            self._once(connection, _records, study=study, **row, **origin)
            kept = connection.execute(sa.select(_records.c.key).where(*this)).scalar_one()
        if kept != record.key:
            raise StudyError(
                f"study {study!r} has a record {record.number} of another network ({kept}, this is "
                f"{record.key}), so its trials are not whole; start anew with --name, where the cache spares"
                " what was measured.",
                at=self.shown,
            )

    def _once(self, connection: sa.Connection, table: sa.Table, **row: Any) -> None:
        # One statement, not a look and a write: in SQLite a transaction that began by reading may not go on to write
        # once another has written.
        connection.execute(self._insert(table).values(**row).on_conflict_do_nothing())

    def _insert(self, table: sa.Table) -> Any:
        return (sqlite if self._is_file else postgresql).insert(table)

    @_patient
    def evaluation(self, key: str, settings: str) -> Metrics | None:
        """What an architecture measured under these settings before, or None."""
        same = (_evaluations.c.key == key, _evaluations.c.settings == settings)
        with translate_db_errors(self.url), self.engine.connect() as connection:
            metrics = connection.execute(sa.select(_evaluations.c.metrics).where(*same)).scalar_one_or_none()
        return dict(metrics) if metrics is not None else None

    @_patient
    def metrics(self, study: str, numbers: Sequence[int]) -> dict[int, Metrics]:
        """What was measured of finished candidates, by number; those that left no record are not in it."""
        columns = sa.select(_records.c.number, _records.c.metrics).where(_records.c.study == study)
        few = _records.c.number.in_(numbers) if len(numbers) < _FEW else sa.true()
        with translate_db_errors(self.url), self.engine.connect() as connection:
            rows = connection.execute(columns.where(few)).all()
        wanted = set(numbers)
        return {number: metrics for number, metrics in rows if number in wanted}

    @_patient
    def amend_record(self, study: str, number: int, metrics: Metrics) -> None:
        """Replace what was measured of a finished candidate, which was measured once more."""
        this = (_records.c.study == study, _records.c.number == number)
        with translate_db_errors(self.url), self.engine.begin() as connection:
            connection.execute(sa.update(_records).where(*this).values(metrics=metrics))

    @_patient
    def repeats(self, study: str) -> dict[int, str]:
        """Which candidates are being measured once more, and by which worker."""
        query = sa.select(_repeats.c.number, _repeats.c.worker).where(_repeats.c.study == study)
        with translate_db_errors(self.url), self.engine.connect() as connection:
            return {row.number: row.worker for row in connection.execute(query)}

    @_patient
    def begin_repeat(self, study: str, number: int, worker: str) -> None:
        """Note that a worker measures a candidate once more, in place of whoever said so before."""
        with translate_db_errors(self.url), self.engine.begin() as connection:
            connection.execute(_repeat(study, number))
            connection.execute(sa.insert(_repeats).values(study=study, number=number, worker=worker))

    @_patient
    def end_repeat(self, study: str, number: int) -> None:
        """It is done, or given up."""
        with translate_db_errors(self.url), self.engine.begin() as connection:
            connection.execute(_repeat(study, number))

    @_patient
    def count(self, study: str) -> int:
        """How many candidates of a study are finished."""
        query = sa.select(sa.func.count()).select_from(_records).where(_records.c.study == study)
        with translate_db_errors(self.url), self.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    @_patient
    def last(self, study: str) -> float | None:
        """When the last candidate of a study was finished, in seconds since 1970."""
        query = sa.select(sa.func.max(_records.c.finished)).where(_records.c.study == study)
        with translate_db_errors(self.url), self.engine.connect() as connection:
            found: float | None = connection.execute(query).scalar_one()
            return found

    @_patient
    def records(self, study: str, first: int = 0) -> list[Record]:
        """Every finished candidate of a study from a number on, in the order of their numbers."""
        query = (
            sa.select(_records, _architectures.c.document)
            .join(_architectures, _architectures.c.key == _records.c.key)
            .where(_records.c.study == study, _records.c.number >= first)
            .order_by(_records.c.number)
        )
        with translate_db_errors(self.url), self.engine.connect() as connection:
            return [_record(row) for row in connection.execute(query)]

    # ---- whole studies, and the cache

    @_patient
    def rows(self, study: str) -> dict[str, list[dict[str, Any]]]:
        """All that belongs to a study, by table: its records, and what they and its measurements refer to."""
        keys = sa.select(_records.c.key).where(_records.c.study == study)
        used = sa.select(_records.c.machine).where(_records.c.study == study)
        measured = sa.select(_evaluations.c.machine).where(_evaluations.c.key.in_(keys))
        queries = {
            "architectures": sa.select(_architectures).where(_architectures.c.key.in_(keys)).order_by("key"),
            "machines": sa.select(_machines)
            .where(_machines.c.id.in_(used) | _machines.c.id.in_(measured))
            .order_by("id"),
            "evaluations": sa.select(_evaluations).where(_evaluations.c.key.in_(keys)).order_by("key", "settings"),
            "records": sa.select(*(c for c in _records.c if c.name != "study"))
            .where(_records.c.study == study)
            .order_by("number"),
        }
        with translate_db_errors(self.url), self.engine.connect() as connection:
            return {table: [dict(row) for row in connection.execute(q).mappings()] for table, q in queries.items()}

    def put_rows(
        self, study: str, facts: dict[str, Any], rows: dict[str, list[dict[str, Any]]], *, trials: str
    ) -> None:
        """Add a study with rows as `rows` gave them, in one transaction; what is known already stays as it is.

        In the same transaction Optuna's trials, which were put under the name `trials`, get that of the study.
        """
        with translate_db_errors(self.url), self.engine.begin() as connection:
            row = {"name": study, "schema": SCHEMA, "version": __version__, "facts": facts, "created": time.time()}
            connection.execute(sa.insert(_studies).values(**row))
            for name, found in rows.items():
                for row in found:
                    self._once(connection, _SENT[name], **({"study": study} if name == "records" else {}), **row)
            connection.execute(_trials_renamed(trials, study))

    @_patient
    def cached(self) -> list[dict[str, Any]]:
        """The cache by settings: how many measurements, the seconds that they took, when the last was made."""
        fields = _evaluations.c
        query = sa.select(
            fields.settings,
            sa.func.count().label("measurements"),
            sa.func.sum(fields.seconds).label("seconds"),
            sa.func.max(fields.finished).label("last"),
        ).group_by(fields.settings)
        with translate_db_errors(self.url), self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query.order_by(fields.settings)).mappings()]

    def forget_evaluations(self, *, before: float) -> int:
        """Take measurements that were made before a time out of the cache; how many those were."""
        with translate_db_errors(self.url), self.engine.begin() as connection:
            return connection.execute(sa.delete(_evaluations).where(_evaluations.c.finished < before)).rowcount

    # ---- workers of a server

    def heartbeat(self, study: str, name: str, host: str) -> None:
        """Increment a worker's counter, from 0 if it is new; raises DatabaseUnavailable without retrying."""
        insert = self._insert(_workers).values(study=study, name=name, host=host, beat=0, words={})
        rises = sa.func.coalesce(_workers.c.beat, 0) + 1
        with translate_db_errors(self.url), self.engine.begin() as connection:
            connection.execute(insert.on_conflict_do_update(index_elements=["study", "name"], set_={"beat": rises}))

    @_patient
    def heartbeats(self, study: str) -> dict[str, int]:
        """The counters of all registered workers."""
        query = sa.select(_workers.c.name, _workers.c.beat).where(
            _workers.c.study == study, _workers.c.beat.is_not(None)
        )
        with translate_db_errors(self.url), self.engine.connect() as connection:
            return {row.name: row.beat for row in connection.execute(query)}

    @_patient
    def evict(self, study: str, name: str, beat: int) -> None:
        """Remove a worker, unless its counter was incremented meanwhile."""
        this = (_workers.c.study == study, _workers.c.name == name, _workers.c.beat == beat)
        with translate_db_errors(self.url), self.engine.begin() as connection:
            connection.execute(sa.delete(_workers).where(*this))

    def deregister(self, study: str, name: str) -> None:
        """Note that a worker sends no heartbeats any more; its last status stays."""
        this = (_workers.c.study == study, _workers.c.name == name)
        with translate_db_errors(self.url), self.engine.begin() as connection:
            connection.execute(sa.update(_workers).where(*this).values(beat=None))

    def delete_worker(self, study: str, name: str) -> None:
        """Remove a worker that sends no heartbeats any more."""
        this = (_workers.c.study == study, _workers.c.name == name, _workers.c.beat.is_(None))
        with translate_db_errors(self.url), self.engine.begin() as connection:
            connection.execute(sa.delete(_workers).where(*this))

    def set_status(self, study: str, name: str, status: dict[str, Any]) -> None:
        """Write the status of a worker; raises DatabaseUnavailable without retrying."""
        insert = self._insert(_workers).values(study=study, name=name, host="", beat=None, words=status)
        with translate_db_errors(self.url), self.engine.begin() as connection:
            connection.execute(insert.on_conflict_do_update(index_elements=["study", "name"], set_={"words": status}))

    @_patient
    def statuses(self, study: str) -> dict[str, dict[str, Any]]:
        """The last status of every worker, by name."""
        query = sa.select(_workers.c.name, _workers.c.words).where(_workers.c.study == study)
        with translate_db_errors(self.url), self.engine.connect() as connection:
            return {row.name: row.words for row in connection.execute(query.order_by(_workers.c.name))}

    @_patient
    def machines(self, study: str) -> list[dict[str, Any]]:
        """The machines that a study's candidates were measured on."""
        used = sa.select(_records.c.machine).where(_records.c.study == study)
        query = sa.select(_machines.c.description).where(_machines.c.id.in_(used)).order_by(_machines.c.id)
        with translate_db_errors(self.url), self.engine.connect() as connection:
            return list(connection.execute(query).scalars())


def _trials_renamed(name: str, to: str) -> sa.Update:
    return sa.update(_trials).where(_trials.c.study_name == name).values(study_name=to)


def refuse_misfits(rows: dict[str, list[Any]], source: str) -> None:
    """Raises StudyError for rows that `put_rows` cannot take: of other tables, columns or types."""
    for name, found in rows.items():
        columns = [column for column in _SENT[name].c if column.name != "study"] if name in _SENT else []
        if not columns or not all(isinstance(row, dict) and _fits(columns, row) for row in found):
            raise StudyError(f"rows of {name!r} do not fit format {SCHEMA}; were they edited?", at=source)


def _fits(columns: list[sa.Column[Any]], row: dict[str, Any]) -> bool:
    return row.keys() <= {column.name for column in columns} and all(_holds(c, row.get(c.name)) for c in columns)


def _holds(column: sa.Column[Any], value: Any) -> bool:
    if value is None:
        return bool(column.nullable)
    return type(value) is (dict if isinstance(column.type, sa.JSON) else column.type.python_type)


def _repeat(study: str, number: int) -> sa.Delete:
    return sa.delete(_repeats).where(_repeats.c.study == study, _repeats.c.number == number)


def _record(row: Any) -> Record:
    return Record(
        number=row.number,
        key=row.key,
        state=row.state,
        reason=row.reason,
        metrics=row.metrics,
        choices=row.choices,
        architecture=row.document,
        published=row.published,
        seconds=row.seconds,
        cached=row.cached,
    )


def shown(url: URL) -> str:
    """A URL as it may be printed and kept: its password as ***, settings that may hold a secret left out."""
    return url.difference_update_query(url.query.keys() - set(_HARMLESS)).render_as_string(hide_password=True)


def _parsed(url: str) -> URL:
    # What cannot be parsed is not repeated: nobody knows where in it a password is.
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise StudyError(
            "this is no database URL; write e.g. sqlite:///studies/v3/study.db or postgresql+psycopg://me@host/nas, "
            "and in a password %40 for @, %3A for : and %2F for /."
        ) from None
    if parsed.drivername not in _DATABASES:
        hint = plugins.suggest(parsed.drivername, _DATABASES)
        raise StudyError(f"{parsed.drivername}: no such kind of database; {hint}")
    is_file = parsed.get_backend_name() == "sqlite"
    if is_file and parsed.database in (None, "", ":memory:"):
        raise StudyError("a study outlives its process; name a file for it, e.g. sqlite:///studies/v3/study.db.")
    if not is_file and url.count("@") > 1:  # what comes after the first would be taken for a host, and printed
        raise StudyError("this database URL has more than one @; write %40 for those in a name or a password.")
    return parsed


def _engine(url: URL) -> Engine:
    engine = sa.create_engine(
        url, connect_args=connect_args(url), json_serializer=lambda value: json.dumps(_plain(value))
    )
    tune(engine)
    return engine


def _plain(value: Any) -> Any:
    """As JSON takes it in every database: a number that is not finite was not measured, and is left out."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items() if not _unmeasured(each)}
    if isinstance(value, list | tuple):
        return [None if _unmeasured(each) else _plain(each) for each in value]
    if value is None or isinstance(value, str | int | float):
        return value
    return float(value) if isinstance(value, Real) else str(value)


def _unmeasured(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, int) and not math.isfinite(value)


@contextmanager
def translate_db_errors(url: URL) -> Iterator[None]:
    """Database trouble as one sentence."""
    place = shown(url)
    try:
        yield
    except NoSuchModuleError:
        hint = plugins.suggest(url.drivername, _DATABASES)
        raise StudyError(f"no such kind of database; {hint}", at=place) from None
    except ModuleNotFoundError as error:
        hint = "pip install 'mvsearch[postgres]'"
        raise EnvironmentFault(f"the database driver {error.name!r} is not installed; {hint}.", at=place) from None
    except (DataError, IntegrityError) as error:
        raise StudyError(f"the database does not take what is to be written ({_cause(error)}).", at=place) from None
    except (DBAPIError, PendingRollbackError) as error:  # the latter where somebody asked again on a lost connection
        lost = isinstance(error, OperationalError | PendingRollbackError) or error.connection_invalidated
        if not lost:
            raise StudyError(f"this is no database that can be read ({_cause(error)}).", at=place) from None
        away = EnvironmentFault if url.get_backend_name() == "sqlite" else DatabaseUnavailable
        raise away(f"{place}: the database cannot be used ({_cause(error)}).{_room(url)}") from None
    except SQLAlchemyError as error:
        raise StudyError(f"{_cause(error)}.", at=place) from None


def _room(url: URL) -> str:
    """What to do where a file has no room: SQLite needs some even to read, and does not always say so."""
    folder = Path(url.database or "").absolute().parent
    full = url.get_backend_name() == "sqlite" and folder.is_dir() and shutil.disk_usage(folder).free < _LEAST_ROOM
    return " The disk is full: make room, and the same command goes on; nothing finished is lost." if full else ""


def _cause(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
