"""The tables of finished trials, and of those that are being measured with a further seed.

One finished trial is one transaction: its record, its measurement for the cache, its architecture and its machine.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from mvsearch.errors import StudyError
from mvsearch.metrics.record import Metrics, Record
from mvsearch.study.storage.database import Database, with_retries
from mvsearch.study.storage.schema import architectures, evaluations, records, repeats

_MAX_NUMBER = 2**31 - 1  # that an integer of every database holds
_MAX_NUMBERS = 500  # that are named in one query
_COLUMNS = ("number", "key", "state", "reason", "metrics", "choices", "published", "seconds", "cached")


class Records(Database):
    """Finished trials by study and number."""

    @with_retries
    def save_record(self, study: str, record: Record, *, settings: str, machine: dict[str, Any]) -> None:
        """Write a finished trial, and its measurement for the cache, in one transaction.

        Raises StudyError if another network has that number already; then only the measurement is kept.
        """
        with self._write() as connection:
            self._insert_new(connection, architectures, key=record.key, document=record.architecture)
            origin = self._origin(connection, machine)
            if record.state == "complete" and not record.cached:
                measured = {"metrics": record.metrics, "seconds": record.seconds, **origin}
                self._replace(connection, evaluations, key=record.key, settings=settings, **measured)
            row = {column: getattr(record, column) for column in _COLUMNS}
            self._insert_new(connection, records, study=study, **row, **origin)
            stored = connection.execute(sa.select(records.c.key).where(*_is(study, record.number))).scalar_one()
        if stored != record.key:
            raise StudyError(
                f"study {study!r} has a record {record.number} of another network ({stored}; this is {record.key}), so "
                "its trials are damaged; start a new study with --name: what was measured is in the cache.",
                at=self.display_url,
            )

    @with_retries
    def record(self, study: str, number: int) -> Record | None:
        """One finished trial; None if it has no record."""
        if number > _MAX_NUMBER:
            return None
        with self._read() as connection:
            row = connection.execute(_SELECT.where(*_is(study, number))).one_or_none()
        return None if row is None else _record(row)

    @with_retries
    def records(self, study: str, first: int = 0) -> list[Record]:
        """Every finished trial of a study from a number on, in the order of their numbers."""
        query = _SELECT.where(records.c.study == study, records.c.number >= first).order_by(records.c.number)
        with self._read() as connection:
            return [_record(row) for row in connection.execute(query)]

    @with_retries
    def states(self, study: str) -> dict[int, str]:
        """The state of every finished trial of a study by number: complete, pruned or failed."""
        query = sa.select(records.c.number, records.c.state).where(records.c.study == study)
        with self._read() as connection:
            return {row.number: row.state for row in connection.execute(query.order_by(records.c.number))}

    @with_retries
    def count(self, study: str) -> int:
        """How many trials of a study are finished."""
        query = sa.select(sa.func.count()).select_from(records).where(records.c.study == study)
        with self._read() as connection:
            return int(connection.execute(query).scalar_one())

    @with_retries
    def last_finish_time(self, study: str) -> float | None:
        """When the last trial of a study finished, in seconds since 1970."""
        query = sa.select(sa.func.max(records.c.finished)).where(records.c.study == study)
        with self._read() as connection:
            last: float | None = connection.execute(query).scalar_one()
            return last

    @with_retries
    def metrics(self, study: str, numbers: Sequence[int]) -> dict[int, Metrics]:
        """The metrics of some finished trials by number; trials without a record are left out."""
        query = sa.select(records.c.number, records.c.metrics).where(records.c.study == study)
        chosen = records.c.number.in_(numbers) if len(numbers) < _MAX_NUMBERS else sa.true()
        with self._read() as connection:
            rows = connection.execute(query.where(chosen)).all()
        chosen_numbers = set(numbers)
        return {number: metrics for number, metrics in rows if number in chosen_numbers}

    @with_retries
    def rung_scores(self, study: str, steps: int) -> dict[int, Metrics]:
        """The metrics of every finished trial that was scored at a rung, with the scores of that rung, by number."""
        scored = records.c.metrics[("rungs", str(steps))].as_string().is_not(None)
        query = sa.select(records.c.number, records.c.metrics).where(records.c.study == study, scored)
        with self._read() as connection:
            rows = connection.execute(query.order_by(records.c.number)).all()
        return {number: metrics | metrics["rungs"][str(steps)] for number, metrics in rows}

    @with_retries
    def update_metrics(self, study: str, number: int, metrics: Metrics) -> None:
        """Replace the metrics of a finished trial, which was measured with a further seed."""
        with self._write() as connection:
            connection.execute(sa.update(records).where(*_is(study, number)).values(metrics=metrics))

    # ---- claims of replicates

    @with_retries
    def replicate_claims(self, study: str) -> dict[int, str]:
        """The trials that are being measured with a further seed, and the worker of each."""
        query = sa.select(repeats.c.number, repeats.c.worker).where(repeats.c.study == study)
        with self._read() as connection:
            return {row.number: row.worker for row in connection.execute(query)}

    @with_retries
    def claim_replicate(self, study: str, number: int, worker: str) -> None:
        """Record that a worker measures a trial with a further seed, in place of an earlier worker."""
        with self._write() as connection:
            connection.execute(_delete_claim(study, number))
            connection.execute(sa.insert(repeats).values(study=study, number=number, worker=worker))

    @with_retries
    def release_replicate(self, study: str, number: int) -> None:
        """Remove the claim: the replicate is measured, or could not be."""
        with self._write() as connection:
            connection.execute(_delete_claim(study, number))


_SELECT = sa.select(records, architectures.c.document).join(architectures, architectures.c.key == records.c.key)


def _is(study: str, number: int) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return records.c.study == study, records.c.number == number


def _delete_claim(study: str, number: int) -> sa.Delete:
    return sa.delete(repeats).where(repeats.c.study == study, repeats.c.number == number)


def _record(row: Any) -> Record:
    return Record(architecture=row.document, **{column: getattr(row, column) for column in _COLUMNS})
