"""A study: join it, run it, read it. The only room that knows Optuna's study.

    join ── claim ── evaluate ── save ── claim ── ...      as many processes as you like
              │                    └ one transaction: record, cache, machine; then Optuna is told
              └ under a lock: give back what dead workers held, count, ask the sampler

A claimed candidate carries its worker's name. A worker holds a lock on its own file for as long as it lives, so that
others can tell a dead one, however it died; its candidate is then queued again.
"""

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import optuna
from filelock import FileLock
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from mvsearch import machine
from mvsearch.architecture import Architecture
from mvsearch.errors import EnvironmentFault, MvsearchError, StudyError
from mvsearch.models import published_keys
from mvsearch.plan import Plan, digest
from mvsearch.reading import Reader, open_study
from mvsearch.record import Failed, Metrics, Record, Refused
from mvsearch.samplers._legal import Legal, distributions
from mvsearch.store import Store, told, tune
from mvsearch.worker import Worker, any_at_work

Evaluate = Callable[[Architecture], Metrics]

_GIVE_UP_AFTER = 5  # failures before anything succeeded: it is not the candidates

optuna.logging.set_verbosity(optuna.logging.CRITICAL)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
_LOG = logging.getLogger(__name__)


class Study(Reader):
    """A study that this process works on."""

    def __init__(self, plan: Plan, store: Store, inner: optuna.Study) -> None:
        super().__init__(plan.name, store)
        self.plan, self.inner = plan, inner
        self._lock = FileLock(plan.folder / "claim.lock")
        self.worker = Worker(plan.folder)

    # ---- opening

    @classmethod
    def join(cls, plan: Plan) -> Self:
        """Open the plan's study, made if there is none; raises StudyError if it was made for something else."""
        store = _opened(plan)
        with FileLock(plan.folder / "claim.lock"), _told(store):
            found = store.study(plan.name)
            difference = found and _difference(plan, found)
            if difference and (store.count(plan.name) or any_at_work(plan.folder)):
                raise StudyError(
                    f"study {plan.name!r} in {plan.url} was made {difference}; give this one a name of its own with "
                    "--name, or put the file back as it was."
                )
            if difference:  # but nothing was measured yet
                _forget(plan, store)
                found = None
            if found is not None:
                store.amend_study(plan.name, found | _wishes(plan))
            inner = _optuna_study(plan)
            if found is None:
                _queue_published(plan, inner)
                store.add_study(plan.name, _facts(plan))
        return cls(plan, store, inner)

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
            self.store.amend_study(self.name, known)
            self.facts = known

    @property
    def settings_key(self) -> str:
        """Names all that a number depends on beside the architecture: the plan's settings, the device, the images."""
        held = {name: self.facts.get(name) for name in ("device", "data")}
        return digest({"settings": self.plan.settings(), **held})

    # ---- running

    def run(
        self, evaluate: Evaluate, trials: int | None = None, *, tell: Callable[[Record], None] | None = None
    ) -> None:
        """Evaluate until the study holds `trials` candidates, those of other workers and of earlier runs included.

        An exception of `evaluate` ends its candidate as failed, with the reason; the study goes on.
        """
        total = self.plan.search.trials if trials is None else trials
        failures = 0
        with self.worker.at_work():
            while (trial := self._claim(total)) is not None:
                record = self._evaluated(trial, evaluate)
                self._finish(trial, record)
                if tell is not None:
                    tell(record)
                failures += record.state == "failed"
                if failures == _GIVE_UP_AFTER and not any(r.state == "complete" for r in self.records()):
                    raise StudyError(f"study {self.name!r}: nothing but failures so far, the last: {record.reason}")

    def _claim(self, total: int) -> Trial | None:
        with self._lock, _told(self.store):
            self._give_back()
            if self.count() + len(self._running()) >= total:
                return None
            trial = self.inner.ask(distributions(self.plan.space))
            trial.set_user_attr("worker", self.worker.name)
            return trial

    def _running(self) -> list[FrozenTrial]:
        return self.inner.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def _give_back(self) -> None:
        """End what dead workers held; queue it again, unless it was measured and only Optuna was not told."""
        dead = [trial for trial in self._running() if not self.worker.is_alive(trial.user_attrs.get("worker"))]
        known = {record.number: record for record in self.records()} if dead else {}
        for trial in dead:
            if trial.number in known:
                self._tell(trial.number, known[trial.number])
                continue
            self.inner.tell(trial.number, state=TrialState.FAIL)
            params = trial.system_attrs.get("fixed_params") or trial.params
            if len(params) == len(self.plan.space.choices):
                self.inner.enqueue_trial(params)

    def _evaluated(self, trial: Trial, evaluate: Evaluate) -> Record:
        """The candidate's record, whatever happens to it."""
        arch = self.plan.space.architecture(trial.params)
        self.worker.report(number=trial.number, name=self._published_name(arch.key) or arch.key, doing="", done=0, of=0)
        start = time.monotonic()
        state, reason, metrics = "complete", None, self.store.evaluation(arch.key, self.settings_key)
        cached = metrics is not None
        try:
            metrics = metrics if metrics is not None else dict(evaluate(arch))
            self._refuse_without_objectives(metrics)
            self.plan.refuse_if_over_limits(metrics)
        except Refused as refusal:
            state, reason, metrics = "pruned", str(refusal), refusal.metrics or arch.metrics()
        except Failed as failure:
            state, reason, metrics = "failed", str(failure), arch.metrics()
        except MvsearchError:
            raise
        except Exception as error:
            _LOG.debug("candidate %d", trial.number, exc_info=True)
            state, reason, metrics = "failed", f"{type(error).__name__}: {error}", arch.metrics()
        return Record(
            number=trial.number,
            key=arch.key,
            state=state,
            reason=reason,
            metrics=metrics,
            choices=dict(trial.params),
            architecture=arch.to_dict(),
            published=self._published_name(arch.key),
            seconds=time.monotonic() - start,
            cached=cached,
        )

    def _refuse_without_objectives(self, metrics: Metrics) -> None:
        for name in self.plan.search.objectives:
            value = metrics.get(name)
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise Failed(f"the objective {name} came out as {value}")

    def _published_name(self, key: str) -> str | None:
        names = {arch_key: name for name, arch_key in self.facts["published"].items()}
        return names.get(key) or published_keys().get(key)

    def _finish(self, trial: Trial, record: Record) -> None:
        self.store.save(self.name, record, settings=self.settings_key, machine=machine.describe())
        with _told(self.store):
            self._tell(trial, record)

    def _tell(self, trial: Trial | int, record: Record) -> None:
        states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        values = [record.metrics[name] for name in self.plan.search.objectives] if record.state == "complete" else None
        self.inner.tell(trial, values=values, state=states[record.state])


