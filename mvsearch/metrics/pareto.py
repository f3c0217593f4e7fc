"""Which records are best, when best means several things at once. NumPy and moocore; no torch, no Optuna.

top1 |        o B          A and B are the front: nobody is better in one thing and at least as good in the rest.
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
from mvsearch.metrics.registry import metric, searchable
from mvsearch.utils import plugins


@dataclass(frozen=True)
class Objective:
    """A metric that is sought, and its direction."""

    name: str
    maximise: bool

    @classmethod
    def named(cls, name: str) -> Self:
        """The objective of that name; raises PlanError, with a suggestion, if there is none.

        >>> Objective.named("top1")
        Objective(name='top1', maximise=True)
        """
        if name not in searchable():
            raise PlanError(f"unknown objective {name!r}; {plugins.suggest(name, searchable())}")
        return cls(name, metric(name).maximise)

    @property
    def ideal(self) -> float:
        """The value that nothing can beat: every image right, or no cost at all."""
        return metric(self.name).ideal

    def cost(self, value: float) -> float:
        """The value turned so that less is better."""
        return -float(value) if self.maximise else float(value)


def comparable(records: Sequence[Record], objectives: Sequence[Objective]) -> list[Record]:
    """The complete records that have a finite number for every objective."""
    complete = (record for record in records if record.state == "complete")
    return [row for row in complete if all(is_number(row.metrics.get(objective.name)) for objective in objectives)]


def some_comparable(records: Sequence[Record], objectives: Sequence[Objective]) -> list[Record]:
    """At least one comparable record; raises StudyError, naming what nobody has, if there is none."""
    if rows := comparable(records, objectives):
        return rows
    missing = [objective for objective in objectives if not comparable(records, [objective])] or objectives
    names = " and ".join(objective.name for objective in missing)
    raise StudyError(f"no finished trial has a number for {names}; let the study run on, or ask for another metric.")


def front(records: Sequence[Record], objectives: Sequence[Objective]) -> list[Record]:
    """The non-dominated records, sorted by the first objective that is minimised.

    Different architectures of equal values all stay; of one architecture met twice with equal values, the first trial.
    """
    import moocore

    rows = _once_each(comparable(records, objectives), objectives)
    if not rows:
        return []
    costs = _costs(rows, objectives)
    leading = next((i for i, objective in enumerate(objectives) if not objective.maximise), 0)
    kept = np.flatnonzero(moocore.is_nondominated(costs, keep_weakly=True))
    return [rows[i] for i in sorted(kept, key=lambda i: (costs[i, leading], *costs[i], rows[i].number))]


def reference_point(records: Sequence[Record], objectives: Sequence[Objective]) -> dict[str, float]:
    """The worst value of each objective over the comparable records, moved away by a tenth of the range seen.

    Where all values are equal, by a tenth of that value. It depends on the records: studies are compared with
    the reference point of all their records together. Raises StudyError if there is nothing to compare.
    """
    costs = _costs(some_comparable(records, objectives), objectives)
    point = {}
    for objective, column in zip(objectives, costs.T, strict=True):
        worst = float(column.max())
        span = worst - float(column.min()) or abs(worst) or 1.0
        point[objective.name] = objective.cost(worst + 0.1 * span)
    return point


def hypervolume(records: Sequence[Record], objectives: Sequence[Objective], reference: Mapping[str, float]) -> float:
    """The share, 0 to 1, of the box between the reference point and the ideal point that the records dominate.

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
    """The hypervolume of the first record, of the first two, and so on; one that was not measured adds nothing."""
    reached: list[float] = []
    members: list[Record] = []
    rows = np.empty((0, len(objectives)))
    for record in records:
        new = _costs(comparable([record], objectives), objectives).reshape(-1, len(objectives))
        if len(new) and not (rows <= new).all(1).any():
            kept = np.flatnonzero(~(new <= rows).all(1))
            members = [*(members[i] for i in kept), record]
            rows = np.vstack((rows[kept], new))
            reached.append(hypervolume(members, objectives, reference))
        else:
            reached.append(reached[-1] if reached else 0.0)
    return reached


def coverage(members: Sequence[Record], others: Sequence[Record], objectives: Sequence[Objective]) -> float:
    """The share of `others` that some member equals or beats in everything (C, Zitzler and Thiele 1999).

    The other way round is another number: neither follows from the other.
    """
    ours, theirs = _costs(members, objectives), _costs(others, objectives)
    return float((ours[:, None] <= theirs[None]).all(2).any(0).mean())


def spans(records: Sequence[Record], objectives: Sequence[Objective]) -> dict[str, tuple[float, float]]:
    """From the least to the greatest value of each objective."""
    values = {o.name: [float(record.metrics[o.name]) for record in records] for o in objectives}
    return {name: (min(found), max(found)) for name, found in values.items()}


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
    found = moocore.eaf(rows, numbers, percentiles=[100 * times / len(fronts)])[:, :-1]
    return [{o.name: o.cost(value) for o, value in zip(objectives, row, strict=True)} for row in sorted(found.tolist())]


def places(rows: Sequence[Metrics], objectives: Sequence[Objective]) -> list[int]:
    """The place of each among all, 1 the best: by its front, then by the hypervolume that its front would lose with it.

    Every row has every objective. The rows of one front that stand most alone come first (Deb et al. 2002 sort by
    crowding; Beume et al. 2007, SMS-EMOA, by hypervolume, as here).
    """
    import moocore

    costs = np.array([[objective.cost(row[objective.name]) for objective in objectives] for row in rows])
    low = costs.min(0)
    scaled = (costs - low) / np.where(costs.max(0) > low, costs.max(0) - low, 1)
    if len(objectives) == 1:
        scaled = np.column_stack((scaled, np.zeros(len(rows))))  # moocore ranks from two columns on
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
    """A row a record, a column an objective; less is better in all, so no case is left inside."""
    return np.array(
        [[objective.cost(record.metrics[objective.name]) for objective in objectives] for record in records]
    )
