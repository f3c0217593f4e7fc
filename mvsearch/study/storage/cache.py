"""The cache of evaluations: metrics by architecture and settings, for every study of the database."""

from typing import Any

import sqlalchemy as sa

from mvsearch.metrics.record import Metrics
from mvsearch.study.storage.database import Database, with_retries
from mvsearch.study.storage.schema import evaluations


class EvaluationCache(Database):
    """Measurements by architecture key and settings key."""

    @with_retries
    def evaluation(self, key: str, settings: str) -> Metrics | None:
        """What was measured of an architecture under these settings before, or None."""
        same = (evaluations.c.key == key, evaluations.c.settings == settings)
        with self._read() as connection:
            metrics = connection.execute(sa.select(evaluations.c.metrics).where(*same)).scalar_one_or_none()
        return dict(metrics) if metrics is not None else None

    @with_retries
    def cache_evaluation(
        self, key: str, settings: str, metrics: Metrics, seconds: float, machine: dict[str, Any]
    ) -> None:
        """Add a measurement that is not the whole of a trial: a rung, or a replicate. It replaces an earlier one."""
        with self._write() as connection:
            measured = {"metrics": metrics, "seconds": seconds, **self._origin(connection, machine)}
            self._replace(connection, evaluations, key=key, settings=settings, **measured)

    @with_retries
    def cache_summary(self) -> list[dict[str, Any]]:
        """The cache by settings: the number of measurements, the seconds that they took, and when the last was made."""
        columns = evaluations.c
        query = sa.select(
            columns.settings,
            sa.func.count().label("measurements"),
            sa.func.sum(columns.seconds).label("seconds"),
            sa.func.max(columns.finished).label("last"),
        ).group_by(columns.settings)
        with self._read() as connection:
            return [dict(row) for row in connection.execute(query.order_by(columns.settings)).mappings()]

    def delete_evaluations(self, *, before: float) -> int:
        """Delete measurements that were made before a time (seconds since 1970), and return their number."""
        with self._write() as connection:
            return connection.execute(sa.delete(evaluations).where(evaluations.c.finished < before)).rowcount
