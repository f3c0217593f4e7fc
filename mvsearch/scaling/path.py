"""All architectures that one multiplier produces: a step function of the scale."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import PlanError
from mvsearch.scaling.fields import DIMENSIONS, ScalableField, apply, scalable_fields
from mvsearch.utils import plugins

METHODS = (*DIMENSIONS, "compound")

MAX_MULTIPLIER = 64

MAX_UNITS = 10
"""The largest exponent of `compound`, up and down."""

Indices = NDArray[np.int64]
"""(n, fields): the index of the allowed value that each field takes."""


@dataclass(frozen=True)
class Coefficients:
    """The factors of depth, width and resolution for one unit of the scale: `depth ** scale` and so on.

    The defaults are EfficientNet's (Tan and Le 2019, arXiv 1905.11946, equation 3 and section 3.3), found for another
    network: MACs grow about as depth x width² x resolution², so a unit doubles them.
    """

    depth: float = 1.2
    width: float = 1.1
    resolution: float = 1.15

    def __post_init__(self) -> None:
        values = (self.depth, self.width, self.resolution)
        if not all(math.isfinite(value) and value >= 1 for value in values) or max(values) == 1:
            raise PlanError(
                f"found coefficients {', '.join(f'{value:g}' for value in values)} (depth, width, resolution); use 1 "
                "or more for each, and more than 1 for one, e.g. 1.2,1.1,1.15."
            )


@dataclass(frozen=True)
class Scaling:
    """How an architecture is scaled: by width, depth, resolution or compound; `keep` names what does not change.

    A scale is the multiplier, or for `compound` the exponent of the coefficients: 1 or 0 change nothing.
    """

    arch: Architecture
    by: str = "width"
    keep: tuple[str, ...] = ()
    coefficients: Coefficients = Coefficients()

    def __post_init__(self) -> None:
        if self.by not in METHODS:
            raise PlanError(f"unknown method of scaling {self.by!r}; {plugins.suggest(self.by, METHODS)}")

    @property
    def identity(self) -> float:
        """The scale that changes nothing."""
        return 0.0 if self.by == "compound" else 1.0

    def at(self, scale: float) -> Architecture:
        """The architecture at a scale; raises PlanError for one out of range."""
        if self.by == "compound" and not abs(scale) <= MAX_UNITS:
            raise PlanError(f"found {scale:g} units; use {-MAX_UNITS} to {MAX_UNITS}.")
        if self.by != "compound" and not 0 < scale <= MAX_MULTIPLIER:
            raise PlanError(f"found the multiplier {scale:g}; use a number above 0, up to {MAX_MULTIPLIER}.")
        path = self.path(self.largest_factor(scale))
        return path.architecture(path.steps[path.step_at(scale)].indices)

    def largest_factor(self, scale: float) -> float:
        """The largest factor by which any field grows at a scale; at least 1."""
        coefficients = self.coefficients
        largest = max(coefficients.depth, coefficients.width, coefficients.resolution)
        return float(max(1.0, largest**scale if self.by == "compound" else scale))

    def path(self, times: float = 2) -> "Path":
        """All architectures that scaling produces, from the smallest to that with fields `times` as large."""
        rates = self._rates() if self.by == "compound" else {self.by: math.nan}
        fields = scalable_fields(self.arch, rates, keep=self.keep, times=times)

        def scale(dimension: str, multiplier: Fraction | float) -> float:
            return math.log(multiplier) / rates[dimension] if self.by == "compound" else float(multiplier)

        end = min(scale(dimension, times) for dimension in rates)
        events = sorted(
            (scale(field.dimension, threshold), i, index)
            for i, field in enumerate(fields)
            for index, threshold in enumerate(field.thresholds(), start=1)
        )
        start = -math.inf if self.by == "compound" else 0.0
        return Path(self, fields, tuple(_steps([event for event in events if event[0] <= end], len(fields), start)))

    def _rates(self) -> dict[str, float]:
        values = {dimension: getattr(self.coefficients, dimension) for dimension in DIMENSIONS}
        return {dimension: math.log(value) for dimension, value in values.items() if value > 1}


def _steps(events: Iterable[tuple[float, int, int]], fields: int, start: float) -> "Iterator[Step]":
    indices, scale = [0] * fields, start
    for event_scale, i, index in events:
        if event_scale != scale:
            yield Step(scale, tuple(indices))
        scale, indices[i] = event_scale, index
    yield Step(scale, tuple(indices))


@dataclass(frozen=True)
class Step:
    """The values of all fields, as indices, for the scales from this one up to that of the next step."""

    scale: float
    indices: tuple[int, ...]


@dataclass(frozen=True)
class Path:
    """All architectures that a scaling produces: a step function of the scale, with all its steps."""

    scaling: Scaling
    fields: tuple[ScalableField, ...]
    steps: tuple[Step, ...]

    @cached_property
    def indices(self) -> Indices:
        """The values of the fields at every step."""
        return np.array([step.indices for step in self.steps], dtype=np.int64)

    @property
    def identity(self) -> int:
        """The step that changes nothing."""
        return self.step_at(self.scaling.identity)

    def step_at(self, scale: float) -> int:
        """The step to which a scale belongs."""
        return max(0, bisect_right(self.steps, scale, key=lambda step: step.scale) - 1)

    def scale(self, step: int) -> float:
        """A scale that belongs to the step: the identity if possible, else the middle of the step."""
        if step == self.identity:
            return self.scaling.identity
        start, end = self.steps[step].scale, self.steps[min(step + 1, len(self.steps) - 1)].scale
        return end if math.isinf(start) else (start + end) / 2

    def architecture(self, indices: Iterable[int]) -> Architecture:
        """The architecture with these values of the fields, every value checked again."""
        arch = self.scaling.arch
        values = [field.allowed[index] for field, index in zip(self.fields, indices, strict=True)]
        scaled = apply(arch, self.fields, values)
        return arch if scaled == arch else Architecture.from_dict(scaled.to_dict())

    def values(self, indices: Indices) -> Indices:
        """The values at some indices, (n, fields)."""
        return np.stack([np.array(field.allowed)[indices[:, i]] for i, field in enumerate(self.fields)], axis=1)

    def costs(self, indices: Indices, name: str) -> NDArray[np.int64]:
        """A cost of many architectures at once, (n,)."""
        columns = list(self.values(indices).T)
        return np.broadcast_to(getattr(apply(self.scaling.arch, self.fields, columns).cost(), name), len(indices))
