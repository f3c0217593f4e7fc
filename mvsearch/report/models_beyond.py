"""The published models of a study that its limits exclude: they have no score, but their costs are known."""

from collections.abc import Sequence
from dataclasses import dataclass

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.parsing import parse_head
from mvsearch.metrics.constraints import Constraint
from mvsearch.metrics.formatting import labels, pretty
from mvsearch.metrics.record import Metrics, Record
from mvsearch.metrics.registry import LATENCY_MS, SIZE
from mvsearch.space.contained import contained
from mvsearch.study.facts import StudyFacts
from mvsearch.utils.yaml_document import Document


@dataclass(frozen=True)
class ModelBeyond:
    """A published model that breaks `limits`, with its costs under the head, image size and classes of the study."""

    name: str
    metrics: Metrics
    limits: tuple[str, ...]

    @property
    def text(self) -> str:
        """Its name and costs, e.g. `mobilevitv3_s (params 4.9 M, MACs 1.4 G)`."""
        names = [name for name in (*SIZE, LATENCY_MS.name) if name in self.metrics]
        values = zip(labels(names, []), names, strict=True)
        return f"{self.name} ({', '.join(f'{label} {pretty(name, self.metrics[name])}' for label, name in values)})"


def models_beyond(
    facts: StudyFacts, records: Sequence[Record], limits: Sequence[Constraint]
) -> tuple[ModelBeyond, ...]:
    """The published models in the space that break a limit, the smallest first; complete trials are left out."""
    complete = {record.key for record in records if record.state == "complete"}
    measured = {record.key: record.metrics for record in records}
    networks = dict(contained(Document(dict(facts.document))))
    found = []
    for name, key in facts.published.items():
        if key in complete or not (arch := networks.get(name)):
            continue
        metrics = measured.get(key) or _costs(facts, arch)
        if broken := tuple(limit.text for limit in limits if limit.violated(metrics)):
            found.append(ModelBeyond(name, metrics, broken))
    return tuple(sorted(found, key=lambda model: float(model.metrics[SIZE[0]])))


def _costs(facts: StudyFacts, arch: Architecture) -> Metrics:
    document = dict(facts.document)
    head = parse_head(Document(document))
    size, classes = document.get("image_size"), document.get("num_classes")
    size = size if type(size) is int else arch.image_size
    return dict(arch.with_head(head, image_size=size, num_classes=classes).metrics())
