"""The network that a study tries to beat at no more than its costs (`search: {beat: ARCH}`)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import PlanError, SpaceError
from mvsearch.metrics.record import Metrics, mean_metrics, score_values
from mvsearch.space.search_space import SearchSpace
from mvsearch.study.resolve import find_architecture

COSTS = ("params", "macs")
"""What a candidate must not have more of than the target."""

TARGET_REPLICATES = 4
"""Measurements of the target, each with other seeds: every candidate is compared with it."""

_SAMPLES = 20_000


@dataclass(frozen=True)
class Target:
    """The network to beat, at the image size and with the number of classes of the space.

    `metrics` are its costs and the means of its scores, with the scores of each measurement as `repeats`; empty until
    it was measured. It need not be a point of the space.
    """

    name: str
    arch: Architecture
    metrics: Metrics = field(default_factory=dict)

    @classmethod
    def find(cls, name: str, space: SearchSpace, *, storage: str | None = None) -> Self:
        """The target that ARCH names. Raises PlanError for one of another task, or that costs more than all of the
        space: then every candidate costs less, and there is no question of equal cost."""
        at = f"--beat {name}"
        arch = find_architecture(name, storage=storage)
        if arch.task != space.head.task:
            raise PlanError(f"is for {arch.task}, and the networks of the space are for {space.head.task}.", at=at)
        arch = arch.at(image_size=space.image_size, num_classes=space.num_classes)
        title = name if ":" in name else arch.name or Path(name).stem
        target = cls(title, replace(arch, name=title))
        if not _contains(space, arch):
            costs, own = space.costs(_SAMPLES), arch.metrics()
            if all(own[cost] > getattr(costs, cost).max() for cost in COSTS):
                most = ", ".join(f"{cost} up to about {getattr(costs, cost).max():,}" for cost in COSTS)
                raise PlanError(f"costs more than every network of the space ({most}); use a smaller one.", at=at)
        return target

    @property
    def limits(self) -> tuple[str, ...]:
        """The constraints of the candidates: no more than the target's exact costs."""
        costs = self.arch.metrics()
        return tuple(f"{name} <= {costs[name]}" for name in COSTS)

    @property
    def slug(self) -> str:
        """The name as a part of a study's name."""
        return re.sub(r"[^A-Za-z0-9_.-]+", "-", self.name)

    def with_measurements(self, measurements: list[Metrics]) -> Self:
        """The target with the mean of its measurements."""
        scores = [score_values(measured) for measured in measurements]
        return replace(self, metrics={**measurements[0], **mean_metrics(scores), "repeats": scores})

    def to_json(self) -> dict[str, Any]:
        """Plain values, stored with the study, so that it needs no other file later."""
        return {"name": self.name, "architecture": self.arch.to_dict(), "metrics": self.metrics}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The target as it was stored."""
        return cls(stored["name"], Architecture.from_dict(stored["architecture"]), stored["metrics"])


def _contains(space: SearchSpace, arch: Architecture) -> bool:
    try:
        space.find_point(arch)
    except SpaceError:
        return False
    return True
