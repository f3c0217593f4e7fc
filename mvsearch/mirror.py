"""A study in memory, as samplers see it: Optuna's trials, and with each all that was measured of it.

    database ── follow ──▶ mirror ── propose ──▶ database, in one transaction

Optuna's own way of asking writes each value of a trial in a transaction of its own. Here a proposal is complete before
the database hears of it, so a trial there always has all its values, however a worker dies.
"""

from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from mvsearch.plan import Plan
from mvsearch.record import Metrics
from mvsearch.samplers._legal import Legal, distributions

Lookup = Callable[[Sequence[int]], dict[int, Metrics]]
"""The metrics of finished candidates by their numbers; those without a record are left out."""


class Mirror:
    """Follows the trials of a database; proposes new ones. Trials keep their numbers.

    `notes` are what the sampler noted of the study in an earlier process (of NSGA-II, each generation's parents).
    """

    def __init__(self, plan: Plan, notes: dict[str, Any]) -> None:
        self.plan, self.distributions = plan, distributions(plan.space)
        self._storage = InMemoryStorage()
        self._study = optuna.create_study(
            storage=self._storage,
            sampler=Legal(plan),
            directions=["maximize" if objective.maximise else "minimize" for objective in plan.objectives],
        )
        for key, value in notes.items():
            self._storage.set_study_system_attr(self._study._study_id, key, value)
        self._published = [point for _, point in plan.space.published_points()]
        self._open: set[int] = set()
        self._lost: list[dict[str, Any]] = []

    @property
    def notes(self) -> dict[str, Any]:
        """What the sampler noted of the study."""
        return self._storage.get_study_system_attrs(self._study._study_id)

    def follow(self, trials: Sequence[FrozenTrial], metrics: Lookup) -> None:
        """Take in what became of every trial: `trials` are all of the study, in the order of their numbers."""
        for trial in trials[len(self._trials()) :]:
            self._storage.create_new_trial(self._study._study_id, _begun(trial))
            self._open.add(trial.number)
        ended = [number for number in sorted(self._open) if trials[number].state.is_finished()]
        measured = metrics(ended) if ended else {}
        for number in ended:
            self._end(trials[number], measured.get(number))
        self._open -= set(ended)

    def _end(self, trial: FrozenTrial, metrics: Metrics | None) -> None:
        number = self._storage.get_trial_id_from_study_id_trial_number(self._study._study_id, trial.number)
        values = trial.values
        if metrics is None:
            self._lost.append(trial.params)
        else:
            self._storage.set_trial_user_attr(number, "metrics", metrics)
            if trial.state == TrialState.COMPLETE:
                values = [
                    float(metrics[name]) for name in self.plan.search.objectives
                ]  # the mean, if it was measured again
        self._storage.set_trial_state_values(number, trial.state, values)

    def propose(self) -> FrozenTrial:
        """The next candidate: a published model not tried yet, else one that a dead worker lost, else the sampler's."""
        due = self._due()
        if due is None:
            proposed = self._study.ask(self.distributions)
            frozen = self._storage.get_trial(proposed._trial_id)
            self._open.add(frozen.number)
            return frozen
        return create_trial(state=TrialState.RUNNING, params=due, distributions=self.distributions)

    def _due(self) -> dict[str, Any] | None:
        tried = [trial.params for trial in self._trials()]
        for point in self._published:
            if point not in tried:
                return point
        for params in self._lost:
            if tried.count(params) == self._lost.count(params):
                return params
        return None

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)


def _begun(trial: FrozenTrial) -> FrozenTrial:
    """The trial as it was when it began."""
    return create_trial(
        state=TrialState.RUNNING,
        params=trial.params,
        distributions=trial.distributions,
        system_attrs=trial.system_attrs,
    )
