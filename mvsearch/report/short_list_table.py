"""The short list of a study that is to beat a network: as rows for tables and pages, and in a sentence."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from mvsearch.metrics.formatting import pretty
from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import Metrics
from mvsearch.metrics.registry import metric
from mvsearch.report.table import TableCell
from mvsearch.report.validated import HEAD, ValidatedTrial
from mvsearch.study.short_list import CLEAR, ShortListEntry
from mvsearch.study.target import Target
from mvsearch.utils.fitted_table import plain_table

_CAUTION = (
    "The probability is about the score, which stands for accuracy, and is too high where the network to beat is "
    "better than nearly all candidates"
)
_ADVICE = "`mvsearch validate` trains the short list and that network for real"


def caution(validated: Mapping[int, ValidatedTrial]) -> str:
    """What the probability does not say, and what does."""
    advice = "what was trained for real is in the verdict" if validated else _ADVICE
    return f"{_CAUTION}; {advice}."


def short_list_sentence(entries: Sequence[ShortListEntry], target: Target) -> str:
    """Whether something better was found among all candidates by their score, and how sure that is."""
    if not entries:
        state = "no candidate is complete" if target.metrics else "it is not measured"
        return f"Nothing is compared with {target.name} yet: {state}."
    best = max(entries, key=lambda entry: entry.probability)
    name = f"trial {best.record.number}" + (f" ({best.record.published})" if best.record.published else "")
    if best.probability < CLEAR:
        return (
            f"Nothing found that is better than {target.name} beyond noise: {name} is better with a probability of "
            f"{best.probability:.2f}."
        )
    clear = sum(entry.probability >= CLEAR for entry in entries)
    count = "1 candidate is" if clear == 1 else f"{clear} candidates are"
    return f"{count} better than {target.name} at no more cost with a probability of {CLEAR:g} or more; {name} first."


def short_list_rows(
    entries: Sequence[ShortListEntry],
    target: Target,
    objective: Objective,
    validated: Mapping[int, ValidatedTrial],
) -> tuple[list[str], list[list[TableCell]]]:
    """The heads, and the cells: the candidates, then the network to beat.

    A column has the differences of those that were validated, where there are any.
    """
    name = objective.name
    direction = "higher" if objective.maximise else "lower"
    heads = ["trial", "architecture", f"{metric(name).label} ({direction} is better)", "measured", "expected"]
    heads += ["better with", *([HEAD] if validated else []), *(metric(cost).label for cost in target.costs)]
    rows: list[list[TableCell]] = []
    for entry in entries:
        record = entry.record
        rows.append(
            [
                (str(record.number), record.number),
                (record.published or record.key, record.published or record.key),
                (pretty(name, entry.score), entry.score),
                (f"{entry.measurements} times" if entry.measurements > 1 else "once", entry.measurements),
                (_with_error(name, entry.expected, entry.error), entry.expected),
                (f"{entry.probability:.2f}", entry.probability),
                *_validated_cells(validated, record.number),
                *_costs(record.metrics, target.costs),
            ]
        )
    if target.metrics:
        mean, times = target.metrics[name], len(target.metrics["repeats"])
        error = target.metrics.get(f"{name}_sem", 0.0)
        own: list[TableCell] = [("", -1), (f"{target.name} (to beat)", target.name), (pretty(name, mean), mean)]
        own += [(f"{times} times", times), (_with_error(name, mean, error), mean), ("", -1.0)]
        rows.append([*own, *_validated_cells(validated, None), *_costs(target.metrics, target.costs)])
    return heads, rows


def short_list_table(
    entries: Sequence[ShortListEntry],
    target: Target,
    objective: Objective,
    validated: Mapping[int, ValidatedTrial],
) -> Table:
    """The short list for the terminal."""
    heads, rows = short_list_rows(entries, target, objective, validated)
    table = plain_table(*heads, numbers_from=0)
    table.columns[1].justify = "left"
    table.title = f"Better than {target.name} at no more cost?"
    for row in rows:
        table.add_row(*(text for text, _ in row))
    return table


def _validated_cells(validated: Mapping[int, ValidatedTrial], number: int | None) -> list[TableCell]:
    """The cell of a trial; empty without one, and no cell where nothing was validated."""
    if not validated:
        return []
    trial = validated.get(number) if number is not None else None
    return [(trial.text, trial.comparison.difference.mean) if trial else ("", None)]


def _costs(metrics: Metrics, names: Sequence[str]) -> list[TableCell]:
    return [(pretty(name, metrics.get(name)), metrics.get(name)) for name in names]


def _with_error(name: str, value: float, error: float) -> str:
    return f"{pretty(name, value).split(' ')[0]} ± {error / metric(name).unit.size:.2g}"
