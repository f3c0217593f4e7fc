"""Values of annotation files: numbers are read as numbers, also where they are written as text."""

import re
from math import isfinite
from typing import Any

from mvsearch.data._skipped import Skipped, merge_skipped
from mvsearch.utils.text import printable

_LONGEST = 200  # characters of an example


def number(value: Any) -> float | None:
    """A finite number, or text that is one; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if isfinite(found) else None


def numbers(values: Any, count: int) -> tuple[float, ...] | None:
    """So many finite numbers; None if they are not."""
    if not isinstance(values, list) or len(values) != count:
        return None
    found = [number(value) for value in values]
    return None if None in found else tuple(value for value in found if value is not None)


def identifier(value: Any) -> int | str | None:
    """An id: `7`, `7.0` and `"7"` are the same one; other text, as `1e5`, is an id as it stands; None for the rest."""
    if isinstance(value, str):
        text = value.strip()
        whole = re.fullmatch(r"([+-]?\d{1,99})(\.0*)?", text)
        return int(whole[1]) if whole else text or None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def side(value: Any) -> int:
    """A width or height in pixels; 0 if it is not a positive whole number."""
    found = number(value)
    return int(found) if found is not None and found >= 1 and found.is_integer() else 0


def flag(value: Any) -> bool:
    """Whether a mark such as `iscrowd` is set: true, or a number other than 0, also as text."""
    return value is True or bool(number(value)) or (isinstance(value, str) and value.strip().lower() in ("true", "yes"))


class Notes:
    """What is left out and what is assumed while files are read."""

    def __init__(self) -> None:
        self.left_out: list[Skipped] = []
        self.assumptions: list[str] = []

    def skip(self, reason: str, example: str, count: int = 1) -> None:
        """Count something that is left out."""
        self.left_out.append(Skipped(printable(reason), count, printable(example)[:_LONGEST]))

    def assume(self, sentence: str) -> None:
        """Add a sentence about what the files leave open and how it is read."""
        self.assumptions.append(printable(sentence))

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The counts by reason, with the first example of each."""
        return merge_skipped(self.left_out)
