"""Points worth a closer look, out of billions: drawn inside the limits, evolved towards a front, refined one by one."""

from collections.abc import Callable

import moocore
import numpy as np
from numpy.typing import NDArray

from mvsearch.space.search_space import Codes
from mvsearch.study.plan import Plan

Array = NDArray[np.float64]

_PARENTS, _CHILDREN, _GENERATIONS = 80, 240, 8
_ENOUGH = 0.1  # share of drawn points inside the limits with which to be content
_STEPS = 30  # towards the limits, before giving up


def inside(plan: Plan, n: int, rng: np.random.Generator) -> Codes:
    """Up to n points inside conditions and limits, in any order; where hardly any lie there, by walking towards them.

    Points outside, those nearest to the limits, if none was reached.
    """
    codes = plan.space.sample(n, rng)
    for _ in range(_STEPS):
        over = _excess(plan, codes)
        if (over == 0).mean() > _ENOUGH:
            break
        codes = codes[np.argsort(over, kind="stable")[: n // 4]]
        moved = _children(plan, codes[:_PARENTS], rng)
        codes = np.unique(np.vstack((codes, moved[plan.space.is_legal(moved)])), axis=0)
    kept = codes[plan.admissible(codes)]
    return rng.permutation(kept if len(kept) else codes)


def _excess(plan: Plan, codes: Codes) -> Array:
    """How far points lie beyond the limits on cost, as logarithms."""
    costs, over = plan.space.costs(codes), np.zeros(len(codes))
    for limit in plan.static_limits:
        beyond = np.log(getattr(costs, limit.name) / max(limit.value, 1e-9))
        over += np.where(limit.holds(getattr(costs, limit.name)), 0, np.abs(beyond))
    return over


def evolved(plan: Plan, start: Codes, costs_of: Callable[[Codes], Array], rng: np.random.Generator) -> Codes:
    """Points of low costs (n, objectives) after some generations from `start`, all admissible if those are."""
    pool, costs = start, costs_of(start)
    for _ in range(_GENERATIONS):
        kept = survivors(costs, 3 * _PARENTS)
        pool, costs = pool[kept], costs[kept]
        children = np.unique(_children(plan, pool[survivors(costs, _PARENTS)], rng), axis=0)
        children = children[plan.admissible(children)]
        if len(children):
            pool, costs = np.vstack((pool, children)), np.vstack((costs, costs_of(children)))
    return pool


def _children(plan: Plan, parents: Codes, rng: np.random.Generator) -> Codes:
    """Half of two parents each, then a step or a jump in one to three choices."""
    sizes = np.array([len(choice.values) for choice in plan.space.choices])
    ordered = np.array([choice.ordered for choice in plan.space.choices])
    n, width = _CHILDREN, len(sizes)
    one, other = (parents[rng.integers(len(parents), size=n)] for _ in range(2))
    crossed = rng.random((n, 1)) < 0.5
    made = np.where(crossed & (rng.random((n, width)) < 0.5), other, one)
    changed = rng.random((n, width)).argsort(1).argsort(1) < rng.integers(1, 4, size=(n, 1))
    step = np.clip(made + rng.choice((-1, 1), size=made.shape), 0, sizes - 1)
    jump = rng.integers(0, sizes, size=made.shape)
    stepped = ordered & (rng.random(made.shape) < 0.7)
    return np.asarray(np.where(changed, np.where(stepped, step, jump), made))


def neighbours(plan: Plan, codes: Codes) -> Codes:
    """The admissible points that differ from one in a single choice."""
    sizes = [len(choice.values) for choice in plan.space.choices]
    made = np.repeat(codes[None], sum(sizes), axis=0)
    made[np.arange(len(made)), np.repeat(np.arange(len(sizes)), sizes)] = np.concatenate([*map(np.arange, sizes)])
    made = made[(made != codes).any(1)]
    return np.asarray(made[plan.admissible(made)]) if len(made) else made


def survivors(costs: Array, n: int) -> NDArray[np.int64]:
    """The n of lowest rank; among the last rank, those that stand most alone."""
    if len(costs) <= n:
        return np.arange(len(costs))
    rank = moocore.pareto_rank(costs)
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
