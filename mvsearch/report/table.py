"""Records as tables for the terminal."""

from collections import Counter
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import Record
from mvsearch.utils.units import unit, with_error

USUAL = ("params", "macs", "macs_paper", "top1", "memory_mib", "train_memory_mib", "latency_ms")
"""The columns that follow the objectives."""


class Name:
    """A candidate's name: a published one bold behind a star (`*` where the terminal has none), else its key."""

    def __init__(self, record: Record) -> None:
        self.record = record

    def _text(self, options: ConsoleOptions) -> Text:
        if self.record.published is None:
            return Text(self.record.key, style="dim")
        return Text(f"{'*' if options.ascii_only else '★'} {self.record.published}", style="bold")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._text(options)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._text(options))


def front_table(
    records: Sequence[Record],
    front: Sequence[Record],
    objectives: Sequence[Objective],
    *,
    title: str | None = None,
    caption: str | None = None,
    beside: Mapping[str, Sequence[str]] | None = None,
) -> Table:
    """The front, a row a member, in its order: the objectives first, then what else is known of anyone in it.

    `beside` are further columns by their heads, a text for each member. The caption, unless one is given, says what
    became of all `records`.
    """
    said = tally(records, front) if caption is None else caption
    table = Table(title=title, caption=said, box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column("architecture", overflow="fold")
    columns = metric_columns(front, objectives)
    for name in columns:
        table.add_column(unit(name).head, justify="right", no_wrap=True)
    for head in beside or {}:
        table.add_column(head, justify="right", no_wrap=True)
    for i, record in enumerate(front):
        further = (texts[i] for texts in (beside or {}).values())
        table.add_row(str(record.number), Name(record), *(with_error(n, record.metrics) for n in columns), *further)
    return table


def metric_columns(records: Sequence[Record], objectives: Sequence[Objective]) -> list[str]:
    """The metrics worth a column: every objective, and the usual ones that at least one record has."""
    sought = [objective.name for objective in objectives]
    known = [name for name in USUAL if any(record.metrics.get(name) is not None for record in records)]
    return [*sought, *(name for name in known if name not in sought)]


def _has_error(record: Record) -> bool:
    return any(name.endswith("_sem") for name in record.metrics)


def tally(records: Sequence[Record], front: Sequence[Record]) -> str:
    """How many trials there were and what became of them, e.g. `12 of 40 complete trials; 3 pruned, 1 failed`."""
    count = Counter(record.state for record in records)
    others = [f"{count[state]} {state}" for state in ("pruned", "failed") if count[state]]
    kept = f"{len(front)} of {count['complete']} complete {'trial' if count['complete'] == 1 else 'trials'}"
    noise = "± is the standard error of a mean over seeds" if any(map(_has_error, front)) else ""
    unconfirmed = {record.number: record.metrics.get("unconfirmed") for record in front}
    said = ", ".join(f"{number} ({reason})" for number, reason in unconfirmed.items() if reason)
    again = f"could not be measured again: {said}" if said else ""
    return "; ".join(part for part in (kept, ", ".join(others), noise, again) if part)
