"""What a scaled architecture is to cost."""

import math
import re
from dataclasses import dataclass
from typing import Self

from mvsearch.errors import PlanError
from mvsearch.metrics.constraints import AMOUNT, amount
from mvsearch.metrics.registry import STATIC_COSTS
from mvsearch.utils import plugins

TIMED = "latency_ms"

TOLERANCE = 0.01
"""How far from the budget a result may be without being called the closest one only."""


@dataclass(frozen=True)
class Budget:
    """What the result is to cost, e.g. `params=5.6M`; `params<=5.6M` may not be exceeded."""

    name: str
    at_most: bool
    value: float
    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises PlanError, saying what would do."""
        found = re.fullmatch(rf"\s*(\w+)\s*(<?=)\s*({AMOUNT})\s*", text)
        if found is None:
            raise PlanError(f"{text!r} is no budget; write e.g. params=5.6M, macs=1G, 'macs<=1G' or latency_ms=8.")
        known = (*STATIC_COSTS, TIMED)
        if found[1] not in known:
            raise PlanError(f"{text!r}: {found[1]!r} is nothing to scale to; {plugins.suggest(found[1], known)}")
        return cls(found[1], found[2] == "<=", amount(found[3]), found[3].replace(" ", ""))

    def off(self, value: float) -> float:
        """How far a value is above the budget (below: negative), as a share of it."""
        return (value - self.value) / self.value if self.value else math.inf

    def meets(self, value: float) -> bool:
        """Whether a value is as near as is asked for."""
        return abs(self.off(value)) <= TOLERANCE and not (self.at_most and value > self.value)
