"""How a study goes, for the process that started its workers: counts of trials, the Pareto front, and the end."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from mvsearch.errors import StudyError
from mvsearch.metrics.pareto import front
from mvsearch.metrics.record import Record
from mvsearch.study.plan import Plan
from mvsearch.study.reader import Reader
from mvsearch.study.reevaluation import replicates

_LOG = logging.getLogger(__name__)


class StudyProgress:
    """How many trials ended in which state (`states`), and the `front` within the limits, as of the last `poll`.

    Apart from the front nothing is kept that grows with the study: records here have neither rows nor choices.
    """

    def __init__(self, plan: Plan, reader: Reader) -> None:
        self.plan, self.reader = plan, reader
        self.states: Counter[str] = Counter()
        self.front: list[Record] = []
        self._first = 0
        """All numbers below it are finished and counted."""
        self._counted = set[int]()
        """The numbers from `_first` on that are counted."""
        self._replicates: dict[int, int] = {}
        self.poll()

    @property
    def count(self) -> int:
        """How many trials are finished."""
        return self.states.total()

    def poll(self) -> list[Record]:
        """The trials that finished or were re-evaluated since the last call."""
        if self.plan.remeasures and self.count >= self.plan.search.trials:
            return self._poll_reevaluations()
        if self.reader.count() == self.count:
            return []
        records = [record for record in self.reader.records(self._first) if record.number not in self._counted]
        new = [_without_rows(record) for record in records]
        self.states.update(record.state for record in new)
        self.front = front([*self.front, *self.reader.within_limits(new)], self.plan.objectives)
        self._replicates |= _count_replicates(new)
        self._counted |= {record.number for record in new}
        while self._first in self._counted:
            self._counted.remove(self._first)
            self._first += 1
        return new

    def _poll_reevaluations(self) -> list[Record]:
        """Trials that were measured again. They may leave the front, and others may return to it."""
        records = self.reader.records()
        self.states = Counter(record.state for record in records)
        members = front(self.reader.within_limits(records), self.plan.objectives)
        self.front = [_without_rows(member) for member in members]
        before, self._replicates = self._replicates, _count_replicates(records)
        return [r for r in records if self._replicates.get(r.number, 1) > before.get(r.number, 1)]


def check_finished(plan: Plan, reader: Reader, errors: Sequence[str], *, succeeded: bool, end: str = "") -> None:
    """Raises StudyError if all workers ended before the study was finished; else the errors of some are logged.

    `errors` are those of workers, `succeeded` whether one ended without, `end` a word about how they ended.
    """
    complete = reader.count() >= plan.search.trials
    if (complete and (succeeded or not plan.remeasures)) or (reader.exhausted and succeeded):
        for error in errors:
            _LOG.warning("%s", error)
        return
    if errors:
        raise StudyError(errors[0])
    raise StudyError(
        f"the workers ended{end} with {reader.count()} of {plan.search.trials} trials done; finished trials are kept: "
        "run the same command to resume."
    )


def _without_rows(record: Record) -> Record:
    """The record without what takes memory; the image size is what its MACs are labelled with."""
    return replace(record, architecture={"image_size": record.architecture.get("image_size")}, choices={})


def _count_replicates(records: list[Record]) -> dict[int, int]:
    """How often each trial was measured, of those that were measured more than once."""
    return {record.number: n for record in records if (n := len(replicates(record))) > 1}
