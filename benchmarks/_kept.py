"""What a page keeps of earlier runs whose results are not at hand: rows of its tables, by task and sampler; targets."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from _landscape import Task
from _searchers import SEARCHERS

STEPS = (25, 50, 100, 200, 500, 1000)
"""The evaluations that tables have a share for, in the columns after the name and the seeds."""


@dataclass(frozen=True)
class Kept:
    """The sections of tasks as they are in a page, the cells of rows by task and sampler, and the lines of targets."""

    sections: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[tuple[str, str], Sequence[str]] = field(default_factory=dict)
    targets: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, page: str, tasks: Sequence[Task]) -> "Kept":
        """Those of a page."""
        parts = {part.partition("\n")[0].lower(): f"## {part}" for part in re.split(r"(?m)^## ", page)[1:]}
        sections = {task.name: parts[task.title.lower()] for task in tasks if task.title.lower() in parts}
        names = {searcher.title: searcher.name for searcher in SEARCHERS}
        rows = {}
        for task, text in sections.items():
            for line in text.splitlines():
                cells = [cell.strip() for cell in line.strip("|").split("|")]
                if line.startswith("| ") and cells[0].strip("*") in names:
                    rows[task, names[cells[0].strip("*")]] = cells
        lines = parts.get("targets", "").splitlines()[4:]
        return cls(sections, rows, {line.split("|")[1].strip(): line for line in lines if line.count("|") > 2})

    def shares(self, task: str, sampler: str) -> dict[int, float]:
        """Evaluations → the share in the table."""
        cells = self.rows.get((task, sampler), ())[2:]
        return {step: float(cell) for step, cell in zip(STEPS, cells, strict=False) if cell}
