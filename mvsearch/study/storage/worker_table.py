"""The table of workers, for a database server: each worker increments a number of its own while it runs.

Methods that send raise DatabaseUnavailable at once, for the next heartbeat follows soon.
"""

from typing import Any

import sqlalchemy as sa

from mvsearch.study.storage.database import Database, with_retries
from mvsearch.study.storage.schema import workers


class WorkerTable(Database):
    """Heartbeats and statuses by study and worker."""

    def heartbeat(self, study: str, name: str, host: str) -> None:
        """Increment a worker's number; a new worker is registered."""
        insert = self._insert(workers).values(study=study, name=name, host=host, counter=0, status={})
        increment = {workers.c.counter: sa.func.coalesce(workers.c.counter, 0) + 1}
        with self._write() as connection:
            connection.execute(insert.on_conflict_do_update(index_elements=["study", "name"], set_=increment))

    @with_retries
    def heartbeats(self, study: str) -> dict[str, int]:
        """The numbers of all registered workers."""
        query = sa.select(workers.c.name, workers.c.counter).where(
            workers.c.study == study, workers.c.counter.is_not(None)
        )
        with self._read() as connection:
            return {row.name: row.counter for row in connection.execute(query)}

    @with_retries
    def evict(self, study: str, name: str, counter: int) -> None:
        """Delete a worker that is considered dead, unless it has sent another heartbeat."""
        with self._write() as connection:
            connection.execute(sa.delete(workers).where(*_is(study, name), workers.c.counter == counter))

    def deregister(self, study: str, name: str) -> None:
        """Record that a worker sends no more heartbeats; its last status stays."""
        with self._write() as connection:
            connection.execute(sa.update(workers).where(*_is(study, name)).values(counter=None))

    def delete_worker(self, study: str, name: str) -> None:
        """Delete a worker that is deregistered."""
        with self._write() as connection:
            connection.execute(sa.delete(workers).where(*_is(study, name), workers.c.counter.is_(None)))

    def set_status(self, study: str, name: str, status: dict[str, Any]) -> None:
        """Record what a worker does."""
        insert = self._insert(workers).values(study=study, name=name, host="", counter=None, status=status)
        with self._write() as connection:
            connection.execute(
                insert.on_conflict_do_update(index_elements=["study", "name"], set_={workers.c.status: status})
            )

    @with_retries
    def statuses(self, study: str) -> dict[str, dict[str, Any]]:
        """The last status of every worker, by name."""
        query = sa.select(workers.c.name, workers.c.status).where(workers.c.study == study)
        with self._read() as connection:
            return {row.name: row.status for row in connection.execute(query.order_by(workers.c.name))}


def _is(study: str, name: str) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return workers.c.study == study, workers.c.name == name
