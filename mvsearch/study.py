"""A study: join it, run it, read it.

    join ── claim ── evaluate ── save ── claim ── ...      as many processes as you like
              │          │         └ one transaction: record, cache, machine; then Optuna is told
              │          └ rung by rung, if the plan has rungs; each is kept as soon as it is known
              └ under a lock: give back what dead workers held, count, ask the sampler

A claimed candidate carries its worker's name. A worker holds a lock on its own file for as long as it lives, so that
others can tell a dead one, however it died; its candidate is then tried again. At the end the front may be confirmed:
its members measured once more, claimed in the same way.
"""

import inspect
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

from filelock import FileLock
from optuna.trial import FrozenTrial

from mvsearch import machine
from mvsearch.architecture import Architecture
from mvsearch.confirm import repeats, unsure
from mvsearch.errors import EnvironmentFault, MvsearchError, StudyError
from mvsearch.locate import Point
from mvsearch.models import published_keys
from mvsearch.pareto import places
from mvsearch.plan import Plan, digest
from mvsearch.reading import Reader, flat, open_study
from mvsearch.record import Failed, Metrics, Record, Refused, averaged, scores
from mvsearch.store import Store
from mvsearch.trials import Mirror, Trials, told_of_trials
from mvsearch.worker import Worker, any_at_work

Evaluate = Callable[..., Metrics]
"""Architecture → metrics. With rungs it is called with `rung=steps` too, to confirm with `repeat=1`, `2` and so on."""

_GIVE_UP_AFTER = 5  # failures before anything succeeded: it is not the candidates

_LOG = logging.getLogger(__name__)


