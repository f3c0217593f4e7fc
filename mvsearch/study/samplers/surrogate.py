"""Buys only what arithmetic cannot know: exact costs are priced in bulk, a Gaussian process stands for the rest.

    finished trials ──▶ a model of each bought metric ─┐
                        exact costs, in closed form ───┴▶ evolve a pool ──▶ the largest expected gain of hypervolume

The front is of what the models expect of finished trials, not of what was measured: so luck with a noisy score does not
keep others away. Candidates under way count as if they had come out as expected: so several workers spread out. A limit
on a bought metric weighs the gain by the probability that it holds. Half of the proposals, drawn at random, measure
exact costs by their logarithms, so that small networks get as many trainings as large ones.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import norm

from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import is_number
from mvsearch.metrics.registry import STATIC_COSTS
from mvsearch.space.search_space import Codes
from mvsearch.study.plan import Plan
from mvsearch.study.samplers._belief import SurrogateModel
from mvsearch.study.samplers._gain import ExpectedHypervolumeImprovement
from mvsearch.study.samplers._history import History
from mvsearch.study.samplers._model import Features, GaussianProcess, Points, fitted
from mvsearch.study.samplers._pool import evolved, inside, neighbours, survivors
from mvsearch.study.samplers._scores import Scores, metrics_of, scores

Array = NDArray[np.float64]

_FIRST = 8  # scores before a model is worth fitting
_FITTED = 200  # scores from which a model's few numbers are set
_GROWTH = 1.1  # they are set anew when there are so many times the scores
_MODELLED = 1000  # scores that a model rests on: the latest
_CONSIDERED = 150  # candidates whose gain is computed
_LEVELS = 5  # values that a bought metric may take, equally likely
_ROUNDS = 6  # of refinement
_SMALL = 1000  # points of a space that is looked through whole


class Surrogate(optuna.samplers.BaseSampler):
    """All that decides is in the study; what is kept between proposals saves time."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self.plan, self.space, self.seed = plan, plan.space, seed
        names = dict.fromkeys((*plan.search.objectives, *(limit.name for limit in plan.limits)))
        self.bought = {name: Objective.named(name) for name in names if name not in STATIC_COSTS}
        self._features = Features(plan.space)
        self._history = History(plan.space)
        self._thetas: dict[str, tuple[object, Array]] = {}
        self._every = plan.all_points if plan.all_points is not None and 0 < len(plan.all_points) <= _SMALL else None

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Nothing is inferred: `sample_relative` gives every choice."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A value for every choice."""
        rng = np.random.default_rng([self.seed, trial.number])
        trials = [t for t in self._history.update(study) if t.number in self._history.codes]
        belief = self._belief(trials)
        anywhere = inside(self.plan, 2000, rng) if self._every is None else self._every
        ready = all(name in belief.models for name in self.plan.search.objectives if name in self.bought)
        codes = self._best(belief, trials, anywhere, rng) if ready else self._spread(belief, anywhere, rng)
        return self.space.point(codes)

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, name: str, distribution: Any) -> Any:
        """Never asked: every choice has a value already."""
        raise NotImplementedError(name)

    # ---- what is known

    def _belief(self, trials: list[FrozenTrial]) -> SurrogateModel:
        """Models of the metrics that have scores enough."""
        models = {}
        for name, objective in self.bought.items():
            found = scores(trials, objective, self.plan.search.objectives)
            if len(found.full) >= _FIRST:
                models[name] = (found.scale, self._model(name, found))
        return SurrogateModel(self.plan, self._features, models)

    def _model(self, name: str, found: Scores) -> GaussianProcess:
        latest = found.part(slice(-_MODELLED, None))
        return GaussianProcess.of(self._points(latest), latest, self._theta(name, found.full), self._features.groups)

    def _theta(self, name: str, found: Scores) -> Array:
        """A model's few numbers, of its first scores; set anew only when those have grown by a tenth."""
        start = _FIRST
        while (more := max(start + 1, int(start * _GROWTH))) <= len(found):
            start = more
        rows = np.random.default_rng([self.seed, start]).permutation(start)[:_FITTED]
        few = found.part(rows)
        key = (few.numbers, few.y.tobytes(), few.known.tobytes())
        known, theta = self._thetas.get(name, (None, np.empty(0)))
        if key != known:
            theta = fitted(self._points(few), few, self._features.groups)
            self._thetas[name] = (key, theta)
        return theta

    def _points(self, found: Scores) -> Points:
        return self._features.of(np.array([self._history.codes[number] for number in found.numbers]))

    def _held(self, trials: list[FrozenTrial]) -> Codes:
        """Complete trials and those under way, as far as they keep to the limits."""
        held = [t for t in trials if t.state in (TrialState.COMPLETE, TrialState.RUNNING) and self._keeps(t)]
        codes = self._codes(held)
        return np.asarray(codes[self.plan.admissible(codes)]) if len(codes) else codes

    def _keeps(self, trial: FrozenTrial) -> bool:
        metrics = metrics_of(trial, self.plan.search.objectives)
        known = [limit for limit in self.plan.limits if is_number(metrics.get(limit.name))]
        return all(limit.holds(metrics[limit.name]) for limit in known)

    def _codes(self, trials: list[FrozenTrial]) -> Codes:
        rows = [self._history.codes[t.number] for t in trials]
        return np.array(rows, dtype=np.int64).reshape(-1, len(self.space.choices))

    def _new(self, codes: Codes) -> Codes:
        return np.asarray(codes[[row.tobytes() not in self._history.seen for row in codes]])

    # ---- what to propose

    def _spread(self, belief: SurrogateModel, anywhere: Codes, rng: np.random.Generator) -> Codes:
        """A point from anywhere along the budget, not from where most points are; one that may keep to the limits."""
        codes = self._new(anywhere) if len(self._new(anywhere)) else anywhere
        chance = belief.of(codes).chance()
        codes = codes[chance >= min(0.5, chance.max())]
        size = np.log(self.space.costs(codes).macs)
        wanted = rng.uniform(size.min(), size.max())
        return np.asarray(codes[np.abs(size - wanted).argmin()])

    def _best(
        self, belief: SurrogateModel, trials: list[FrozenTrial], anywhere: Codes, rng: np.random.Generator
    ) -> Codes:
        """The new point of largest expected gain over what is held and under way."""
        held = self._held(trials)
        belief = belief.believing(self._codes([t for t in trials if t.state == TrialState.RUNNING]))
        known, around = (belief.of(codes, deviations=False).expected() for codes in (held, anywhere))
        both = np.vstack((known, around))
        logs = np.array([name in STATIC_COSTS for name in self.plan.search.objectives]) & (rng.random() < 0.5)
        gain = ExpectedHypervolumeImprovement(known, both.min(0), both.max(0), logs)

        def costs_of(codes: Codes) -> Array:
            outlook = belief.of(codes, deviations=False)
            return np.asarray(gain.scaled(outlook.expected()) + outlook.excess()[:, None])

        start = np.unique(np.vstack((held, anywhere[:400])), axis=0)
        pool = self._new(anywhere if self._every is not None else evolved(self.plan, start, costs_of, rng))
        if not len(pool):
            return np.asarray(anywhere[rng.integers(len(anywhere))])
        z = _levels(len(belief.models), rng)

        def worth(codes: Codes) -> Array:
            outlook = belief.of(codes)
            return np.asarray(gain.of(outlook.costs(z)) * outlook.chance())

        pool = pool[survivors(costs_of(pool), _CONSIDERED)]
        return self._refined(pool, worth)

    def _refined(self, pool: Codes, worth: Callable[[Codes], Array]) -> Codes:
        """The best of a pool, moved to better neighbours while there are any."""
        gains = worth(pool)
        best, most = pool[gains.argmax()], gains.max()
        for _ in range(_ROUNDS):
            near = self._new(neighbours(self.plan, best))
            if not len(near) or (gains := worth(near)).max() <= most:
                break
            best, most = near[gains.argmax()], gains.max()
        return np.asarray(best)


def _levels(models: int, rng: np.random.Generator) -> Array:
    """(levels, models): equally likely deviations, every model's in an order of its own (a Latin hypercube)."""
    levels = norm.ppf((np.arange(_LEVELS) + 0.5) / _LEVELS)
    return np.stack([rng.permutation(levels) for _ in range(models)], 1) if models else np.zeros((1, 0))


def make(plan: Plan, seed: int) -> optuna.samplers.BaseSampler:
    """The sampler for networks: trainings are dear, costs are free."""
    return Surrogate(plan, seed)
