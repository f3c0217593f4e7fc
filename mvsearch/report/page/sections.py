"""The sections of the page; the templates of the same names hold the words and the markup.

To add a section, write a function that computes its values into a module of sections, enter it in SECTIONS, and write
`templates/sections/NAME.html`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mvsearch.metrics.formatting import with_error
from mvsearch.metrics.pareto import comparable
from mvsearch.metrics.registry import metric
from mvsearch.report.findings import Findings
from mvsearch.report.page import outcome_sections, plan_sections, search_sections
from mvsearch.report.page.content import Report, Values, direction
from mvsearch.utils.text import join_words


@dataclass(frozen=True)
class Section:
    """A section of the page: its anchor, its heading, and the values of its template."""

    name: str
    heading: str
    values: Values


def render(report: Report) -> list[Section]:
    """All sections in their order; those that have nothing to show are left out."""
    computed = {name: (heading, values(report)) for name, (heading, values) in SECTIONS.items()}
    return [Section(name, heading, values) for name, (heading, values) in computed.items() if values is not None]


def summary(findings: Findings) -> str:
    """What was searched for, and what was found."""
    text = f"A search over {findings.space.name} for {join_words(direction(o) for o in findings.objectives)}"
    if not findings.front:
        return f"{text}. It has no front yet."
    members = len(findings.front)
    share = f"{members} of {len(findings.records)} candidates {'is' if members == 1 else 'are'} on the front"
    score = findings.score
    best = min(comparable(findings.measured, [score]), key=lambda record: score.cost(record.metrics[score.name]))
    return f"{text}: {share}; the best {metric(score.name).label} is {with_error(score.name, best.metrics)}."


SECTIONS: dict[str, tuple[str, Callable[[Report], Values | None]]] = {
    "beat": ("Short list", outcome_sections.beat),
    "front": ("Front", outcome_sections.front),
    "validation": ("Validation", outcome_sections.validation),
    "members": ("Members", outcome_sections.members),
    "choices": ("Choices", search_sections.choices),
    "importance": ("Importance of choices", search_sections.importance),
    "progress": ("Progress", search_sections.progress),
    "proxy": ("Proxy reliability", search_sections.proxy),
    "space": ("Search space", plan_sections.space),
    "settings": ("Settings", plan_sections.settings),
    "machine": ("Machine", plan_sections.machine),
    "reproduce": ("Reproduce", plan_sections.reproduce),
}
"""In the order of the page: anchor and template, heading, and the function that computes the values."""