class Study(Reader):
    """A study that this process works on."""

    def __init__(self, plan: Plan, store: Store, trials: Trials) -> None:
        super().__init__(plan.name, store)
        self.plan, self.trials = plan, trials
        self._lock = FileLock(plan.folder / "claim.lock")
        self._mirror = Mirror(plan, trials.notes)
        self.worker = Worker(plan.folder)
        self._given_up: set[int] = set()  # could not be measured again in this run

    # ---- opening

    @classmethod
    def join(cls, plan: Plan) -> Self:
        """Open the plan's study, made if there is none; raises StudyError if it was made for something else."""
        store = _opened(plan)
        with FileLock(plan.folder / "claim.lock"), told_of_trials(plan.url):
            found = store.study(plan.name)
            difference = found and _difference(plan, found)
            if difference and (store.count(plan.name) or any_at_work(plan.folder)):
                raise StudyError(
                    f"study {plan.name!r} in {plan.url} was made {difference}; give this one a name of its own with "
                    "--name, or put the file back as it was."
                )
            if difference:  # but nothing was measured yet
                store.remove_study(plan.name)
                Trials.forget(plan)
                found = None
            if found is not None:
                store.amend_study(plan.name, found | _wishes(plan))
            trials = Trials.open(plan)
            if found is None:
                store.add_study(plan.name, _facts(plan))
            return cls(plan, store, trials)

    @staticmethod
    def read(plan: Plan | str | Path) -> Reader:
        """The study of a plan, or by name (`v3`), folder (`studies/v3`) or database (`studies/v3/study.db`)."""
        return Reader(plan.name, Store(plan.url, create=False)) if isinstance(plan, Plan) else open_study(plan)

    def hold_to(self, **facts: Any) -> None:
        """Note what the numbers depend on (device, data); raises StudyError if the study holds another already."""
        with self._lock:
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
        self.store.amend_study(self.name, self.facts)

    def settings_key(self, *, rung: int | None = None, repeat: int = 0) -> str:
        """Names all that a number depends on beside the architecture: the plan's settings, the device, the images."""
        held = {name: self.facts.get(name) for name in ("device", "data")}
        return digest({"settings": self.plan.settings(rung=rung, repeat=repeat), **held})

    # ---- running

    def run(
        self, evaluate: Evaluate, trials: int | None = None, *, tell: Callable[[Record], None] | None = None
    ) -> None:
        """Evaluate until the study holds `trials` candidates, those of other workers and of earlier runs included.

        An exception of `evaluate` ends its candidate as failed, with the reason; the study goes on. It ends before the
        total, and is `exhausted`, where no new candidate is left inside the conditions and limits.
        """
        _refuse_deaf(evaluate, self.plan)
        total = self.plan.search.trials if trials is None else trials
        failures = 0
        with self.worker.at_work():
            while (trial := self._claim(total)) is not None:
                record = self._evaluated(trial, evaluate)
                self._finish(record)
                if tell is not None:
                    tell(record)
                failures += record.state == "failed"
                if failures == _GIVE_UP_AFTER and not any(r.state == "complete" for r in self.records()):
                    raise StudyError(f"study {self.name!r}: nothing but failures so far, the last: {record.reason}")
            while self.plan.search.confirm and (doubtful := self._claim_repeat()) is not None:
                self._repeat(doubtful, evaluate)

    def _claim(self, total: int) -> FrozenTrial | None:
        with self._lock, told_of_trials(self.plan.url):
            if self._give_back(self._follow()):
                self._follow()
            if self._mirror.known - self._mirror.lost >= total:
                return None
            number, notes = self._mirror.known, self._mirror.notes
            begun = None
            try:
                begun = self._begin(number, notes)
            finally:
                if begun is None:  # the mirror has seen what the database has not
                    self._mirror = Mirror(self.plan, notes)
            if begun is None:
                self._amend(exhausted=True)
            return begun

    def _begin(self, number: int, notes: dict[str, Any]) -> FrozenTrial | None:
        """The next trial, proposed and written; None if nothing new is left."""
        proposed = self._mirror.propose()
        if proposed is None:
            return None
        if notes != self._mirror.notes:
            self.trials.notes = self._mirror.notes
        name = self._name(proposed.params)
        return self.trials.begin(number, proposed, worker=self.worker.name, architecture=name)

    def _name(self, point: Point) -> str:
        key = self.plan.space.architecture(point).key
        return self._published_name(key) or key

    def _follow(self) -> list[FrozenTrial]:
        trials = self.trials.all()
        self._mirror.follow(trials, lambda numbers: self.store.metrics(self.name, numbers))
        return trials

    def _give_back(self, trials: list[FrozenTrial]) -> bool:
        """End what dead workers held, to be tried again, unless it was measured and only Optuna was not told."""
        names = {number: trials[number].user_attrs.get("worker") for number in self._mirror.open}
        dead = [number for number, name in names.items() if not self.worker.is_alive(name)]
        known = {record.number: record for record in self.records()} if dead else {}
        for number in dead:
            if number in known:
                self.trials.end(known[number])
            else:
                self.trials.lose(number)
        return bool(dead)

    def _evaluated(self, trial: FrozenTrial, evaluate: Evaluate) -> Record:
        """The candidate's record, whatever happens to it."""
        arch = self.plan.space.architecture(trial.params)
        name = self._published_name(arch.key)
        self.worker.report(number=trial.number, name=name or arch.key, doing="", done=0, of=0)
        start = time.monotonic()
        record = Record(
            number=trial.number,
            key=arch.key,
            state="complete",
            reason=None,
            metrics={},
            choices=dict(trial.params),
            architecture=arch.to_dict(),
            published=name,
            seconds=0.0,
        )
        known = self.store.evaluation(arch.key, self.settings_key())
        rungs: dict[str, Metrics] = {}
        try:
            metrics = known if known is not None else self._measured(arch, evaluate, name, rungs)
            self._refuse_without_objectives(metrics)
            self.plan.refuse_if_over_limits(metrics)
            record = replace(record, metrics=metrics, cached=known is not None)
        except Refused as refusal:
            record = replace(record, state="pruned", reason=str(refusal), metrics=refusal.metrics or arch.metrics())
        except MvsearchError:
            raise
        except Exception as error:
            _LOG.debug("candidate %d", trial.number, exc_info=True)
            record = replace(record, state="failed", reason=_reason(error), metrics=arch.metrics())
        kept = {"rungs": rungs} if rungs else {}  # whatever became of the candidate
        return replace(record, metrics=record.metrics | kept, seconds=time.monotonic() - start)

    def _measured(
        self, arch: Architecture, evaluate: Evaluate, published: str | None, rungs: dict[str, Metrics]
    ) -> Metrics:
        """The whole measurement, after the `rungs` before it, which are filled in; raises Refused for what is not worth
        the next."""
        for steps in self.plan.proxy.rungs if self.plan.scored else ():
            metrics = self._remembered(arch, evaluate, rung=steps)
            self._refuse_without_objectives(metrics)
            rungs[str(steps)] = scores(metrics)
            if published is None:  # landmarks are always measured whole, and tell what a rung's score is worth
                self._refuse_unless_promising(metrics, rungs)
        return dict(evaluate(arch))

    def _remembered(self, arch: Architecture, evaluate: Evaluate, **at: int) -> Metrics:
        """A measurement beside the whole one, from the cache if it was made before."""
        key, start = self.settings_key(**at), time.monotonic()
        metrics = self.store.evaluation(arch.key, key)
        if metrics is None:
            metrics = dict(evaluate(arch, **at))
            self.store.remember(arch.key, key, metrics, time.monotonic() - start, machine.describe())
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
            facts = {name: value for name, value in metrics.items() if name not in scores(metrics)}
            reason = f"stopped after {steps} of {self.plan.proxy_settings().steps} steps: number {place} of {len(rows)}"
            raise Refused(f"{reason} by hypervolume gain, {going} go on", facts)

    def _refuse_without_objectives(self, metrics: Metrics) -> None:
        for name in self.plan.search.objectives:
            value = metrics.get(name)
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise Failed(f"the objective {name} came out as {value}")

    def _published_name(self, key: str) -> str | None:
        names = {arch_key: name for name, arch_key in self.facts["published"].items()}
        return names.get(key) or published_keys(self.plan.space.head.task).get(key)

    def _finish(self, record: Record) -> None:
        self.store.save(self.name, record, settings=self.settings_key(), machine=machine.describe())
        with told_of_trials(self.plan.url):
            self.trials.end(record)

    # ---- confirming

    def _claim_repeat(self) -> Record | None:
        """The least sure member of the front that nobody alive is measuring."""
        with self._lock:
            taken = {n for n, name in self.store.repeats(self.name).items() if self.worker.is_alive(name)}
            doubtful = unsure(self.within_limits(self.records()), self.plan.objectives)
            free = next((record for record in doubtful if record.number not in taken | self._given_up), None)
            if free is not None:
                self.store.begin_repeat(self.name, free.number, self.worker.name)
            return free

    def _repeat(self, record: Record, evaluate: Evaluate) -> None:
        """Measure a candidate with the next seed; its scores become the mean of all."""
        before = repeats(record)
        name = record.published or record.key
        self.worker.report(number=record.number, name=name, doing="once more", done=0, of=0)
        arch = Architecture.from_dict(record.architecture)
        try:
            found = self._remembered(arch, evaluate, repeat=len(before))
            after = [*before, {name: scores(found)[name] for name in before[0]}]
            metrics = record.metrics | averaged(after) | {"repeats": after}
            metrics.pop("unconfirmed", None)
        except MvsearchError:
            raise
        except Exception as error:
            _LOG.debug("candidate %d once more", record.number, exc_info=True)
            self._given_up.add(record.number)
            metrics = record.metrics | {"unconfirmed": _reason(error)}
        self.store.amend_record(self.name, record.number, metrics)
        self.store.end_repeat(self.name, record.number)


