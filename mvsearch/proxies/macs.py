"""The baseline to beat: multiply-accumulates at the architecture's own image size, more being taken for better."""

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
    """There is nothing to set."""


def score(
    arch: Architecture,
    settings: Settings,
    data: DataSet | None,
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Metrics:
    """Count."""
    return {"macs_score": arch.cost().macs}


PROXY = Proxy(
    version=1,
    scores=(
        Metric("macs_score", "score", "MACs, a score", "MACs, taken for a score", COUNT, maximise=True, ideal=1e13),
    ),
    settings=Settings,
    score=score,
)
