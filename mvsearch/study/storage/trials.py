"""The trials of a study in Optuna's storage, where every worker and optuna-dashboard see them.

    database ── all ──▶ SamplerStudy ── suggest ──▶ create, one transaction ── finish | mark_lost

All through Optuna's public interface. Its `ask` writes each value of a trial in a transaction of its own; here a trial
is written with all its values, so it is never incomplete, however a worker ends. Our tables decide which studies exist:
trials under a name that no study of ours has are leftovers of an interrupted import, rename or delete, and are deleted
before that name is used again.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from sys import intern
from typing import Any, Self

import optuna
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.engine import Engine, make_url

from mvsearch._version import __version__
from mvsearch.errors import DatabaseUnavailable, StudyError
from mvsearch.metrics.record import Record
from mvsearch.study.distributions import distributions
from mvsearch.study.plan import Plan
from mvsearch.study.storage.engine import connect_args, tune
from mvsearch.study.storage.faults import translate_db_errors
from mvsearch.study.storage.url import display_url

optuna.logging.set_verbosity(optuna.logging.CRITICAL)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
"""The state of a record, in our word and in Optuna's."""

# Attributes in Optuna's storage, by names that earlier versions wrote too.
_RELEASED = "returned"  # a trial that its worker released unfinished
_SAMPLER_STATE = "sampler"  # a study's: what its sampler keeps
_OWNER = "mvsearch"  # a study's: the version that wrote it


class OptunaTrialStore:
    """The trials of a plan's study, numbered from 0 in the order in which they began."""

    def __init__(self, plan: Plan, storage: RDBStorage) -> None:
        self.plan, self._storage, self._distributions = plan, storage, distributions(plan.space)
        self._study = optuna.load_study(study_name=plan.name, storage=storage)
        self._study_id = storage.get_study_id_from_name(plan.name)
        self._ids: dict[int, int] = {}

    @classmethod
    def open(cls, plan: Plan, *, new: bool = False) -> Self:
        """The trials of the plan's study. For a `new` study, leftovers under its name are deleted first."""
        storage = _storage(plan.url)
        if new:
            _delete_leftovers(storage, plan)
        study = optuna.create_study(
            study_name=plan.name, storage=storage, directions=directions(plan), load_if_exists=True
        )
        _mark(study)
        if study.metric_names is None:
            study.set_metric_names(list(plan.search.objectives))  # the names of the values in optuna-dashboard
        return cls(plan, storage)

    @property
    def engine(self) -> Engine:
        """The connections to the database, which are not those of our tables."""
        return self._storage.engine

    def all(self) -> list[FrozenTrial]:
        """Every trial, in the order of their numbers; Optuna reads only what changed since the last call."""
        trials = self._study.get_trials(deepcopy=False)
        for trial in trials:
            self._compact(trial)
        return trials

    def _compact(self, trial: FrozenTrial) -> None:
        """Replace a trial's own copies of the study's distributions and names, which take most of its memory, by equal
        ones that all trials share."""
        shared = self._distributions
        if trial.distributions is not shared and trial.distributions == shared:
            trial.distributions = shared
            trial.params = {intern(name): value for name, value in trial.params.items()}

    def create(self, number: int, suggested: FrozenTrial, *, worker: str, architecture: str) -> FrozenTrial:
        """Write a suggestion as the running trial of that number, the next, with its worker and its architecture.

        Raises DatabaseUnavailable if it got another number, which happens if the server restarted meanwhile: the lock
        was lost and another worker came first, or Optuna wrote the trial twice. That trial is released.
        """
        trial = as_running(suggested, worker=worker, architecture=architecture)
        trial_id = self._storage.create_new_trial(self._study_id, trial)
        if self._id(number) != trial_id:
            self._storage.set_trial_user_attr(trial_id, _RELEASED, True)
            self._storage.set_trial_state_values(trial_id, TrialState.FAIL)
            self._ids.clear()
            raise DatabaseUnavailable(
                f"trial {number} was written by another worker.", at=display_url(self._storage.engine.url)
            )
        trial.number = number
        return trial

    def finish(self, record: Record) -> None:
        """Write the state and the values of a finished trial."""
        complete = record.state == "complete"
        values = [float(record.metrics[name]) for name in self.plan.search.objectives] if complete else None
        self._storage.set_trial_state_values(self._id(record.number), STATES[record.state], values)

    def is_open(self, number: int) -> bool:
        """Whether a trial is not finished, as the database has it now."""
        return not self._storage.get_trial(self._id(number)).state.is_finished()

    def mark_lost(self, number: int, *, released: bool = False) -> None:
        """End a trial without a record: its worker died, met a fault of its machine, or released it unfinished."""
        if released:
            self._storage.set_trial_user_attr(self._id(number), _RELEASED, True)
        self._storage.set_trial_state_values(self._id(number), TrialState.FAIL)

    @staticmethod
    def was_released(trial: FrozenTrial) -> bool:
        """Whether its worker released it."""
        return _RELEASED in trial.user_attrs

    def _id(self, number: int) -> int:
        if number not in self._ids:
            self._ids[number] = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        return self._ids[number]

    def add(self, trial: FrozenTrial) -> None:
        """Write a trial of another database as the next of this one."""
        self._storage.create_new_trial(self._study_id, trial)

    @property
    def sampler_state(self) -> dict[str, Any]:
        """What the sampler keeps with the study (of NSGA-II: each generation's parents)."""
        return dict(self._storage.get_study_user_attrs(self._study_id).get(_SAMPLER_STATE, {}))

    @sampler_state.setter
    def sampler_state(self, state: dict[str, Any]) -> None:
        self._storage.set_study_user_attr(self._study_id, _SAMPLER_STATE, state)


