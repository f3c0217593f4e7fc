"""A study: join it, run it, read it.

    join ── claim ── evaluate ── save ── claim ── ...      as many processes as you like
              │          │         └ one transaction: record, cache, machine; then Optuna is told
              │          └ rung by rung, if the plan has rungs; each is kept as soon as it is known
              └ under a lock: give back what dead workers held, count, ask the sampler

A claimed candidate carries its worker's name, and others can tell a worker that died, however it did (`worker`,
`beats`): its candidate is then tried again, up to three times in all, and a worker stays until nothing is open. So is
one that met a fault of its worker's machine; a worker that meets nothing else stops. At the end the front may be
confirmed: its members measured once more, claimed in the same way.
"""

import inspect
import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from optuna.trial import FrozenTrial

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.published import published_keys
from mvsearch.errors import EnvironmentFault, MvsearchError, StudyError, of_the_machine
from mvsearch.metrics.pareto import places
from mvsearch.metrics.record import FULL, ConstraintViolated, EvaluationFailed, Metrics, Record, averaged, score_values
from mvsearch.space.inverse import Point
from mvsearch.study.plan import Plan
from mvsearch.study.reader import Reader, flat, open_study
from mvsearch.study.reevaluation import repeats, unsure
from mvsearch.study.storage.faults import retry_while_unavailable
from mvsearch.study.storage.sampler_study import SamplerStudy
from mvsearch.study.storage.store import Store
from mvsearch.study.storage.trials import OptunaTrialStore, delete_trials, translate_optuna_errors
from mvsearch.study.workers.heartbeat import worker_registry
from mvsearch.study.workers.registry import Worker
from mvsearch.utils import machine
from mvsearch.utils.hashing import digest

Evaluate = Callable[..., Metrics]
"""Architecture → metrics. With rungs it is called with `rung=steps` too, to confirm with `repeat=1`, `2` and so on."""

_GIVE_UP_AFTER = 5  # failures before anything succeeded, or of one worker in a row: it is not the candidates
_TRIES = 3  # workers that may die over one candidate, or meet a fault
_LOOK_AGAIN_S = 1.0  # where all that is left is in other hands

_LOG = logging.getLogger(__name__)


