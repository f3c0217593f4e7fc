"""How long a study still takes: what trials take replaces what was estimated, from their first steps on."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mvsearch.metrics.record import Record
from mvsearch.study.plan import Plan
from mvsearch.study.reader import Reader
from mvsearch.study.short_list import REPLICATES, SHORT_LIST
from mvsearch.study.target import TARGET_REPLICATES
from mvsearch.study.trial_time import TrialTime


class TimeLeft:
    """How long a study still takes: what was estimated, and the more is measured, what that shows."""

    def __init__(
        self,
        trial: TrialTime,
        plan: Plan,
        reader: Reader,
        workers: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.trial, self.total = trial, plan.search.trials
        self.workers = max(1, min(workers, os.cpu_count() or 1))
        self.done = reader.count()
        self._pending = {name: trial.seconds(macs) for name, macs in _pending_published(plan, reader).items()}
        self._estimated = 0.5 * trial.mean_s
        self._seconds = self._estimated * trial.stretch
        """The estimated seconds of what was measured, and the measured: the estimate counts as half a trial."""
        self._target_first = TARGET_REPLICATES if plan.target else 0
        self._short_list_last = SHORT_LIST * (REPLICATES - 1) if plan.target and plan.search.confirm else 0
        self._finished = {record.number for record in reader.records()}
        self._running: dict[str, tuple[int, float, float]] = {}
        """For each worker its trial, when that was first seen to progress, and its share of the trial then."""
        self._clock = clock

    @property
    def measurements(self) -> int:
        """How often the network to beat, before the trials, and the short list, after them, are still measured."""
        return self._short_list_last + (0 if self.done else self._target_first)

    def update(self, done: int, new: Sequence[Record], statuses: Sequence[Mapping[str, Any]]) -> float:
        """The seconds that are left, after these trials finished, while workers do this."""
        self.done = done
        self._finished |= {record.number for record in new}
        for record in new:
            self._pending.pop(record.published or "", None)
            if not record.cached:
                self._estimated += self.trial.seconds(record.metrics.get("macs"))
                self._seconds += record.seconds
        running = {
            str(status["worker"]): (int(status["number"]), float(status["share"]), self._of_status(status))
            for status in statuses
            if status.get("share") and status.get("number") not in {None, *self._finished}
        }
        left = self._unstarted_s() - sum(share * seconds for _, share, seconds in running.values())
        return max(0.0, left) * self._pace(running) / max(1, min(self.workers, self._unfinished))

    def _of_status(self, status: Mapping[str, Any]) -> float:
        return self._pending.get(status["name"], self.trial.mean_s)

    @property
    def _unfinished(self) -> int:
        """The trials that are not finished, and the measurements beside them: each occupies one worker."""
        return max(0, self.total - self.done) + self.measurements

    def _unstarted_s(self) -> float:
        """Their estimated seconds."""
        published = list(self._pending.values())[: max(0, self.total - self.done)]
        return sum(published) + (self._unfinished - len(published)) * self.trial.mean_s

    def _pace(self, running: Mapping[str, tuple[int, float, float]]) -> float:
        """The seconds of a worker for each that was estimated."""
        now, estimated, seconds = self._clock(), self._estimated, self._seconds
        for worker, (number, share, trial_s) in running.items():
            trial, start, first = self._running.get(worker, (number, now, share))
            if trial != number:
                start, first = now, share
            self._running[worker] = number, start, first
            estimated += (share - first) * trial_s
            seconds += now - start
        return seconds / estimated


def _pending_published(plan: Plan, reader: Reader) -> dict[str, float]:
    """The MACs of the published models that a study still evaluates first, by name."""
    finished = {record.published for record in reader.records()}
    points = [(name, point) for name, point in plan.space.published_points() if name not in finished]
    if not points:
        return {}
    codes = np.array([plan.space.codes(point) for _, point in points])
    within, macs = plan.admissible(codes), plan.space.costs(codes).macs
    return {name: float(macs[i]) for i, (name, _) in enumerate(points) if within[i]}
