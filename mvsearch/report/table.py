"""Records as tables for the terminal."""

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from mvsearch.metrics.constraints import Constraint, join_limits, undecided_limits
from mvsearch.metrics.formatting import labels, own_sizes, with_error
from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import Record
from mvsearch.metrics.registry import STATIC_COSTS, TOP1, measurements, with_devices
from mvsearch.utils.fitted_table import plain_table, shorten
from mvsearch.utils.text import plural

TableCell = tuple[str, float | str | None]
"""The text of a cell, and the value that it sorts by."""


class CandidateName:
    """A published name in bold behind a star (`*` where the terminal cannot show one), or a candidate's key."""

    def __init__(self, record: Record) -> None:
        self.record = record

    def _text(self, options: ConsoleOptions) -> Text:
        if self.record.published is None:
            return Text(self.record.key, style="dim")
        star, mark = ("*", "...") if options.ascii_only else ("★", "…")
        return Text(f"{star} {shorten(self.record.published, options.max_width - 2, mark)}", style="bold")

    def __str__(self) -> str:
        """The name alone."""
        return self.record.published or self.record.key

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
    columns: Mapping[str, Sequence[str]] | None = None,
) -> Table:
    """The front, a row a member, in its order: the objectives first, then the common metrics that a member has.

    `columns` are further columns by their heads, a text for each member. The default caption counts all `records`.
    """
    table = plain_table("trial", numbers_from=0)
    table.title, table.caption = title, tally(records, front) if caption is None else caption
    table.add_column("architecture", no_wrap=True)
    metrics, sizes = metric_columns(front, objectives), own_sizes(front)
    for head in (*(["px"] if sizes else []), *labels(metrics, front, sizes_apart=True), *(columns or {})):
        table.add_column(head, justify="right", no_wrap=True)
    for i, record in enumerate(front):
        values = [*map(str, sizes[i : i + 1]), *(with_error(name, record.metrics) for name in metrics)]
        table.add_row(str(record.number), CandidateName(record), *values, *(c[i] for c in (columns or {}).values()))
    return table


def metric_columns(records: Sequence[Record], objectives: Sequence[Objective]) -> list[str]:
    """The metrics with a column: every objective, and the common ones that at least one record has."""
    names = [objective.name for objective in objectives]
    common = with_devices(_common_columns(), (record.metrics for record in records))
    measured = [name for name in common if any(record.metrics.get(name) is not None for record in records)]
    return [*names, *(name for name in measured if name not in names)]


def _common_columns() -> tuple[str, ...]:
    """The metrics that follow the objectives: static costs, the accuracy, what was measured on a device."""
    measured = (name for name, each in measurements().items() if each.searchable or each.column)
    return (*STATIC_COSTS, TOP1.name, *measured)


def complete_beyond(records: Sequence[Record], limits: Sequence[Constraint]) -> list[Record]:
    """The complete trials that break a limit, which an earlier run did not have."""
    return [
        record
        for record in records
        if record.state == "complete" and any(limit.violated(record.metrics) for limit in limits)
    ]


def undecided(records: Sequence[Record], limits: Sequence[Constraint]) -> list[Record]:
    """The complete trials that are kept because a limit is within the noise of their measurement."""
    return [
        record
        for record in records
        if record.state == "complete"
        and undecided_limits(limits, record.metrics)
        and not any(limit.violated(record.metrics) for limit in limits)
    ]


def tally(records: Sequence[Record], front: Sequence[Record], limits: Sequence[Constraint] = ()) -> str:
    """How many trials there are in each state, e.g. `front: 12 of 40 complete trials; 3 pruned, 1 failed`.

    With limits, e.g. `front: 12 of 38 complete trials within params <= 2M; 3 pruned`.
    """
    count = Counter(record.state for record in records)
    beyond = len(complete_beyond(records, limits))
    others = [f"{beyond} complete beyond"] if beyond else []
    others += [f"{count[state]} {state}" for state in ("pruned", "failed") if count[state]]
    complete = count["complete"] - beyond
    within = f" within {join_limits(limits)}" if limits else ""
    if kept := len(undecided(records, limits)):
        within += f", {kept} of these to within the noise of the measurement"
    members = f"front: {len(front)} of {plural(complete, 'complete trial')}{within}"
    has_errors = any(name.endswith("_sem") for record in front for name in record.metrics)
    noise = "± is the standard error of a mean over seeds" if has_errors else ""
    reasons = {record.number: record.metrics.get("unconfirmed") for record in front}
    failures = ", ".join(f"{number} ({reason})" for number, reason in reasons.items() if reason)
    reevaluation = f"could not be measured again: {failures}" if failures else ""
    return "; ".join(part for part in (members, ", ".join(others), noise, reevaluation) if part)
