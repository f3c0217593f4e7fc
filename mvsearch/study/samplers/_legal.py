"""Around every sampler: what it proposes is moved to the nearest new point inside the conditions and the limits.

Optuna's samplers know neither conditions between choices nor closed-form costs, and propose duplicates. Priced in bulk,
hundreds of neighbours cost a millisecond, so no trial is spent on a candidate that arithmetic rules out.
"""

from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from mvsearch.space.search_space import Codes, SearchSpace
from mvsearch.study.plan import Plan
from mvsearch.study.samplers._history import History
from mvsearch.study.samplers._pool import inside
from mvsearch.utils import plugins

_NEIGHBOURS = 256
_SAMPLE = 20_000  # points to look through where none was found nearby


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """The open choices as Optuna names them."""
    return {
        choice.name: CategoricalDistribution(choice.values)
        if choice.step is None
        else IntDistribution(choice.values[0], choice.values[-1], step=choice.step)
        for choice in space.choices
    }


class Constrained(optuna.samplers.BaseSampler):
    """The plan's sampler, kept inside the space.

    `exhausted` says whether the last proposal could not be made new and admissible.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.space = plan, plan.space
        self.distributions = distributions(plan.space)
        module = plugins.load("sampler", plan.search.sampler)
        self.inner: optuna.samplers.BaseSampler = module.make(plan, plan.search.seed)
        self._history = History(plan.space)
        self.exhausted = False

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All choices: they are given together, so that what depends on several can be checked."""
        return self.distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The inner sampler's proposal, made legal; nothing for a trial whose values are already fixed."""
        if "fixed_params" in trial.system_attrs:
            return {}
        known = self.inner.infer_relative_search_space(study, trial)
        proposed = self.inner.sample_relative(study, trial, known)
        for name, distribution in self.distributions.items():
            if name not in proposed:
                proposed[name] = self.inner.sample_independent(study, trial, name, distribution)
        rng = np.random.default_rng([self.plan.search.seed, trial.number, 1])
        self._history.update(study)
        codes = self.space.codes(proposed)
        found = nearest(self.plan, codes, self._history.seen, rng)
        self.exhausted = found is None
        return self.space.point(codes if found is None else found)

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, name: str, distribution: Any) -> Any:
        """Never asked: `sample_relative` gives every choice."""
        raise NotImplementedError(name)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Passed on."""
        self.inner.before_trial(study, trial)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Passed on."""
        self.inner.after_trial(study, trial, state, values)


def nearest(plan: Plan, codes: Codes, seen: set[bytes], rng: np.random.Generator) -> Codes | None:
    """The point itself if it is new and admissible; else one that differs in as few choices as will do, if there is."""
    if codes.tobytes() not in seen and plan.admissible(codes[None])[0]:
        return codes
    if plan.all_points is not None:
        nearest_first = np.argsort((plan.all_points != codes).sum(1), kind="stable")
        return _first_new(plan.all_points[nearest_first], seen)
    sizes = np.array([len(choice.values) for choice in plan.space.choices])
    for changes in range(1, len(sizes) + 1):
        fresh = rng.integers(0, sizes, size=(_NEIGHBOURS, len(sizes)))
        changed = rng.random(fresh.shape).argsort(axis=1).argsort(axis=1) < changes
        pool = np.where(changed, fresh, codes)
        found = _first_new(pool[plan.admissible(pool)], seen)
        if found is not None:
            return found
    walked = inside(plan, _SAMPLE, rng)
    return _first_new(walked[plan.admissible(walked)], seen)


def _first_new(pool: Codes, seen: set[bytes]) -> Codes | None:
    for row in pool:
        if row.tobytes() not in seen:
            return np.asarray(row)
    return None
