"""`mvsearch proxies --against`: the table of a comparison with networks that were trained in full, and its notes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mvsearch.cli._output import console, table
from mvsearch.proxy_eval.agreement import chance
from mvsearch.proxy_eval.comparison import ALL, Comparison, Score
from mvsearch.proxy_eval.ground_truth import FIT, JUDGED
from mvsearch.proxy_eval.rank_correlation import Estimate

if TYPE_CHECKING:
    from rich.table import Table

_MOST_NAMES = 6
_NONE = Estimate()


def print_comparison(comparison: Comparison) -> None:
    """The table, and what it is of: networks, missing trainings, noise and halves."""
    screen = console()
    screen.print(_table(comparison))
    for line in _notes(comparison):
        screen.print(line, style="dim")
    for result in {score.result.proxy: score.result for score in comparison.scores}.values():
        for reason, names in result.reasons.items():
            screen.print(f"{result.proxy}: {reason}: {_some(names)}")


def _table(comparison: Comparison) -> "Table":
    """A row for each score, the best at equal cost first, and one for chance."""
    seconds = "CPU s a\ncandidate" if comparison.device == "cpu" else "s a\ncandidate"
    heads = ("score", "net-\nworks", "tau\nall", "tau\nequal cost", "beyond\nsize", "judged half:\ntau all")
    rows = table(*heads, "judged half:\nequal cost", "published,\nin size", seconds)
    entries = sorted(
        zip(comparison.scores, comparison.agreements, strict=True), key=lambda entry: -_order(entry[1][ALL].within)
    )
    for score, by_half in entries:
        whole, judged = by_half[ALL], by_half[JUDGED]
        estimates = (whole.tau, whole.within, whole.beyond_size, judged.tau, judged.within, score.published_order)
        cells = (_words(score), str(whole.networks), *map(two_lines, estimates), _seconds(comparison.seconds(score)))
        rows.add_row(*cells, style="dim" if score.is_baseline else "")
    estimates = (*chance(comparison.networks()), _NONE, *chance(comparison.networks(JUDGED)), _NONE)
    rows.add_row("random", str(len(comparison.networks())), *map(two_lines, estimates), "-", style="dim")
    return rows


def _words(score: Score) -> str:
    return f"{score.words}\n(default)" if score.is_default else score.words.replace(", ", "\n")


def _seconds(value: float | None) -> str:
    from mvsearch.utils.units import three_digits

    return "-" if value is None else three_digits(value)


def _order(estimate: Estimate) -> float:
    return -2 if estimate.value is None else estimate.value


def two_lines(estimate: Estimate) -> str:
    """A cell with the interval below the value."""
    return estimate.words.replace(" [", "\n[")


def _notes(comparison: Comparison) -> list[str]:
    """What the table is of, in sentences; what is missing is counted."""
    truth, networks = comparison.truth, comparison.networks()
    pairs = max((by_half[ALL].pairs for by_half in comparison.agreements), default=0)
    lines = [
        f"{len(networks)} networks of {truth.table}, {pairs} pairs of about equal cost; scores on {comparison.data}. "
        "tau (Kendall) is with test top-1 after full training: 1 is best, 0 is chance. `beyond size`: correlation of "
        "ranks for given parameters and MACs. `published`: tau with ImageNet top-1 of published models of one size. "
        "In brackets: 95 % bootstrap intervals over networks; for `random`, where 95 % of random scores are."
    ]
    if truth.untrained:
        lines.append(f"Without a finished training: {len(truth.untrained)} ({_some(truth.untrained)}).")
    if truth.incomplete:
        fewer = f"With fewer than {truth.seeds} trainings: {len(truth.incomplete)} ({_some(truth.incomplete)})."
        lines.append(fewer)
    if not any(score.is_default for score in comparison.scores):
        lines.append("The default score has no stored scores on these images; add --proxy train to compare with it.")
    lines += [f"{proxy} as set: {words}." for proxy, words in comparison.changes.items()]
    lines.append(truth.noise_words)
    return lines + [
        f"{half} half: {', '.join(each.name for each in comparison.networks(half)) or 'none'}."
        for half in (FIT, JUDGED)
    ]


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")
