"""Random search: every candidate within conditions and limits is equally likely. The baseline of the other samplers."""

from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from mvsearch.space.search_space import Codes
from mvsearch.study.plan import Plan

_DRAWS = (1, 1_000, 100_000)  # points that are drawn until one is within the limits


class Uniform(optuna.samplers.BaseSampler):
    """Samples from the space itself, so that neither conditions nor static limits bias the distribution."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self.plan, self.seed = plan, seed

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Empty: `sample_relative` samples every choice."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A value for every choice."""
        return self.plan.space.point(self._draw(np.random.default_rng([self.seed, trial.number])))

    def _draw(self, rng: np.random.Generator) -> Codes:
        """A point within the limits; where hardly any is, one beyond them."""
        for draws in _DRAWS:
            codes = self.plan.space.sample(draws, rng)
            if (within := self.plan.admissible(codes)).any():
                break
        return np.asarray(codes[within.argmax()])

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, name: str, distribution: Any) -> Any:
        """Not called: `sample_relative` samples every choice."""
        raise NotImplementedError(name)


def make(plan: Plan, seed: int) -> optuna.samplers.BaseSampler:
    """Uniform sampling of the space within the limits."""
    return Uniform(plan, seed)
