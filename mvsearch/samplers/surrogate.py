"""Buys only what arithmetic cannot know: exact costs are priced in bulk, a Gaussian process stands for the rest.

    finished trials ──▶ a model of each bought objective ─┐
                        exact costs, in closed form ──────┴▶ evolve a pool ──▶ the largest gain of hypervolume

Candidates under way count with what the model expects of them, so that several workers spread out.
"""

from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from mvsearch.plan import PRICED, Plan
from mvsearch.samplers._model import Features, GaussianProcess
from mvsearch.space import Codes

Array = NDArray[np.float64]

_FIRST = 8  # scores before a model is worth fitting
_PARENTS, _CHILDREN, _GENERATIONS = 80, 240, 8
_CONSIDERED = 150  # candidates whose gain is computed
_CAUTION = (0.0, 0.5, 1.0)  # deviations of optimism, drawn for each proposal


class Surrogate(optuna.samplers.BaseSampler):
    """Made anew for each trial; all it knows is in the study."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self.plan, self.space, self.seed = plan, plan.space, seed

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Nothing is inferred: `sample_relative` gives every choice."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A value for every choice."""
        rng = np.random.default_rng(self.seed)
        trials = [t for t in study.get_trials(deepcopy=False) if len(t.params) == len(self.space.choices)]
        done = [t for t in trials if t.state == TrialState.COMPLETE]
        pending = [t for t in trials if t.state == TrialState.RUNNING]
        bought = any(name not in PRICED for name in self.plan.search.objectives)
        if bought and len(done) < _FIRST:
            return self.space.point(self._spread(rng))
        codes = np.array([self.space.codes(t.params) for t in (*done, *pending)], dtype=np.int64)
        values = np.array([t.values for t in done], dtype=float)
        search = _Search(self.plan, codes.reshape(-1, len(self.space.choices)), values, rng)
        return self.space.point(search.best())

    def _spread(self, rng: np.random.Generator) -> Codes:
        """A point from anywhere along the budget, not from where most points are."""
        codes = _admissible(self.plan, self.space.sample(2000, rng))
        size = np.log(self.space.costs(codes).macs)
        wanted = rng.uniform(size.min(), size.max())
        return np.asarray(codes[np.abs(size - wanted).argmin()])

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, name: str, distribution: Any) -> Any:
        """Never asked: every choice has a value already."""
        raise NotImplementedError(name)