def directions(plan: Plan) -> list[StudyDirection]:
    """Of a plan's objectives, as Optuna has them."""
    return [StudyDirection.MAXIMIZE if o.maximise else StudyDirection.MINIMIZE for o in plan.objectives]


def as_running(trial: FrozenTrial, **attributes: str) -> FrozenTrial:
    """A trial as it is when it begins."""
    return create_trial(
        state=TrialState.RUNNING,
        params=trial.params,
        distributions={name: trial.distributions[name] for name in trial.params},
        user_attrs=attributes,
        system_attrs=trial.system_attrs,
    )


# ---- whole studies


def copy_trials(plan: Plan, to: str) -> None:
    """Copy the trials of a study to a name that no study of ours has yet. A kill leaves leftovers, no study."""
    storage = _storage(plan.url)
    _mark(optuna.load_study(study_name=plan.name, storage=storage))
    _delete_leftovers(storage, plan, name=to)
    optuna.copy_study(from_study_name=plan.name, from_storage=storage, to_storage=storage, to_study_name=to)


def mark_trials(plan: Plan) -> None:
    """Mark trials as ours, so that they are known as leftovers if their study is deleted and they are not."""
    with suppress(KeyError):
        _mark(optuna.load_study(study_name=plan.name, storage=_storage(plan.url)))


def delete_trials(plan: Plan) -> None:
    """Delete the trials of a study, if there are any."""
    with suppress(KeyError):
        optuna.delete_study(study_name=plan.name, storage=_storage(plan.url))


def _mark(study: optuna.Study) -> None:
    if _OWNER not in study.user_attrs:
        study.set_user_attr(_OWNER, __version__)


def _delete_leftovers(storage: RDBStorage, plan: Plan, name: str | None = None) -> None:
    """Delete trials under a name that no study of ours has; raises StudyError if they are somebody else's."""
    name = name or plan.name
    try:
        study = optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        return
    if _OWNER not in study.user_attrs and study.get_trials(deepcopy=False):
        raise StudyError(
            f"contains an Optuna study {name!r} that mvsearch did not create; choose another name.",
            at=display_url(storage.engine.url),
        )
    optuna.delete_study(study_name=name, storage=storage)


def _storage(url: str) -> RDBStorage:
    parsed = make_url(url)
    try:
        storage = RDBStorage(url, engine_kwargs={"connect_args": connect_args(parsed)})
    except RuntimeError as error:  # its tables are of another version of Optuna; the error says what to do
        raise StudyError(str(error), at=display_url(parsed)) from None
    tune(storage.engine)
    storage.engine.dispose()  # connections from before the tuning
    return storage


@contextmanager
def translate_optuna_errors(url: str) -> Iterator[None]:
    """Raise Optuna's errors about the database as errors of ours."""
    with translate_db_errors(make_url(url)):
        try:
            yield
        except optuna.exceptions.StorageInternalError as error:
            raise (error.__cause__ or error) from None
