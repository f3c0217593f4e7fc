"""The outcome of a validation in sentences."""

import math

from mvsearch.metrics.formatting import pretty
from mvsearch.metrics.registry import TEST, metric
from mvsearch.training.sampler import ENOUGH_STEPS
from mvsearch.utils.text import join_words, plural
from mvsearch.validation.comparison import CONFIDENCE
from mvsearch.validation.outcome import Comparison, ValidatedNetwork, Validation

_COSTS = {"params": "parameters", "macs": "MACs", "latency_ms": "latency"}
_SAME = 0.005
"""Costs that differ by less than this share are about equal."""


def verdict(validation: Validation) -> str:
    """One sentence about the leading candidate and each of its baselines, after one that says so if none is better.

    It leads whose least favourable comparison is the best, by which the front counts a trial too.
    """
    if not validation.comparisons:
        return "Nothing is trained yet that could be compared."
    unfinished = f" The validation is not finished: {validation.open} trainings are open." if validation.open else ""
    if validation.nothing_learned:
        return f"{_guessing_text(validation)}; more steps are needed, e.g. {_more_epochs(validation)}.{unfinished}"
    by_candidate: dict[str, list[Comparison]] = {}
    for each in validation.comparisons:
        by_candidate.setdefault(each.candidate, []).append(each)
    first, *others = max(by_candidate.values(), key=_least_favourable)
    sentence = "; ".join([comparison_clause(validation, first), *map(_short, others)]) + "."
    return f"{_no_winner(list(by_candidate.values()))}{sentence}{unfinished}"


def _least_favourable(comparisons: list[Comparison]) -> tuple[float, int]:
    return min((each.difference.mean, each.difference.seeds) for each in comparisons)


def _no_winner(candidates: list[list[Comparison]]) -> str:
    """A sentence if none of several candidates is better than all of its baselines; empty if one is."""
    outcomes = [{each.verdict for each in comparisons} for comparisons in candidates]
    if len(candidates) == 1 or {"better"} in outcomes or set.union(*outcomes) == {"one seed"}:
        return ""
    baselines = {each.baseline for comparisons in candidates for each in comparisons}
    several = any(len(comparisons) > 1 for comparisons in candidates)
    names = "every one of its baselines" if several else "its baseline" if len(baselines) > 1 else baselines.pop()
    return f"No candidate is better than {names} beyond noise. "


def _short(comparison: Comparison) -> str:
    """A further comparison of the same candidate, e.g. `worse than mobilevitv3_xs (-1.4 points, -1.9 to -0.9)`."""
    difference, other = comparison.difference, comparison.baseline
    points = f"{'+' if difference.mean >= 0 else ''}{_points(difference.mean)} points"
    if difference.low is None or difference.high is None:
        return f"{points} against {other}"
    interval = f"({points}, {_points(difference.low)} to {_points(difference.high)})"
    if comparison.verdict == "no difference":
        return f"no difference beyond noise to {other} {interval}"
    return f"{comparison.verdict} than {other} {interval}"


def _guessing_text(validation: Validation) -> str:
    classes, label = validation.conditions["classes"], metric(validation.metric).label_on(TEST)
    share = pretty(validation.metric, 1 / classes)
    guess = f"the {label} is about what guessing among {classes} classes gives ({share})"
    return f"{join_words(validation.guessing)} learned nothing, {guess}"


def _more_epochs(validation: Validation) -> str:
    epochs, steps = validation.conditions["epochs"], validation.conditions["steps"]
    return f"--epochs {math.ceil(epochs * max(ENOUGH_STEPS, 2 * steps) / steps)}"


def comparison_clause(validation: Validation, comparison: Comparison) -> str:
    """A sentence without its full stop.

    E.g. `v3:17 is better than mobilevitv3_xxs by 1.4 points of top-1 (test) (95 % interval 0.9 to 1.9, 3 seeds) at 4 %
    fewer parameters and 2 % fewer MACs`.
    """
    networks, difference = validation.by_name, comparison.difference
    one, other = networks[comparison.candidate], networks[comparison.baseline]
    label = metric(validation.metric).label_on(TEST)
    points = f"{_points(abs(difference.mean))} points of {label}"
    seeds = plural(difference.seeds, "seed")
    stopped = f", where it stopped, clearly behind {one.stop.behind}" if one.stop else ""
    at = f" at {compare_costs(one, other)}"
    if difference.low is None or difference.high is None:
        more = "higher" if difference.mean >= 0 else "lower"
        noise = "which says nothing about noise; use two or more --seeds"
        return f"{one.name} is {points} {more} than {other.name}{at} with {seeds}, {noise}"
    ends = f"{_points(difference.low)} to {_points(difference.high)}"
    interval = f"({100 * CONFIDENCE:.0f} % interval {ends}, {seeds}{stopped})"
    if comparison.verdict == "no difference":
        direction = "above" if difference.mean >= 0 else "below"
        return f"{one.name} shows no difference to {other.name} beyond noise: {points} {direction} {interval}{at}"
    return f"{one.name} is {comparison.verdict} than {other.name} by {points} {interval}{at}"


def _points(share: float) -> str:
    """A share in points, with a second decimal where one decimal would hide its sign."""
    points = 100 * share
    return f"{points:.2f}" if abs(points) < 0.1 else f"{points:.1f}"


def compare_costs(one: ValidatedNetwork, other: ValidatedNetwork) -> str:
    """E.g. `4 % fewer parameters, 2 % fewer MACs and 3 % more latency`, of what is known of both."""
    texts = []
    for name, noun in _COSTS.items():
        if not (other.metrics.get(name) and one.metrics.get(name)):
            continue
        change = one.metrics[name] / other.metrics[name] - 1
        fewer = "fewer" if name != "latency_ms" else "less"
        size = f"{100 * abs(change):.0f} % {'more' if change > 0 else fewer}"
        texts.append(f"{'about equal' if abs(change) < _SAME else size} {noun}")
    return join_words(texts)


def notes(validation: Validation) -> list[str]:
    """What a reader of the intervals has to know, in sentences."""
    sentences = []
    comparisons, noise = validation.comparisons, None if validation.nothing_learned else validation.noise
    if noise and len(comparisons) > 1:
        sentences.append(f"The {100 * CONFIDENCE:.0f} % hold for all {len(comparisons)} intervals together.")
    if noise and comparisons:
        say = "The interval says" if len(comparisons) == 1 else "The intervals say"
        images = validation.conditions.get("test_images", 0)
        deviation = 100 * noise.deviation
        sentences.append(
            f"{say} what other seeds would change (a standard deviation of {deviation:.2f} points a training), not "
            f"what other test images than these {images:,} would."
        )
    if validation.guessing and not validation.nothing_learned:
        sentences.append(f"{_guessing_text(validation)}.")
    for network in validation.networks:
        if network.failure:
            sentences.append(f"{network.name} is left out: its training failed ({network.failure}).")
    return sentences


def describe_conditions(validation: Validation) -> str:
    """How all networks were trained, e.g. `recipe short, 10 epochs of 50,000 images of cifar10 at 32 px`."""
    about = validation.conditions
    init = f", from the weights of {about['init']}" if about["init"] else ""
    init += f", with the teacher {about['teacher']}" if about.get("teacher") else ""
    images = f"{about['train_images']:,} images of {about['data']} at {about['image_size']} px"
    return f"recipe {about['recipe']}, {epochs_text(validation)} of {images}{init}"


def epochs_text(validation: Validation) -> str:
    """E.g. `10 epochs`."""
    return plural(validation.conditions["epochs"], "epoch")
