"""The scaled architecture that meets a budget of parameters or MACs."""

import math
from dataclasses import dataclass, replace
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import PlanError
from mvsearch.metrics.record import Latency
from mvsearch.scaling.budget import TOLERANCE, Budget
from mvsearch.scaling.path import MAX_MULTIPLIER, Indices, Path, Scaling

MAX_ADJUSTED = 3
"""The most fields that take the next allowed value beside the one of the multiplier."""

Costs = NDArray[np.int64]
"""(n,): the cost of each of n architectures."""

SMALL_CHANGE = 0.25
"""An adjustment that changes a field by a larger share is made only where smaller ones do not suffice."""

_MAX_NEIGHBOURS = 200_000
_MAX_EXACT = 10**14  # columns hold 64 bits, and a step above the budget may cost a few times as much


@dataclass(frozen=True)
class Scaled:
    """An architecture scaled to a budget: the scaling, the scale, and the cost.

    `smaller` and `larger` are the nearest costs that can be reached, up to the budget and above it. `adjusted` names
    the fields whose value is next to that of the multiplier. `latency` is None unless the budget is a latency.
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
        """Whether the cost is within the tolerance."""
        return self.budget.meets(self.value)


def scale_to_cost(scaling: Scaling, budget: Budget) -> Scaled:
    """The scaled architecture whose cost is within 1 % of the budget, or else the nearest one.

    It is a step of the path if one is near enough. Otherwise it is an architecture between the two steps around the
    budget, with up to three fields adjusted by one allowed value: as few, and with as small changes, as suffice for
    every budget between these steps. A larger budget never gives a cheaper architecture. Raises PlanError for a budget
    out of reach.
    """
    _check(scaling, budget)
    for times in (2**n for n in range(1, MAX_MULTIPLIER.bit_length())):
        path = scaling.path(times)
        if getattr(path.architecture(path.steps[-1].indices).cost(), budget.name) > budget.value:
            break
    costs = path.costs(path.indices, budget.name)
    check_reach(scaling, budget, int(costs[0]), int(costs[-1]))
    above = int(np.searchsorted(costs, budget.value, side="right"))
    low, high = max(0, above - 1), min(above, len(costs) - 1)
    near = [i for i in (low, high) if budget.meets(costs[i])]
    if near:
        nearest = min(near, key=lambda i: abs(budget.value - costs[i]))
        return _build_result(path, budget, _step_of_equal_cost(path, costs, nearest), costs)
    indices, values = _between(path, budget, low, high, costs)
    allowed = values[: np.searchsorted(values, budget.value, side="right")] if budget.at_most else values
    best = indices[np.argmin(np.abs(allowed - budget.value))]
    base = min((low, high), key=lambda i: np.count_nonzero(path.indices[i] != best))
    return _build_result(path, budget, base, values, tuple(best.tolist()))


def _check(scaling: Scaling, budget: Budget) -> None:
    if scaling.by == "resolution" and budget.name == "params":
        raise PlanError(
            "the number of parameters does not depend on the size of the images; scale to macs=... by resolution, or "
            f"to params={budget.text} by width or depth."
        )
    if max(budget.value, *scaling.arch.metrics().values()) > _MAX_EXACT:
        raise PlanError(f"{budget.name}={budget.text}: costs of 10^14 or more are not exact; use a smaller budget.")


def check_reach(scaling: Scaling, budget: Budget, least: float | None, most: float | None) -> None:
    """Raise PlanError if the least cost that scaling reaches is above the budget, or the most below it."""
    for end, remedy, value in (("least", "larger", least), ("most", "smaller", most)):
        error = 0.0 if value is None else budget.relative_error(value)
        if error > (0 if budget.at_most else TOLERANCE) if end == "least" else error < -TOLERANCE:
            raise PlanError(
                f"{budget.name}={budget.text} is out of reach: {scaling.arch.name or scaling.arch.key} by {scaling.by} "
                f"costs {value:,.12g} at the {end}; use a {remedy} budget or another method."
            )


def _step_of_equal_cost(path: Path, costs: Costs, step: int) -> int:
    """Of steps of equal cost, as where only the resolution differs, the one nearest to the architecture."""
    first = int(np.searchsorted(costs, costs[step], side="left"))
    last = int(np.searchsorted(costs, costs[step], side="right")) - 1
    return min(max(path.identity, first), last)


def _between(path: Path, budget: Budget, low: int, high: int, costs: Costs) -> tuple[Indices, Costs]:
    """Indices and costs, the cheapest first, of two steps and of as many architectures between them as necessary.

    Gaps that are too wide are filled from ever larger neighbourhoods. The result depends on the steps alone, not on
    where between them the budget is.
    """
    indices, values = path.indices[[low, high]], costs[[low, high]]
    for change, adjusted in product((SMALL_CHANGE, math.inf), range(1, MAX_ADJUSTED + 1)):
        wide = np.diff(values) > TOLERANCE * (values[1:] + values[:-1] * (not budget.at_most))
        if not wide.any():
            break
        neighbours = _neighbours(path, path.indices[[low, high]], adjusted, change)
        neighbour_costs = path.costs(neighbours, budget.name)
        # The gap of each neighbour; one with a cost that is present already belongs to none.
        gap = np.searchsorted(values, neighbour_costs, side="left")
        present = neighbour_costs == values[np.minimum(gap, len(values) - 1)]
        new = (gap > 0) & (gap < len(values)) & ~present
        new[new] = wide[gap[new] - 1]
        values, first = np.unique(np.concatenate([values, neighbour_costs[new]]), return_index=True)
        indices = np.concatenate([indices, neighbours[new]])[first]
    return indices, values


def _neighbours(path: Path, bases: Indices, adjusted: int, change: float) -> Indices:
    """All with up to `adjusted` indices next to those of a base, changed by a share up to `change`; fewest first.

    Where the architecture grows no field shrinks, and the other way round.
    """
    identity, last = path.indices[path.identity], np.array([len(field.allowed) - 1 for field in path.fields])
    least, most = (identity, last) if (bases[0] >= identity).all() else (np.zeros_like(identity), identity)
    neighbours = _moves(len(path.fields), adjusted)[:, None] + bases
    inside = ((neighbours >= least) & (neighbours <= most)).all(axis=2)
    neighbours, base = neighbours[inside], np.broadcast_to(bases, neighbours.shape)[inside]
    near = (np.abs(path.values(neighbours) / path.values(base) - 1) <= change).all(axis=1)
    return np.asarray(neighbours[near])


def _moves(fields: int, adjusted: int) -> Indices:
    """(moves, fields) of -1, 0 and 1, with up to `adjusted` of them not 0."""
    parts = [np.zeros((1, fields), dtype=np.int64)]
    for k in range(1, min(adjusted, fields) + 1):
        if math.comb(fields, k) * 2**k > _MAX_NEIGHBOURS:
            break
        moves = np.zeros((math.comb(fields, k), 2**k, fields), dtype=np.int64)
        for i, columns in enumerate(combinations(range(fields), k)):
            moves[i][:, columns] = list(product((-1, 1), repeat=k))
        parts.append(moves.reshape(-1, fields))
    return np.concatenate(parts)


def _build_result(
    path: Path, budget: Budget, step: int, costs: Costs, indices: tuple[int, ...] | None = None
) -> Scaled:
    on_path = path.steps[step].indices
    indices = on_path if indices is None else indices
    arch = rename(path.architecture(indices), path.scaling.arch, budget)
    above = int(np.searchsorted(costs, budget.value, side="right"))
    return Scaled(
        scaling=path.scaling,
        arch=arch,
        budget=budget,
        scale=path.scale(step),
        value=getattr(arch.cost(), budget.name),
        smaller=int(costs[above - 1]) if above > 0 else None,
        larger=int(costs[above]) if above < len(costs) else None,
        adjusted=tuple(field.name for field, a, b in zip(path.fields, indices, on_path, strict=True) if a != b),
    )


def rename(scaled: Architecture, original: Architecture, budget: Budget) -> Architecture:
    """Name a scaled architecture after its original and its budget; an unchanged one keeps its name."""
    if scaled.key == original.key:
        return scaled
    suffix = f"_{budget.name}_{budget.text}"
    return replace(scaled, name=f"{(original.name or original.key)[: 128 - len(suffix)]}{suffix}")
