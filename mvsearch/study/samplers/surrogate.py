"""Bayesian optimisation: static costs are computed exactly in bulk, Gaussian processes model the expensive metrics.

    finished trials ──▶ a model of each expensive metric ─┐
                        exact static costs ───────────────┴▶ evolve a pool ──▶ largest expected hypervolume improvement

The front consists of predictions for finished trials, not of their measurements, so that a lucky noisy score does not
exclude others. The models are conditioned on the predictions for running trials, so that several workers spread out. A
constraint on an expensive metric weighs the improvement by the probability that it is satisfied. Half of the proposals,
at random, take exact costs by their logarithms, so that small networks get as many trainings as large ones.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import is_number
from mvsearch.metrics.registry import STATIC_COSTS
from mvsearch.space.search_space import Codes
from mvsearch.study.plan import Plan
from mvsearch.study.samplers._features import Features, Points
from mvsearch.study.samplers._gaussian_process import GaussianProcess, fit_theta
from mvsearch.study.samplers._history import History
from mvsearch.study.samplers._improvement import ExpectedHypervolumeImprovement
from mvsearch.study.samplers._observations import FIRST, Observations, metrics_of, observe, refitted
from mvsearch.study.samplers._points import evolve, neighbours, sample_admissible, select_diverse
from mvsearch.study.samplers._surrogate_model import SurrogateModel

Array = NDArray[np.float64]

_FITTED = 200  # observations that theta is fitted to
_MODELLED = 1000  # observations that a model is conditioned on: the latest
_CONSIDERED, _CONSIDERED_OF_TWO = 150, 1000  # candidates whose improvement is computed: of two objectives it is cheap
_NEAR_COST = 0.1  # share of points that are of nearly the same cost
_LEVELS = 5  # equally likely values of an expensive metric
_ROUNDS = 6  # of refinement
_SMALL = 1000  # a space of so few points is enumerated


class Surrogate(optuna.samplers.BaseSampler):
    """Its proposals depend on the study alone; what it keeps between proposals saves time."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self.plan, self.space, self.seed = plan, plan.space, seed
        names = dict.fromkeys((*plan.search.objectives, *(limit.name for limit in plan.limits)))
        self.expensive = {name: Objective.named(name) for name in names if name not in STATIC_COSTS}
        self._features = Features(plan.space)
        self._history = History(plan.space)
        self._thetas: dict[str, tuple[object, Array]] = {}
        self._all_points = (
            plan.all_points if plan.all_points is not None and 0 < len(plan.all_points) <= _SMALL else None
        )

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Empty: `sample_relative` samples every choice."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A value for every choice."""
        rng = np.random.default_rng([self.seed, trial.number])
        trials = [t for t in self._history.update(study) if t.number in self._history.codes]
        surrogate = self._fit_models(trials)
        anywhere = sample_admissible(self.plan, 2000, rng) if self._all_points is None else self._all_points
        ready = all(name in surrogate.models for name in self.plan.search.objectives if name in self.expensive)
        codes = self._exploit(surrogate, trials, anywhere, rng) if ready else self._explore(surrogate, anywhere, rng)
        return self.space.point(codes)

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, name: str, distribution: Any) -> Any:
        """Not called: `sample_relative` samples every choice."""
        raise NotImplementedError(name)

    # ---- models

    def _fit_models(self, trials: list[FrozenTrial]) -> SurrogateModel:
        """The models of the metrics with enough observations."""
        models = {}
        for name, objective in self.expensive.items():
            observations = observe(trials, objective, self.plan.search.objectives)
            if len(observations.full) >= FIRST:
                models[name] = (observations.scale, self._model(name, observations))
        return SurrogateModel(self.plan, self._features, models)

    def _model(self, name: str, observations: Observations) -> GaussianProcess:
        latest = observations.part(slice(-_MODELLED, None))
        return GaussianProcess.of(
            self._points(latest), latest, self._theta(name, observations.full), self._features.lengths
        )

    def _theta(self, name: str, observations: Observations) -> Array:
        """The hyperparameters, fitted to the first observations; again only when these have grown by a tenth."""
        start = refitted(len(observations))
        rows = np.random.default_rng([self.seed, start]).permutation(start)[:_FITTED]
        subset = observations.part(rows)
        key = (subset.numbers, subset.y.tobytes(), subset.known.tobytes())
        known, theta = self._thetas.get(name, (None, np.empty(0)))
        if key != known:
            theta = fit_theta(self._points(subset), subset, self._features.lengths)
            self._thetas[name] = (key, theta)
        return theta

    def _points(self, observations: Observations) -> Points:
        return self._features.of(np.array([self._history.codes[number] for number in observations.numbers]))

    def _admissible_codes(self, trials: list[FrozenTrial]) -> Codes:
        """The codes of complete and running trials that satisfy the constraints."""
        admissible = [
            t for t in trials if t.state in (TrialState.COMPLETE, TrialState.RUNNING) and self._within_limits(t)
        ]
        codes = self._codes(admissible)
        return np.asarray(codes[self.plan.admissible(codes)]) if len(codes) else codes

    def _within_limits(self, trial: FrozenTrial) -> bool:
        metrics = metrics_of(trial, self.plan.search.objectives)
        return not any(
            limit.violated(dict(metrics)) for limit in self.plan.limits if is_number(metrics.get(limit.name))
        )

    def _codes(self, trials: list[FrozenTrial]) -> Codes:
        rows = [self._history.codes[t.number] for t in trials]
        return np.array(rows, dtype=np.int64).reshape(-1, len(self.space.choices))

    def _new(self, codes: Codes) -> Codes:
        return np.asarray(codes[[row.tobytes() not in self._history.seen for row in codes]])

    # ---- proposals

    def _explore(self, surrogate: SurrogateModel, anywhere: Codes, rng: np.random.Generator) -> Codes:
        """A point of random cost, not from where most points are, that probably satisfies the constraints.

        Of those near that cost, the one whose words and booleans were proposed least.
        """
        codes = self._new(anywhere) if len(self._new(anywhere)) else anywhere
        feasibility = surrogate.of(codes).feasibility()
        codes = codes[feasibility >= min(0.5, feasibility.max())]
        size = np.log(self._features.space.costs(codes).macs)
        target = rng.uniform(size.min(), size.max())
        near = codes[np.argsort(np.abs(size - target), kind="stable")[: max(1, int(_NEAR_COST * len(codes)))]]
        unordered = [i for i, choice in enumerate(self.space.choices) if not choice.ordered]
        past = np.array([*self._history.codes.values()]).reshape(-1, codes.shape[1])
        uses = sum((past[:, i] == near[:, i, None]).sum(1) * len(self.space.choices[i].values) for i in unordered)
        return np.asarray(near[np.argmin(uses) if unordered else 0])

    def _exploit(
        self, surrogate: SurrogateModel, trials: list[FrozenTrial], anywhere: Codes, rng: np.random.Generator
    ) -> Codes:
        """The new point of largest expected improvement over complete and running trials."""
        admissible = self._admissible_codes(trials)
        surrogate = surrogate.condition_on(self._codes([t for t in trials if t.state == TrialState.RUNNING]))
        inside, around = (surrogate.of(codes, deviations=False) for codes in (admissible, anywhere))
        known = inside.expected()
        both = np.vstack((known, around.expected()))
        logs = np.array([name in STATIC_COSTS for name in self.plan.search.objectives]) & (rng.random() < 0.5)
        gain = ExpectedHypervolumeImprovement(known, both.min(0), np.minimum(both.max(0), around.bounds()), logs)

        def costs_of(codes: Codes) -> Array:
            prediction = surrogate.of(codes, deviations=False)
            return np.asarray(gain.scaled(prediction.expected()) + prediction.excess()[:, None])

        start = np.unique(np.vstack((admissible, anywhere[:400])), axis=0)
        pool = self._new(anywhere if self._all_points is not None else evolve(self.plan, start, costs_of, rng))
        if not len(pool):
            return np.asarray(anywhere[rng.integers(len(anywhere))])
        z = _levels(len(surrogate.models), rng)

        def expected_gain(codes: Codes) -> Array:
            prediction = surrogate.of(codes)
            return np.asarray(gain.of(prediction.costs(z)) * prediction.feasibility())

        considered = _CONSIDERED if len(self.plan.objectives) > 2 else _CONSIDERED_OF_TWO
        pool = pool[select_diverse(costs_of(pool), considered)]
        return self._refine(pool, expected_gain)

    def _refine(self, pool: Codes, expected_gain: Callable[[Codes], Array]) -> Codes:
        """The best of a pool, moved to better neighbours as long as there are any."""
        gains = expected_gain(pool)
        best, most = pool[gains.argmax()], gains.max()
        for _ in range(_ROUNDS):
            near = self._new(neighbours(self.plan, best))
            if not len(near) or (gains := expected_gain(near)).max() <= most:
                break
            best, most = near[gains.argmax()], gains.max()
        return np.asarray(best)


def _levels(models: int, rng: np.random.Generator) -> Array:
    """(levels, models): equally likely deviations, in another order for each model (a Latin hypercube)."""
    if not models:
        return np.zeros((1, 0))
    from scipy.special import ndtri

    levels = ndtri((np.arange(_LEVELS) + 0.5) / _LEVELS)
    return np.stack([rng.permutation(levels) for _ in range(models)], 1)


def make(plan: Plan, seed: int) -> optuna.samplers.BaseSampler:
    """The default sampler, for expensive scores and free static costs."""
    return Surrogate(plan, seed)