class Study(Reader):
    """A study that this process works on."""

    def __init__(self, plan: Plan, store: Store, trials: OptunaTrialStore) -> None:
        super().__init__(plan.name, store)
        self.plan, self.trials = plan, trials
        self._sampler = SamplerStudy(plan, trials.sampler_state)
        self.worker = Worker(worker_registry(store, plan.name))
        self._row: list[Record] = []  # what failed or was lost since this worker last measured one to the end
        self._given_up: set[int] = set()  # could not be measured again in this run

    # ---- opening

    @classmethod
    def join(cls, plan: Plan, *, as_worker: bool = False) -> Self:
        """Open the plan's study, made if there is none; raises StudyError if it was made for something else.

        The study takes over how the plan searches (limits, trials ...), unless it is joined `as_worker`.
        """
        store = _opened(plan)
        return retry_while_unavailable(lambda: cls._joined(plan, store, as_worker))

    @classmethod
    def _joined(cls, plan: Plan, store: Store, as_worker: bool) -> Self:
        with store.lock("open"), store.study_lock(plan.name), translate_optuna_errors(plan.url):
            found = store.study(plan.name)
            difference = found and _difference(plan, found)
            if difference and (store.count(plan.name) or worker_registry(store, plan.name).has_live_worker()):
                raise StudyError(
                    f"study {plan.name!r} in {store.display_url} was made {difference}; give this one a name of its "
                    "own with --name, or put the file back as it was."
                )
            if difference:  # but nothing was measured yet
                store.delete_study(plan.name)
                delete_trials(plan)
                found = None
            if found is not None and not as_worker:
                store.update_study(plan.name, found | _wishes(plan))
            trials = OptunaTrialStore.open(plan, new=found is None)
            if found is None:
                store.add_study(plan.name, _facts(plan))
            return cls(plan, store, trials)

    @staticmethod
    def read(plan: Plan | str | Path) -> Reader:
        """The study of a plan, or by name (`v3`), folder (`studies/v3`) or database (`studies/v3/study.db`)."""
        return Reader(plan.name, Store(plan.url, create=False)) if isinstance(plan, Plan) else open_study(plan)

    def hold_to(self, **facts: Any) -> None:
        """Note what the numbers depend on (device, data); raises StudyError if the study holds another already."""
        with self.store.study_lock(self.name):
            known = self.store.study(self.name) or {}
            for name, value in facts.items():
                if known.setdefault(name, value) != value:
                    raise StudyError(
                        f"study {self.name!r} has numbers from another {name} ({known[name]}; here: {value}), "
                        "and the two may not be mixed; start one of its own with --name."
                    )
            self._amend(**known)

    def _amend(self, **facts: Any) -> None:
        self.facts = (self.store.study(self.name) or {}) | facts
        self.store.update_study(self.name, self.facts)

    def settings_key(self, *, rung: int | None = None, repeat: int = 0) -> str:
        """Names all that a number depends on beside the architecture: the plan's settings, the device, the images."""
        return settings_key(self.plan.settings(rung=rung, repeat=repeat), self.facts)

    # ---- running

    def run(
        self, evaluate: Evaluate, trials: int | None = None, *, tell: Callable[[Record], None] | None = None
    ) -> None:
        """Evaluate until the study holds `trials` candidates, those of other workers and of earlier runs included.

        An exception of `evaluate` ends its candidate as failed, with the reason; the study goes on. One that tells of
        the machine (OSError, MemoryError, a CUDA error) leaves it to be tried again: it is told as `lost`, and has
        failed the third time. Raises StudyError if it seems to be this worker that fails, not its candidates.

        It ends before the total, and is `exhausted`, where no new candidate is left inside the conditions and limits.
        """
        _refuse_deaf(evaluate, self.plan)
        total = self.plan.search.trials if trials is None else trials
        failures = 0
        with self.worker.running():
            retry_while_unavailable(self._refuse_changed)
            while (trial := self._next(total)) is not None:
                record = self._settled(trial, evaluate)
                if tell is not None:
                    tell(record)
                failures += record.state == "failed"
                if failures == _GIVE_UP_AFTER and not any(r.state == "complete" for r in self.records()):
                    raise StudyError(f"study {self.name!r}: nothing but failures so far, the last: {record.reason}")
                self._refuse_sick(record)
            while self.plan.search.confirm and (doubtful := retry_while_unavailable(self._claim_repeat)) is not None:
                self._repeat(doubtful, evaluate)

    def _refuse_changed(self) -> None:
        """Raises StudyError if the study is another than was joined: nobody could see this worker until now."""
        with self.store.study_lock(self.name):
            found = self.store.study(self.name)
        if found is None or _difference(self.plan, found):
            raise StudyError(f"study {self.name!r} was removed or made anew a moment ago; run the command again.")

    def _settled(self, trial: FrozenTrial, evaluate: Evaluate) -> Record:
        """The candidate's record, kept; nobody measures the same meanwhile, in whatever study of this database."""
        key = self.plan.space.architecture(trial.params).key
        with self.store.evaluation_lock(key, self.settings_key()):
            try:
                record = self._evaluated(trial, evaluate)
            except BaseException:  # Ctrl-C, or a fault of this machine: not the candidate's
                self._return(trial.number)
                raise
            return retry_while_unavailable(partial(self._lose if record.state == "lost" else self._finish, record))

    def _refuse_sick(self, record: Record) -> None:
        """Raises StudyError after five faults of the machine in a row, or failures where no other worker has any."""
        if record.state in ("failed", "lost"):
            self._row.append(record)
        elif record.state == "complete" and not record.cached:
            self._row.clear()
        if len(self._row) < _GIVE_UP_AFTER:
            return
        faults, others = sum(row.state == "lost" for row in self._row), retry_while_unavailable(self._states_of_others)
        if faults >= _GIVE_UP_AFTER or ("complete" in others and "failed" not in others):
            raise StudyError(
                f"study {self.name!r}: worker {self.worker.name} stops, for {len(self._row)} of its candidates failed "
                f"in a row, the last: {record.reason}. What its machine may be to blame for is left to others."
            )

    def _states_of_others(self) -> set[str]:
        """What became of the candidates of other workers."""
        with translate_optuna_errors(self.plan.url):
            trials = self.trials.all()
        return {r.state for r in self.records() if trials[r.number].user_attrs.get("worker") != self.worker.name}

    def _next(self, total: int) -> FrozenTrial | None:
        """The next candidate of this worker; waits while all that is left is in the hands of others, who may die."""
        while (trial := retry_while_unavailable(lambda: self._claim(total))) is None and self._sampler.running:
            time.sleep(_LOOK_AGAIN_S)
        return trial

    def _claim(self, total: int) -> FrozenTrial | None:
        with self.store.study_lock(self.name), translate_optuna_errors(self.plan.url):
            trials = self._follow()
            if self._give_back(trials):
                trials = self._follow()
            mine = (n for n in self._sampler.running if trials[n].user_attrs.get("worker") == self.worker.name)
            if (number := next(mine, None)) is not None:  # written, though the server could not say so any more
                return trials[number]
            if self._sampler.n_trials - self._sampler.n_lost >= total:
                return None
            number, notes = self._sampler.n_trials, self._sampler.state
            begun = None
            try:
                begun = self._begin(number, notes)
            finally:
                if begun is None:  # the mirror has seen what the database has not
                    self._sampler = SamplerStudy(self.plan, notes)
            if begun is None:
                self._amend(exhausted=True)
            return begun

    def _begin(self, number: int, notes: dict[str, Any]) -> FrozenTrial | None:
        """The next trial, proposed and written; None if nothing new is left."""
        lost = [record.choices for record in self._row if record.state == "lost"]
        proposed = self._sampler.suggest(exclude=lost)
        if proposed is None and lost:
            self._sampler = SamplerStudy(self.plan, notes)
            self._follow()
            proposed = self._sampler.suggest()
        if proposed is None:
            return None
        if notes != self._sampler.state:
            self.trials.sampler_state = self._sampler.state
        name = self._name(proposed.params)
        return self.trials.create(number, proposed, worker=self.worker.name, architecture=name)

    def _name(self, point: Point) -> str:
        key = self.plan.space.architecture(point).key
        return self._published_name(key) or key

    def _follow(self) -> list[FrozenTrial]:
        trials = self.trials.all()
        self._sampler.sync(trials, lambda numbers: self.store.metrics(self.name, numbers))
        return trials

    def _give_back(self, trials: list[FrozenTrial]) -> bool:
        """End what dead workers held, to be tried again, unless it was measured and only Optuna was not told."""
        names = {number: trials[number].user_attrs.get("worker", "") for number in self._sampler.running}
        gone = self.worker.stale(names.values()) if names else set()
        dead = [number for number, name in names.items() if name in gone]
        known = {record.number: record for record in self.records()} if dead else {}
        for number in dead:
            with self.store.trial_lock(self.name, number):
                if number in known:
                    self.trials.finish(known[number])
                elif not self.trials.is_open(number):  # it was not dead, and is done
                    continue
                elif (died := 1 + self._losses(trials, trials[number], known)) < _TRIES:
                    self.trials.mark_lost(number)
                else:
                    self._end(replace(self._record(trials[number]), state="failed", reason=_deadly(died)))
        return bool(dead)

    def _return(self, number: int) -> None:
        """Leave a candidate to others; if that fails, they find it with a dead worker."""
        with suppress(MvsearchError), self.store.trial_lock(self.name, number), translate_optuna_errors(self.plan.url):
            self.trials.mark_lost(number, released=True)

    def _lose(self, record: Record) -> Record:
        """Leave a candidate to be tried again, as one whose worker died; its record if this was the last time.

        Only the first of a row counts: a GPU that failed once may fail whatever comes next.
        """
        with self.store.trial_lock(self.name, record.number), translate_optuna_errors(self.plan.url):
            trials, known = self.trials.all(), {known.number: known for known in self.records()}
            if not self.trials.is_open(record.number):  # this worker was taken for dead
                return record
            if self._row or 1 + self._losses(trials, trials[record.number], known) < _TRIES:
                self.trials.mark_lost(record.number, released=bool(self._row))
                return record
            failed = replace(record, state="failed")
            self._end(failed)
            return failed

    @staticmethod
    def _losses(trials: list[FrozenTrial], trial: FrozenTrial, known: dict[int, Record]) -> int:
        """How many workers died over the same candidate before, or met a fault."""
        lost = [
            t
            for t in trials
            if t.state.is_finished() and t.number not in known and not OptunaTrialStore.was_released(t)
        ]
        return sum(other.params == trial.params for other in lost)

    def _evaluated(self, trial: FrozenTrial, evaluate: Evaluate) -> Record:
        """The candidate's record, whatever happens to it."""
        arch, record = self.plan.space.architecture(trial.params), self._record(trial)
        self.worker.report(number=trial.number, name=record.published or arch.key, doing="", done=0, of=0)
        start = self.worker.clock()
        known = self.store.evaluation(arch.key, self.settings_key())
        rungs: dict[str, Metrics] = {}
        try:
            metrics = known if known is not None else self._measured(arch, evaluate, record.published, rungs)
            self._refuse_without_objectives(metrics)
            self.plan.check_constraints(metrics)
            record = replace(record, metrics=metrics, cached=known is not None)
        except ConstraintViolated as refusal:
            record = replace(record, state="pruned", reason=str(refusal), metrics=refusal.metrics or record.metrics)
        except MvsearchError:
            raise
        except Exception as error:
            _LOG.debug("candidate %d", trial.number, exc_info=True)
            state = "lost" if of_the_machine(error) else "failed"
            record = replace(record, state=state, reason=_reason(error))
        kept = {"rungs": rungs} if rungs else {}  # whatever became of the candidate
        return replace(record, metrics=record.metrics | kept, seconds=self.worker.clock() - start)

    def _record(self, trial: FrozenTrial) -> Record:
        """The record of a candidate of which only the cost is known."""
        arch = self.plan.space.architecture(trial.params)
        return Record(
            number=trial.number,
            key=arch.key,
            state="complete",
            reason=None,
            metrics=arch.metrics(),
            choices=dict(trial.params),
            architecture=arch.to_dict(),
            published=self._published_name(arch.key),
            seconds=0.0,
        )

    def _measured(
        self, arch: Architecture, evaluate: Evaluate, published: str | None, rungs: dict[str, Metrics]
    ) -> Metrics:
        """The whole measurement after the `rungs` before it, which are filled in; raises ConstraintViolated for a
        candidate that is stopped at a rung."""
        for steps in self.plan.proxy.rungs if self.plan.needs_proxy else ():
            metrics = self._remembered(arch, evaluate, rung=steps)
            self._refuse_without_objectives(metrics)
            rungs[str(steps)] = score_values(metrics)
            if published is None:  # landmarks are always measured whole, and tell what a rung's score is worth
                self._refuse_unless_promising(metrics, rungs)
        return dict(evaluate(arch))

    def _remembered(self, arch: Architecture, evaluate: Evaluate, **at: int) -> Metrics:
        """A measurement beside the whole one, from the cache if it was made before."""
        key, start = self.settings_key(**at), self.worker.clock()
        metrics = self.store.evaluation(arch.key, key)
        if metrics is None:
            metrics = dict(evaluate(arch, **at))
            self.store.cache_evaluation(arch.key, key, metrics, self.worker.clock() - start, machine.describe())
        return metrics

    def _refuse_unless_promising(self, metrics: Metrics, rungs: dict[str, Metrics]) -> None:
        """Successive halving over all candidates: the best share of those that came to a rung goes on.

        Jamieson and Talwalkar 2016, section 3, decided for each candidate as it comes (Li et al. 2020, ASHA), with
        hypervolume gain in the place of one score. No one waits: a front only moves away from who was left behind.
        """
        steps, keep = list(rungs)[-1], self.plan.proxy.keep
        others = [record.metrics for record in self.records() if steps in record.metrics.get("rungs", {})]
        rows = [metrics, *(other | other["rungs"][steps] for other in others)]
        place, going = places(rows, self.plan.objectives)[0], math.ceil(keep * len(rows))
        if place > going:
            facts = {name: value for name, value in metrics.items() if name not in score_values(metrics)}
            reason = f"stopped after {steps} of {self.plan.proxy_settings().steps} steps: number {place} of {len(rows)}"
            raise ConstraintViolated(f"{reason} by hypervolume gain, {going} go on", facts)

    def _refuse_without_objectives(self, metrics: Metrics) -> None:
        for name in self.plan.search.objectives:
            value = metrics.get(name)
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise EvaluationFailed(f"the objective {name} came out as {value}")

    def _published_name(self, key: str) -> str | None:
        names = {arch_key: name for name, arch_key in self.facts["published"].items()}
        return names.get(key) or published_keys(self.plan.space.head.task).get(key)

    def _finish(self, record: Record) -> Record:
        """Keep what was found. A worker that was taken for dead finds its candidate in other hands: then only the
        measurement is kept, for whoever has it now."""
        with self.store.trial_lock(self.name, record.number), translate_optuna_errors(self.plan.url):
            if self.trials.is_open(record.number):
                self._end(record)
            elif record.state == "complete" and not record.cached:
                known = (record.key, self.settings_key(), record.metrics, record.seconds)
                self.store.cache_evaluation(*known, machine.describe())
        return record

    def _end(self, record: Record) -> None:
        self.store.save_record(self.name, record, settings=self.settings_key(), machine=machine.describe())
        self.trials.finish(record)

    # ---- confirming

    def _claim_repeat(self) -> Record | None:
        """The least sure member of the front that nobody alive is measuring."""
        with self.store.study_lock(self.name):
            claims = self.store.replicate_claims(self.name)
            gone = self.worker.stale(claims.values())
            taken = {number for number, name in claims.items() if name not in gone}
            doubtful = unsure(self.within_limits(self.records()), self.plan.objectives)
            free = next((record for record in doubtful if record.number not in taken | self._given_up), None)
            if free is not None:
                self.store.claim_replicate(self.name, free.number, self.worker.name)
            return free

    def _repeat(self, record: Record, evaluate: Evaluate) -> None:
        """Measure a candidate with the next seed; its scores become the mean of all."""
        before = repeats(record)
        name = record.published or record.key
        self.worker.report(number=record.number, name=name, doing="once more", done=0, of=0)
        arch = Architecture.from_dict(record.architecture)
        try:
            found = self._remembered(arch, evaluate, repeat=len(before))
            after = [*before, {name: score_values(found)[name] for name in before[0]}]
            metrics = record.metrics | averaged(after) | {"repeats": after}
            metrics.pop("unconfirmed", None)
        except MvsearchError:
            raise
        except Exception as error:
            _LOG.debug("candidate %d once more", record.number, exc_info=True)
            self._given_up.add(record.number)
            metrics = record.metrics | {"unconfirmed": _reason(error)}
        self.store.update_metrics(self.name, record.number, metrics)
        self.store.release_replicate(self.name, record.number)