class _Search:
    """One proposal: objectives as costs in [0, 1] (less is better), known exactly or expected by a model."""

    def __init__(self, plan: Plan, codes: Codes, values: Array, rng: np.random.Generator) -> None:
        self.plan, self.space, self.rng = plan, plan.space, rng
        self.seen = codes
        self.features = Features(plan.space)
        self.sizes = np.array([len(choice.values) for choice in plan.space.choices])
        self.ordered = np.array([choice.ordered for choice in plan.space.choices])
        x = self.features.of(codes[: len(values)]) if len(values) else np.empty((0, 0))
        self.models = {
            i: GaussianProcess.fit(x, objective.cost(1) * values[:, i], self.features.groups, rng)
            for i, objective in enumerate(plan.objectives)
            if objective.name not in PRICED
        }
        anywhere = self._costs(_admissible(self.plan, plan.space.sample(2000, rng)), 0.0)
        here = self._costs(codes, 0.0) if len(codes) else anywhere
        both = np.vstack((anywhere, here))
        self.low, self.high = both.min(0), both.max(0)

    def _costs(self, codes: Codes, optimism: float) -> Array:
        """(n, objectives): logarithms of exact costs; expected costs of the bought, better by some deviations."""
        exact = self.space.costs(codes)
        columns = []
        x = self.features.of(codes)
        for i, objective in enumerate(self.plan.objectives):
            if i in self.models:
                column = self.models[i].mean(x)
                columns.append(column - optimism * self.models[i].deviation(x) if optimism else column)
            else:
                columns.append(np.log(getattr(exact, objective.name).astype(float)))
        return np.stack(columns, 1)

    def _scaled(self, codes: Codes, optimism: float = 0.0) -> Array:
        return np.asarray((self._costs(codes, optimism) - self.low) / np.maximum(self.high - self.low, 1e-12))

    def best(self) -> Codes:
        """The new point whose optimistic values add most to the front of what is known and under way."""
        import moocore

        known = {row.tobytes() for row in self.seen}
        pool = np.array([row for row in self._evolved() if row.tobytes() not in known])
        if not len(pool):
            return np.asarray(_admissible(self.plan, self.space.sample(500, self.rng))[0])
        optimism = float(self.rng.choice(_CAUTION)) if self.models else 0.0
        costs = self._scaled(pool, optimism)
        rank = moocore.pareto_rank(costs)
        order = np.lexsort((self.rng.random(len(pool)), rank))[:_CONSIDERED]
        reference = np.full(costs.shape[1], 1.1)
        front = self._scaled(self.seen) if len(self.seen) else np.empty((0, costs.shape[1]))
        front = front[(front < reference).all(1)]
        front = front[moocore.is_nondominated(front)] if len(front) else front
        volume = moocore.hypervolume(front, ref=reference) if len(front) else 0.0
        gains = [moocore.hypervolume(np.vstack((front, costs[i])), ref=reference) - volume for i in order]
        return np.asarray(pool[order[int(np.argmax(gains))]])

    def _evolved(self) -> Codes:
        """Points that are good on the model and on exact costs, from the known ones and from anywhere."""
        import moocore

        pool = np.unique(np.vstack((self.seen, _admissible(self.plan, self.space.sample(400, self.rng)))), axis=0)
        costs = self._scaled(pool)
        for _ in range(_GENERATIONS):
            parents = pool[_survivors(costs, _PARENTS, moocore.pareto_rank(costs))]
            children = np.unique(self._children(parents), axis=0)
            children = children[self.plan.admissible(children)]
            if not len(children):
                continue
            pool, costs = np.vstack((pool, children)), np.vstack((costs, self._scaled(children)))
            kept = _survivors(costs, 3 * _PARENTS, moocore.pareto_rank(costs))
            pool, costs = pool[kept], costs[kept]
        return pool

    def _children(self, parents: Codes) -> Codes:
        """Half of two parents each, then a step or a jump in one to three choices."""
        n, width = _CHILDREN, len(self.sizes)
        one, other = (parents[self.rng.integers(len(parents), size=n)] for _ in range(2))
        crossed = self.rng.random((n, 1)) < 0.5
        made = np.where(crossed & (self.rng.random((n, width)) < 0.5), other, one)
        changes = self.rng.integers(1, 4, size=(n, 1))
        changed = self.rng.random((n, width)).argsort(1).argsort(1) < changes
        step = np.clip(made + self.rng.choice((-1, 1), size=made.shape), 0, self.sizes - 1)
        jump = self.rng.integers(0, self.sizes, size=made.shape)
        stepped = self.ordered & (self.rng.random(made.shape) < 0.7)
        return np.where(changed, np.where(stepped, step, jump), made)


def _admissible(plan: Plan, codes: Codes) -> Codes:
    """Those that keep to conditions and limits; all, if none does: the wrapper looks farther."""
    kept = codes[plan.admissible(codes)]
    return np.asarray(kept if len(kept) else codes)


def _survivors(costs: Array, n: int, rank: NDArray[np.int64]) -> NDArray[np.int64]:
    """The n of lowest rank; among the last rank, those that stand most alone."""
    if len(costs) <= n:
        return np.arange(len(costs))
    order = np.argsort(rank, kind="stable")
    last = rank[order[n - 1]]
    sure, torn = np.flatnonzero(rank < last), np.flatnonzero(rank == last)
    alone = _crowding(costs[torn])
    return np.concatenate((sure, torn[np.argsort(-alone, kind="stable")][: n - len(sure)]))


def _crowding(costs: Array) -> Array:
    """Crowding distance (Deb et al. 2002, section III.B)."""
    distance = np.zeros(len(costs))
    for column in costs.T:
        order = np.argsort(column, kind="stable")
        gaps = np.diff(column[order])
        distance[order[[0, -1]]] += 10
        distance[order[1:-1]] += gaps[:-1] + gaps[1:]
    return distance


def make(plan: Plan, seed: int) -> optuna.samplers.BaseSampler:
    """The sampler for networks: trainings are dear, costs are free."""
    return Surrogate(plan, seed)
