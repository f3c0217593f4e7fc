"""How far a study's proxy is to be believed: does it rank the published models as ImageNet does?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mvsearch.arch import published as models
from mvsearch.arch.architecture import Architecture
from mvsearch.metrics.pareto import Objective, comparable
from mvsearch.metrics.record import Metrics, Record
from mvsearch.metrics.registry import scores
from mvsearch.proxy_eval import rank_correlation
from mvsearch.proxy_eval.rank_correlation import FEWEST, estimate

__all__ = ["FEWEST", "Trust", "trust"]

Row = tuple[str, float, float, int]
"""Published name, proxy score, printed Top-1 in %, parameters."""


@dataclass(frozen=True)
class Trust:
    """Kendall's tau-b between the proxy's score and the ImageNet-1k Top-1 that the papers print.

    `models` are (published name, proxy score, printed Top-1 in %, parameters). `tau` is None where there are too few of
    them; `low` to `high` is the 95 % percentile interval over resamples of the models. `baseline` is the tau of the
    number of parameters, which costs no training: a proxy has to do better. `within`, with its interval, counts only
    pairs of models of about equal cost; it is None where there are none.
    """

    score: str | None
    models: tuple[Row, ...]
    tau: float | None = None
    low: float | None = None
    high: float | None = None
    baseline: float | None = None
    within: float | None = None
    within_low: float | None = None
    within_high: float | None = None


def trust(
    records: Sequence[Record], objectives: Sequence[Objective], checked: Mapping[str, Metrics] | None = None
) -> Trust:
    """What is known of the study's own score from the published models that it evaluated; each network counts once,
    with its Top-1 at 256 px. Nothing, where the networks are for another task than classification.

    `checked` are the metrics of further published models under the study's settings, by name: `Reader.checked`.
    """
    score = next((objective for objective in objectives if _of_classifiers(objective.name)), None)
    task = Architecture.from_dict(records[0].architecture).task if records else "classification"
    if score is None or task != "classification":
        return Trust(None, ())
    beside = {name: float(found[score.name]) for name, found in (checked or {}).items() if score.name in found}
    own = {
        rank_correlation.network_of(str(record.published)): float(record.metrics[score.name])
        for record in comparable(records, [score])
    }
    rows = tuple(
        (name, value, top1, models.published(name).cost().params)
        for name, value in (beside | own).items()
        if (top1 := _printed(name)) is not None
    )
    values, printed = [-score.cost(row[1]) for row in rows], [row[2] for row in rows]
    tau = estimate(lambda weights: rank_correlation.tau(values, printed, weights), len(rows))
    if tau.value is None:  # too few, or all scores are one
        return Trust(score.name, rows)
    size = estimate(lambda weights: rank_correlation.tau([row[3] for row in rows], printed, weights), len(rows))
    sizes = [rank_correlation.size_of(row[0]) or row[0] for row in rows]
    within = estimate(lambda weights: rank_correlation.within(values, printed, sizes, weights), len(rows))
    alike = (within.value, within.low, within.high)
    return Trust(score.name, rows, tau.value, tau.low, tau.high, size.value, *alike)


def _of_classifiers(name: str) -> bool:
    return name in scores() and "classification" in scores()[name].tasks


def _printed(name: str) -> float | None:
    """The Top-1 of the paper's own recipe; figures for other batch sizes and fewer epochs are not comparable."""
    return models.model(name).figures.get("top1") if name in models.model_names() else None