def settings_key(settings: dict[str, Any], facts: dict[str, Any]) -> str:
    """Names settings together with the device, the images and the code that a study holds to: the cache goes by it."""
    own = {name: facts.get(name) for name in ("device", "data", "code")}
    own |= {"precision": precision} if (precision := facts.get("precision", FULL)) != FULL else {}
    return digest({"settings": settings, **own})


def note(plan: Plan, **facts: Any) -> None:
    """Keep something with the plan's study, which must be there, in place of what it knew under the same names."""
    store = Store(plan.url, create=False)
    with store.study_lock(plan.name):
        store.update_study(plan.name, (store.study(plan.name) or {}) | facts)


def _refuse_deaf(evaluate: Evaluate, plan: Plan) -> None:
    """Raises StudyError if the function does not take what the plan will call it with."""
    settings = {"rung": ("proxy.rungs", plan.proxy.rungs), "repeat": ("search.confirm", plan.search.confirm)}
    for name, (setting, asked) in settings.items():
        if asked and plan.needs_proxy:
            try:
                inspect.signature(evaluate).bind(None, **{name: 1})
            except TypeError:
                raise StudyError(
                    f"{setting} calls the evaluation with {name}=, which it does not take; write it as "
                    f"`def evaluate(arch, *, rung=None, repeat=0)`."
                ) from None


