"""All that a report says of a study, as numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mvsearch.errors import StudyError
from mvsearch.metrics.constraints import Limit
from mvsearch.metrics.pareto import Objective, front, reference_point, running_hypervolume
from mvsearch.metrics.record import Record
from mvsearch.report.importance import Importance, Tell, importances
from mvsearch.report.proxy_reliability import Trust, trust
from mvsearch.space.search_space import SearchSpace
from mvsearch.study.reader import Reader
from mvsearch.utils.yaml_document import Document


@dataclass(frozen=True)
class Findings:
    """A study as a report shows it.

    `records` are all that finished, `kept` those within the limits. Without a front, `silence` says why, and `kept`,
    `front`, `reference` and `hypervolumes` are empty. `called` are the front's members, by number, as the command line
    takes them. `progress` is empty once the study has all its trials.
    """

    name: str
    facts: Mapping[str, Any]
    space: SearchSpace
    objectives: tuple[Objective, ...]
    limits: tuple[Limit, ...]
    progress: str
    records: tuple[Record, ...]
    kept: tuple[Record, ...]
    front: tuple[Record, ...]
    called: Mapping[int, str]
    silence: str
    reference: Mapping[str, float]
    hypervolumes: tuple[float, ...]
    importances: tuple[Importance, ...]
    trust: Trust
    machines: tuple[Mapping[str, Any], ...]

    @property
    def score(self) -> Objective:
        """What candidates are coloured by: the first score that is sought, else the first objective."""
        return next((o for o in self.objectives if o.name == self.trust.score), self.objectives[0])


def gather(reader: Reader, *, tell: Tell = lambda *_: None) -> Findings:
    """Everything at once; a study in which nothing was found yet has findings too."""
    objectives, records = reader.objectives, reader.records()
    space = SearchSpace.parse(Document(dict(reader.facts["document"])))
    kept, silence = _measured(reader)
    reference = reference_point(kept, objectives) if kept else {}
    best = front(kept, objectives)
    return Findings(
        name=reader.name,
        facts=reader.facts,
        space=space,
        objectives=objectives,
        limits=reader.limits,
        progress=reader.progress,
        records=tuple(records),
        kept=tuple(kept),
        front=tuple(best),
        called={record.number: reader.called(record.number) for record in best},
        silence=silence,
        reference=reference,
        hypervolumes=tuple(running_hypervolume(kept, objectives, reference)) if kept else (),
        importances=tuple(importances(space, records, objectives, tell=tell)),
        trust=trust(records, objectives, reader.checked),
        machines=tuple(reader.machines()),
    )


def _measured(reader: Reader) -> tuple[list[Record], str]:
    try:
        return reader.measured(reader.objectives), ""
    except StudyError as error:
        return [], str(error)
