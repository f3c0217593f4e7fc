"""The scaled architecture that costs a budget."""

import math
from dataclasses import dataclass, replace
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import PlanError
from mvsearch.metrics.record import Latency
from mvsearch.scaling.budget import TOLERANCE, Budget
from mvsearch.scaling.path import MOST_TIMES, Path, Rungs, Scaling

MOST_MOVED = 3
"""As many knobs stand beside the multiplier's value at most, each by one rung."""

Costs = NDArray[np.int64]
"""(n,): what each of so many architectures costs."""

GENTLE = 0.25
"""A rung that changes a knob by more than this share is taken only where gentler ones do not do."""

_MOST_NEIGHBOURS = 200_000
_MOST_EXACT = 10**14  # columns hold 64 bits, and a step beyond the budget may cost a few times as much


@dataclass(frozen=True)
class Scaled:
    """An architecture scaled to a budget: how, at which scale, and what it costs.

    `smaller` and `larger` are the nearest that others cost, up to the budget and beyond it. `adjusted` names the knobs
    that stand a rung beside the multiplier's value. `latency` is None unless the budget is one.
    """

    scaling: Scaling
    arch: Architecture
    budget: Budget
    scale: float
    value: float
    smaller: float | None
    larger: float | None
    adjusted: tuple[str, ...] = ()
    latency: Latency | None = None

    @property
    def met(self) -> bool:
        """Whether it is within the tolerance."""
        return self.budget.meets(self.value)


def to_budget(scaling: Scaling, budget: Budget) -> Scaled:
    """The scaled architecture that costs `budget` to within 1 %, or else the nearest one.

    That is a step of the path if one comes so near. Else it is one that costs something between the two steps around
    the budget, with up to three knobs a rung beside them, as few and as gently as will do for every budget around it.
    A larger budget never gives a cheaper architecture. Raises PlanError for a budget out of reach.
    """
    _check(scaling, budget)
    for times in (2**n for n in range(1, MOST_TIMES.bit_length())):
        way = scaling.path(times)
        if getattr(way.architecture(way.steps[-1].rungs).cost(), budget.name) > budget.value:
            break
    costs = way.costs(way.rungs, budget.name)
    check_reach(scaling, budget, int(costs[0]), int(costs[-1]))
    above = int(np.searchsorted(costs, budget.value, side="right"))
    low, high = max(0, above - 1), min(above, len(costs) - 1)
    on_path = [i for i in (low, high) if budget.meets(costs[i])]
    if on_path:
        nearest = min(on_path, key=lambda i: abs(budget.value - costs[i]))
        return _scaled(way, budget, _nearest_own(way, costs, nearest), costs)
    rungs, values = _between(way, budget, low, high, costs)
    allowed = values[: np.searchsorted(values, budget.value, side="right")] if budget.at_most else values
    best = rungs[np.argmin(np.abs(allowed - budget.value))]
    base = min((low, high), key=lambda i: np.count_nonzero(way.rungs[i] != best))
    return _scaled(way, budget, base, values, tuple(best.tolist()))


def _check(scaling: Scaling, budget: Budget) -> None:
    if scaling.by == "resolution" and budget.name == "params":
        raise PlanError(
            "the number of parameters does not depend on the size of the images; scale to macs=... by resolution, or "
            f"to params={budget.text} by width or depth."
        )
    if max(budget.value, *scaling.arch.metrics().values()) > _MOST_EXACT:
        raise PlanError(f"{budget.name}={budget.text}: costs from 10^14 on are not counted exactly; stay below.")


def check_reach(scaling: Scaling, budget: Budget, least: float | None, most: float | None) -> None:
    """Raises PlanError if even the least that scaling makes costs too much, or even the most too little."""
    for end, word, value in (("least", "more", least), ("most", "less", most)):
        off = 0.0 if value is None else budget.off(value)
        if off > (0 if budget.at_most else TOLERANCE) if end == "least" else off < -TOLERANCE:
            raise PlanError(
                f"{budget.name}={budget.text} is out of reach: {scaling.arch.name or scaling.arch.key} by {scaling.by} "
                f"comes to {value:,.12g} at the {end}; ask for {word}, or scale in another way."
            )


