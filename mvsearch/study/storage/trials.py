"""Optuna's trials of a study: in the database, where all workers see them; in memory, where the sampler is asked.

    database ── follow ──▶ mirror ── propose ──▶ database, in one transaction

Optuna's own way of asking writes each value of a trial in a transaction of its own. Here a proposal is complete before
the database hears of it, so a trial there always has all its values, however a worker dies. What is written as one, and
what each worker must read of all others, goes through Optuna's models of its tables, which are its private ones: its
storage parses and keeps the distributions of each trial anew, where a study has one space.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from sys import intern
from typing import Any, Self

import optuna
import sqlalchemy as sa
from optuna.distributions import distribution_to_json
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from mvsearch.metrics.record import Metrics, Record
from mvsearch.study.plan import Plan
from mvsearch.study.samplers._legal import Constrained, distributions
from mvsearch.study.storage.engine import connect_args, tune
from mvsearch.study.storage.store import translate_db_errors

optuna.logging.set_verbosity(optuna.logging.CRITICAL)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
"""What becomes of a candidate, in our word and in Optuna's."""
_RETURNED = "returned"  # a trial that was not its worker's undoing
_NOTES = "sampler"  # where a study keeps what its sampler noted
_FEW = 500  # trials read at once: their rows take many times what is kept of them

Lookup = Callable[[Sequence[int]], dict[int, Metrics]]
"""The metrics of finished candidates by their numbers; those without a record are left out."""