def _deadly(times: int) -> str:
    return f"{times} workers died over it; their own terminals or the system's log may say why"


def _reason(error: Exception) -> str:
    return (
        str(error) if isinstance(error, EvaluationFailed | ConstraintViolated) else f"{type(error).__name__}: {error}"
    )


def _opened(plan: Plan) -> Store:
    """The plan's database. Only a study's own folder is made for it, and only if the database could be opened."""
    try:
        if plan.storage is None:
            plan.folder.mkdir(parents=True, exist_ok=True)
        store = Store(plan.url, create=True)
    except OSError as error:
        raise EnvironmentFault(f"the folder cannot be made ({error.strerror}).", at=plan.folder) from None
    return store


def _facts(plan: Plan) -> dict[str, Any]:
    """What a study's numbers depend on, kept with it from its first day."""
    return {
        "objectives": list(plan.search.objectives),
        "space": plan.space_key,
        "settings": plan.settings(),
        "settings_key": plan.settings_key,
        **_wishes(plan),
        "document": dict(plan.space.document.data),
        "published": {name: plan.space.architecture(point).key for name, point in plan.space.published_points()},
    }


def _wishes(plan: Plan) -> dict[str, Any]:
    """What may change from one run of a study to the next."""
    return {"search": asdict(plan.search), "exhausted": False}


def _difference(plan: Plan, found: dict[str, Any]) -> str | None:
    """What a study was made for that is not the plan's, or None if the plan may join it."""
    mine = _facts(plan)
    said = {
        "objectives": f"for {', '.join(found['objectives'])}, not {', '.join(mine['objectives'])}",
        "space": "from a space with other choices",
        "settings_key": f"under other settings ({_differing(found['settings'], mine['settings'])})",
    }
    return next((words for key, words in said.items() if found[key] != mine[key]), None)


def _differing(theirs: dict[str, Any], mine: dict[str, Any]) -> str:
    one, other = flat(theirs), flat(mine)
    return "; ".join(
        f"{key}: {one.get(key)} there, {other.get(key)} here"
        for key in sorted(one.keys() | other.keys())
        if one.get(key) != other.get(key)
    )