@contextmanager
def _told(store: Store) -> Iterator[None]:
    """Trouble that Optuna has with the database, told as ours is."""
    with told(store.url):
        try:
            yield
        except optuna.exceptions.StorageInternalError as error:
            raise (error.__cause__ or error) from None


def _optuna_study(plan: Plan) -> optuna.Study:
    return optuna.create_study(
        study_name=plan.name,
        storage=_optuna_storage(plan),
        sampler=Legal(plan),
        directions=["maximize" if objective.maximise else "minimize" for objective in plan.objectives],
        load_if_exists=True,
    )


def _optuna_storage(plan: Plan) -> RDBStorage:
    kwargs = {"connect_args": {"timeout": 60}} if plan.url.startswith("sqlite") else {}
    storage = RDBStorage(plan.url, engine_kwargs=kwargs)
    if plan.url.startswith("sqlite"):
        tune(storage.engine)
        storage.engine.dispose()  # connections from before the tuning
    return storage


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


def _forget(plan: Plan, store: Store) -> None:
    store.remove_study(plan.name)
    with suppress(KeyError):
        optuna.delete_study(study_name=plan.name, storage=_optuna_storage(plan))


def _queue_published(plan: Plan, inner: optuna.Study) -> None:
    for _, point in plan.space.published_points():
        inner.enqueue_trial(point, skip_if_exists=True)


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
    return {"search": asdict(plan.search)}


def _difference(plan: Plan, found: dict[str, Any]) -> str | None:
    """What a study was made for that is not the plan's, or None if the plan may join it."""
    mine = _facts(plan)
    said = {
        "objectives": f"for {', '.join(found['objectives'])}, not {', '.join(mine['objectives'])}",
        "space": "from a space with other choices",
        "settings_key": f"under other settings ({_differing(found['settings'], mine['settings'])})",
    }
    return next((words for key, words in said.items() if found[key] != mine[key]), None)


def _differing(theirs: dict[str, Any], mine: dict[str, Any], path: str = "") -> str:
    words = []
    for key in sorted(theirs.keys() | mine.keys()):
        one, other = theirs.get(key), mine.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            words.append(_differing(one, other, f"{path}{key}."))
        elif one != other:
            words.append(f"{path}{key}: {one} there, {other} here")
    return "; ".join(word for word in words if word)
