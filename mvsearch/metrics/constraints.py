"""Constraints on metrics as they are written in a file, e.g. `params <= 6M`, and when a candidate violates one.

A measurement has noise: it violates a constraint only if it is beyond the limit by more than its noise. Within the
noise it cannot be decided; the candidate is kept, and counted as undecided.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Self

from mvsearch.errors import PlanError
from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import Metrics, is_number
from mvsearch.metrics.registry import metric
from mvsearch.utils.units import PERCENT

_UNITS = {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}
AMOUNT = r"[0-9]+(?:\.[0-9]+)?(?:e[0-9]+)?\s*[kKMG]?"
"""A number as it is written in a limit: 6M, 1.5 G, 12, 3e6."""

_LIMIT = re.compile(rf"\s*(\w+)\s*(<=|>=)\s*({AMOUNT})\s*")


def amount(text: str) -> float:
    """The value of a number with a suffix.

    >>> amount("5.6M")
    5600000.0
    """
    digits = text.rstrip(" kKMG")
    return float(digits) * _UNITS[text[len(digits) :].strip()]


@dataclass(frozen=True)
class Constraint:
    """A constraint that candidates must satisfy, e.g. `params <= 6M`."""

    name: str
    at_most: bool
    value: float
    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The limit in a text; raises PlanError for another text, or for an unknown metric."""
        match = _LIMIT.fullmatch(str(text))
        if match is None:
            raise PlanError(f"cannot read the limit {text!r}; write e.g. 'params <= 6M' or 'latency_ms <= 12'.")
        Objective.named(match[1])
        return cls(match[1], match[2] == "<=", amount(match[3]), str(text).strip())

    @property
    def side(self) -> tuple[str, bool]:
        """The metric and the direction: of two limits of one side, only one is needed."""
        return self.name, self.at_most

    @property
    def bound(self) -> tuple[str, bool, float]:
        """What the text means, however it is spelt: the side and the value."""
        return *self.side, self.value

    def holds(self, value: Any) -> Any:
        """Whether a value, or each of an array, satisfies the constraint."""
        return value <= self.value if self.at_most else value >= self.value

    def violated(self, metrics: Metrics) -> bool:
        """Whether the metrics violate the constraint by more than the noise of the measurement."""
        return self.name in metrics and not any(map(self.holds, noise_interval(self.name, metrics)))

    def undecided(self, metrics: Metrics) -> bool:
        """Whether the limit is within the noise of the measurement: another one could be on its other side."""
        return self.name in metrics and len(set(map(self.holds, noise_interval(self.name, metrics)))) > 1


def noise_interval(name: str, metrics: Metrics) -> tuple[float, float]:
    """The interval of a metric that its measurement states, e.g. `latency_low_ms` to `latency_high_ms`.

    It is the value itself for static costs, and for measurements of older studies.
    """
    value, prefix = metrics[name], metric(name).prefix
    ends = [metrics.get(f"{prefix}{end}_{name.removeprefix(prefix)}") for end in ("low", "high")] if prefix else []
    known = [value, *(end for end in ends if is_number(end))]
    return min(known), max(known)


def undecided_limits(limits: Sequence[Constraint], metrics: Metrics) -> tuple[Constraint, ...]:
    """The limits that are within the noise of the measurement."""
    return tuple(limit for limit in limits if limit.undecided(metrics))


def override_limits(limits: Sequence[str], by: Sequence[str]) -> tuple[str, ...]:
    """The limits, where those of the same metric and direction are replaced, and the others are added.

    >>> override_limits(("params <= 6M", "macs <= 2G"), ("params <= 4M", "params >= 1M"))
    ('macs <= 2G', 'params <= 4M', 'params >= 1M')
    """
    sides = {Constraint.parse(text).side for text in by}
    return (*(text for text in limits if Constraint.parse(text).side not in sides), *by)


def tighten_limits(limits: Sequence[str], by: Sequence[str]) -> tuple[str, ...]:
    """The limits with others added; of two of the same metric and direction the tighter one.

    >>> tighten_limits(("params <= 1M", "macs <= 2G"), ("params <= 2M", "macs <= 1G"))
    ('params <= 1M', 'macs <= 1G')
    """
    tightest: dict[tuple[str, bool], Constraint] = {}
    for limit in map(Constraint.parse, (*limits, *by)):
        known = tightest.setdefault(limit.side, limit)
        if (limit.value < known.value) if limit.at_most else (limit.value > known.value):
            tightest[limit.side] = limit
    return tuple(limit.text for limit in tightest.values())


def check_limits(limits: Sequence[Constraint]) -> None:
    """Raises PlanError for a limit in another unit than its metric's, and for two that contradict each other."""
    for limit in limits:
        unit = metric(limit.name).unit
        if unit == PERCENT and limit.value > 1:
            raise PlanError(f"found {limit.text!r}, but {limit.name} is a share; use e.g. 0.9 for 90 %.")
        if unit.symbol and limit.text[-1] in "kKMG":
            raise PlanError(f"found {limit.text!r}, but {limit.name} is in {unit.symbol}; omit the {limit.text[-1]}.")
    for one, other in combinations(limits, 2):
        upper, lower = (one, other) if one.at_most else (other, one)
        if one.name == other.name and upper.at_most and not lower.at_most and upper.value < lower.value:
            raise PlanError(f"{one.text} and {other.text} contradict each other; relax one.")


def join_limits(limits: Sequence[Constraint]) -> str:
    """All limits in words, e.g. `params <= 6M and macs <= 2G`; `none` without any."""
    return " and ".join(limit.text for limit in limits) or "none"
