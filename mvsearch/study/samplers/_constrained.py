"""A wrapper of every sampler, which moves each proposal to the nearest new point that satisfies the constraints.

Optuna's samplers know neither conditions between choices nor static costs, and propose duplicates. The costs of
hundreds of neighbours take a millisecond, so no trial is spent on a candidate that violates a static constraint.
"""

from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from mvsearch.space.search_space import Codes
from mvsearch.study.distributions import distributions
from mvsearch.study.plan import Plan
from mvsearch.study.samplers._history import History
from mvsearch.study.samplers._points import sample_admissible
from mvsearch.utils import plugins

_NEIGHBOURS = 256
_SAMPLE = 20_000  # points that are tried where no neighbour is admissible


class Constrained(optuna.samplers.BaseSampler):
    """The plan's sampler, with proposals that are new and admissible.

    `exhausted` is True if no such point was found for the last proposal.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.space = plan, plan.space
        self.distributions = distributions(plan.space)
        module = plugins.load("sampler", plan.search.sampler)
        self.inner: optuna.samplers.BaseSampler = module.make(plan, plan.search.seed)
        self._history = History(plan.space)
        self.exhausted = False

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All choices: they are sampled together, because conditions connect them."""
        return self.distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The nearest admissible point to the inner sampler's proposal; empty for a trial with fixed parameters."""
        if "fixed_params" in trial.system_attrs:
            return {}
        known = self.inner.infer_relative_search_space(study, trial)
        proposed = self.inner.sample_relative(study, trial, known)
        for name, distribution in self.distributions.items():
            if name not in proposed:
                proposed[name] = self.inner.sample_independent(study, trial, name, distribution)
        rng = np.random.default_rng([self.plan.search.seed, trial.number, 1])
        self._history.update(study)
        codes = self.space.canonical(self.space.codes(proposed)[None])[0]
        point = find_nearest(self.plan, codes, self._history.seen, rng)
        self.exhausted = point is None
        return self.space.point(codes if point is None else point)

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, name: str, distribution: Any) -> Any:
        """Not called: `sample_relative` samples every choice."""
        raise NotImplementedError(name)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Delegates to the inner sampler."""
        self.inner.before_trial(study, trial)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Delegates to the inner sampler."""
        self.inner.after_trial(study, trial, state, values)


def find_nearest(plan: Plan, codes: Codes, seen: set[bytes], rng: np.random.Generator) -> Codes | None:
    """The point itself if it is new and admissible, else one that differs in as few choices as possible, or None."""
    if codes.tobytes() not in seen and plan.admissible(codes[None])[0]:
        return codes
    if plan.all_points is not None:
        nearest_first = np.argsort((plan.all_points != codes).sum(1), kind="stable")
        return _first_new(plan.all_points[nearest_first], seen)
    sizes = np.array([len(choice.values) for choice in plan.space.choices])
    for changes in range(1, len(sizes) + 1):
        fresh = rng.integers(0, sizes, size=(_NEIGHBOURS, len(sizes)))
        changed = rng.random(fresh.shape).argsort(axis=1).argsort(axis=1) < changes
        pool = plan.space.canonical(np.where(changed, fresh, codes))
        if (point := _first_new(pool[plan.admissible(pool)], seen)) is not None:
            return point
    sampled = sample_admissible(plan, _SAMPLE, rng)
    return _first_new(sampled[plan.admissible(sampled)], seen)


def _first_new(pool: Codes, seen: set[bytes]) -> Codes | None:
    for row in pool:
        if row.tobytes() not in seen:
            return np.asarray(row)
    return None
