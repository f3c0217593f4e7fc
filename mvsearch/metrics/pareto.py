"""Pareto fronts of records, and their indicators. NumPy and moocore; no torch, no Optuna.

top1 |        o B          A and B are the front: no other record is better in one objective and as good in the rest.
     |  o A       . D      C and D are dominated.
     |      . C            x is the reference point: the hypervolume is the share of the box between it and the
     +------------- x      ideal (here the upper left corner) that the front dominates.
          params
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mvsearch.errors import PlanError, StudyError
from mvsearch.metrics.record import Metrics, Record, is_number
from mvsearch.metrics.registry import device_of, metric, searchable
from mvsearch.utils import plugins


@dataclass(frozen=True)
class Objective:
    """A metric to optimise, and its direction."""

    name: str
    maximise: bool

    @classmethod
    def named(cls, name: str) -> Self:
        """The objective of that name; raises PlanError, with a suggestion, if there is none.

        >>> Objective.named("top1")
        Objective(name='top1', maximise=True)
        """
        if name not in searchable() and not device_of(name):
            raise PlanError(f"unknown metric {name!r}; {plugins.suggest(name, searchable())}")
        return cls(name, metric(name).maximise)

    @property
    def ideal(self) -> float:
        """The value that no network can exceed: every image classified correctly, or no cost at all."""
        return metric(self.name).ideal

    def cost(self, value: float) -> float:
        """The value, negated if the metric is maximised: lower is better."""
        return -float(value) if self.maximise else float(value)


def comparable(records: Sequence[Record], objectives: Sequence[Objective]) -> list[Record]:
    """The complete records that have a finite number for every objective."""
    complete = (record for record in records if record.state == "complete")
    return [row for row in complete if all(is_number(row.metrics.get(objective.name)) for objective in objectives)]


def some_comparable(records: Sequence[Record], objectives: Sequence[Objective]) -> list[Record]:
    """At least one comparable record; raises StudyError, which names the missing metrics, if there is none."""
    if rows := comparable(records, objectives):
        return rows
    missing = [objective for objective in objectives if not comparable(records, [objective])] or objectives
    names = " and ".join(objective.name for objective in missing)
    raise StudyError(f"no finished trial has a value of {names}; let the study continue, or choose another metric.")


def front(records: Sequence[Record], objectives: Sequence[Objective]) -> list[Record]:
    """The non-dominated records, sorted by the first objective that is minimised.

    Different architectures of equal values are all members; of one architecture with equal values, the first trial.
    """
    import moocore

    rows = _once_each(comparable(records, objectives), objectives)
    if not rows:
        return []
    costs = _costs(rows, objectives)
    leading = next((i for i, objective in enumerate(objectives) if not objective.maximise), 0)
    members = np.flatnonzero(moocore.is_nondominated(costs, keep_weakly=True))
    return [rows[i] for i in sorted(members, key=lambda i: (costs[i, leading], *costs[i], rows[i].number))]


def reference_point(records: Sequence[Record], objectives: Sequence[Objective]) -> dict[str, float]:
    """The worst value of each objective over the comparable records, made worse by a tenth of the range.

    If all values are equal, by a tenth of that value. It depends on the records: studies are compared with the
    reference point of all their records together. Raises StudyError if no record is comparable.
    """
    costs = _costs(some_comparable(records, objectives), objectives)
    point = {}
    for objective, column in zip(objectives, costs.T, strict=True):
        worst = float(column.max())
        span = worst - float(column.min()) or abs(worst) or 1.0
        point[objective.name] = objective.cost(worst + 0.1 * span)
    return point


def hypervolume(records: Sequence[Record], objectives: Sequence[Objective], reference: Mapping[str, float]) -> float:
    """The share, 0 to 1, of the box between the reference point and the ideal that the records dominate.

    The ideal is top1 = 1 and nothing spent. Neither corner moves with the records given here, so numbers taken with
    one reference point may be compared, between studies and along a study. Records beyond it add nothing.
    """
    import moocore

    rows = comparable(records, objectives)
    ideal = np.array([objective.cost(objective.ideal) for objective in objectives])
    corner = np.array([objective.cost(reference[objective.name]) for objective in objectives])
    if not (corner > ideal).all():
        best = {objective.name: objective.ideal for objective in objectives}
        raise PlanError(f"the reference point {dict(reference)} must be worse than {best} in everything.")
    if not rows:
        return 0.0
    shares = (_costs(rows, objectives) - ideal) / (corner - ideal)
    return float(moocore.hypervolume(shares, ref=np.ones(len(objectives))))


def running_hypervolume(
    records: Sequence[Record], objectives: Sequence[Objective], reference: Mapping[str, float]
) -> list[float]:
    """The hypervolume of the first record, of the first two, and so on; a record without values adds nothing."""
    reached: list[float] = []
    members: list[Record] = []
    rows = np.empty((0, len(objectives)))
    for record in records:
        new = _costs(comparable([record], objectives), objectives).reshape(-1, len(objectives))
        if len(new) and not (rows <= new).all(1).any():
            remaining = np.flatnonzero(~(new <= rows).all(1))
            members = [*(members[i] for i in remaining), record]
            rows = np.vstack((rows[remaining], new))
            reached.append(hypervolume(members, objectives, reference))
        else:
            reached.append(reached[-1] if reached else 0.0)
    return reached


def coverage(members: Sequence[Record], others: Sequence[Record], objectives: Sequence[Objective]) -> float:
    """The share of `others` that some member weakly dominates (C metric, Zitzler and Thiele 1999).

    It is not symmetric: coverage in one direction does not determine the other.
    """
    ours, theirs = _costs(members, objectives), _costs(others, objectives)
    return float((ours[:, None] <= theirs[None]).all(2).any(0).mean())


def spans(records: Sequence[Record], objectives: Sequence[Objective]) -> dict[str, tuple[float, float]]:
    """The minimum and the maximum of each objective."""
    values = {o.name: [float(record.metrics[o.name]) for record in records] for o in objectives}
    return {name: (min(column), max(column)) for name, column in values.items()}


def epsilon(
    members: Sequence[Record],
    others: Sequence[Record],
    objectives: Sequence[Objective],
    scales: Mapping[str, tuple[float, float]],
) -> float:
    """By how much the members must improve in every objective at once to cover all others (Zitzler et al. 2003).

    Each objective is counted in its span of `scales`, so that 0.05 is a twentieth of it; 0 or less: all are covered.
    """
    import moocore

    widths = [scales[o.name][1] - scales[o.name][0] or 1.0 for o in objectives]
    ours, theirs = _costs(members, objectives) / widths, _costs(others, objectives) / widths
    return float(moocore.epsilon_additive(ours, ref=theirs))


def attainment(fronts: Sequence[Sequence[Record]], objectives: Sequence[Objective], times: int) -> list[Metrics]:
    """The empirical attainment surface of repeats: the best points that at least `times` of the fronts reach.

    With 1 it is the best surface, with all of them the worst (Grunert da Fonseca et al. 2001). For two or three
    objectives; the points are values by objective, and need not be points of any front.
    """
    import moocore

    rows = np.vstack([_costs(members, objectives) for members in fronts])
    numbers = np.repeat(range(len(fronts)), [len(members) for members in fronts])
    points = moocore.eaf(rows, numbers, percentiles=[100 * times / len(fronts)])[:, :-1]
    return [
        {o.name: o.cost(value) for o, value in zip(objectives, row, strict=True)} for row in sorted(points.tolist())
    ]


def places(rows: Sequence[Metrics], objectives: Sequence[Objective]) -> list[int]:
    """The rank of each row, 1 the best: by its front, then by the hypervolume that it contributes to its front.

    Every row has every objective. Within a front, Deb et al. (2002) sort by crowding distance, and SMS-EMOA (Beume et
    al. 2007) by hypervolume, as here.
    """
    import moocore

    costs = np.array([[objective.cost(row[objective.name]) for objective in objectives] for row in rows])
    low = costs.min(0)
    scaled = (costs - low) / np.where(costs.max(0) > low, costs.max(0) - low, 1)
    if len(objectives) == 1:
        scaled = np.column_stack((scaled, np.zeros(len(rows))))  # moocore needs two columns
    fronts, gain = moocore.pareto_rank(scaled), np.zeros(len(rows))
    for rank in np.unique(fronts):
        gain[fronts == rank] = moocore.hv_contributions(scaled[fronts == rank], ref=np.full(scaled.shape[1], 1.1))
    order = np.lexsort((-gain, fronts))
    return (order.argsort() + 1).tolist()  # type: ignore[no-any-return]


def _once_each(records: Sequence[Record], objectives: Sequence[Objective]) -> list[Record]:
    first: dict[tuple[str, ...], Record] = {}
    for record in sorted(records, key=lambda record: record.number):
        values = (repr(float(record.metrics[objective.name])) for objective in objectives)
        first.setdefault((record.key, *values), record)
    return list(first.values())


def _costs(records: Sequence[Record], objectives: Sequence[Objective]) -> NDArray[np.float64]:
    """One row for each record and one column for each objective; lower is better in all."""
    return np.array(
        [[objective.cost(record.metrics[objective.name]) for objective in objectives] for record in records]
    )
