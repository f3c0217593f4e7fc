"""The scaled architecture that takes a given time. A timing is costly and has noise: few are taken, none is refined."""

from collections.abc import Callable

import numpy as np

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import PlanError
from mvsearch.metrics.record import Latency
from mvsearch.scaling.budget import Budget
from mvsearch.scaling.path import Scaling
from mvsearch.scaling.search import Costs, Scaled, check_reach, named

MOST_TIMES = 8
"""As far as one multiplier goes: larger networks take minutes to time."""

MOST_TIMINGS = 12


def to_latency(
    scaling: Scaling,
    budget: Budget,
    measure: Callable[[Architecture], Latency],
    told: Callable[[Architecture, Latency], None] = lambda _arch, _latency: None,
) -> Scaled:
    """The step of the path whose measured latency is nearest to the budget, in ms.

    Begins with the architecture as it is, and takes the next step to be timed where the MACs of those timed before
    lead to expect the budget. Ends within 1 %, between two neighbouring steps, or after twelve timings; `told` hears of
    each. Raises PlanError for a budget out of reach.
    """
    way = scaling.path(MOST_TIMES)
    macs = way.costs(way.rungs, "macs")
    timed: dict[int, Latency] = {}
    low, high, step = -1, len(way.steps), way.own
    while low < step < high and len(timed) < MOST_TIMINGS:
        made = way.architecture(way.steps[step].rungs)
        timed[step] = measure(made)
        told(made, timed[step])
        if budget.meets(timed[step].median_ms):
            break
        low, high = (step, high) if timed[step].median_ms < budget.value else (low, step)
        step = _next(macs, timed, low, high, budget.value)
    times = {i: latency.median_ms for i, latency in timed.items()}
    check_reach(scaling, budget, times.get(0), times.get(len(way.steps) - 1))
    allowed = [i for i, ms in times.items() if ms <= budget.value] if budget.at_most else list(times)
    if not allowed:
        raise PlanError(f"none of {len(times)} timed architectures keeps to latency_ms<={budget.text}; ask for more.")
    best = min(allowed, key=lambda i: abs(budget.off(times[i])))
    return Scaled(
        scaling=scaling,
        arch=named(way.architecture(way.steps[best].rungs), scaling.arch, budget),
        budget=budget,
        scale=way.scale(best),
        value=times[best],
        smaller=max((ms for ms in times.values() if ms <= budget.value), default=None),
        larger=min((ms for ms in times.values() if ms > budget.value), default=None),
        latency=timed[best],
    )


def _next(macs: Costs, timed: dict[int, Latency], low: int, high: int, sought_ms: float) -> int:
    """Where the budget is to be expected: between two timed steps on the line through them, else in proportion."""
    if low in timed and high in timed:
        below, above = timed[low].median_ms, timed[high].median_ms
        target = macs[low] + (macs[high] - macs[low]) * (sought_ms - below) / (above - below)
    else:
        last = low if low in timed else high
        target = macs[last] * np.clip(sought_ms / timed[last].median_ms, 1 / 4, 4)
    return int(np.clip(np.searchsorted(macs, target), low + 1, max(low + 1, high - 1)))
