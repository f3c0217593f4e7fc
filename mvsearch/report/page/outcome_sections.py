"""The sections on what was found: the short list, the front with its members, and validations."""

from collections.abc import Sequence
from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.metrics.formatting import labels, own_sizes, pretty, with_error
from mvsearch.metrics.record import Record
from mvsearch.report.figures.architecture_diff import parts
from mvsearch.report.findings import Findings
from mvsearch.report.page.content import Cell, Report, Table, Values, cells, pairs_text
from mvsearch.report.short_list_table import caution, short_list_rows, short_list_sentence
from mvsearch.report.table import metric_columns
from mvsearch.report.validation_table import validation_rows
from mvsearch.validation.verdict import comparison_clause, describe_conditions, notes, verdict


def beat(report: Report) -> Values | None:
    """The candidates that may be better than the network to beat."""
    findings = report.findings
    if findings.target is None:
        return None
    heads, rows = short_list_rows(findings.listed, findings.target, findings.score, findings.validated)
    sentence = short_list_sentence(findings.short_list, findings.target)
    table = Table(heads, cells(rows), text_columns=2)
    return {"table": table, "sentence": sentence, "caution": caution(findings.validated)}


def front(report: Report) -> Values:
    """The names of the figures, and whether their markers tell families apart."""
    names = [name for name in report.figures if name.startswith("front")]
    return {"figures": names, "families": report.findings.has_families}


def members(report: Report) -> Values:
    """The members of the front, each with its stages."""
    findings = report.findings
    columns = metric_columns(findings.front, findings.objectives)
    sizes = own_sizes(findings.front)
    names = labels(columns, findings.front, sizes_apart=True)
    heads = ["trial", "architecture", *(["px"] if sizes else []), *names, "evaluated in"]
    rows = [_member_row(record, columns, sizes[i : i + 1]) for i, record in enumerate(findings.front)]
    members = [_member(findings, record) for record in findings.front]
    return {"table": Table(heads, rows, 2, findings.tally), "members": members}


def _member_row(record: Record, columns: Sequence[str], size: Sequence[int]) -> list[Cell]:
    name = f"★ {record.published}" if record.published else record.key
    numbers = [Cell(with_error(column, record.metrics), record.metrics.get(column)) for column in columns]
    seconds = f"{record.seconds:.0f} s" if record.seconds >= 1 else f"{record.seconds * 1e3:.0f} ms"
    duration = Cell("cached" if record.cached else seconds, record.seconds)
    trial = Cell(str(record.number), record.number, href=f"#trial-{record.number}")
    return [trial, Cell(name, name), *(Cell(str(pixels), pixels) for pixels in size), *numbers, duration]


def _member(findings: Findings, record: Record) -> Values:
    names = [objective.name for objective in findings.objectives]
    return {
        "number": record.number,
        "name": record.published or record.key,
        "objectives": ", ".join(
            f"{label} {with_error(name, record.metrics)}"
            for name, label in zip(names, labels(names, [record]), strict=True)
        ),
        "stages": _stages(Architecture.from_dict(record.architecture)),
        "choices": pairs_text(record.choices),
        "measured": ", ".join(
            f"{name} {_number(v)}" for name, v in record.metrics.items() if not isinstance(v, dict | list)
        ),
        "validated": findings.validated[record.number].words if record.number in findings.validated else None,
        "command": f"mvsearch export {findings.references[record.number]} --to torch -o net.py",
    }


_OWN_COLUMNS = ("name", "block", "out", "num_classes")
"""Fields of a stage that have a column of their own."""


def _stages(arch: Architecture) -> Table:
    total = arch.cost()
    rows = [
        (
            Cell(part.name, place),
            Cell(part.block, part.block),
            Cell(pairs_text({name: value for name, value in part.fields.items() if name not in _OWN_COLUMNS})),
            Cell(part.size, part.out.channels),
            Cell(pretty("params", part.cost.params), part.cost.params),
            Cell(pretty("macs", part.cost.macs), part.cost.macs),
            Cell(f"{100 * part.cost.macs / total.macs:.1f} %", part.cost.macs),
        )
        for place, part in enumerate(parts(arch)[1:])
    ]
    macs = f"MACs ({arch.image_size} px)"
    return Table(["stage", "block", "settings", "output", "params", macs, "share"], rows, 3)


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)


def validation(report: Report) -> Values | None:
    """The table, the sentences and the figure of each validation, the last one first."""
    places = range(len(report.findings.validations))
    return {"validations": [_validated(report, place) for place in places]} if places else None


def _validated(report: Report, place: int) -> Values:
    validation, name = report.findings.validations[place], f"validation{place}"
    heads, rows = validation_rows(validation)
    return {
        "verdict": verdict(validation),
        "conditions": describe_conditions(validation),
        "table": Table(heads, cells(rows)),
        "sentences": [f"{comparison_clause(validation, comparison)}." for comparison in validation.comparisons],
        "notes": notes(validation),
        "figure": name if name in report.figures else None,
    }
