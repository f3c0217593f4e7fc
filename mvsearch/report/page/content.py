"""What the sections of the page are made of: the report, tables and their cells, and texts of values."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mvsearch.arch.schema import field_text
from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.registry import metric
from mvsearch.report.findings import Findings
from mvsearch.report.importance import Importance
from mvsearch.report.page import charts
from mvsearch.report.table import TableCell

Values = dict[str, Any]
"""The values of a template."""


@dataclass(frozen=True)
class Report:
    """What the page shows: findings, the importance of choices, and plotly figures by name."""

    findings: Findings
    importances: tuple[Importance, ...]

    @cached_property
    def figures(self) -> dict[str, charts.Figure]:
        """Every figure of the page; without a front, those of validations alone."""
        validated = enumerate(self.findings.validations)
        figures = {f"validation{i}": charts.validation(each) for i, each in validated if any(each.scores.values())}
        if not self.findings.front:
            return figures
        figures |= {f"front{i}": figure for i, figure in enumerate(charts.fronts(self.findings))}
        return figures | {"choices": charts.choices(self.findings), "progress": charts.progress(self.findings)}


@dataclass(frozen=True)
class Cell:
    """A cell: its text, the value it sorts by, where it links to, and the length of a bar in %."""

    text: str
    sort: Any = None
    href: str | None = None
    bar: float | None = None


@dataclass(frozen=True)
class Table:
    """A sortable table; the first `text_columns` are aligned left."""

    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    text_columns: int = 1
    caption: str = ""


def cells(rows: Iterable[Iterable[TableCell]]) -> list[list[Cell]]:
    """The cells of rows that a table for the terminal has too."""
    return [[Cell(text, value) for text, value in row] for row in rows]


def direction(objective: Objective) -> str:
    """E.g. `low loss (held-out)`."""
    return f"{'high' if objective.maximise else 'low'} {metric(objective.name).label}"


def pairs_text(settings: Mapping[str, Any]) -> str:
    """Settings in words, e.g. `depth 2, ffn 96`; those that are None are left out."""
    return ", ".join(f"{name} {value_text(value)}" for name, value in settings.items() if value is not None)


def value_text(value: Any) -> str:
    """A value, or several with commas."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else field_text(value)
