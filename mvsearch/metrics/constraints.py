"""Constraints on metrics as they are written in a file, e.g. `params <= 6M`, and when a candidate violates one.

A measurement has noise: it violates a constraint only if it is beyond the limit by more than its noise. Within the
noise it cannot be decided; the candidate is kept, and counted as undecided.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Self

from mvsearch.errors import PlanError
from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import Metrics, is_number
from mvsearch.metrics.registry import device_of, metric
from mvsearch.utils.units import PERCENT

_UNITS = {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}
AMOUNT = r"[0-9]+(?:\.[0-9]+)?(?:e[0-9]+)?\s*[kKMG]?"
"""A number as it is written in a limit: 6M, 1.5 G, 12, 3e6."""

_EXAMPLES = "write e.g. 'params <= 6M' or 'latency_ms <= 12'."

_LIMIT = re.compile(rf"\s*(\w+(?:@[\w.:@-]+)?)\s*(<=|>=)\s*({AMOUNT})\s*")


def amount(text: str) -> float:
    """The value of a number with a suffix.

    >>> amount("5.6M")
    5600000.0
    """
    digits = text.rstrip(" kKMG")
    return float(digits) * _UNITS[text[len(digits) :].strip()]


_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_SUFFIXES = (("million|mio|mn|m", "M"), ("thousand|k", "k"), ("billion|bn|b|g", "G"), ("ms|mib|mb|px", ""))


def as_written(text: str) -> str:
    """A text as a limit or a budget is written: `<=`, a decimal point, and a suffix instead of a unit or a word.

    >>> as_written("params < 1,5 million"), as_written("latency_ms ≤ 10ms"), as_written("top1 >= 70 %")
    ('params <= 1.5M', 'latency_ms <= 10', 'top1 >= 0.7')
    """
    for sign, own in (("≤", "<="), ("≥", ">="), ("=<", "<="), ("=>", ">=")):
        text = text.replace(sign, own)
    text = re.sub(r"([<>])(?!=)", r"\1=", text)
    text = _THOUSANDS.sub("", text) if re.search(r"\d,\d{3}(,|\D|$)", text) else re.sub(r"(?<=\d),(?=\d)", ".", text)
    for words, suffix in _SUFFIXES:
        text = re.sub(rf"(?<=\d)\s*({words})\s*$", suffix, text, flags=re.IGNORECASE)
    return re.sub(r"([\d.]+)\s*%\s*$", lambda share: f"{float(share[1]) / 100:g}", text)


@dataclass(frozen=True)
class Constraint:
    """A constraint that candidates must satisfy, e.g. `params <= 6M`.

    The limit may be what was `measured` of a `network`: then it has noise too. It is infinite until that is known.
    """

    name: str
    at_most: bool
    value: float
    text: str
    network: str = ""
    measured: Metrics | None = field(default=None, compare=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The limit in a text; raises PlanError for another text, or for an unknown metric."""
        match = _LIMIT.fullmatch(str(text))
        if match is None:
            meant = as_written(str(text))
            hint = f"did you mean {meant!r}?" if _LIMIT.fullmatch(meant) else _EXAMPLES
            raise PlanError(f"cannot read the limit {text!r}; {hint}")
        Objective.named(match[1])
        return cls(match[1], match[2] == "<=", amount(match[3]), str(text).strip())

    @classmethod
    def no_more_than(cls, network: str, name: str, measured: Metrics) -> Self:
        """At most what was measured of a network; no limit while that is unknown."""
        value = measured.get(name, math.inf)
        words = f"that of {network}" if value == math.inf else f"{value:,.4g} of {network}"
        return cls(name, True, value, f"{name} <= {words}", network, measured if name in measured else None)

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
        """Whether the metrics violate the constraint by more than the noise of the measurements."""
        if self.name not in metrics:
            return False
        (low, high), (least, most) = self._intervals(metrics)
        return low > most if self.at_most else high < least

    def undecided(self, metrics: Metrics) -> bool:
        """Whether the limit is within the noise of the measurements: others could be on its other side."""
        if self.name not in metrics or self.violated(metrics):
            return False
        (low, high), (least, most) = self._intervals(metrics)
        return high > least if self.at_most else low < most

    def describe_violation(self, metrics: Metrics) -> str:
        """E.g. `latency_ms 12.7 (between 12.4 and 13) breaks the limit latency_ms <= 12`."""
        (low, high), (least, most) = self._intervals(metrics)
        noise = f" (between {low:,.4g} and {high:,.4g})" if low < high else ""
        of = f" (between {least:,.4g} and {most:,.4g})" if least < most else ""
        ratios = self._ratio_names(metrics)
        unit = f"; in brackets multiples of {metrics[f'{metric(self.name).prefix}reference']}" if ratios else ""
        kind = "predicted " if metrics.get(f"{metric(self.name).prefix}predicted") else ""
        value = metrics[self.name]
        spelled = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"
        return f"{kind}{self.name} {spelled}{noise} breaks the limit {self.text}{of}{unit}"

    def _intervals(self, metrics: Metrics) -> tuple[tuple[float, float], tuple[float, float]]:
        """The interval of the metric and that of the limit: as multiples of the same reference if both have them,
        because the time of the reference, and what is not known of it, then does not matter."""
        if self.measured is None:
            return noise_interval(self.name, metrics), (self.value, self.value)
        if names := self._ratio_names(metrics):
            low, high = names
            return (metrics[low], metrics[high]), (self.measured[low], self.measured[high])
        return noise_interval(self.name, metrics), noise_interval(self.name, self.measured)

    def _ratio_names(self, metrics: Metrics) -> tuple[str, str] | None:
        """The ends of the interval of the ratio to a reference; None unless both measurements have the same one."""
        prefix, measured = metric(self.name).prefix, self.measured or {}
        if device_of(self.name):  # the ratio is that of the slowest device
            return None
        low, high, reference = (f"{prefix}{name}" for name in ("ratio_low", "ratio_high", "reference"))
        known = all(is_number(each.get(end)) for each in (metrics, measured) for end in (low, high))
        return (low, high) if known and metrics.get(reference) == measured.get(reference) else None


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
    merged = replace_limits([*map(Constraint.parse, limits)], [*map(Constraint.parse, by)])
    return tuple(limit.text for limit in merged)


def replace_limits(limits: Sequence[Constraint], by: Sequence[Constraint]) -> tuple[Constraint, ...]:
    """As `override_limits`, for limits that were read already."""
    sides = {limit.side for limit in by}
    return (*(limit for limit in limits if limit.side not in sides), *by)


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
        if limit.network:
            continue
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