def note(plan: Plan, **facts: Any) -> None:
    """Keep something with the plan's study, which must be there, in place of what it knew under the same names."""
    store = Store(plan.url, create=False)
    with FileLock(plan.folder / "claim.lock"):
        store.amend_study(plan.name, (store.study(plan.name) or {}) | facts)


def _refuse_deaf(evaluate: Evaluate, plan: Plan) -> None:
    """Raises StudyError if the function does not take what the plan will call it with."""
    settings = {"rung": ("proxy.rungs", plan.proxy.rungs), "repeat": ("search.confirm", plan.search.confirm)}
    for name, (setting, asked) in settings.items():
        if asked and plan.scored:
            try:
                inspect.signature(evaluate).bind(None, **{name: 1})
            except TypeError:
                raise StudyError(
                    f"{setting} calls the evaluation with {name}=, which it does not take; write it as "
                    f"`def evaluate(arch, *, rung=None, repeat=0)`."
                ) from None


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, Failed | Refused) else f"{type(error).__name__}: {error}"


def _opened(plan: Plan) -> Store:
    """The plan's database. Only a study's own folder is made for it, and only if the database could be opened."""
    try:
        if plan.storage is None:
            plan.folder.mkdir(parents=True, exist_ok=True)
        store = Store(plan.url, create=True)
        plan.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"{plan.folder}: the folder cannot be made ({error.strerror}).") from None
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
