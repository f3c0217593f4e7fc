"""A study in memory, which the sampler sees: it follows the trials of the database, and suggests new ones."""

from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from mvsearch.metrics.record import Metrics
from mvsearch.study.distributions import distributions
from mvsearch.study.plan import Plan
from mvsearch.study.samplers._constrained import Constrained
from mvsearch.study.storage.trials import as_running, directions

Lookup = Callable[[Sequence[int]], dict[int, Metrics]]
"""The metrics of finished trials by their numbers; trials without a record are left out."""


class SamplerStudy:
    """The sampler's view of a study. Trials have the numbers that they have in the database.

    `n_trials` counts all of them, `running` holds the numbers of those that are not finished, `n_lost` counts those
    that ended without a record.
    """

    def __init__(self, plan: Plan, state: dict[str, Any]) -> None:
        self.plan, self.distributions = plan, distributions(plan.space)
        self._storage = InMemoryStorage()
        self._sampler = Constrained(plan)
        self._study = optuna.create_study(storage=self._storage, sampler=self._sampler, directions=directions(plan))
        self._study_id = self._storage.get_study_id_from_name(self._study.study_name)
        for key, value in state.items():
            self._storage.set_study_system_attr(self._study_id, key, value)
        self.running: set[int] = set()
        self.n_trials = self.n_lost = 0
        self.due = [point for _, point in plan.space.published_points() if self._is_admissible(point)]
        """Points to suggest before those of the sampler: published models, and points of lost trials."""

    @property
    def state(self) -> dict[str, Any]:
        """What the sampler keeps with the study."""
        return dict(self._storage.get_study_system_attrs(self._study_id))

    @property
    def trials(self) -> list[FrozenTrial]:
        """The trials as the sampler sees them."""
        return self._study.get_trials(deepcopy=False)

    def sync(self, trials: Sequence[FrozenTrial], metrics: Lookup) -> None:
        """Update to the trials of the database: all of the study, in the order of their numbers."""
        for trial in trials[self.n_trials :]:
            self._storage.create_new_trial(self._study_id, as_running(trial))
            self._add(trial.number, trial.params)
        ended = [number for number in sorted(self.running) if trials[number].state.is_finished()]
        measured = metrics(ended) if ended else {}
        self.running -= set(ended)
        for number in ended:
            if number in measured:
                self._finish(trials[number], measured[number])
            else:
                self._lose(trials[number], trials, metrics)

    def _add(self, number: int, params: dict[str, Any]) -> None:
        self.n_trials += 1
        self.running.add(number)
        if params in self.due:
            self.due.remove(params)

    def _finish(self, trial: FrozenTrial, metrics: Metrics) -> None:
        self._storage.set_trial_user_attr(self._id(trial.number), "metrics", metrics)
        values = trial.values
        if trial.state == TrialState.COMPLETE:  # the mean, if it was measured with further seeds
            values = [float(metrics[name]) for name in self.plan.search.objectives]
        self._storage.set_trial_state_values(self._id(trial.number), trial.state, values)

    def _lose(self, trial: FrozenTrial, trials: Sequence[FrozenTrial], metrics: Lookup) -> None:
        """A trial without a record: its point is due again, unless another trial with it runs or has a record."""
        self._storage.set_trial_state_values(self._id(trial.number), TrialState.FAIL)
        self.n_lost += 1
        point = _point(trial)
        if point.keys() != self.distributions.keys():  # of schema 1, killed between two of its values
            return
        others = [other for other in trials if other.number != trial.number and _point(other) == point]
        ended = [other.number for other in others if other.state.is_finished()]
        if len(ended) < len(others) or metrics(ended):
            return
        if point in self.due:  # the last loss decides the order
            self.due.remove(point)
        if self._is_admissible(point):  # an earlier run may have had other limits
            self.due.append(point)

    def _is_admissible(self, point: dict[str, Any]) -> bool:
        return bool(self.plan.admissible(self.plan.space.codes(point)[None])[0])

    def suggest(self, *, exclude: Sequence[dict[str, Any]] = ()) -> FrozenTrial | None:
        """The next trial: a published model not tried yet, else the point of a lost trial, else the sampler's.

        Due points in `exclude` are left to other workers. None if the sampler finds no new point inside the conditions
        and limits. After a suggestion of the sampler this study is ahead of the database until the trial is written; if
        it cannot be written, begin with a new SamplerStudy.
        """
        due = [params for params in self.due if params not in exclude]
        if due:
            return create_trial(state=TrialState.RUNNING, params=due[0], distributions=self.distributions)
        number = self._study.ask(self.distributions).number
        trial = self._storage.get_trial(self._id(number))
        if self._sampler.exhausted:
            return None
        self._add(number, trial.params)
        return trial

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)


def _point(trial: FrozenTrial) -> dict[str, Any]:
    """The point of a trial; schema 1 queued points before their values were written."""
    queued: dict[str, Any] = trial.system_attrs.get("fixed_params", {})
    return max(trial.params, queued, key=len)
