"""A validation as a table for the terminal: a row for each network, and for each comparison of a candidate."""

from rich.table import Table

from mvsearch.metrics.formatting import pretty
from mvsearch.metrics.registry import TEST, metric
from mvsearch.report.table import TableCell
from mvsearch.utils.fitted_table import plain_table
from mvsearch.validation.comparison import CONFIDENCE
from mvsearch.validation.outcome import Comparison, ValidatedNetwork, Validation


def validation_table(validation: Validation) -> Table:
    """Costs, mean score over seeds, and the difference to each baseline with its interval."""
    heads, rows = validation_rows(validation)
    table = plain_table(*heads)  # names shorten in their middle: a trial keeps its number
    for column in table.columns:
        column.justify = "left" if column.header in ("network", "above", "outcome") else "right"
    for row in rows:
        table.add_row(*(text for text, _ in row))
    return table


def validation_rows(validation: Validation) -> tuple[list[str], list[list[TableCell]]]:
    """The heads, and the cells: a row for each baseline, and one for each comparison of a candidate."""
    costs = list(dict.fromkeys(name for network in validation.networks for name in network.metrics))
    score = metric(validation.metric).label_on(TEST)
    baselines = list(dict.fromkeys(comparison.baseline for comparison in validation.comparisons))
    against = f"points above {baselines[0]}" if len(baselines) == 1 else "points above a baseline"
    interval = f"{against} ({100 * CONFIDENCE:.0f} % interval)"
    several = ["above"] if len(baselines) > 1 else []
    heads = ["network", *(metric(name).label for name in costs), score, "seeds", interval, *several, "outcome"]
    rows: list[list[TableCell]] = []
    for network in validation.networks:
        own: list[TableCell] = [(network.name, network.name)]
        own += [(pretty(name, network.metrics.get(name)), network.metrics.get(name)) for name in costs]
        own += [(pretty(validation.metric, network.mean), network.mean)]
        own += [(str(len(network.scores)), len(network.scores))]
        comparisons: list[Comparison | None] = [c for c in validation.comparisons if c.candidate == network.name]
        rows += [[*own, *_comparison_cells(network, each, several=bool(several))] for each in comparisons or [None]]
    return heads, rows


def difference_text(comparison: Comparison) -> str:
    """A difference in points with its interval, e.g. `+1.42 (0.91 to 1.93)`."""
    difference = comparison.difference
    if difference.low is None or difference.high is None:
        return f"{100 * difference.mean:+.2f}"
    return f"{100 * difference.mean:+.2f} ({100 * difference.low:.2f} to {100 * difference.high:.2f})"


def outcome_text(network: ValidatedNetwork, comparison: Comparison | None) -> str:
    """The verdict on a candidate, and whether it stopped."""
    if network.failure:
        return "failed"
    if comparison is None:
        return "baseline" if network.number is None else "not trained yet"
    return comparison.verdict + ("; stopped" if network.stop else "")


def _comparison_cells(network: ValidatedNetwork, comparison: Comparison | None, *, several: bool) -> list[TableCell]:
    outcome = outcome_text(network, comparison)
    text, mean, baseline = ("", None, "")
    if comparison is not None:
        text, mean, baseline = difference_text(comparison), comparison.difference.mean, comparison.baseline
    return [(text, mean), *([(baseline, baseline)] if several else []), (outcome, outcome)]
