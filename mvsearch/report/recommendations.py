"""Which members of a front to look at first: instead of each published model, the knee, and three sizes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mvsearch.arch.published import short_name
from mvsearch.metrics.formatting import pretty, with_error
from mvsearch.metrics.pareto import Objective, spans
from mvsearch.metrics.record import Record
from mvsearch.metrics.registry import metric, scores

SIZES = ("S", "M", "L")


@dataclass(frozen=True)
class Recommendation:
    """A candidate, and why it is recommended: a sentence for each reason, and `labels` for a figure."""

    record: Record
    labels: tuple[str, ...]
    reasons: tuple[str, ...]


def figure_marks(recommendations: Sequence[Recommendation]) -> dict[int, str]:
    """The short labels of recommended trials by number: S, M, L and knee."""
    short = {r.record.number: [label for label in r.labels if label in (*SIZES, "knee")] for r in recommendations}
    return {number: ", ".join(labels) for number, labels in short.items() if labels}


def recommend(front: Sequence[Record], objectives: Sequence[Objective]) -> tuple[Recommendation, ...]:
    """The recommended members of the front, published models left out; those with several reasons once.

    Empty without a score and a cost, and where all members are published models.
    """
    score = next((o for o in objectives if o.name in scores()), None)
    costs = [o for o in objectives if o.name not in scores()]
    own = [record for record in front if not record.published]
    if score is None or not costs or not own:
        return ()
    reasons: dict[int, list[tuple[str, str]]] = {}
    found = [*_instead_of_published(front, own, score, costs)]
    if len(own) >= len(SIZES):  # fewer leave nothing to choose from
        found += [_knee(front, own, objectives), *_sizes(front, own, score, costs[0])]
    for record, label, reason in found:
        reasons.setdefault(record.number, []).append((label, reason))
    by_number = {record.number: record for record in own}
    return tuple(
        Recommendation(by_number[number], *(tuple(texts) for texts in zip(*labelled, strict=True)))
        for number, labelled in reasons.items()
    )


def _instead_of_published(
    front: Sequence[Record], own: Sequence[Record], score: Objective, costs: Sequence[Objective]
) -> Iterator[tuple[Record, str, str]]:
    """For each published model on the front the member with the best score at no more cost; rows of ablations have
    none."""
    models = (record for record in front if record.published and not record.published.startswith("ablation"))
    for model in sorted(models, key=lambda record: costs[0].cost(record.metrics[costs[0].name])):
        cheaper = [r for r in own if all(c.cost(r.metrics[c.name]) <= c.cost(model.metrics[c.name]) for c in costs)]
        if cheaper:
            best = _best(cheaper, score)
            gap = score.cost(best.metrics[score.name]) - score.cost(model.metrics[score.name])
            relation = "better than" if gap < 0 else "worse than" if gap > 0 else "equal to"
            name, theirs = short_name(str(model.published)), with_error(score.name, model.metrics)
            verdict = f"its score is {relation} that of {name} ({theirs})"
            yield best, name, f"the best candidate at no more cost than {name}; {verdict}"


def _knee(front: Sequence[Record], own: Sequence[Record], objectives: Sequence[Objective]) -> tuple[Record, str, str]:
    """The member farthest below the plane through the ends of the front: beyond it, more cost buys less.

    Costs are on a logarithmic scale, and each objective runs from 0 to 1 over the front.
    """
    ranges = spans(front, objectives)

    def place(record: Record, objective: Objective) -> float:
        (low, high), value = ranges[objective.name], float(record.metrics[objective.name])
        if objective.name not in scores() and low > 0:
            low, high, value = math.log(low), math.log(high), math.log(value)
        share = (value - low) / (high - low or 1.0)
        return 1 - share if objective.maximise else share

    knee = min(own, key=lambda record: (sum(place(record, o) for o in objectives), record.number))
    return knee, "knee", "the knee, beyond which more cost buys less"


def _sizes(
    front: Sequence[Record], own: Sequence[Record], score: Objective, cost: Objective
) -> Iterator[tuple[Record, str, str]]:
    """The best score within each of three budgets, in equal ratios up to the front's largest cost."""
    low, high = spans(front, [cost])[cost.name]
    if low <= 0:
        return
    ratio = (high / low) ** (1 / len(SIZES))
    for i, size in enumerate(SIZES):
        budget = high / ratio ** (len(SIZES) - 1 - i)
        within = [record for record in own if record.metrics[cost.name] <= budget * (1 + 1e-9)]
        if within:
            best = _best(within, score)
            text = f"{metric(cost.name).label} up to {pretty(cost.name, budget)}"
            yield best, size, f"size {size}, the best score with {text}"


def _best(records: Sequence[Record], score: Objective) -> Record:
    return min(records, key=lambda record: (score.cost(record.metrics[score.name]), record.number))
