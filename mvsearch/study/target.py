"""The network that a study tries to beat at no more than its costs (`search: {beat: ARCH}`)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import Location, MvsearchError, PlanError
from mvsearch.metrics.constraints import Constraint
from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import Metrics, mean_metrics, score_values
from mvsearch.metrics.registry import SIZE, STATIC_COSTS
from mvsearch.space.search_space import SearchSpace
from mvsearch.study.resolve import find_architecture

TARGET_REPLICATES, MOST_TARGET_REPLICATES = 4, 8
"""Measurements of the target, each with other seeds: every candidate is compared with it, so its noise is in all of
their probabilities. Where the score is noisy it is measured more often at the end."""


@dataclass(frozen=True)
class Target:
    """The network to beat, at the image size and with the number of classes of the space.

    `metrics` are its costs and the means of its scores, with the scores of each measurement as `repeats`; empty until
    it was measured. Candidates have no more of its `costs`. It need not be a point of the space.
    """

    name: str
    arch: Architecture
    metrics: Metrics = field(default_factory=dict)
    costs: tuple[str, ...] = SIZE

    @classmethod
    def find(
        cls,
        name: str,
        space: SearchSpace,
        *,
        costs: Sequence[str] = (),
        storage: str | None = None,
        at: Location | None = None,
    ) -> Self:
        """The target that ARCH names, with further costs; `at` is where a file names it.

        Raises PlanError for one that does not exist, or is of another task.
        """
        try:
            arch = find_architecture(name, storage=storage)
        except MvsearchError as error:
            if at is None:
                raise
            raise PlanError(str(error), at=at) from None
        if arch.task != space.head.task:
            reason = f"is for {arch.task}, and the networks of the space are for {space.head.task}."
            raise PlanError(reason, at=at or f"--beat {name}")
        arch = arch.at(image_size=space.size_for(arch), num_classes=space.num_classes)
        title = name if ":" in name else arch.name or Path(name).stem
        return cls(title, replace(arch, name=_slug(title)), costs=tuple(dict.fromkeys((*SIZE, *costs))))

    @property
    def limits(self) -> tuple[str, ...]:
        """The constraints on costs in closed form: no more than the target's."""
        costs = self.arch.metrics()
        return tuple(f"{name} <= {costs[name]}" for name in self.costs if name in STATIC_COSTS)

    @property
    def measured_limits(self) -> tuple[Constraint, ...]:
        """The constraints on measured costs: no more than what this study measured of the target."""
        names = (name for name in self.costs if name not in STATIC_COSTS)
        return tuple(Constraint.no_more_than(self.name, name, self.metrics) for name in names)

    def score_limit(self, score: Objective) -> Constraint | None:
        """At least as good as the target by its mean score; None while that is unknown."""
        if score.name not in self.metrics:
            return None
        value = self.metrics[score.name]
        text = f"{score.name} {'>=' if score.maximise else '<='} {value:.4g} of {self.name}"
        return Constraint(score.name, not score.maximise, value, text, self.name)

    @property
    def goal(self) -> str:
        """The name, with the costs besides its size that candidates have no more of."""
        more = [name for name in self.costs if name not in SIZE]
        return f"{self.name} at no more {' and '.join(more)}" if more else self.name

    @property
    def slug(self) -> str:
        """The name as a part of a study's name."""
        return _slug(self.name)

    def with_measurements(self, measurements: list[Metrics]) -> Self:
        """The target with the mean of its measurements."""
        scores = [score_values(measured) for measured in measurements]
        return replace(self, metrics={**measurements[0], **mean_metrics(scores), "repeats": scores})

    def to_json(self) -> dict[str, Any]:
        """Plain values, stored with the study, so that it needs no other file later."""
        document = self.arch.to_dict()
        return {"name": self.name, "architecture": document, "metrics": self.metrics, "costs": list(self.costs)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The target as it was stored."""
        arch, costs = Architecture.from_dict(stored["architecture"]), tuple(stored.get("costs", SIZE))
        return cls(stored["name"], arch, stored["metrics"], costs)


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).lstrip("_.-") or "network"
