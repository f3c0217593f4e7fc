"""All that one multiplier makes of an architecture: a step function, every step of it."""

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import PlanError
from mvsearch.scaling.knobs import DIALS, ScalableField, knobs, turned
from mvsearch.utils import plugins

METHODS = (*DIALS, "compound")

MOST_TIMES = 64
"""As far as one multiplier goes."""

MOST_UNITS = 10
"""As far as the exponent of `compound` goes, up and down."""

Rungs = NDArray[np.int64]
"""(n, knobs): for each knob which rung of its ladder it stands on."""


@dataclass(frozen=True)
class Coefficients:
    """What depth, width and resolution are multiplied by for each unit of the scale, `depth ** scale` and so on.

    The defaults are EfficientNet's (Tan and Le 2019, arXiv 1905.11946, equation 3 and section 3.3), found there for
    another network: MACs go with about depth x width² x resolution², so a unit doubles them.
    """

    depth: float = 1.2
    width: float = 1.1
    resolution: float = 1.15

    def __post_init__(self) -> None:
        values = (self.depth, self.width, self.resolution)
        if not all(math.isfinite(value) and value >= 1 for value in values) or max(values) == 1:
            raise PlanError(
                f"coefficients {', '.join(f'{value:g}' for value in values)} (depth, width, resolution) scale nothing "
                "up; use 1 or more for each, and more than 1 for one, e.g. 1.2,1.1,1.15."
            )


@dataclass(frozen=True)
class Scaling:
    """A way to scale an architecture: by width, depth, resolution or compound; `keep` names what stays (see `knobs`).

    A scale is the multiplier, or for `compound` the exponent of the coefficients: 1 or 0 change nothing.
    """

    arch: Architecture
    by: str = "width"
    keep: tuple[str, ...] = ()
    coefficients: Coefficients = Coefficients()

    def __post_init__(self) -> None:
        if self.by not in METHODS:
            raise PlanError(f"{self.by!r} is no way to scale; {plugins.suggest(self.by, METHODS)}")

    @property
    def own_scale(self) -> float:
        """The scale that changes nothing."""
        return 0.0 if self.by == "compound" else 1.0

    def at(self, scale: float) -> Architecture:
        """The architecture at a scale; raises PlanError for one out of range."""
        if self.by == "compound" and not abs(scale) <= MOST_UNITS:
            raise PlanError(f"{scale:g} is no number of units to scale by; use {-MOST_UNITS} to {MOST_UNITS}.")
        if self.by != "compound" and not 0 < scale <= MOST_TIMES:
            raise PlanError(f"{scale:g} is no multiplier; use a number above 0, up to {MOST_TIMES}.")
        path = self.path(self.times(scale))
        return path.architecture(path.steps[path.index(scale)].rungs)

    def times(self, scale: float) -> float:
        """How many times as large anything becomes at a scale."""
        given = self.coefficients
        fastest = max(given.depth, given.width, given.resolution)
        return float(max(1.0, fastest**scale if self.by == "compound" else scale))

    def path(self, times: float = 2) -> "Path":
        """All that scaling makes, from the smallest on, until anything is `times` as large."""
        rates = self._rates() if self.by == "compound" else {self.by: math.nan}
        found = knobs(self.arch, rates, keep=self.keep, times=times)

        def scale(dial: str, multiplier: Fraction | float) -> float:
            return math.log(multiplier) / rates[dial] if self.by == "compound" else float(multiplier)

        end = min(scale(dial, times) for dial in rates)
        events = sorted(
            (scale(knob.dial, threshold), i, rung)
            for i, knob in enumerate(found)
            for rung, threshold in enumerate(knob.thresholds(), start=1)
        )
        first = -math.inf if self.by == "compound" else 0.0
        return Path(self, found, tuple(_steps([event for event in events if event[0] <= end], len(found), first)))

    def _rates(self) -> dict[str, float]:
        return {dial: math.log(value) for dial in DIALS if (value := getattr(self.coefficients, dial)) > 1}


def _steps(events: Iterable[tuple[float, int, int]], knobs: int, first: float) -> "Iterable[Step]":
    rungs, scale = [0] * knobs, first
    for at, i, rung in events:
        if at != scale:
            yield Step(scale, tuple(rungs))
        scale, rungs[i] = at, rung
    yield Step(scale, tuple(rungs))


@dataclass(frozen=True)
class Step:
    """What the scales from this one on, up to the next step's, make of the knobs."""

    scale: float
    rungs: tuple[int, ...]


@dataclass(frozen=True)
class Path:
    """What a way of scaling makes of an architecture: a step function of the scale, all its steps."""

    scaling: Scaling
    knobs: tuple[ScalableField, ...]
    steps: tuple[Step, ...]

    @cached_property
    def rungs(self) -> Rungs:
        """The knobs at every step."""
        return np.array([step.rungs for step in self.steps], dtype=np.int64)

    @property
    def own(self) -> int:
        """The step at which the architecture is as it is."""
        return self.index(self.scaling.own_scale)

    def index(self, scale: float) -> int:
        """The step that a scale lies on."""
        return max(0, bisect_right(self.steps, scale, key=lambda step: step.scale) - 1)

    def scale(self, step: int) -> float:
        """A scale that leads to the step: the one that changes nothing if it does, else the middle of those that do."""
        if step == self.own:
            return self.scaling.own_scale
        first, last = self.steps[step].scale, self.steps[min(step + 1, len(self.steps) - 1)].scale
        return last if math.isinf(first) else (first + last) / 2

    def architecture(self, rungs: Iterable[int]) -> Architecture:
        """The architecture with its knobs on these rungs, every value checked again."""
        arch = self.scaling.arch
        made = turned(arch, self.knobs, [knob.ladder[rung] for knob, rung in zip(self.knobs, rungs, strict=True)])
        return arch if made == arch else Architecture.from_dict(made.to_dict())

    def values(self, rungs: Rungs) -> Rungs:
        """What stands on the rungs, (n, knobs)."""
        return np.stack([np.array(knob.ladder)[rungs[:, i]] for i, knob in enumerate(self.knobs)], axis=1)

    def costs(self, rungs: Rungs, name: str) -> NDArray[np.int64]:
        """A cost of many architectures at once, (n,)."""
        columns = list(self.values(rungs).T)
        return np.broadcast_to(getattr(turned(self.scaling.arch, self.knobs, columns).cost(), name), len(rungs))
