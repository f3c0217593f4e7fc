"""Re-evaluation: the members of the front whose noise could change who is on the front are measured again.

Two candidates compete if the noisy score alone decides whether both are on the front: one of them is at least as good
in all other objectives. The gap between their scores must be larger than its standard error, as far as replicates of
members can reduce it: a candidate that is not on the front is not measured again, so its noise remains.
"""

import math
from collections.abc import Mapping, Sequence

from mvsearch.metrics.pareto import Objective, comparable, front
from mvsearch.metrics.record import Record, pooled_variance, score_values
from mvsearch.metrics.registry import metric

MAX_REPLICATES = 6
"""Measurements of one candidate, including the first; a gap that is still smaller than the noise stays undecided."""


def needs_reevaluation(records: Sequence[Record], objectives: Sequence[Objective]) -> list[Record]:
    """The members of the front that need another measurement, the most uncertain first.

    Every member is measured at least twice, so that its own variation is known; the noise of one measurement is pooled
    over all candidates that were measured more than once.
    """
    rows = comparable(records, objectives)
    noisy = [objective for objective in objectives if metric(objective.name).noise == "seed"]
    noise = {objective.name: _pooled_noise(rows, objective) for objective in noisy}
    members = {row.number: row for row in front(rows, objectives)} if noisy else {}

    def uncertainty(member: Record) -> float:
        return max(_uncertainty(member, rows, members, o, objectives, noise[o.name]) for o in noisy)

    ratios = {n: uncertainty(member) for n, member in members.items() if len(replicates(member)) < MAX_REPLICATES}
    return [members[n] for n in sorted(ratios, key=lambda n: (-ratios[n], n)) if ratios[n] > 1]


def replicates(record: Record) -> list[dict[str, float]]:
    """The scores of each measurement of a candidate."""
    return list(record.metrics.get("repeats", [score_values(record.metrics)]))


def _uncertainty(
    member: Record,
    rows: Sequence[Record],
    members: Mapping[int, Record],
    noisy: Objective,
    objectives: Sequence[Objective],
    noise: float,
) -> float:
    """The largest ratio of standard error and gap between the member and a candidate that it competes with."""
    if len(replicates(member)) < 2:
        return math.inf
    ratios = [0.0]
    for other in rows:
        if competes_with(member, other, noisy, objectives):
            reducible = [member, other] if other.number in members else [member]
            error = noise * math.sqrt(sum(1 / len(replicates(row)) for row in reducible))
            gap = abs(float(member.metrics[noisy.name]) - float(other.metrics[noisy.name]))
            ratios.append(error / max(gap, 1e-12))
    return max(ratios)


def _pooled_noise(rows: Sequence[Record], noisy: Objective) -> float:
    """The standard deviation of one measurement, pooled over replicated candidates; infinite if there are none."""
    variance = pooled_variance([[scores[noisy.name] for scores in replicates(row)] for row in rows])
    return math.inf if variance is None else math.sqrt(variance)


def competes_with(one: Record, other: Record, noisy: Objective, objectives: Sequence[Objective]) -> bool:
    """Whether the noisy objective alone decides if one dominates the other."""
    if one.key == other.key:
        return False
    gaps = [o.cost(one.metrics[o.name]) - o.cost(other.metrics[o.name]) for o in objectives if o != noisy]
    return all(gap <= 0 for gap in gaps) or all(gap >= 0 for gap in gaps)
