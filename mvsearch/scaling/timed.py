"""The scaled architecture of a given latency. Timings are expensive and noisy: few are made, none is repeated."""

from collections.abc import Callable

import numpy as np

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import PlanError
from mvsearch.metrics.record import Latency
from mvsearch.scaling.budget import Budget
from mvsearch.scaling.path import Path, Scaling
from mvsearch.scaling.search import Costs, Scaled, check_reach, rename

MAX_MULTIPLIER = 8
"""Larger networks take minutes to time."""

MAX_TIMINGS = 12


def scale_to_latency(
    scaling: Scaling,
    budget: Budget,
    measure: Callable[[Architecture], Latency],
    on_timing: Callable[[Architecture, Latency], None] = lambda _arch, _latency: None,
) -> Scaled:
    """The step of the path whose measured latency is nearest to the budget, in ms.

    It starts with the architecture itself. The next step to time is the one whose MACs, compared with those of the
    steps timed so far, predict the budget. It ends within 1 % of the budget, between two neighbouring steps, or after
    twelve timings, and calls `on_timing` after each. Raises PlanError for a budget out of reach.
    """
    path = scaling.path(MAX_MULTIPLIER)
    timed = _time_steps(path, budget, measure, on_timing)
    times = {i: latency.median_ms for i, latency in timed.items()}
    check_reach(scaling, budget, times.get(0), times.get(len(path.steps) - 1))
    allowed = [i for i, ms in times.items() if ms <= budget.value] if budget.at_most else list(times)
    if not allowed:
        raise PlanError(
            f"none of {len(times)} timed architectures satisfies latency_ms<={budget.text}; use a larger budget."
        )
    best = min(allowed, key=lambda i: abs(budget.relative_error(times[i])))
    return Scaled(
        scaling=scaling,
        arch=rename(path.architecture(path.steps[best].indices), scaling.arch, budget),
        budget=budget,
        scale=path.scale(best),
        value=times[best],
        smaller=max((ms for ms in times.values() if ms <= budget.value), default=None),
        larger=min((ms for ms in times.values() if ms > budget.value), default=None),
        latency=timed[best],
    )


def _time_steps(
    path: Path,
    budget: Budget,
    measure: Callable[[Architecture], Latency],
    on_timing: Callable[[Architecture, Latency], None],
) -> dict[int, Latency]:
    """The latencies of the steps that were timed on the way to the budget."""
    macs = path.costs(path.indices, "macs")
    timed: dict[int, Latency] = {}
    low, high, step = -1, len(path.steps), path.identity
    while low < step < high and len(timed) < MAX_TIMINGS:
        arch = path.architecture(path.steps[step].indices)
        timed[step] = measure(arch)
        on_timing(arch, timed[step])
        if budget.meets(timed[step].median_ms):
            break
        low, high = (step, high) if timed[step].median_ms < budget.value else (low, step)
        step = _next_step(macs, timed, low, high, budget.value)
    return timed


def _next_step(macs: Costs, timed: dict[int, Latency], low: int, high: int, target_ms: float) -> int:
    """The step with the predicted latency: between two timed steps on the line through them, else in proportion."""
    if low in timed and high in timed:
        below, above = timed[low].median_ms, timed[high].median_ms
        target_macs = macs[low] + (macs[high] - macs[low]) * (target_ms - below) / (above - below)
    else:
        last = low if low in timed else high
        target_macs = macs[last] * np.clip(target_ms / timed[last].median_ms, 1 / 4, 4)
    return int(np.clip(np.searchsorted(macs, target_macs), low + 1, max(low + 1, high - 1)))
