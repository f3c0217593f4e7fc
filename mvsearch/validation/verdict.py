"""The outcome of a validation in sentences."""

from mvsearch.metrics.registry import TEST, metric
from mvsearch.utils.text import join_words, plural
from mvsearch.validation.comparison import CONFIDENCE
from mvsearch.validation.outcome import Comparison, ValidatedNetwork, Validation

_COSTS = {"params": "parameters", "macs": "MACs", "latency_ms": "latency"}
_SAME = 0.005
"""Costs that differ by less than this share are about equal."""


def verdict(validation: Validation) -> str:
    """One sentence about the leading candidate, after one that says so if no candidate is better."""
    comparisons = validation.comparisons
    if not comparisons:
        return "Nothing is trained yet that could be compared."
    leader = max(comparisons, key=lambda each: (each.difference.mean, each.difference.seeds))
    sentence = comparison_sentence(validation, leader)
    unfinished = f" The validation is not finished: {validation.open} trainings are open." if validation.open else ""
    decided = {each.verdict for each in comparisons}
    if len(comparisons) == 1 or "better" in decided or decided == {"one seed"}:
        return sentence + unfinished
    baselines = list(dict.fromkeys(each.baseline for each in comparisons))
    names = baselines[0] if len(baselines) == 1 else "its baseline"
    return f"No candidate is better than {names} beyond noise. {sentence}{unfinished}"


def comparison_sentence(validation: Validation, comparison: Comparison) -> str:
    """One sentence, e.g. `v3:17 is better than mobilevitv3_xxs by 1.4 points of top-1 (test) (95 % interval 0.9 to
    1.9, 3 seeds) at 4 % fewer parameters and 2 % fewer MACs.`
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
        return f"{one.name} is {points} {more} than {other.name}{at} with {seeds}, {noise}."
    ends = f"{_points(difference.low)} to {_points(difference.high)}"
    interval = f"({100 * CONFIDENCE:.0f} % interval {ends}, {seeds}{stopped})"
    if comparison.verdict == "no difference":
        direction = "above" if difference.mean >= 0 else "below"
        return f"{one.name} shows no difference to {other.name} beyond noise: {points} {direction} {interval}{at}."
    return f"{one.name} is {comparison.verdict} than {other.name} by {points} {interval}{at}."


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
    comparisons, noise = validation.comparisons, validation.noise
    if noise and len(comparisons) > 1:
        sentences.append(f"The {100 * CONFIDENCE:.0f} % hold for all {len(comparisons)} intervals together.")
    if noise:
        images = validation.conditions.get("test_images")
        deviation = 100 * noise.deviation
        sentences.append(
            f"They say what other seeds would change (a standard deviation of {deviation:.2f} points a training), not "
            f"what other test images than these {images:,} would."
        )
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