def _nearest_own(way: Path, costs: Costs, step: int) -> int:
    """Of the steps that cost the same, as where only the resolution differs, the one nearest to the architecture."""
    first = int(np.searchsorted(costs, costs[step], side="left"))
    last = int(np.searchsorted(costs, costs[step], side="right")) - 1
    return min(max(way.own, first), last)


def _between(way: Path, budget: Budget, low: int, high: int, costs: Costs) -> tuple[Rungs, Costs]:
    """Rungs and costs, the cheapest first, of the two steps and of what lies between: no more of it than is needed.

    Gaps that are too wide are filled from ever larger neighbourhoods. That depends on the steps alone, not on where
    between them the budget is.
    """
    rungs, values = way.rungs[[low, high]], costs[[low, high]]
    for change, moved in product((GENTLE, math.inf), range(1, MOST_MOVED + 1)):
        wide = np.diff(values) > TOLERANCE * (values[1:] + values[:-1] * (not budget.at_most))
        if not wide.any():
            break
        more = _neighbours(way, way.rungs[[low, high]], moved, change)
        priced = way.costs(more, budget.name)
        # The gap that each falls into; what costs as much as one that is there falls into none.
        gap = np.searchsorted(values, priced, side="left")
        new = (gap > 0) & (gap < len(values)) & (priced != values[np.minimum(gap, len(values) - 1)])
        new[new] = wide[gap[new] - 1]
        values, first = np.unique(np.concatenate([values, priced[new]]), return_index=True)
        rungs = np.concatenate([rungs, more[new]])[first]
    return rungs, values


def _neighbours(way: Path, bases: Rungs, moved: int, change: float) -> Rungs:
    """All with up to `moved` knobs one rung beside a base, changed by a share of at most `change`; fewest moved first.

    Where the architecture grows no knob shrinks, nor the other way round.
    """
    own, last = way.rungs[way.own], np.array([len(knob.ladder) - 1 for knob in way.knobs])
    least, most = (own, last) if (bases[0] >= own).all() else (np.zeros_like(own), own)
    made = _moves(len(way.knobs), moved)[:, None] + bases
    inside = ((made >= least) & (made <= most)).all(axis=2)
    made, base = made[inside], np.broadcast_to(bases, made.shape)[inside]
    changed: Rungs = made[(np.abs(way.values(made) / way.values(base) - 1) <= change).all(axis=1)]
    return changed


def _moves(knobs: int, moved: int) -> Rungs:
    """(moves, knobs) of -1, 0 and 1, with up to `moved` of them not 0."""
    made = [np.zeros((1, knobs), dtype=np.int64)]
    for k in range(1, min(moved, knobs) + 1):
        if math.comb(knobs, k) * 2**k > _MOST_NEIGHBOURS:
            break
        moves = np.zeros((math.comb(knobs, k), 2**k, knobs), dtype=np.int64)
        for i, chosen in enumerate(combinations(range(knobs), k)):
            moves[i][:, chosen] = list(product((-1, 1), repeat=k))
        made.append(moves.reshape(-1, knobs))
    return np.concatenate(made)


def _scaled(way: Path, budget: Budget, step: int, costs: Costs, rungs: tuple[int, ...] | None = None) -> Scaled:
    on_path = way.steps[step].rungs
    taken = on_path if rungs is None else rungs
    made = named(way.architecture(taken), way.scaling.arch, budget)
    up_to = int(np.searchsorted(costs, budget.value, side="right"))
    return Scaled(
        scaling=way.scaling,
        arch=made,
        budget=budget,
        scale=way.scale(step),
        value=getattr(made.cost(), budget.name),
        smaller=int(costs[up_to - 1]) if up_to > 0 else None,
        larger=int(costs[up_to]) if up_to < len(costs) else None,
        adjusted=tuple(knob.name for knob, a, b in zip(way.knobs, taken, on_path, strict=True) if a != b),
    )


def named(made: Architecture, before: Architecture, budget: Budget) -> Architecture:
    """Under a name that says what it was scaled to, unless it is what it was."""
    if made.key == before.key:
        return made
    tail = f"_{budget.name}_{budget.text}"
    return replace(made, name=f"{(before.name or before.key)[: 128 - len(tail)]}{tail}")
