"""Candidate points out of billions: sampled within the constraints, evolved to a front, or neighbours of a point."""

from collections.abc import Callable

import moocore
import numpy as np
from numpy.typing import NDArray

from mvsearch.space.search_space import Codes
from mvsearch.study.plan import Plan

Array = NDArray[np.float64]

_PARENTS, _CHILDREN, _GENERATIONS = 80, 240, 8
_ENOUGH = 0.1  # share of sampled points within the constraints that is enough
_STEPS = 30  # towards the constraints, at most


def sample_admissible(plan: Plan, n: int, rng: np.random.Generator) -> Codes:
    """Up to n admissible points in random order; where they are rare, others are moved towards the constraints.

    If none is reached, the points that are nearest to the constraints.
    """
    codes = plan.space.sample(n, rng)
    for _ in range(_STEPS):
        over = _excess(plan, codes)
        if (over == 0).mean() > _ENOUGH:
            break
        codes = codes[np.argsort(over, kind="stable")[: n // 4]]
        moved = _children(plan, codes[:_PARENTS], rng)
        codes = np.unique(np.vstack((codes, moved[plan.space.is_legal(moved)])), axis=0)
    admissible = codes[plan.admissible(codes)]
    return rng.permutation(admissible if len(admissible) else codes)


def _excess(plan: Plan, codes: Codes) -> Array:
    """How far points exceed the constraints on static costs, as logarithms."""
    costs, over = plan.space.costs(codes), np.zeros(len(codes))
    for limit in plan.static_limits:
        beyond = np.log(getattr(costs, limit.name) / max(limit.value, 1e-9))
        over += np.where(limit.holds(getattr(costs, limit.name)), 0, np.abs(beyond))
    return over


def evolve(plan: Plan, start: Codes, costs_of: Callable[[Codes], Array], rng: np.random.Generator) -> Codes:
    """Points of low costs (n, objectives), some generations after `start`; admissible if those of `start` are."""
    pool, costs = start, costs_of(start)
    for _ in range(_GENERATIONS):
        best = select_diverse(costs, 3 * _PARENTS)
        pool, costs = pool[best], costs[best]
        children = np.unique(_children(plan, pool[select_diverse(costs, _PARENTS)], rng), axis=0)
        children = children[plan.admissible(children)]
        if len(children):
            pool, costs = np.vstack((pool, children)), np.vstack((costs, costs_of(children)))
    return pool


def _children(plan: Plan, parents: Codes, rng: np.random.Generator) -> Codes:
    """Crossovers of two parents, or copies of one, with a step or a jump in one to three choices."""
    sizes = np.array([len(choice.values) for choice in plan.space.choices])
    ordered = np.array([choice.ordered for choice in plan.space.choices])
    n, width = _CHILDREN, len(sizes)
    one, other = (parents[rng.integers(len(parents), size=n)] for _ in range(2))
    crossed = rng.random((n, 1)) < 0.5
    candidates = np.where(crossed & (rng.random((n, width)) < 0.5), other, one)
    changed = rng.random((n, width)).argsort(1).argsort(1) < rng.integers(1, 4, size=(n, 1))
    step = np.clip(candidates + rng.choice((-1, 1), size=candidates.shape), 0, sizes - 1)
    jump = rng.integers(0, sizes, size=candidates.shape)
    stepped = ordered & (rng.random(candidates.shape) < 0.7)
    return plan.space.canonical(np.where(changed, np.where(stepped, step, jump), candidates))


def neighbours(plan: Plan, codes: Codes) -> Codes:
    """The admissible points that differ from one in a single choice."""
    sizes = [len(choice.values) for choice in plan.space.choices]
    candidates = np.repeat(codes[None], sum(sizes), axis=0)
    candidates[np.arange(len(candidates)), np.repeat(np.arange(len(sizes)), sizes)] = np.concatenate(
        [*map(np.arange, sizes)]
    )
    candidates = plan.space.canonical(candidates)
    candidates = candidates[(candidates != codes).any(1)]
    return np.asarray(candidates[plan.admissible(candidates)]) if len(candidates) else candidates


def select_diverse(costs: Array, n: int) -> NDArray[np.int64]:
    """The n of lowest Pareto rank; of the last rank, those of largest crowding distance."""
    if len(costs) <= n:
        return np.arange(len(costs))
    rank = moocore.pareto_rank(costs)
    order = np.argsort(rank, kind="stable")
    last = rank[order[n - 1]]
    better, tied = np.flatnonzero(rank < last), np.flatnonzero(rank == last)
    distance = _crowding(costs[tied])
    return np.concatenate((better, tied[np.argsort(-distance, kind="stable")][: n - len(better)]))


def _crowding(costs: Array) -> Array:
    """Crowding distance (Deb et al. 2002, section III.B)."""
    distance = np.zeros(len(costs))
    for column in costs.T:
        order = np.argsort(column, kind="stable")
        gaps = np.diff(column[order])
        distance[order[[0, -1]]] += 10
        distance[order[1:-1]] += gaps[:-1] + gaps[1:]
    return distance
