"""A study: join it, run it, read it.

    join ── claim ── evaluate ── record ── claim ── ...     as many processes as you like
              │          │          └ one transaction: record, cache, machine; then the state of Optuna's trial
              │          └ rung by rung, if the plan has rungs; each rung is stored as soon as it is measured (runner)
              └ under a lock: requeue the trials of dead workers, count, ask the sampler (scheduler)

A worker stays until no trial is open, so that it can evaluate the trials of workers that die. At the end the members of
the front may be re-evaluated, claimed in the same way. The limits of all this are in `retry`.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self

from mvsearch.errors import EnvironmentFault, StudyError
from mvsearch.metrics.record import Metrics, Record
from mvsearch.study.facts import StudyFacts, describe_changes, describe_mismatch, study_facts, suggest_match
from mvsearch.study.joined_study import JoinedStudy
from mvsearch.study.plan import Plan
from mvsearch.study.reader import Reader, load_facts, open_study
from mvsearch.study.retry import CLAIM_INTERVAL_S, CONSECUTIVE_FAILURES
from mvsearch.study.runner import Evaluate, Runner, check_signature
from mvsearch.study.scheduler import Scheduler
from mvsearch.study.storage.faults import retry_while_unavailable
from mvsearch.study.storage.store import Store
from mvsearch.study.storage.trials import OptunaTrialStore, delete_trials, translate_optuna_errors
from mvsearch.study.target import TARGET_REPLICATES
from mvsearch.study.workers.heartbeat import worker_registry


class Study(JoinedStudy):
    """A study that this process works on."""

    def __init__(self, plan: Plan, store: Store, trials: OptunaTrialStore) -> None:
        super().__init__(plan, store, trials)
        self.scheduler = Scheduler(self)
        self.changes: tuple[str, ...] = ()
        """What this run changes of how an existing study is searched."""

    # ---- opening

    @classmethod
    def join(cls, plan: Plan, *, as_worker: bool = False) -> Self:
        """Open the plan's study, or create it; raises StudyError if it was created for something else.

        The study adopts how the plan searches (limits, trials ...), unless it is joined `as_worker`; `changes` says
        what that changes. Its number of trials is at least that of the finished ones.
        """
        store = _open_store(plan)
        return retry_while_unavailable(lambda: cls._join(plan, store, as_worker))

    @classmethod
    def _join(cls, plan: Plan, store: Store, as_worker: bool) -> Self:
        with store.lock("open"), store.study_lock(plan.name), translate_optuna_errors(plan.url):
            facts = load_facts(store, plan.name)
            mismatch = describe_mismatch(plan, facts) if facts else None
            if facts and mismatch and (store.count(plan.name) or worker_registry(store, plan.name).has_live_worker()):
                raise StudyError(
                    f"study {plan.name!r} was created {mismatch}; choose another name with --name, or "
                    f"{suggest_match(plan, facts)}.",
                    at=store.display_url,
                )
            if mismatch:  # but no trial is finished yet
                store.delete_study(plan.name)
                delete_trials(plan)
                facts = None
            changes: tuple[str, ...] = ()
            if facts is not None:  # with what was measured of the network to beat
                plan = replace(plan, target=facts.target)
            if facts is not None and not as_worker:
                plan, changes = _adopt(plan, store, facts)
            trials = OptunaTrialStore.open(plan, new=facts is None)
            if facts is None:
                store.add_study(plan.name, study_facts(plan).to_json())
            study = cls(plan, store, trials)
            study.changes = changes
            return study

    @staticmethod
    def read(plan: Plan | str | Path) -> Reader:
        """The study of a plan, or by name (`v3`), folder (`studies/v3`) or database (`studies/v3/study.db`)."""
        return Reader(plan.name, Store(plan.url, create=False)) if isinstance(plan, Plan) else open_study(plan)

    def pin_environment(self, **environment: str) -> None:
        """Store what the numbers depend on (device, data); raises StudyError if the study has another value already."""
        with self.store.study_lock(self.name):
            self.update_facts(lambda facts: facts.pin(environment))

    # ---- running

    def run(
        self, evaluate: Evaluate, trials: int | None = None, *, callback: Callable[[Record], None] | None = None
    ) -> None:
        """Evaluate until the study has `trials` trials, those of other workers and of earlier runs included.

        An exception of `evaluate` fails its trial, with the reason; the study continues. After an exception that is a
        fault of the machine (OSError, MemoryError, a CUDA error) the trial is tried again: `callback` receives it as
        `lost`, and after the last attempt as `failed`. Raises StudyError if this worker seems to fail, not its
        candidates.

        The run ends before the total, with `exhausted` set, if no new candidate is left inside the conditions and
        limits.
        """
        check_signature(evaluate, self.plan)
        total = self.plan.search.trials if trials is None else trials
        failures = 0
        with self.worker.running():
            retry_while_unavailable(self._check_unchanged)
            if self.plan.target:
                self._begin_with_target(Runner(self, self.scheduler, evaluate))
            runner = Runner(self, self.scheduler, evaluate)
            if self.count() < total:
                runner.prepare()
            while (candidate := self.scheduler.next(total)) is not None:
                record = runner.evaluate_and_record(candidate)
                if callback is not None:
                    callback(record)
                failures += record.state == "failed"
                self._stop_if_nothing_succeeds(record, failures)
                self.stop_if_unhealthy(record)
            if self.plan.remeasures:
                self._reevaluate(runner)
            if self.plan.search.confirm and self.plan.target:
                self._measure_target(runner, retry_while_unavailable(self.scheduler.target_replicates))

    def _measure_target(self, runner: Runner, replicates: int) -> None:
        """Measure the network to beat until it was measured so often."""
        while (repeat := retry_while_unavailable(lambda: self.scheduler.claim_target(replicates))) is not None:
            runner.measure_target(repeat)
        retry_while_unavailable(self.update_target)  # an earlier run, or another study, may have measured it

    def _begin_with_target(self, runner: Runner) -> None:
        """Measure the network to beat before any candidate.

        Where its measured costs are limits, wait until a worker has measured them.
        """
        while True:
            self._measure_target(runner, TARGET_REPLICATES)
            target = self.facts.target
            if target is None or all(limit.measured is not None for limit in target.measured_limits):
                break
            time.sleep(CLAIM_INTERVAL_S)
        self.plan = replace(self.plan, target=target)
        self.scheduler = Scheduler(self)  # the sampler knows the limits too

    def _reevaluate(self, runner: Runner) -> None:
        failed: set[int] = set()  # in this run
        while (record := retry_while_unavailable(lambda: self.scheduler.claim_reevaluation(failed))) is not None:
            if not runner.reevaluate(record):
                failed.add(record.number)

    def _check_unchanged(self) -> None:
        """Raises StudyError if the study was deleted or replaced before this worker was registered."""
        with self.store.study_lock(self.name):
            facts = load_facts(self.store, self.name)
        if facts is None or describe_mismatch(self.plan, facts):
            raise StudyError(f"study {self.name!r} was just deleted or replaced; run the command again.")

    def _stop_if_nothing_succeeds(self, record: Record, failures: int) -> None:
        if failures == CONSECUTIVE_FAILURES and "complete" not in self.store.states(self.name).values():
            raise StudyError(
                f"study {self.name!r}: {failures} trials failed and none is complete so far (last: {record.reason})."
            )

    def stop_if_unhealthy(self, record: Record) -> None:
        """Raises StudyError after several machine faults in a row, or after failures where no other worker has any."""
        if record.state in ("failed", "lost"):
            self.recent_failures.append(record)
        elif record.state == "complete" and not record.cached:
            self.recent_failures.clear()
        if len(self.recent_failures) < CONSECUTIVE_FAILURES:
            return
        faults = sum(failure.state == "lost" for failure in self.recent_failures)
        others = retry_while_unavailable(self._states_of_others)
        if faults >= CONSECUTIVE_FAILURES or ("complete" in others and "failed" not in others):
            raise StudyError(
                f"Worker {self.worker.name} stopped: its last {len(self.recent_failures)} trials failed (last: "
                f"{record.reason}). Trials lost to machine faults will be retried by other workers."
            )

    def _states_of_others(self) -> set[str]:
        """The states of the finished trials of other workers."""
        with translate_optuna_errors(self.plan.url):
            workers = {trial.number: trial.user_attrs.get("worker") for trial in self.trials.all()}
        states = self.store.states(self.name)
        return {state for number, state in states.items() if workers[number] != self.worker.name}


def store_proxy_check(plan: Plan, metrics: Mapping[str, Metrics]) -> None:
    """Store the metrics of published models outside the space with the plan's study, which must exist."""
    store = Store(plan.url, create=False)
    with store.study_lock(plan.name):
        facts = load_facts(store, plan.name)
        if facts is not None:
            store.update_study(plan.name, replace(facts, proxy_check=metrics).to_json())


def _adopt(plan: Plan, store: Store, facts: StudyFacts) -> tuple[Plan, tuple[str, ...]]:
    """Store the plan's settings with its existing study; the plan, and what changes.

    Its trials are at least those that are finished, and at most those and the points within the limits without one.
    """
    changes: tuple[str, ...] = ()
    finished, asked = store.count(plan.name), plan.asked or plan.search.trials
    untried = plan.untried(store.records(plan.name)) if plan.asked else None
    total = max(finished, asked if untried is None else min(asked, finished + untried))
    plan = replace(plan, search=replace(plan.search, trials=total))
    if finished > asked:
        changes = (f"trials = {finished}, as so many are finished (asked for: {asked})",)
    adopted = facts.for_run(plan)
    store.update_study(plan.name, adopted.to_json())
    return plan, (*changes, *describe_changes(facts, adopted))


def _open_store(plan: Plan) -> Store:
    """The plan's database. A study in a file has a folder of its own, which is created."""
    try:
        if plan.storage is None:
            plan.folder.mkdir(parents=True, exist_ok=True)
        return Store(plan.url, create=True)
    except OSError as error:
        raise EnvironmentFault(f"the folder cannot be created ({error.strerror}).", at=plan.folder) from None
