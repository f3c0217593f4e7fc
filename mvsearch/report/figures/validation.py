"""A validation as data: scores by seed against a cost on the left, differences with their intervals on the right."""

from dataclasses import dataclass
from pathlib import Path

from mvsearch.arch.published import all_names, short_name
from mvsearch.metrics.formatting import pretty, scale
from mvsearch.metrics.registry import TEST, metric
from mvsearch.report.figures.axes import limits_around
from mvsearch.validation.comparison import CONFIDENCE
from mvsearch.validation.outcome import Comparison, ValidatedNetwork, Validation
from mvsearch.validation.verdict import epochs_text

X = "params"
"""The cost along x."""

_MARGIN = 0.12


@dataclass(frozen=True)
class NetworkDots:
    """A network: its cost, and its scores and their mean in %."""

    name: str
    is_candidate: bool
    x: float
    scores: tuple[float, ...]
    mean: float
    lines: tuple[str, ...]


@dataclass(frozen=True)
class DifferenceBar:
    """A comparison in points: the difference and the ends of its interval, which are equal where there is none."""

    label: str
    verdict: str
    difference: float
    low: float
    high: float
    words: str


@dataclass(frozen=True)
class ValidationFigure:
    """Both panels. `bars` are from the top down."""

    title: str
    subtitle: str
    x_label: str
    y_label: str
    x_limits: tuple[float, float]
    y_limits: tuple[float, float]
    dots: tuple[NetworkDots, ...]
    bars: tuple[DifferenceBar, ...]
    bars_label: str
    bar_limits: tuple[float, float]


def validation_figure(validation: Validation) -> ValidationFigure:
    """The figure of what is trained so far."""
    trained = [network for network in validation.networks if network.scores]
    label, size = scale(X, [network.metrics[X] for network in trained])
    dots = tuple(_dots(validation, network, size) for network in trained)
    baselines = {comparison.baseline for comparison in validation.comparisons}
    bars = tuple(_bar(validation, each, several=len(baselines) > 1) for each in validation.comparisons)
    against = f" from {_short(validation.study, next(iter(baselines)))}" if len(baselines) == 1 else ""
    interval = f" ({100 * CONFIDENCE:.0f} % interval)" if validation.noise else ""
    return ValidationFigure(
        title=f"{validation.study}: validation",
        subtitle=_subtitle(validation),
        x_label=label,
        y_label=f"{metric(validation.metric).label_on(TEST)}, %",
        x_limits=limits_around([each.x for each in dots], _MARGIN),
        y_limits=limits_around([score for each in dots for score in each.scores], _MARGIN),
        dots=dots,
        bars=bars,
        bars_label=f"difference{against},\npoints{interval}",
        bar_limits=limits_around([0.0, *(end for bar in bars for end in (bar.low, bar.high))], _MARGIN),
    )


def _dots(validation: Validation, network: ValidatedNetwork, size: float) -> NetworkDots:
    scores = tuple(100 * score for score in network.scores.values())
    mean = sum(scores) / len(scores)
    costs = ", ".join(f"{metric(name).label} {pretty(name, value)}" for name, value in network.metrics.items())
    lines = (network.name, f"mean of {len(scores)} seeds: {mean:.2f} %", costs)
    name = _short(validation.study, network.name)
    return NetworkDots(name, network.number is not None, network.metrics[X] / size, scores, mean, lines)


def _bar(validation: Validation, comparison: Comparison, *, several: bool) -> DifferenceBar:
    difference = comparison.difference
    low, high = (difference.mean if end is None else end for end in (difference.low, difference.high))
    names = (_short(validation.study, name) for name in (comparison.candidate, comparison.baseline))
    label = " above ".join(names) if several else next(names)
    words = f"{comparison.candidate}: {100 * difference.mean:+.2f} points, {comparison.verdict}"
    return DifferenceBar(label, comparison.verdict, 100 * difference.mean, 100 * low, 100 * high, words)


def _short(study: str, name: str) -> str:
    """The name of a network beside a point: without the study, whose name the title has, and without a folder."""
    if name.startswith(f"{study}:"):
        return f"trial {name.removeprefix(f'{study}:')}"
    return short_name(name) if name in all_names() else _stem(name)


def _stem(name: str) -> str:
    return Path(name).stem if name.endswith((".yaml", ".yml")) else name


def _subtitle(validation: Validation) -> str:
    about = validation.conditions
    images = f"{about['test_images']:,} test images of " if "test_images" in about else ""
    recipe = f"recipe {_stem(about['recipe'])}, {epochs_text(validation)} at {about['image_size']} px"
    return f"{images}{about['data']}; {recipe}; diamonds: baselines, small dots: seeds"
