"""Proxy scores against published ImageNet Top-1 as data: a panel a proxy, better always to the right and up."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mvsearch.arch.published import short_name
from mvsearch.metrics.formatting import scale
from mvsearch.proxy_eval.rank_correlation import Ranking, published

_LOG_FROM = 30
"""Scores of one sign that span so many times their smallest are drawn by their logarithm."""

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
    """One proxy; where less is better, `x_limits` run downwards."""

    title: str
    said: str
    x_label: str
    x_limits: tuple[float, float]
    y_limits: tuple[float, float]
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Scatter:
    """All panels, and what is said above them."""

    title: str
    subtitle: str
    panels: tuple[ScorePanel, ...]


def scatter(panels: Sequence[ScorePanel], data: str) -> Scatter:
    """Panels under one title."""
    bars = "; bars are the deviation between seeds" if any(dot.error for each in panels for dot in each.dots) else ""
    said = f"score on {data} across, published ImageNet-1k Top-1 (%) up{bars}"
    return Scatter("What each proxy says, and what ImageNet said", said, tuple(panels))


def panel(
    proxy: str, score: str, scores: Mapping[str, Sequence[float]], maximise: bool, ranking: Ranking
) -> ScorePanel:
    """`scores` are by published name, one each seed, turned so that more is better; drawn as the proxy says them."""
    sign = 1 if maximise else -1
    rows = {name: [sign * value for value in row] for name, row in scores.items()}
    references = [reference for reference in published() if rows.get(reference.name)]
    values = [value for reference in references for value in rows[reference.name]]
    logarithm = bool(values) and min(values) > 0 and max(values) / min(values) > _LOG_FROM
    label, size = ("log10 of " + scale(score, values)[0], 1.0) if logarithm else scale(score, values)
    dots = []
    for reference in references:
        row = [math.log10(value) if logarithm else value / size for value in rows[reference.name]]
        mean, error = statistics.fmean(row), statistics.stdev(row) if len(row) > 1 else 0.0
        words = f"{reference.name}: {mean:.4g}, top-1 {reference.top1:g} %"
        dots.append(Dot(short_name(reference.name), reference.family, mean, error, reference.top1, words))
    across = _limits([dot.x + side * dot.error for dot in dots for side in (-1, 1)])
    up = _limits([dot.y for dot in dots])
    if not maximise:
        label, across = f"{label}, less is better", across[::-1]
    return ScorePanel(proxy, _said(ranking), label, across, up, tuple(dots))


def _limits(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    span = (high - low) or abs(high) or 1.0
    return low - _MARGIN * span, high + _MARGIN * span


def _said(ranking: Ranking) -> str:
    known = {"all": ranking.tau, "within size": ranking.within, "ablation": ranking.ablation}
    parts = [f"{name} {estimate.value:.2f}" for name, estimate in known.items() if estimate.value is not None]
    return f"tau: {', '.join(parts)}" if parts else "too few models for a tau"
