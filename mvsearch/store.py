"""The database of studies: our tables beside Optuna's own, in the same file.

    studies        name, what it searches, what its numbers depend on
    records        one finished candidate each, complete: what `front` and `compare` read, without Optuna
    evaluations    the cache: metrics by architecture and settings, so that nothing is paid for twice
    architectures  each network once, by key
    machines       what the numbers were measured on

One finished candidate is one transaction.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError, SQLAlchemyError

from mvsearch import __version__, plugins
from mvsearch.errors import EnvironmentFault, StudyError
from mvsearch.record import Metrics, Record

SCHEMA = 1
_META = sa.MetaData()

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
    sa.Column("reason", sa.Text),
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


class Store:
    """Our tables at a database URL. `create` makes what is missing; without it nothing is ever written by opening."""

    def __init__(self, url: str, *, create: bool) -> None:
        self.url = _parsed(url)
        self._refuse_missing(create)
        with told(self.url):
            self.engine = _engine(self.url)
            if create:
                self._make_tables()
            elif not sa.inspect(self.engine).has_table(_studies.name):
                raise StudyError(f"{self.shown}: holds no studies of mvsearch; give the study.db of one.")

    def _make_tables(self) -> None:
        # IF NOT EXISTS, not a look and then a CREATE: two workers may be the first at once.
        with self.engine.begin() as connection:
            for table in _META.sorted_tables:
                connection.execute(sa.schema.CreateTable(table, if_not_exists=True))

    @property
    def shown(self) -> str:
        """The URL without a password; the path alone for a file."""
        return self.url.database or "" if self._is_file else self.url.render_as_string()

    @property
    def _is_file(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    def _refuse_missing(self, create: bool) -> None:
        if not self._is_file:
            return
        path = Path(self.url.database or "")
        if not create and not path.exists():
            raise StudyError(f"{path}: there is no such study; `mvsearch run SPACE` makes one.")
        if not path.parent.is_dir():
            raise EnvironmentFault(f"{path.parent}: there is no such folder to keep a database in; make it first.")

    # ---- studies

    def study(self, name: str) -> dict[str, Any] | None:
        """What a study was made with, or None; raises StudyError if a newer version wrote it."""
        with told(self.url), self.engine.connect() as connection:
            row = connection.execute(sa.select(_studies).where(_studies.c.name == name)).one_or_none()
        if row is None:
            return None
        if row.schema != SCHEMA:
            raise StudyError(
                f"{self.shown}: study {name!r} was written by mvsearch {row.version} (format {row.schema}), this is "
                f"{__version__} (format {SCHEMA}); install that version, or start anew with --name."
            )
        return dict(row.facts)

    def names(self) -> list[str]:
        """The names of all studies here."""
        with told(self.url), self.engine.connect() as connection:
            return list(connection.execute(sa.select(_studies.c.name).order_by(_studies.c.name)).scalars())

    def add_study(self, name: str, facts: dict[str, Any]) -> None:
        """Note a new study and what its numbers will depend on."""
        row = {"name": name, "schema": SCHEMA, "version": __version__, "facts": facts, "created": time.time()}
        with told(self.url), self.engine.begin() as connection:
            connection.execute(sa.insert(_studies).values(**row))

    def amend_study(self, name: str, facts: dict[str, Any]) -> None:
        """Replace what is known of a study."""
        with told(self.url), self.engine.begin() as connection:
            connection.execute(sa.update(_studies).where(_studies.c.name == name).values(facts=facts))

    def remove_study(self, name: str) -> None:
        """Forget a study and its records; the cache of evaluations stays."""
        with told(self.url), self.engine.begin() as connection:
            connection.execute(sa.delete(_records).where(_records.c.study == name))
            connection.execute(sa.delete(_studies).where(_studies.c.name == name))

    # ---- candidates

    def save(self, study: str, record: Record, *, settings: str, machine: dict[str, Any] | None) -> None:
        """Write a finished candidate, and its measurement for the cache, in one transaction."""
        from mvsearch.machine import machine_id

        number = machine_id(machine) if machine else None
        now = time.time()
        with told(self.url), self.engine.begin() as connection:
            self._once(connection, _architectures, key=record.key, document=record.architecture)
            if machine:
                self._once(connection, _machines, id=number, description=machine)
            if record.state == "complete" and not record.cached:
                measured = {"metrics": record.metrics, "seconds": record.seconds, "machine": number, "finished": now}
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
            connection.execute(sa.insert(_records).values(study=study, machine=number, finished=now, **row))

    def _once(self, connection: sa.Connection, table: sa.Table, **row: Any) -> None:
        # One statement, not a look and a write: in SQLite a transaction that began by reading may not go on to write
        # once another has written.
        insert = postgresql.insert if self.engine.dialect.name == "postgresql" else sqlite.insert
        connection.execute(insert(table).values(**row).on_conflict_do_nothing())

    def evaluation(self, key: str, settings: str) -> Metrics | None:
        """What an architecture measured under these settings before, or None."""
        same = (_evaluations.c.key == key, _evaluations.c.settings == settings)
        with told(self.url), self.engine.connect() as connection:
            metrics = connection.execute(sa.select(_evaluations.c.metrics).where(*same)).scalar_one_or_none()
        return dict(metrics) if metrics is not None else None

    def count(self, study: str) -> int:
        """How many candidates of a study are finished."""
        query = sa.select(sa.func.count()).select_from(_records).where(_records.c.study == study)
        with told(self.url), self.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def records(self, study: str) -> list[Record]:
        """Every finished candidate of a study, in the order of their numbers."""
        query = (
            sa.select(_records, _architectures.c.document)
            .join(_architectures, _architectures.c.key == _records.c.key)
            .where(_records.c.study == study)
            .order_by(_records.c.number)
        )
        with told(self.url), self.engine.connect() as connection:
            return [_record(row) for row in connection.execute(query)]

    def machines(self, study: str) -> list[dict[str, Any]]:
        """The machines that a study's candidates were measured on."""
        used = sa.select(_records.c.machine).where(_records.c.study == study)
        query = sa.select(_machines.c.description).where(_machines.c.id.in_(used)).order_by(_machines.c.id)
        with told(self.url), self.engine.connect() as connection:
            return list(connection.execute(query).scalars())


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


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError:
        raise StudyError(f"{url!r} is no database URL; write e.g. sqlite:///studies/v3/study.db.") from None


