"""The target cost of a scaled architecture."""

import math
import re
from dataclasses import dataclass
from typing import Self

from mvsearch.errors import PlanError
from mvsearch.metrics.constraints import AMOUNT, amount, as_written
from mvsearch.metrics.registry import OPERATORS, STATIC_COSTS
from mvsearch.utils import plugins

TIMED = "latency_ms"

_BUDGET = re.compile(rf"\s*(\w+)\s*(<?=)\s*({AMOUNT})\s*")

TOLERANCE = 0.01
"""The relative distance from the budget within which a result meets it."""


@dataclass(frozen=True)
class Budget:
    """The target cost, e.g. `params=5.6M`; `params<=5.6M` may not be exceeded."""

    name: str
    at_most: bool
    value: float
    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises PlanError for anything but NAME=VALUE or NAME<=VALUE."""
        match = _BUDGET.fullmatch(text)
        if match is None:
            meant = as_written(text)
            if meant != text and _BUDGET.fullmatch(meant):
                raise PlanError(f"{text!r} is not a budget; did you mean {meant!r}?")
            raise PlanError(f"{text!r} is not a budget; write e.g. params=5.6M, macs=1G, 'macs<=1G' or latency_ms=8.")
        costs = (*(name for name in STATIC_COSTS if name != OPERATORS), TIMED)  # width does not change operators
        if match[1] not in costs:
            raise PlanError(f"{text!r}: {match[1]!r} is not a cost to scale to; {plugins.suggest(match[1], costs)}")
        return cls(match[1], match[2] == "<=", amount(match[3]), match[3].replace(" ", ""))

    def relative_error(self, value: float) -> float:
        """The relative distance of a value from the budget; negative below it."""
        return (value - self.value) / self.value if self.value else math.inf

    def meets(self, value: float) -> bool:
        """Whether a value is within the tolerance, and not above a budget that may not be exceeded."""
        return abs(self.relative_error(value)) <= TOLERANCE and not (self.at_most and value > self.value)
