"""Random search: every legal candidate is equally likely. The baseline of the other samplers."""

from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from mvsearch.space.search_space import SearchSpace
from mvsearch.study.plan import Plan


class Uniform(optuna.samplers.BaseSampler):
    """Samples from the space itself, so that conditions do not bias the distribution."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self.space, self.seed = space, seed

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Empty: `sample_relative` samples every choice."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A value for every choice."""
        return self.space.point(self.space.sample(1, np.random.default_rng([self.seed, trial.number]))[0])

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, name: str, distribution: Any) -> Any:
        """Not called: `sample_relative` samples every choice."""
        raise NotImplementedError(name)


def make(plan: Plan, seed: int) -> optuna.samplers.BaseSampler:
    """Uniform sampling of the whole space."""
    return Uniform(plan.space, seed)
