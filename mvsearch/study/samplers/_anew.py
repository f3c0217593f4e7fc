"""A stock sampler, made anew for each trial: Optuna's keep a generator of their own, which a resumed study has not."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from mvsearch.study.plan import Plan


def generation(plan: Plan) -> int:
    """A tenth of the trials, 10 to 50: a study shorter than its first generation is a random search."""
    return min(50, max(10, plan.search.trials // 10))


class Reseeded(optuna.samplers.BaseSampler):
    """Its seed is mixed from the study's and the trial's number; all else it knows is in the study."""

    def __init__(self, made: Callable[[int], optuna.samplers.BaseSampler], seed: int) -> None:
        self.made, self.seed = made, seed

    def _inner(self, trial: FrozenTrial) -> optuna.samplers.BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return self.made(int(np.random.default_rng([self.seed, trial.number]).integers(2**31)))

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The inner sampler's."""
        return self._inner(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The inner sampler's."""
        return self._inner(trial).sample_relative(study, trial, search_space)

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, name: str, distribution: Any) -> Any:
        """The inner sampler's."""
        return self._inner(trial).sample_independent(study, trial, name, distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """The inner sampler's."""
        self._inner(trial).before_trial(study, trial)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """The inner sampler's."""
        self._inner(trial).after_trial(study, trial, state, values)