class OptunaTrialStore:
    """The trials in a plan's database, numbered from 0 in the order in which they began."""

    def __init__(self, plan: Plan, storage: RDBStorage) -> None:
        self.plan, self._storage, self._distributions = plan, storage, distributions(plan.space)
        self._written = {name: distribution_to_json(found) for name, found in self._distributions.items()}
        self._study = storage.get_study_id_from_name(plan.name)
        self._known: list[FrozenTrial] = []
        """As they were when they were last read."""
        self._open: dict[int, int] = {}
        """Of those that were not finished then: the number of each, by the database's name of it."""

    @classmethod
    def open(cls, plan: Plan) -> Self:
        """Those of the plan's study, which is made if there is none."""
        storage = _storage(plan)
        study = optuna.create_study(
            study_name=plan.name, storage=storage, directions=_directions(plan), load_if_exists=True
        )
        if study.metric_names is None:
            study.set_metric_names(list(plan.search.objectives))  # what optuna-dashboard calls the values
        return cls(plan, storage)

    @staticmethod
    def forget(plan: Plan) -> None:
        """Remove them all."""
        with suppress(KeyError):
            optuna.delete_study(study_name=plan.name, storage=_storage(plan))

    def all(self) -> list[FrozenTrial]:
        """Every trial, in the order of their numbers; only what is new is read."""
        with Session(self._storage.engine) as session:
            while self._learn(session, self._news(session)) == _FEW:
                pass
        return self._known

    def _news(self, session: Session) -> Sequence[Any]:
        """The first few rows of what began or ended since the trials were last read."""
        table, last = models.TrialModel, self._known[-1]._trial_id if self._known else -1
        ended = table.trial_id.in_(self._open) & (table.state != TrialState.RUNNING)
        news = sa.and_(table.study_id == self._study, (table.trial_id > last) | ended)
        return session.scalars(sa.select(table).where(news).order_by(table.trial_id).limit(_FEW)).all()

    def _learn(self, session: Session, rows: Sequence[Any]) -> int:
        """Read the trials of these rows; how many they are."""
        few = [row.trial_id for row in rows]
        user, system = (
            _by_trial(
                session, few, (table.key, table.value_json), lambda row: (intern(row.key), json.loads(row.value_json))
            )
            for table in (models.TrialUserAttributeModel, models.TrialSystemAttributeModel)
        )
        value = models.TrialValueModel
        values = _by_trial(session, few, (value.objective, value.value, value.value_type), _value)
        fresh = [here for here in few if here not in self._open]
        param = models.TrialParamModel
        params = _by_trial(session, fresh, (param.param_name, param.param_value), self._param)
        for row in rows:
            here = row.trial_id
            number = self._open.pop(here, len(self._known))
            known = number < len(self._known)
            trial = FrozenTrial(
                number=number,
                state=row.state,
                value=None,
                values=[value for _, value in sorted(values[here].items())] or None,
                datetime_start=row.datetime_start,
                datetime_complete=row.datetime_complete,
                params=self._known[number].params if known else params[here],
                distributions=self._distributions,
                user_attrs=user[here],
                system_attrs=system[here],
                intermediate_values={},
                trial_id=here,
            )
            self._known[number : number + 1] = [trial]
            if not trial.state.is_finished():
                self._open[here] = number
        return len(rows)

    def _param(self, row: Any) -> tuple[str, Any]:
        name = intern(row.param_name)
        return name, self._distributions[name].to_external_repr(row.param_value)

    def begin(self, number: int, proposed: FrozenTrial, *, worker: str, architecture: str) -> FrozenTrial:
        """Write a proposal as the trial of that number, the next, which a worker has begun; both names are kept."""
        trial = _begun(proposed, worker=worker, architecture=architecture)
        row = models.TrialModel(study_id=self._study, number=number, state=trial.state)
        row.datetime_start = trial.datetime_start
        with Session(self._storage.engine) as session, session.begin():
            session.add(row)
            session.flush()
            here: Any = row.trial_id
            for table, rows in self._rows(trial).items():
                if rows:
                    session.execute(sa.insert(table), [{"trial_id": here, **columns} for columns in rows])
        trial.number, trial._trial_id = number, here
        return trial

    def _rows(self, trial: FrozenTrial) -> dict[Any, list[dict[str, Any]]]:
        """What a trial that begins has in other tables than its own."""
        user, system = (
            [{"key": key, "value_json": json.dumps(value)} for key, value in attributes.items()]
            for attributes in (trial.user_attrs, trial.system_attrs)
        )
        inner = {name: self._distributions[name].to_internal_repr(value) for name, value in trial.params.items()}
        params = [
            {"param_name": name, "param_value": value, "distribution_json": self._written[name]}
            for name, value in inner.items()
        ]
        tables = (models.TrialParamModel, models.TrialUserAttributeModel, models.TrialSystemAttributeModel)
        return dict(zip(tables, (params, user, system), strict=True))

    def end(self, record: Record) -> None:
        """Write what became of a trial."""
        done = record.state == "complete"
        values = [float(record.metrics[name]) for name in self.plan.search.objectives] if done else None
        self._storage.set_trial_state_values(self._id(record.number), STATES[record.state], values)

    def is_open(self, number: int) -> bool:
        """Whether nothing is known yet of what became of a trial."""
        query = sa.select(models.TrialModel.state).where(models.TrialModel.trial_id == self._id(number))
        with self._storage.engine.connect() as connection:
            state: TrialState = connection.execute(query).scalar_one()
        return not state.is_finished()

    def lose(self, number: int, *, returned: bool = False) -> None:
        """End a trial whose worker died, met a fault of its machine, or returned it unfinished."""
        if returned:
            self._storage.set_trial_user_attr(self._id(number), _RETURNED, True)
        self._storage.set_trial_state_values(self._id(number), TrialState.FAIL)

    @staticmethod
    def was_returned(trial: FrozenTrial) -> bool:
        """Whether its worker returned it."""
        return _RETURNED in trial.user_attrs

    def _id(self, number: int) -> int:
        if number < len(self._known):
            return self._known[number]._trial_id
        return self._storage.get_trial_id_from_study_id_trial_number(self._study, number)

    def put(self, trial: FrozenTrial) -> None:
        """Write a trial of another database as the next of this one."""
        self._storage.create_new_trial(self._study, trial)

    @property
    def notes(self) -> dict[str, Any]:
        """What the sampler noted of the study (of NSGA-II, each generation's parents)."""
        return dict(self._storage.get_study_user_attrs(self._study).get(_NOTES, {}))

    @notes.setter
    def notes(self, notes: dict[str, Any]) -> None:
        self._storage.set_study_user_attr(self._study, _NOTES, notes)


