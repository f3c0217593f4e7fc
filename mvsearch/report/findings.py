"""What is known of a study, computed once: `front`, `run` and `report` print it as a table, as JSON or as a page."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from mvsearch.errors import StudyError
from mvsearch.metrics.constraints import Constraint
from mvsearch.metrics.pareto import Objective, front, hypervolume, reference_point, running_hypervolume
from mvsearch.metrics.record import Record
from mvsearch.report.proxy_reliability import ProxyReliability, proxy_reliability
from mvsearch.space.search_space import SearchSpace
from mvsearch.study.facts import StudyFacts
from mvsearch.study.reader import Reader
from mvsearch.utils.yaml_document import Document


@dataclass(frozen=True)
class Findings:
    """A study under some objectives, by default its own.

    `records` are all finished trials, `measured` those within the limits. Without a front, `no_front` is the reason,
    and `measured`, `front` and `reference_point` are empty. `references` are the front's members, by number, as the
    command line takes them (`v3:17`). `progress` is empty once the study has all its trials.
    """

    name: str
    facts: StudyFacts
    objectives: tuple[Objective, ...]
    limits: tuple[Constraint, ...]
    progress: str
    records: tuple[Record, ...]
    measured: tuple[Record, ...]
    front: tuple[Record, ...]
    references: Mapping[int, str]
    no_front: str
    reference_point: Mapping[str, float]
    reliability: ProxyReliability
    machines: tuple[Mapping[str, Any], ...]

    @property
    def score(self) -> Objective:
        """The objective that candidates are coloured by: the proxy's score if there is one, else the first."""
        return next((o for o in self.objectives if o.name == self.reliability.score), self.objectives[0])

    @cached_property
    def space(self) -> SearchSpace:
        """The space that was searched."""
        return SearchSpace.parse(Document(dict(self.facts.document)))

    @cached_property
    def hypervolume(self) -> float:
        """What the front dominates, as a share of the box from the ideal to the reference point."""
        return hypervolume(self.front, self.objectives, self.reference_point)

    @cached_property
    def hypervolumes(self) -> tuple[float, ...]:
        """The hypervolume after each measured trial."""
        if not self.measured:
            return ()
        return tuple(running_hypervolume(self.measured, self.objectives, self.reference_point))

    def to_json(self) -> dict[str, Any]:
        """The front as raw numbers."""
        return {
            "study": self.name,
            "objectives": [objective.name for objective in self.objectives],
            "reference_point": dict(self.reference_point),
            "hypervolume": self.hypervolume,
            "proxy": self.facts.settings.get("proxy"),
            "trust": asdict(self.reliability),
            "trials": [
                {"number": r.number, "key": r.key, **r.metrics, "published": r.published, "choices": r.choices}
                for r in self.front
            ],
        }


def compute_findings(reader: Reader, objectives: Sequence[Objective] = (), *, allow_empty: bool = False) -> Findings:
    """The findings under the study's own objectives, or others. Raises StudyError without a front, unless allowed."""
    objectives = tuple(objectives) or reader.objectives
    records, no_front = reader.records(), ""
    measured: list[Record] = []
    try:
        measured = reader.measured(objectives)
    except StudyError as error:
        if not allow_empty:
            raise
        no_front = str(error)
    members = front(measured, objectives)
    return Findings(
        name=reader.name,
        facts=reader.facts,
        objectives=objectives,
        limits=reader.limits,
        progress=reader.progress,
        records=tuple(records),
        measured=tuple(measured),
        front=tuple(members),
        references={record.number: reader.reference(record.number) for record in members},
        no_front=no_front,
        reference_point=reference_point(measured, objectives) if measured else {},
        reliability=proxy_reliability(records, objectives, reader.facts.proxy_check),
        machines=tuple(reader.machines()),
    )
