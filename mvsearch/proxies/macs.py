"""The baseline to beat: multiply-accumulates at the architecture's own image size, more being taken for better."""

from dataclasses import dataclass

from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet
from mvsearch.metrics.record import Metrics
from mvsearch.metrics.registry import TASKS, Score
from mvsearch.utils.progress import Progress

VERSION = 1
SCORES = {"macs_score": Score(maximise=True, ideal=1e13, tasks=TASKS)}


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
