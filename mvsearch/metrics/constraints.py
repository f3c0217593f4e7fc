"""Constraints on metrics as they are written in a file, e.g. `params <= 6M`."""

import re
from dataclasses import dataclass
from typing import Any, Self

from mvsearch.errors import PlanError
from mvsearch.metrics.pareto import Objective

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

    def holds(self, value: Any) -> Any:
        """Whether a value, or each of an array, satisfies the constraint."""
        return value <= self.value if self.at_most else value >= self.value
