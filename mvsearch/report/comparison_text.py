"""A comparison of studies as tables and sentences: which study is better where."""

import math
from collections.abc import Sequence
from statistics import median

from rich.table import Table

from mvsearch.metrics.formatting import labels, pretty, volume
from mvsearch.metrics.registry import metric
from mvsearch.report.figures.axes import pairs
from mvsearch.study.comparison import Comparison, Stretch
from mvsearch.utils.fitted_table import plain_table
from mvsearch.utils.units import three_digits

MOST_STRETCHES = 5
"""With more changes of the leader, only each side's share of the range is given."""


def studies_table(comparison: Comparison) -> Table:
    """A row for each study: trials, members of the front, hypervolume, and the seconds of its evaluations."""
    table = plain_table("study", "trials", "front", "hypervolume", "seconds", wrap=True)
    for run in comparison.runs:
        seconds = three_digits(run.seconds[-1])
        table.add_row(run.name, str(run.evaluations), str(len(run.front)), volume(run.hypervolume), seconds)
    return table


def pairs_table(comparison: Comparison) -> Table:
    """A row for each ordered pair of sides: the coverage, and the improvement that would cover the other front."""
    table = plain_table("", "over", "covers", "epsilon", numbers_from=2, wrap=True)
    for pair in comparison.pairs:
        table.add_row(pair.side, pair.over, f"{100 * pair.coverage:.0f} %", f"{pair.epsilon:.3f}")
    return table


def comparison_sentences(comparison: Comparison) -> list[str]:
    """The leader overall, by cost and at equal budgets; the coverage; and the spread of repeats."""
    return [
        _overall(comparison),
        *(_where(comparison, cost, gain) for cost, gain in trade_offs(comparison)),
        *(_at_equal_budgets(comparison)),
        *(_coverage(comparison)),
        *(_spread(comparison)),
    ]


def trade_offs(comparison: Comparison) -> list[tuple[str, str]]:
    """The pairs of a cost and a gain for which the leader at each cost is given; two scores to be high have no cost."""
    return [(cost, gain) for cost, gain in pairs(comparison.objectives) if not metric(cost).maximise]


def _overall(comparison: Comparison) -> str:
    ranked = sorted(comparison.sides, key=lambda side: -side.hypervolume)
    best, second = ranked[:2]
    if best.hypervolume == second.hypervolume:
        return f"{best.name} and {second.name} have the same hypervolume, {volume(best.hypervolume)}."
    largest, smaller = volume(best.hypervolume), volume(second.hypervolume)
    sentence = f"{best.name} has the largest hypervolume, {largest} against {smaller} of"
    overlap = min(run.hypervolume for run in best.runs) <= max(run.hypervolume for run in second.runs)
    return f"{sentence} {second.name}{'; their seeds overlap' if overlap else ''}."


def _where(comparison: Comparison, cost: str, gain: str) -> str:
    """`top-1 for params: a is ahead (by up to 1.2 points) below 2.00 M, b is ahead (...) from 2.00 M on.`"""
    stretches = comparison.stretches(cost, gain)
    sides = len(comparison.sides)
    if len(stretches) > MOST_STRETCHES:
        text = _shares(stretches, cost, gain, sides)
    else:
        text = ", ".join(f"{_leaders(s, gain, sides)} {_from_to(s, cost, stretches)}" for s in stretches)
    gained, paid = labels((gain, cost), [record for run in comparison.runs for record in run.front])
    return f"{gained} for {paid}: {text}."


def _leaders(stretch: Stretch, gain: str, sides: int) -> str:
    names = " and ".join(stretch.leaders)
    if len(stretch.leaders) == sides:
        return "level"
    if math.isinf(stretch.by):
        return f"only {names}"
    return f"{names} {'is' if len(stretch.leaders) == 1 else 'are'} ahead (by up to {_difference(gain, stretch.by)})"


