"""Which members of a front are re-evaluated: those whose noise could still decide which candidates are on it.

Two candidates compete if one is no worse in everything but a noisy score: the score alone decides whether both are on
the front. Members are measured until the gap between the scores is larger than its standard error, as far as more
measurements of members reduce it: a candidate off the front is not measured again, so its own noise stays.
"""

import math
import statistics
from collections.abc import Mapping, Sequence

from mvsearch.metrics.pareto import Objective, comparable, front
from mvsearch.metrics.record import Record, score_values
from mvsearch.metrics.registry import metric

MOST = 6
"""Measurements of one candidate, the first included; a gap that is still smaller than the noise then stays open."""


def unsure(records: Sequence[Record], objectives: Sequence[Objective]) -> list[Record]:
    """The members of the front that need another measurement, the least sure first.

    Every member is measured twice at least, so that its own scatter is known; the noise of one measurement is pooled
    over all candidates that were measured more than once.
    """
    rows = comparable(records, objectives)
    noisy = [objective for objective in objectives if metric(objective.name).noise == "seed"]
    noise = {objective.name: _noise(rows, objective) for objective in noisy}
    members = {row.number: row for row in front(rows, objectives)} if noisy else {}

    def doubt(member: Record) -> float:
        return max(_doubt(member, rows, members, o, objectives, noise[o.name]) for o in noisy)

    doubts = {n: doubt(member) for n, member in members.items() if len(repeats(member)) < MOST}
    return [members[n] for n in sorted(doubts, key=lambda n: (-doubts[n], n)) if doubts[n] > 1]


def repeats(record: Record) -> list[dict[str, float]]:
    """The scores of each measurement of a candidate."""
    return list(record.metrics.get("repeats", [score_values(record.metrics)]))


def _doubt(
    member: Record,
    rows: Sequence[Record],
    members: Mapping[int, Record],
    noisy: Objective,
    objectives: Sequence[Objective],
    noise: float,
) -> float:
    """The largest standard error of a gap that decides a place, a member's or its rival's, in gaps."""
    if len(repeats(member)) < 2:
        return math.inf
    doubts = [0.0]
    for rival in rows:
        if _stand_in_the_way(member, rival, noisy, objectives):
            measured = [member, rival] if rival.number in members else [member]
            error = noise * math.sqrt(sum(1 / len(repeats(row)) for row in measured))
            doubts.append(error / max(_gap(member, rival, noisy), 1e-12))
    return max(doubts)


def _noise(rows: Sequence[Record], noisy: Objective) -> float:
    """The deviation of one measurement, pooled over all that were repeated; infinite as long as none was."""
    groups = [[repeat[noisy.name] for repeat in repeats(row)] for row in rows if len(repeats(row)) > 1]
    squares = sum((len(group) - 1) * statistics.variance(group) for group in groups)
    return math.sqrt(squares / sum(len(group) - 1 for group in groups)) if groups else math.inf


def _gap(one: Record, other: Record, noisy: Objective) -> float:
    return abs(float(one.metrics[noisy.name]) - float(other.metrics[noisy.name]))


def _stand_in_the_way(one: Record, other: Record, noisy: Objective, objectives: Sequence[Objective]) -> bool:
    if one.key == other.key:
        return False
    gaps = [o.cost(one.metrics[o.name]) - o.cost(other.metrics[o.name]) for o in objectives if o != noisy]
    return all(gap <= 0 for gap in gaps) or all(gap >= 0 for gap in gaps)