def _engine(url: URL) -> Engine:
    engine = sa.create_engine(url)
    if url.get_backend_name() == "sqlite":
        tune(engine)
    return engine


def tune(engine: Engine) -> None:
    """Write-ahead log, one sync a checkpoint, patient waiting: for SQLite with several workers."""

    @sa.event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _: Any) -> None:
        for pragma in ("busy_timeout=60000", "journal_mode=WAL", "synchronous=NORMAL"):
            connection.execute(f"PRAGMA {pragma}")


@contextmanager
def told(url: URL) -> Iterator[None]:
    """Database trouble as one sentence."""
    shown = url.render_as_string(hide_password=True)
    try:
        yield
    except NoSuchModuleError:
        known = ("sqlite", "postgresql+psycopg", "mysql+pymysql")
        raise StudyError(f"{shown}: no such kind of database; {plugins.suggest(url.drivername, known)}") from None
    except ModuleNotFoundError as error:
        raise EnvironmentFault(f"{shown}: the database driver {error.name!r} is not installed.") from None
    except OperationalError as error:
        raise EnvironmentFault(f"{shown}: the database cannot be used ({_cause(error)}).") from None
    except DatabaseError as error:
        raise StudyError(f"{shown}: this is no database that can be read ({_cause(error)}).") from None
    except SQLAlchemyError as error:
        raise StudyError(f"{shown}: {_cause(error)}.") from None


def _cause(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
