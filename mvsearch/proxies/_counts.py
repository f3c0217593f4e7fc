"""What scores share that are a count of an architecture, more being taken for better."""

from collections.abc import Callable
from dataclasses import dataclass

from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet
from mvsearch.metrics.record import Metrics
from mvsearch.metrics.registry import Metric
from mvsearch.proxies import Proxy
from mvsearch.utils.progress import Progress
from mvsearch.utils.units import COUNT


@dataclass(frozen=True)
class Settings:
    """There is nothing to set: no image is looked at."""


def counted(count: Callable[[Architecture], float], *, name: str, label: str, description: str, ideal: float) -> Proxy:
    """A proxy whose score is that count of the architecture as it is given, classifier and all."""

    def score(
        arch: Architecture,
        settings: Settings,
        data: DataSet | None,
        *,
        seed: int = 0,
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> Metrics:
        return {name: count(arch)}

    metric = Metric(name, "score", label, description, COUNT, maximise=True, ideal=ideal)
    return Proxy(version=1, scores=(metric,), settings=Settings, score=score)
