"""Whether the score of a study was ever compared with full trainings of networks like those of its space."""

from typing import TYPE_CHECKING

from mvsearch.arch.blocks import PLAIN_BLOCKS
from mvsearch.proxies import Scope, load_proxy
from mvsearch.study.plan_checks import MAX_LISTED
from mvsearch.utils.text import join_words
from mvsearch.utils.units import COUNT

if TYPE_CHECKING:
    from mvsearch.study.plan import Plan

_FACTOR = 1.2
"""Networks a sixth smaller or a fifth larger than any that were compared still count as alike."""


def scope_note(plan: "Plan") -> str | None:
    """One sentence for a space with networks unlike those that its score was compared on; None if it has none."""
    scopes = load_proxy(plan.proxy.name).scopes
    for name in sorted(plan.required_metrics & scopes.keys()):
        if reason := _outside(plan, scopes[name]):
            least, most = (COUNT.format(value) for value in scopes[name].params)
            return (
                f"{name} was compared with full trainings of {scopes[name].words} with {least} to {most} parameters "
                f"only; {reason}: how well it orders such networks is unknown."
            )
    return None


def _outside(plan: "Plan", scope: Scope) -> str | None:
    """What is unlike the networks of a scope: the kind of blocks, or the size of networks within the limits."""
    kinds = {kind for row in plan.space.rows for kind in row.kinds} - PLAIN_BLOCKS
    if len(kinds) != 1 or not kinds <= set(scope.blocks):
        blocks = join_words(sorted(kinds) or ["no transformer"])
        return f"this space has {blocks} blocks (docs/evidence/families.md has published models across families)"
    costs = plan.space.costs(MAX_LISTED)
    params = costs.params[plan.within_limits(costs)]
    if not len(params):
        return f"of {MAX_LISTED:,} networks drawn from this space none satisfies the limits"
    counts = {
        "smaller": (params * _FACTOR < scope.params[0]).sum(),
        "larger": (params / _FACTOR > scope.params[1]).sum(),
    }
    parts = [f"{count / len(params):.1%} are {word}" for word, count in counts.items() if count]
    return f"of this space's networks ({len(params):,} drawn) {' and '.join(parts)}" if parts else None
