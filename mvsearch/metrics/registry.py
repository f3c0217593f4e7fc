"""The metrics that a search may optimise: costs, and the scores that proxies declare."""

from collections.abc import Mapping
from dataclasses import dataclass

COSTS = ("params", "macs", "macs_paper", "memory_mib", "train_memory_mib", "latency_ms")
"""Lower is better; the ideal is 0."""

TASKS = ("classification", "segmentation", "detection")

_scores: "dict[str, Score]" = {}


@dataclass(frozen=True)
class Score:
    """A score of a proxy: its direction, the value that no network can exceed, and the tasks that it is for."""

    maximise: bool
    ideal: float
    tasks: tuple[str, ...] = ("classification",)


def declare_scores(scores: Mapping[str, Score]) -> None:
    """Make the scores of a proxy known; `mvsearch.proxies` does so for all of its files when it is imported."""
    _scores.update(scores)


def scores() -> Mapping[str, Score]:
    """Every declared score."""
    return _scores


def metrics() -> tuple[str, ...]:
    """The names of all metrics that may be objectives, scores first."""
    return (*_scores, *COSTS)
