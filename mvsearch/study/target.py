"""The network that a study tries to beat at no more than its costs (`search: {beat: ARCH}`)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import PlanError
from mvsearch.metrics.record import Metrics, mean_metrics, score_values
from mvsearch.metrics.registry import SIZE
from mvsearch.space.search_space import SearchSpace
from mvsearch.study.resolve import find_architecture

TARGET_REPLICATES = 4
"""Measurements of the target, each with other seeds: every candidate is compared with it."""


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
        """The target that ARCH names; raises PlanError for one of another task."""
        arch = find_architecture(name, storage=storage)
        if arch.task != space.head.task:
            reason = f"is for {arch.task}, and the networks of the space are for {space.head.task}."
            raise PlanError(reason, at=f"--beat {name}")
        arch = arch.at(image_size=space.image_size, num_classes=space.num_classes)
        title = name if ":" in name else arch.name or Path(name).stem
        return cls(title, replace(arch, name=title))

    @property
    def limits(self) -> tuple[str, ...]:
        """The constraints of the candidates: no more than the target's exact costs."""
        costs = self.arch.metrics()
        return tuple(f"{name} <= {costs[name]}" for name in SIZE)

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
