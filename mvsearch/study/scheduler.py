"""What a worker evaluates next. Every claim holds the study's lock, so that no trial is claimed twice.

A claimed trial carries the name of its worker. If that worker dies, another one requeues the trial, and it is tried
again up to `retry.TRIAL_ATTEMPTS` times in all. A trial that meets a fault of its worker's machine is requeued
by that worker.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from optuna.trial import FrozenTrial

from mvsearch.errors import MvsearchError
from mvsearch.metrics.pareto import front
from mvsearch.metrics.record import Record
from mvsearch.study.candidate import Candidate
from mvsearch.study.joined_study import JoinedStudy
from mvsearch.study.reevaluation import needs_reevaluation
from mvsearch.study.retry import CLAIM_INTERVAL_S, TRIAL_ATTEMPTS
from mvsearch.study.short_list import SHORT_LIST, needs_measurement, short_list, target_replicates
from mvsearch.study.storage.faults import retry_while_unavailable
from mvsearch.study.storage.sampler_study import SamplerStudy
from mvsearch.study.storage.trials import OptunaTrialStore, translate_optuna_errors


class Scheduler:
    """Claims trials for one worker, and requeues those that it or others cannot finish."""

    def __init__(self, study: JoinedStudy) -> None:
        self.study, self.plan, self.store, self.trials = study, study.plan, study.store, study.trials
        self.sampler = SamplerStudy(study.plan, study.trials.sampler_state)
        self._exhausted = False
        """Whether the sampler found no new candidate: only lost trials are evaluated after that."""

    # ---- claims

    def next(self, total: int) -> Candidate | None:
        """The next candidate of this worker; None once the study has `total` trials or no new candidate is left.

        Waits while other workers hold all trials that are left: if they die, this worker evaluates them.
        """
        while (trial := retry_while_unavailable(lambda: self._claim(total))) is None and self.sampler.running:
            time.sleep(CLAIM_INTERVAL_S)
        return trial

    def _claim(self, total: int) -> Candidate | None:
        with self.store.study_lock(self.study.name), translate_optuna_errors(self.plan.url):
            trials = self._sync()
            if self.requeue_stale(trials):
                trials = self._sync()
            own = [
                n for n in sorted(self.sampler.running) if trials[n].user_attrs.get("worker") == self.study.worker.name
            ]
            if own:  # written, but the server's answer was lost; Optuna may then have written it twice
                for number in own[1:]:
                    self.trials.mark_lost(number, released=True)
                return self.study.make_candidate(own[0], trials[own[0]].params)
            enough = self.sampler.n_trials - self.sampler.n_lost >= total
            if enough or (self._exhausted and not self.sampler.due):
                return None
            state, candidate = self.sampler.state, None
            try:
                candidate = self._create_trial(self.sampler.n_trials, state)
            finally:
                if candidate is None:  # the sampler knows a trial that the database does not have
                    self.sampler = SamplerStudy(self.plan, state)
            if candidate is None:
                self._exhausted = True
                self._sync()  # with the trials that other workers hold
                self.study.update_facts(lambda facts: replace(facts, exhausted=True))
            return candidate

    def _create_trial(self, number: int, state: dict[str, Any]) -> Candidate | None:
        """A new trial, suggested and written; None if no new candidate is left. `state` is the sampler's before it."""
        space, failures = self.plan.space, self.study.recent_failures
        lost = [space.point(space.codes(record.choices)) for record in failures if record.state == "lost"]
        suggested = self.sampler.suggest(exclude=lost)
        if suggested is None and lost:
            self.sampler = SamplerStudy(self.plan, state)
            self._sync()
            suggested = self.sampler.suggest()
        if suggested is None:
            return None
        if state != self.sampler.state:
            self.trials.sampler_state = self.sampler.state
        candidate = self.study.make_candidate(number, suggested.params)
        self.trials.create(number, suggested, worker=self.study.worker.name, architecture=candidate.name)
        return candidate

    def _sync(self) -> list[FrozenTrial]:
        """All trials, after the sampler has received the new ones."""
        trials = self.trials.all()
        self.sampler.sync(trials, lambda numbers: self.store.metrics(self.study.name, numbers))
        return trials

    def claim_reevaluation(self, skip: set[int]) -> Record | None:
        """The member of the front that most needs another measurement, of those that no live worker measures."""
        with self.store.study_lock(self.study.name):
            taken = self._claimed() | skip
            record = next((record for record in self._needs_reevaluation() if record.number not in taken), None)
            if record is not None:
                self.store.claim_replicate(self.study.name, record.number, self.study.worker.name)
            return record

    def _claimed(self) -> set[int]:
        """The numbers that live workers measure again."""
        claims = self.store.replicate_claims(self.study.name)
        stale = self.study.worker.stale(claims.values())
        return {number for number, name in claims.items() if name not in stale}

    def _needs_reevaluation(self) -> list[Record]:
        """The members of the front, or of the short list, that need another measurement: first of their latency."""
        records, objectives = self.study.within_limits(self.study.records()), self.plan.objectives
        if target := self.study.current_facts().target:
            members = [entry.record for entry in short_list(records, target, objectives[0])[:SHORT_LIST]]
            noisy = needs_measurement(records, target, objectives[0])
        else:
            members, noisy = front(records, objectives), needs_reevaluation(records, objectives)
        predicted = [member for member in members if member.metrics.get("latency_predicted")]
        return [*predicted, *(noisy if self.plan.search.confirm else [])]

    def target_replicates(self) -> int:
        """How often the target should be measured, once the candidates are."""
        records, target = self.study.within_limits(self.study.records()), self.study.current_facts().target
        return target_replicates(records, target, self.plan.objectives[0]) if target else 0

    def claim_target(self, replicates: int) -> int | None:
        """The next of so many measurements of the target that no live worker has begun; None if there is none.

        The claims of the target have negative numbers, those of trials are 0 and up.
        """
        with self.store.study_lock(self.study.name):
            claimed = self._claimed()
            for repeat in range(replicates):
                if -1 - repeat not in claimed and self.study.target_measurement(repeat) is None:
                    self.store.claim_replicate(self.study.name, -1 - repeat, self.study.worker.name)
                    return repeat
            return None

    # ---- trials that a worker cannot finish

    def interrupted(self) -> list[Candidate]:
        """The candidates that will be tried again under new numbers, with the numbers of the trials that were lost.

        The trials of dead workers are requeued first.
        """
        with self.store.study_lock(self.study.name), translate_optuna_errors(self.plan.url):
            if self.requeue_stale(self._sync()):  # to workers that join now, the lost trials are due by their numbers
                self.sampler = SamplerStudy(self.plan, self.trials.sampler_state)
            trials = self._sync()
        left = self.plan.search.trials - (self.sampler.n_trials - self.sampler.n_lost)
        due = self.sampler.due[: max(0, left)]
        last = {due.index(trial.params): trial for trial in trials if trial.params in due}
        return [self.study.make_candidate(trial.number, trial.params) for trial in last.values()]

    def requeue_stale(self, trials: Sequence[FrozenTrial]) -> bool:
        """Requeue the trials of dead workers, or fail them after the last attempt; whether there were any."""
        workers = {number: trials[number].user_attrs.get("worker", "") for number in self.sampler.running}
        dead = self.study.worker.stale(workers.values()) if workers else set()
        stale = [number for number, name in workers.items() if name in dead]
        for number in stale:
            with self.store.trial_lock(self.study.name, number):
                self._requeue(trials, trials[number])
        return bool(stale)

    def _requeue(self, trials: Sequence[FrozenTrial], trial: FrozenTrial) -> None:
        if (record := self.store.record(self.study.name, trial.number)) is not None:
            self.trials.finish(record)  # its worker died between the two writes
        elif not self.trials.is_open(trial.number):  # its worker is alive, and finished it meanwhile
            return
        elif (attempts := self.attempts(trials, trial)) < TRIAL_ATTEMPTS:
            self.trials.mark_lost(trial.number)
        else:
            reason = f"{attempts} workers died while they evaluated it; see their output or the system's log"
            self.study.save(self.study.make_candidate(trial.number, trial.params).record("failed", reason=reason))

    def release(self, number: int) -> None:
        """Leave a trial to other workers; no attempt is counted. If that fails, they find it with a dead worker."""
        name, url = self.study.name, self.plan.url
        with suppress(MvsearchError), self.store.trial_lock(name, number), translate_optuna_errors(url):
            self.trials.mark_lost(number, released=True)

    def requeue_after_fault(self, record: Record) -> Record:
        """Leave a trial that met a fault of this machine to be tried again, or fail it after the last attempt.

        Only the first fault in a row counts as an attempt: a GPU that failed once may fail every trial after it.
        """
        with self.store.trial_lock(self.study.name, record.number), translate_optuna_errors(self.plan.url):
            trials, first = self.trials.all(), not self.study.recent_failures
            if not self.trials.is_open(record.number):  # this worker was considered dead
                return record
            attempts = self.attempts(trials, trials[record.number])
            if not first or attempts < TRIAL_ATTEMPTS:
                self.trials.mark_lost(record.number, released=not first)
                return record
            failed = replace(record, state="failed")
            self.study.save(failed)
            return failed

    def attempts(self, trials: Sequence[FrozenTrial], trial: FrozenTrial) -> int:
        """How many workers tried to evaluate the candidate of a trial, the current one included."""
        same = [t for t in trials if t.params == trial.params and t.state.is_finished()]
        lost = [t for t in same if not OptunaTrialStore.was_released(t)]
        recorded = self.store.states(self.study.name) if lost else {}
        return 1 + sum(t.number not in recorded for t in lost)
