"""What is left out of a data set: files, images and labels, counted by their reason."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

BROKEN = "broken images"
"""The reasons of images that were meant to be used, but are broken, begin with these words."""


@dataclass(frozen=True)
class Skipped:
    """So many files, images or labels that are left out for one reason; `example` is the path or name of one."""

    reason: str
    count: int
    example: str


class Tally:
    """Counts what is left out by its reason, and keeps the first example of each."""

    def __init__(self, skipped: Iterable[Skipped] = ()) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        for entry in skipped:
            self.add(entry.reason, entry.example, entry.count)

    def add(self, reason: str, example: str, count: int = 1) -> None:
        """Count so many more."""
        self._counts[reason] += count
        self._examples.setdefault(reason, example)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """One entry a reason, the most frequent first."""
        return tuple(Skipped(reason, count, self._examples[reason]) for reason, count in self._counts.most_common())


def describe_parts(name: str, skipped: Iterable[Skipped], assumptions: Iterable[str]) -> tuple[str, ...]:
    """A sentence with what was left out of a data set and what was assumed, if there is anything."""
    left_out = ", ".join(f"{entry.count:,} {entry.reason} ({entry.example})" for entry in skipped)
    notes = [*([f"skipped {left_out}"] if left_out else []), *assumptions]
    return (f"{name}: {'; '.join(notes)}.",) if notes else ()


def merge_skipped(skipped: Iterable[Skipped]) -> tuple[Skipped, ...]:
    """One entry a reason, the most frequent first, with the first example of each."""
    return Tally(skipped).skipped


def broken(reason: str, example: str) -> Skipped:
    """One image that cannot be decoded."""
    return Skipped(f"{BROKEN}: {reason}", 1, example)


def count_broken(skipped: Iterable[Skipped]) -> int:
    """How many of the entries are images that cannot be decoded."""
    return sum(entry.count for entry in skipped if entry.reason.startswith(BROKEN))
