"""How reliable a study's proxy is: does it rank the published models as ImageNet does?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mvsearch.arch import published as models
from mvsearch.arch.architecture import Architecture
from mvsearch.metrics.pareto import Objective, comparable
from mvsearch.metrics.record import Metrics, Record
from mvsearch.metrics.registry import metric, scores
from mvsearch.proxy_eval import rank_correlation
from mvsearch.proxy_eval.families import FamilyEvidence, rank_families
from mvsearch.proxy_eval.rank_correlation import FEWEST, estimate
from mvsearch.utils.text import join_words, plural

__all__ = ["FEWEST", "ProxyReliability", "families_line", "proxy_line", "proxy_reliability"]

Row = tuple[str, float, float, int]
"""Published name, proxy score, printed Top-1 in %, parameters."""


@dataclass(frozen=True)
class ProxyReliability:
    """Kendall's tau-b between the proxy's score and the ImageNet-1k Top-1 that the papers print.

    `models` are (published name, proxy score, printed Top-1 in %, parameters). `tau` is None where there are too few of
    them; `low` to `high` is the 95 % percentile interval over resamples of the models. `baseline` is the tau of the
    number of parameters, which costs no training: a useful proxy exceeds it. `within`, with its interval, counts only
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


def proxy_reliability(
    records: Sequence[Record], objectives: Sequence[Objective], checked: Mapping[str, Metrics] | None = None
) -> ProxyReliability:
    """The reliability of the study's own score on the published models that it evaluated, also those beyond its limits.

    Each network counts once, with its Top-1 at 256 px. Networks for another task than classification have none.
    `checked` are the metrics of further published models under the study's settings, by name: `StudyFacts.proxy_check`.
    """
    score = next((objective for objective in objectives if _is_classification_score(objective.name)), None)
    task = Architecture.from_dict(records[0].architecture).task if records else "classification"
    if score is None or task != "classification":
        return ProxyReliability(None, ())
    further = {name: float(metrics[score.name]) for name, metrics in (checked or {}).items() if score.name in metrics}
    own = {
        rank_correlation.network_of(str(record.published)): float(record.metrics[score.name])
        for record in comparable(records, [score])
    }
    rows = tuple(
        (name, value, top1, models.published(name).cost().params)
        for name, value in (further | own).items()
        if (top1 := _printed_top1(name)) is not None
    )
    return _correlate(score, rows)


def _correlate(score: Objective, rows: tuple[Row, ...]) -> ProxyReliability:
    values, printed = [-score.cost(row[1]) for row in rows], [row[2] for row in rows]
    tau = estimate(lambda weights: rank_correlation.tau(values, printed, weights), len(rows))
    if tau.value is None:  # too few models, or all scores are equal
        return ProxyReliability(score.name, rows)
    baseline = estimate(lambda weights: rank_correlation.tau([row[3] for row in rows], printed, weights), len(rows))
    sizes = [rank_correlation.size_of(row[0]) or row[0] for row in rows]
    within = estimate(lambda weights: rank_correlation.within(values, printed, sizes, weights), len(rows))
    if {models.family(row[0]) for row in rows} - {None, *rank_correlation.reference_families()}:
        within = rank_families({row[0]: value for row, value in zip(rows, values, strict=True)}).within_size
    return ProxyReliability(
        score.name, rows, tau.value, tau.low, tau.high, baseline.value, within.value, within.low, within.high
    )


def _is_classification_score(name: str) -> bool:
    return name in scores() and "classification" in scores()[name].tasks


def _printed_top1(name: str) -> float | None:
    """The Top-1 of the paper's own recipe; figures for other batch sizes and fewer epochs are not comparable."""
    return models.model(name).figures.get("top1") if name in models.model_names() else None


def proxy_line(settings: Mapping[str, Any], reliability: ProxyReliability) -> str | None:
    """The proxy of a study and its reliability, in one line; None where no score is sought.

    `settings` are those that the study was made under; `image_size` is a list of the sizes that its space leaves open.

    >>> settings = {"proxy": {"name": "train", "steps": 300, "image_size": 32}, "data": {"source": "photos"}}
    >>> proxy_line(settings, reliability)
    "proxy: train (loss), 300 steps at 32 px on photos; Kendall's tau with ImageNet top-1 of 13 published models 0.72
    [0.40, 0.90], within size 0.60; parameters alone 0.80"
    """
    if reliability.score is None or "proxy" not in settings:
        return None
    words = _proxy_words(settings["proxy"], settings["data"], reliability.score)
    sizes = settings.get("image_size")
    if isinstance(sizes, list) and len(sizes) > 1 and "image_size" in settings["proxy"]:
        words += f" (for networks at {max(sizes)} px; smaller networks' images in proportion)"
    return f"proxy: {words}; {_tau_words(reliability)}"


def _proxy_words(proxy: Mapping[str, Any], data: Mapping[str, Any], score: str) -> str:
    name = proxy["name"] if score == proxy["name"] else f"{proxy['name']} ({score})"
    parts = [f"{proxy['steps']} steps" if "steps" in proxy else ""]
    parts += [f"at {proxy['image_size']} px" if "image_size" in proxy else ""]
    parts += [f"on {data['source']}", data.get("path") or ""]
    seeds = f", {proxy['seeds']} seeds" if proxy.get("seeds", 1) > 1 else ""
    return f"{name}, {' '.join(part for part in parts if part)}{seeds}"


def _tau_words(reliability: ProxyReliability) -> str:
    count = len(reliability.models)
    models_words = plural(count, "published model")
    if reliability.tau is None:
        missing = f"scored, {FEWEST} are needed (`mvsearch run --check-proxy`)"
        return f"not compared with ImageNet: {models_words} {'have equal scores' if count >= FEWEST else missing}"
    interval = _interval(reliability.low, reliability.high)
    within = "" if reliability.within is None else f", within size {reliability.within:.2f}"
    within += _interval(reliability.within_low, reliability.within_high)
    baseline = "" if reliability.baseline is None else f"; parameters alone {reliability.baseline:.2f}"
    return f"Kendall's tau with ImageNet top-1 of {models_words} {reliability.tau:.2f}{interval}{within}{baseline}"


def families_line(evidence: FamilyEvidence) -> str:
    """How far the score is to be trusted where candidates are of several families."""
    ranking, size = evidence.ranking, evidence.params
    label = metric(evidence.score).label
    where = f"after {evidence.training.steps} steps on {evidence.training.data}" if evidence.training else "untrained"
    where = "scored as in this study" if evidence.own else where
    unlike = f"; unlike this study with {join_words(evidence.unlike)}" if evidence.unlike else ""
    across, within = ranking.across_families.words, ranking.within_family.words
    return (
        f"across families: Kendall's tau of {label} with ImageNet top-1 of {ranking.models} published models ({where}"
        f"{unlike}) is {across} across families ({ranking.pairs['across_families']} pairs) and {within} within; "
        f"without those trained with a teacher {ranking.across_plain.words} across. Parameters alone: "
        f"{size.across_families.words} and {size.within_family.words}"
    )


def _interval(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ""
    return f" [{low:.2f}, {high:.2f}]"
