"""All that one multiplier makes of an architecture: a step function, every step of it."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mvsearch.architecture import Architecture
from mvsearch.errors import PlanError
from mvsearch.scaling.knobs import DIALS, Knob, knobs, turned

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
class Step:
    """What the multipliers from `scale` on, up to the next step, make of the knobs."""

    scale: float
    rungs: tuple[int, ...]


@dataclass(frozen=True)
class Path:
    """What scaling `arch` in one way can make; a `scale` is the multiplier, but for `compound` the exponent."""

    arch: Architecture
    by: str
    knobs: tuple[Knob, ...]
    steps: tuple[Step, ...]

    @property
    def own(self) -> int:
        """The step at which the architecture is as it is."""
        return self.index(self.own_scale)

    @property
    def own_scale(self) -> float:
        """The scale that changes nothing."""
        return 0.0 if self.by == "compound" else 1.0

    def index(self, scale: float) -> int:
        """The step that a scale lies on."""
        return max(0, bisect_right(self.steps, scale, key=lambda step: step.scale) - 1)

    def architecture(self, rungs: Iterable[int]) -> Architecture:
        """The architecture with its knobs on these rungs, every value checked again."""
        values = [knob.ladder[rung] for knob, rung in zip(self.knobs, rungs, strict=True)]
        made = turned(self.arch, self.knobs, values)
        return self.arch if made == self.arch else Architecture.from_dict(made.to_dict())

    def values(self, rungs: Rungs) -> Rungs:
        """What stands on the rungs, (n, knobs)."""
        return np.stack([np.array(knob.ladder)[rungs[:, i]] for i, knob in enumerate(self.knobs)], axis=1)

    def costs(self, rungs: Rungs, name: str) -> NDArray[np.int64]:
        """A cost of many architectures at once, (n,)."""
        columns = list(self.values(rungs).T)
        return np.broadcast_to(getattr(turned(self.arch, self.knobs, columns).cost(), name), len(rungs))

    def shown_scale(self, step: int) -> float:
        """A scale that leads to the step: its own one if it does, else the middle of those that do."""
        if step == self.own:
            return self.own_scale
        first, last = self.steps[step].scale, self.steps[min(step + 1, len(self.steps) - 1)].scale
        return last if math.isinf(first) else (first + last) / 2

    @cached_property
    def rungs(self) -> Rungs:
        """The knobs at every step."""
        return np.array([step.rungs for step in self.steps], dtype=np.int64)


def path(
    arch: Architecture, by: str, *, keep: Sequence[str] = (), coefficients: Coefficients | None = None, times: float = 2
) -> Path:
    """Everything that one multiplier up to `times` makes of an architecture, from the smallest on.

    `by` is width, depth, resolution or compound, which goes on until the first of the three reaches `times`.
    """
    rates = _rates(coefficients or Coefficients()) if by == "compound" else {by: math.nan}
    found = knobs(arch, rates, keep=keep, times=times)

    def scale(dial: str, multiplier: Fraction | float) -> float:
        return math.log(multiplier) / rates[dial] if by == "compound" else float(multiplier)

    end = min(scale(dial, times) for dial in rates)
    events = sorted(
        (scale(knob.dial, threshold), i, rung)
        for i, knob in enumerate(found)
        for rung, threshold in enumerate(knob.thresholds(), start=1)
    )
    return Path(arch, by, found, tuple(_steps([event for event in events if event[0] <= end], len(found), by)))


def _rates(coefficients: Coefficients) -> dict[str, float]:
    return {dial: math.log(value) for dial in DIALS if (value := getattr(coefficients, dial)) > 1}


def _steps(events: Iterable[tuple[float, int, int]], knobs: int, by: str) -> Iterable[Step]:
    rungs, scale = [0] * knobs, -math.inf if by == "compound" else 0.0
    for at, i, rung in events:
        if at != scale:
            yield Step(scale, tuple(rungs))
        scale, rungs[i] = at, rung
    yield Step(scale, tuple(rungs))


def at_scale(
    arch: Architecture,
    by: str,
    scale: float,
    *,
    keep: Sequence[str] = (),
    coefficients: Coefficients | None = None,
) -> Architecture:
    """The architecture at a multiplier, or for `compound` at an exponent; raises PlanError for one out of range."""
    if by == "compound" and not abs(scale) <= MOST_UNITS:
        raise PlanError(f"{scale:g} is no number of units to scale by; use {-MOST_UNITS} to {MOST_UNITS}.")
    if by != "compound" and not 0 < scale <= MOST_TIMES:
        raise PlanError(f"{scale:g} is no multiplier; use a number above 0, up to {MOST_TIMES}.")
    way = path(arch, by, keep=keep, coefficients=coefficients, times=reach(by, scale, coefficients))
    made = way.architecture(way.steps[way.index(scale)].rungs)
    return made if made.key == arch.key else replace(made, name=None)


def reach(by: str, scale: float, coefficients: Coefficients | None) -> float:
    """How many times as large anything becomes at a scale."""
    given = coefficients or Coefficients()
    fastest = max(given.depth, given.width, given.resolution)
    return float(max(1.0, fastest**scale if by == "compound" else scale))