def _difference(name: str, value: float) -> str:
    """A difference of percentages is in points, any other in its unit."""
    return f"{float(f'{100 * value:.2g}'):g} points" if metric(name).unit.symbol == "%" else pretty(name, value)


def _from_to(stretch: Stretch, cost: str, stretches: Sequence[Stretch]) -> str:
    start, end = pretty(cost, stretch.start), pretty(cost, stretch.end)
    if len(stretches) == 1:
        return f"everywhere, from {start} on"
    if math.isinf(stretch.end):
        return f"from {start} on"
    return f"below {end}" if stretch is stretches[0] else f"from {start} to {end}"


def _shares(stretches: Sequence[Stretch], cost: str, gain: str, sides: int) -> str:
    """The share of the range over which each side leads, where the leader changes often."""
    start, end = stretches[0].start, stretches[-1].start
    shares: dict[str, float] = {}
    for stretch in stretches[:-1]:
        name = "level" if len(stretch.leaders) == sides else f"{' and '.join(stretch.leaders)} ahead"
        shares[name] = shares.get(name, 0.0) + (stretch.end - stretch.start) / (end - start)
    leads = ", ".join(f"{name} over {100 * share:.0f} %" for name, share in sorted(shares.items(), key=lambda s: -s[1]))
    last = _leaders(stretches[-1], gain, sides)
    return (
        f"the leader changes {len(stretches) - 1} times; "
        f"of the range from {pretty(cost, start)} to {pretty(cost, end)} {leads}; beyond it {last}"
    )


def _at_equal_budgets(comparison: Comparison) -> list[str]:
    """Hypervolumes after as many evaluations, and as many seconds, as every study has; none if these are equal."""
    runs = comparison.runs
    evaluations, seconds = min(run.evaluations for run in runs), min(run.seconds[-1] for run in runs)
    if all(run.evaluations == evaluations and run.seconds[-1] == seconds for run in runs):
        return []
    return [
        f"hypervolume after {evaluations} evaluations each: {_hypervolumes(comparison, evaluations=evaluations)}; "
        f"after {three_digits(seconds)} s each: {_hypervolumes(comparison, seconds=seconds)}."
    ]


def _hypervolumes(comparison: Comparison, **budget: float) -> str:
    values = {side.name: median(run.within(**budget) for run in side.runs) for side in comparison.sides}
    return ", ".join(f"{name} {volume(value)}" for name, value in sorted(values.items(), key=lambda item: -item[1]))


def _coverage(comparison: Comparison) -> list[str]:
    """A sentence for two sides; more are in the table."""
    if len(comparison.sides) > 2:
        return []
    first, second = comparison.pairs
    return [
        f"{first.side} equals or dominates {100 * first.coverage:.0f} % of the front of {first.over}, "
        f"{second.side} {100 * second.coverage:.0f} % of the other."
    ]


def _spread(comparison: Comparison) -> list[str]:
    sentences = []
    for side in comparison.repeats:
        values = [run.hypervolume for run in side.runs]
        middle, low, high = map(volume, (median(values), min(values), max(values)))
        sentences.append(f"{side.name}: median hypervolume {middle}, from {low} to {high}.")
    return sentences


def explanations(comparison: Comparison) -> list[str]:
    """The meaning of the numbers."""
    point = ", ".join(f"{name} {pretty(name, value)}" for name, value in comparison.reference.items())
    ranges = ", ".join(
        f"{name} {pretty(name, low)} to {pretty(name, high)}" for name, (low, high) in comparison.spans.items()
    )
    several = any(len(side.runs) > 1 for side in comparison.sides)
    medians = " With several seeds: medians over all pairs of runs; `ahead` compares what half of the seeds reach."
    return [
        f"hypervolume (higher is better): the share of the box from the ideal to {point}, the same for all.",
        "covers (higher is better): the share of the other front that is equalled or dominated.",
        f"epsilon (lower is better): the share of the fronts' ranges ({ranges}) by which all objectives would have to "
        f"improve to cover the other front.{medians if several else ''}",
    ]
