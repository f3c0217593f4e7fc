"""A comparison as tables and in words: who wins where."""

import math
from collections.abc import Sequence
from statistics import median

from rich import box
from rich.table import Table

from mvsearch.metrics.formatting import pretty, volume
from mvsearch.metrics.registry import metric
from mvsearch.report.figures.front import pairs
from mvsearch.study.comparison import Comparison, Stretch
from mvsearch.utils.units import three_digits

FEW = 5
"""Changes of place that are told one by one; of more, only the shares are told."""


def studies_table(comparison: Comparison) -> Table:
    """A row a study: trials, members of the front, hypervolume, and the seconds that its evaluations took."""
    table = _table("study", "trials", "front", "hypervolume", "seconds")
    for run in comparison.runs:
        seconds = three_digits(run.seconds[-1])
        table.add_row(run.name, str(len(run.records)), str(len(run.front)), volume(run.hypervolume), seconds)
    return table


def pairs_table(comparison: Comparison) -> Table:
    """A row for each side over each other: what it covers, and by how much it would have to improve to cover all."""
    table = _table("", "over", "covers", "epsilon")
    table.columns[1].justify = "left"
    for pair in comparison.pairs:
        table.add_row(pair.side, pair.over, f"{100 * pair.coverage:.0f} %", f"{pair.epsilon:.3f}")
    return table


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", overflow="fold")
    return table


def verdict(comparison: Comparison) -> list[str]:
    """Who is ahead, altogether, cost by cost and for the same expense; who covers whom; how far repeats lie apart."""
    return [
        _altogether(comparison),
        *(_where(comparison, cost, gain) for cost, gain in pairs(comparison.objectives)),
        *(_evenly(comparison)),
        *(_covering(comparison)),
        *(_scatter(comparison)),
    ]


def _altogether(comparison: Comparison) -> str:
    ranked = sorted(comparison.sides, key=lambda side: -side.hypervolume)
    best, second = ranked[:2]
    if best.hypervolume == second.hypervolume:
        return f"{best.name} and {second.name} have the same hypervolume, {volume(best.hypervolume)}."
    most, less = volume(best.hypervolume), volume(second.hypervolume)
    said = f"{best.name} has the largest hypervolume, {most} against {less} of"
    overlap = min(run.hypervolume for run in best.runs) <= max(run.hypervolume for run in second.runs)
    return f"{said} {second.name}{'; from seed to seed they overlap' if overlap else ''}."


def _where(comparison: Comparison, cost: str, gain: str) -> str:
    """`top-1 for params: a is ahead (by up to 1.2 points) below 2.00 M, b is ahead (...) from 2.00 M on.`"""
    stretches = comparison.stretches(cost, gain)
    everyone = len(comparison.sides)
    if len(stretches) > FEW:
        said = _shares(stretches, cost, gain, everyone)
    else:
        said = ", ".join(f"{_who(s, gain, everyone)} {_from_to(s, cost, stretches)}" for s in stretches)
    return f"{metric(gain).label} for {metric(cost).label}: {said}."


def _who(stretch: Stretch, gain: str, everyone: int) -> str:
    names = " and ".join(stretch.leaders)
    if len(stretch.leaders) == everyone:
        return "level"
    if math.isinf(stretch.by):
        return f"only {names}"
    return f"{names} {'is' if len(stretch.leaders) == 1 else 'are'} ahead (by up to {_difference(gain, stretch.by)})"


def _difference(name: str, value: float) -> str:
    """A difference of percentages is in points; of anything else, in its unit."""
    return f"{float(f'{100 * value:.2g}'):g} points" if metric(name).unit.symbol == "%" else pretty(name, value)


def _from_to(stretch: Stretch, cost: str, all_of_them: Sequence[Stretch]) -> str:
    start, end = pretty(cost, stretch.start), pretty(cost, stretch.end)
    if len(all_of_them) == 1:
        return f"everywhere, from {start} on"
    if math.isinf(stretch.end):
        return f"from {start} on"
    return f"below {end}" if stretch is all_of_them[0] else f"from {start} to {end}"


def _shares(stretches: Sequence[Stretch], cost: str, gain: str, everyone: int) -> str:
    """Where places change too often to be told one by one: who leads over how much of the range."""
    start, end = stretches[0].start, stretches[-1].start
    shares: dict[str, float] = {}
    for stretch in stretches[:-1]:
        name = "level" if len(stretch.leaders) == everyone else f"{' and '.join(stretch.leaders)} ahead"
        shares[name] = shares.get(name, 0.0) + (stretch.end - stretch.start) / (end - start)
    told = ", ".join(f"{name} over {100 * share:.0f} %" for name, share in sorted(shares.items(), key=lambda s: -s[1]))
    last = _who(stretches[-1], gain, everyone)
    return (
        f"places change {len(stretches) - 1} times; of the range from {pretty(cost, start)} to {pretty(cost, end)} "
        f"{told}; beyond it {last}"
    )


def _evenly(comparison: Comparison) -> list[str]:
    """Hypervolumes for as many evaluations, and as many seconds, as every study had; nothing where all had the same."""
    runs = comparison.runs
    evaluations, seconds = min(len(run.records) for run in runs), min(run.seconds[-1] for run in runs)
    if all(len(run.records) == evaluations and run.seconds[-1] == seconds for run in runs):
        return []
    return [
        f"hypervolume after {evaluations} evaluations each: {_each(comparison, evaluations=evaluations)}; "
        f"after {three_digits(seconds)} s each: {_each(comparison, seconds=seconds)}."
    ]


def _each(comparison: Comparison, **budget: float) -> str:
    found = {side.name: median(run.within(**budget) for run in side.runs) for side in comparison.sides}
    return ", ".join(f"{name} {volume(value)}" for name, value in sorted(found.items(), key=lambda one: -one[1]))


def _covering(comparison: Comparison) -> list[str]:
    """For two sides, in a sentence; for more there is the table."""
    if len(comparison.sides) > 2:
        return []
    one, other = comparison.pairs
    return [
        f"{one.side} equals or beats {100 * one.coverage:.0f} % of the front of {one.over}, "
        f"{other.side} {100 * other.coverage:.0f} % of the other."
    ]


def _scatter(comparison: Comparison) -> list[str]:
    return [
        f"{side.name}: hypervolume {middle} in the middle, from {low} to {high}."
        for side in comparison.repeats
        for found in ([run.hypervolume for run in side.runs],)
        for middle, low, high in [map(volume, (median(found), min(found), max(found)))]
    ]


def explanations(comparison: Comparison) -> list[str]:
    """What the numbers mean."""
    point = ", ".join(f"{name} {pretty(name, value)}" for name, value in comparison.reference.items())
    ranges = ", ".join(
        f"{name} {pretty(name, low)} to {pretty(name, high)}" for name, (low, high) in comparison.spans.items()
    )
    several = any(len(side.runs) > 1 for side in comparison.sides)
    medians = " With several seeds: medians over all pairs of runs; `ahead` compares what half of the seeds reach."
    return [
        f"hypervolume: the share of the box from the ideal to {point}, the same for all.",
        "covers: the share of the other's front that is equalled or beaten in everything.",
        f"epsilon: by how much of the fronts' ranges ({ranges}) all objectives would have to improve at once to cover "
        f"all of it.{medians if several else ''}",
    ]
