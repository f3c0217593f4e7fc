"""The scaled architecture within several budgets: the one whose budget is reached first."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import PlanError
from mvsearch.scaling.budget import TOLERANCE, Budget
from mvsearch.scaling.search import Scaled


def scale_to_all(
    budgets: Sequence[Budget],
    scale_to: Callable[[Budget], Scaled],
    cost: Callable[[Architecture, str], float],
) -> tuple[Scaled, tuple[Scaled, ...]]:
    """The architecture that meets one budget within the others, and the same beside each of the others.

    `scale_to` scales to one budget, `cost` is a named cost of an architecture. Raises PlanError for two budgets of one
    cost, or if no budget can be met within the others.
    """
    names = [budget.name for budget in budgets]
    if len({*names}) < len(names):
        raise PlanError(f"--to names {', '.join(names)}; give one budget for each cost.")
    results = sorted((scale_to(budget) for budget in budgets), key=lambda result: result.scale)
    for result in results:
        others = tuple(
            replace(
                result, budget=budget, value=cost(result.arch, budget.name), smaller=None, larger=None, latency=None
            )
            for budget in budgets
            if budget != result.budget
        )
        if all(_within(other) for other in others):
            return result, others
    texts = " and ".join(f"{budget.name} {budget.text}" for budget in budgets)
    raise PlanError(f"no scale is within {texts}; relax one of them.")


def _within(result: Scaled) -> bool:
    budget = result.budget
    return result.value <= budget.value * (1 if budget.at_most else 1 + TOLERANCE)