class SamplerStudy:
    """Follows the trials of a database; proposes new ones. Trials keep their numbers.

    `known` counts them all, `open` are the numbers of those under way, `lost` counts those that ended without a record.
    """

    def __init__(self, plan: Plan, notes: dict[str, Any]) -> None:
        self.plan, self.distributions = plan, distributions(plan.space)
        self._storage = InMemoryStorage()
        self._sampler = Constrained(plan)
        self._study = optuna.create_study(storage=self._storage, sampler=self._sampler, directions=_directions(plan))
        self._inner_id = self._storage.get_study_id_from_name(self._study.study_name)
        for key, value in notes.items():
            self._storage.set_study_system_attr(self._inner_id, key, value)
        self.open: set[int] = set()
        self.known = self.lost = 0
        published = [point for _, point in plan.space.published_points()]
        self._due = [point for point in published if plan.admissible(plan.space.codes(point)[None])[0]]

    @property
    def notes(self) -> dict[str, Any]:
        """What the sampler noted of the study."""
        return dict(self._storage.get_study_system_attrs(self._inner_id))

    def follow(self, trials: Sequence[FrozenTrial], metrics: Lookup) -> None:
        """Take in what became of every trial: `trials` are all of the study, in the order of their numbers."""
        for trial in trials[self.known :]:
            self._storage.create_new_trial(self._inner_id, _begun(trial))
            self._begin(trial.number, trial.params)
        ended = [number for number in sorted(self.open) if trials[number].state.is_finished()]
        measured = metrics(ended) if ended else {}
        for number in ended:
            if number in measured:
                self._end(trials[number], measured[number])
            else:
                self._lose(trials[number], trials[number + 1 :])
        self.open -= set(ended)

    def _begin(self, number: int, params: dict[str, Any]) -> None:
        self.known += 1
        self.open.add(number)
        if params in self._due:
            self._due.remove(params)

    def _end(self, trial: FrozenTrial, metrics: Metrics) -> None:
        self._storage.set_trial_user_attr(self._id(trial.number), "metrics", metrics)
        values = trial.values
        if trial.state == TrialState.COMPLETE:  # the mean, if it was measured again
            values = [float(metrics[name]) for name in self.plan.search.objectives]
        self._storage.set_trial_state_values(self._id(trial.number), trial.state, values)

    def _lose(self, trial: FrozenTrial, later: Sequence[FrozenTrial]) -> None:
        """It came to no end: it is due again, unless it was taken up since."""
        self._storage.set_trial_state_values(self._id(trial.number), TrialState.FAIL)
        self.lost += 1
        if all(other.params != trial.params for other in later):
            self._due.append(trial.params)

    def propose(self, *, but: Sequence[dict[str, Any]] = ()) -> FrozenTrial | None:
        """The next candidate: a published model not tried yet, else one that a worker lost, else the sampler's.

        Lost ones with the values `but` are left to others. None if the sampler found nothing new inside the conditions
        and limits. The mirror is ahead of the database then, as it is when a proposal could not be written: follow with
        a new one.
        """
        due = [params for params in self._due if params not in but]
        if due:
            return create_trial(state=TrialState.RUNNING, params=due[0], distributions=self.distributions)
        number = self._study.ask(self.distributions).number
        trial = self._storage.get_trial(self._id(number))
        if self._sampler.exhausted:
            return None
        self._begin(number, trial.params)
        return trial

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._inner_id, number)


def _begun(trial: FrozenTrial, **attributes: str) -> FrozenTrial:
    """The trial as it is when it begins."""
    return create_trial(
        state=TrialState.RUNNING,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=attributes,
        system_attrs=trial.system_attrs,
    )


def _directions(plan: Plan) -> list[StudyDirection]:
    return [StudyDirection.MAXIMIZE if o.maximise else StudyDirection.MINIMIZE for o in plan.objectives]


def _by_trial(
    session: Session, few: Sequence[int], columns: Sequence[Any], read: Callable[[Any], tuple[Any, Any]]
) -> dict[int, dict[Any, Any]]:
    """Pairs that are read from these columns of a table, in the order in which they were written; by trial."""
    found: dict[int, dict[Any, Any]] = {here: {} for here in few}
    if few:
        table = columns[0].class_
        written = sa.inspect(table).primary_key[0]
        query = sa.select(table.trial_id, *columns).where(table.trial_id.in_(few)).order_by(written)
        for row in session.execute(query):
            key, value = read(row)
            found[row.trial_id][key] = value
    return found


def _value(row: Any) -> tuple[int, float]:
    return row.objective, models.TrialValueModel.stored_repr_to_value(row.value, row.value_type)


def _storage(plan: Plan) -> RDBStorage:
    storage = RDBStorage(plan.url, engine_kwargs={"connect_args": connect_args(make_url(plan.url))})
    tune(storage.engine)
    storage.engine.dispose()  # connections from before the tuning
    return storage


@contextmanager
def told_of_trials(url: str) -> Iterator[None]:
    """Trouble that Optuna has with the database, told as ours is."""
    with translate_db_errors(make_url(url)):
        try:
            yield
        except optuna.exceptions.StorageInternalError as error:
            raise (error.__cause__ or error) from None
