"""How a study stands, for those who started its workers: candidates are counted, and only the front is kept."""

from collections import Counter
from dataclasses import replace

from mvsearch.metrics.pareto import front
from mvsearch.metrics.record import Record
from mvsearch.study.plan import Plan
from mvsearch.study.reader import Reader
from mvsearch.study.reevaluation import repeats


class StudyProgress:
    """How many candidates came to which end (`states`), and the `front` of them all, as of the last `look`.

    Beside the front nothing is kept that grows with the study. Records here have no architecture and no choices.
    """

    def __init__(self, plan: Plan, reader: Reader) -> None:
        self.plan, self.reader = plan, reader
        self.states: Counter[str] = Counter()
        self.front: list[Record] = []
        self._settled, self._beyond = 0, set[int]()  # all below a number are known, and those beyond it
        self._times: dict[int, int] = {}
        self.look()

    @property
    def count(self) -> int:
        """How many candidates are finished."""
        return self.states.total()

    def look(self) -> list[Record]:
        """What finished since the last look, and what was measured again."""
        if self.plan.search.confirm and self.count >= self.plan.search.trials:
            return self._again()
        if self.reader.count() == self.count:
            return []
        found = [record for record in self.reader.records(self._settled) if record.number not in self._beyond]
        news = [replace(record, architecture={}, choices={}) for record in found]
        self.states.update(record.state for record in news)
        self.front = front([*self.front, *news], self.plan.objectives)
        self._times |= _times(news)
        self._beyond |= {record.number for record in news}
        while self._settled in self._beyond:
            self._beyond.remove(self._settled)
            self._settled += 1
        return news

    def _again(self) -> list[Record]:
        """Candidates that were measured once more: they may leave the front, and others come back to it."""
        records = self.reader.records()
        self.states = Counter(record.state for record in records)
        self.front = [replace(each, architecture={}, choices={}) for each in front(records, self.plan.objectives)]
        before, self._times = self._times, _times(records)
        return [record for record in records if self._times.get(record.number, 1) > before.get(record.number, 1)]


def _times(records: list[Record]) -> dict[int, int]:
    """How often each was measured, of those that were more than once."""
    return {record.number: n for record in records if (n := len(repeats(record))) > 1}
