"""A sampler of Optuna, created for each trial: Optuna's own generator would not survive an interrupted study."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from mvsearch.study.plan import Plan


def population_size(plan: Plan) -> int:
    """A tenth of the trials, between 10 and 50; until the first generation is complete, the search is random."""
    return min(50, max(10, plan.search.trials // 10))


class Reseeded(optuna.samplers.BaseSampler):
    """Makes the inner sampler by `factory(seed=...)`, from the study's seed and the number of the trial."""

    def __init__(self, factory: Callable[..., optuna.samplers.BaseSampler], seed: int) -> None:
        self.factory, self.seed = factory, seed

    def _inner(self, trial: FrozenTrial) -> optuna.samplers.BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return self.factory(seed=int(np.random.default_rng([self.seed, trial.number]).integers(2**31)))

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Delegates to the inner sampler."""
        return self._inner(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Delegates to the inner sampler."""
        return self._inner(trial).sample_relative(study, trial, search_space)

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, name: str, distribution: Any) -> Any:
        """Delegates to the inner sampler."""
        return self._inner(trial).sample_independent(study, trial, name, distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Delegates to the inner sampler."""
        self._inner(trial).before_trial(study, trial)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Delegates to the inner sampler."""
        self._inner(trial).after_trial(study, trial, state, values)
