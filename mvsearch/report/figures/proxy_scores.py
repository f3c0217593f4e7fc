"""Proxy scores against published ImageNet Top-1 as data: a panel for each proxy, better to the right and up."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mvsearch.arch.published import short_name
from mvsearch.metrics.formatting import scale
from mvsearch.proxy_eval.rank_correlation import Ranking, published

_LOG_FROM = 30
"""Positive scores whose largest is more than this many times their smallest are on a logarithmic axis."""

_MARGIN = 0.1


@dataclass(frozen=True)
class Dot:
    """A published model: its mean score over seeds and that score's deviation, as drawn, and its Top-1 in %."""

    name: str
    family: str
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
    """All panels under one title."""

    title: str
    subtitle: str
    panels: tuple[ScorePanel, ...]


def proxy_scores_figure(panels: Sequence[ScorePanel], data: str) -> ProxyScoresFigure:
    """Panels under one title."""
    has_errors = any(dot.error for panel in panels for dot in panel.dots)
    bars = "; bars are the standard deviation over seeds" if has_errors else ""
    subtitle = f"x: score on {data}; y: published ImageNet-1k Top-1 (%){bars}"
    return ProxyScoresFigure("Proxy scores against ImageNet Top-1", subtitle, tuple(panels))


def score_panel(
    proxy: str, score: str, scores: Mapping[str, Sequence[float]], maximise: bool, ranking: Ranking
) -> ScorePanel:
    """`scores` are by published name, one for each seed, with the sign at which higher is better; drawn as the proxy
    computes them."""
    sign = 1 if maximise else -1
    rows = {name: [sign * value for value in row] for name, row in scores.items()}
    references = [reference for reference in published() if rows.get(reference.name)]
    values = [value for reference in references for value in rows[reference.name]]
    logarithm = bool(values) and min(values) > 0 and max(values) / min(values) > _LOG_FROM
    label, size = ("log10 of " + scale(score, values)[0], 1.0) if logarithm else scale(score, values)
    dots: list[Dot] = []
    for reference in references:
        row = [math.log10(value) if logarithm else value / size for value in rows[reference.name]]
        mean, error = statistics.fmean(row), statistics.stdev(row) if len(row) > 1 else 0.0
        words = f"{reference.name}: {mean:.4g}, top-1 {reference.top1:g} %"
        dots.append(Dot(short_name(reference.name), reference.family, mean, error, reference.top1, words))
    x_limits = _limits([dot.x + side * dot.error for dot in dots for side in (-1, 1)])
    y_limits = _limits([dot.y for dot in dots])
    if not maximise:
        label, x_limits = f"{label}, lower is better", x_limits[::-1]
    return ScorePanel(proxy, _tau_text(ranking), label, x_limits, y_limits, tuple(dots))


def _limits(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    span = (high - low) or abs(high) or 1.0
    return low - _MARGIN * span, high + _MARGIN * span


def _tau_text(ranking: Ranking) -> str:
    estimates = {"all": ranking.tau, "within size": ranking.within, "ablation": ranking.ablation}
    parts = [f"{name} {estimate.value:.2f}" for name, estimate in estimates.items() if estimate.value is not None]
    return f"tau: {', '.join(parts)}" if parts else "too few models for a tau"
