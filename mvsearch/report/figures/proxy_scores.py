"""Proxy scores against top-1 (published, or after full training) as data: a panel a score, better right and up."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mvsearch.arch.published import model_names, short_name
from mvsearch.metrics.formatting import scale
from mvsearch.proxy_eval.comparison import ALL, Comparison
from mvsearch.proxy_eval.rank_correlation import Estimate, Ranking, Reference, published
from mvsearch.report.figures.axes import limits_around

_LOG_FROM = 30
"""Positive scores whose largest is more than this many times their smallest are on a logarithmic axis."""

_MARGIN = 0.1


@dataclass(frozen=True)
class Dot:
    """A network: its mean score over seeds and that score's deviation, as drawn, and its top-1 in %.

    Without a name there is no label beside it; `words` name it where they are shown.
    """

    name: str
    group: str
    x: float
    error: float
    y: float
    words: str


@dataclass(frozen=True)
class ScorePanel:
    """One proxy; where lower is better, `x_limits` are reversed."""

    title: str
    subtitle: str
    x_label: str
    x_limits: tuple[float, float]
    y_limits: tuple[float, float]
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class ProxyScoresFigure:
    """All panels under one title; `groups` are those of the dots, in the order of the legend."""

    title: str
    subtitle: str
    panels: tuple[ScorePanel, ...]
    groups: tuple[str, ...]


def proxy_scores_figure(panels: Sequence[ScorePanel], data: str) -> ProxyScoresFigure:
    """Panels under one title."""
    subtitle = f"x: score on {data}; y: published ImageNet-1k Top-1 (%){_bars_words(panels)}"
    groups = tuple(dict.fromkeys(reference.series for reference in published()))
    return ProxyScoresFigure("Proxy scores against ImageNet Top-1", subtitle, tuple(panels), groups)


def comparison_figure(comparison: Comparison) -> ProxyScoresFigure:
    """A panel for each score of a comparison with networks that were trained in full, their groups as series."""
    points = [Reference(n.name, 100 * n.mean, n.network.group, n.network.group) for n in comparison.networks()]
    panels = []
    for score, agreements in zip(comparison.scores, comparison.agreements, strict=True):
        estimates = {"all": agreements[ALL].tau, "equal cost": agreements[ALL].within}
        panels.append(points_panel(score.words, score.metric, score.rows, score.maximise, estimates, points))
    changes = "".join(f"; {proxy} as set: {words}" for proxy, words in comparison.changes.items())
    changes += _bars_words(panels)
    return ProxyScoresFigure(
        "Scores against top-1 after full training",
        f"x: score on {comparison.data}; y: test top-1 (%) in {comparison.truth.table.name}{changes}",
        tuple(panel for panel in panels if panel.dots),
        tuple(dict.fromkeys(point.series for point in points)),
    )


def _bars_words(panels: Sequence[ScorePanel]) -> str:
    """What the error bars are; empty without any."""
    has_errors = any(dot.error for panel in panels for dot in panel.dots)
    return "; bars are the standard deviation over seeds" if has_errors else ""


def score_panel(
    proxy: str, score: str, scores: Mapping[str, Sequence[float]], maximise: bool, ranking: Ranking
) -> ScorePanel:
    """The published models; see `points_panel`."""
    estimates = {"all": ranking.tau, "within size": ranking.within, "ablation": ranking.ablation}
    return points_panel(proxy, score, scores, maximise, estimates, published())


def points_panel(
    title: str,
    score: str,
    scores: Mapping[str, Sequence[float]],
    maximise: bool,
    estimates: Mapping[str, Estimate],
    references: Sequence[Reference],
) -> ScorePanel:
    """`scores` are by name, one for each seed, with the sign at which higher is better; drawn as the proxy computes
    them. Published models have labels. `estimates` are the taus of the subtitle."""
    sign = 1 if maximise else -1
    rows = {name: [sign * value for value in row] for name, row in scores.items()}
    drawn = [reference for reference in references if rows.get(reference.name)]
    values = [value for reference in drawn for value in rows[reference.name]]
    logarithm = bool(values) and min(values) > 0 and max(values) / min(values) > _LOG_FROM
    label, size = ("log10 of " + scale(score, values)[0], 1.0) if logarithm else scale(score, values)
    dots: list[Dot] = []
    for reference in drawn:
        row = [math.log10(value) if logarithm else value / size for value in rows[reference.name]]
        mean, error = statistics.fmean(row), statistics.stdev(row) if len(row) > 1 else 0.0
        words = f"{reference.name}: {mean:.4g}, top-1 {reference.top1:.4g} %"
        name = short_name(reference.name) if reference.name in model_names() else ""
        dots.append(Dot(name, reference.series, mean, error, reference.top1, words))
    x_limits = limits_around([dot.x + side * dot.error for dot in dots for side in (-1, 1)], _MARGIN)
    y_limits = limits_around([dot.y for dot in dots], _MARGIN)
    if not maximise:
        label, x_limits = f"{label}, lower is better", x_limits[::-1]
    return ScorePanel(title, _tau_text(estimates), label, x_limits, y_limits, tuple(dots))


def _tau_text(estimates: Mapping[str, Estimate]) -> str:
    parts = [f"{name} {estimate.value:.2f}" for name, estimate in estimates.items() if estimate.value is not None]
    return f"tau: {', '.join(parts)}" if parts else "too few models for a tau"
