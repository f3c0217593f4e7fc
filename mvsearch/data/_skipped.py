"""What is left out of a data set: files, images and labels, counted by their reason."""

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


def merge(skipped: Iterable[Skipped]) -> tuple[Skipped, ...]:
    """One entry a reason, the most frequent first, with the first example of each."""
    merged: dict[str, Skipped] = {}
    for entry in skipped:
        before = merged.get(entry.reason)
        merged[entry.reason] = Skipped(entry.reason, before.count + entry.count, before.example) if before else entry
    return tuple(sorted(merged.values(), key=lambda entry: -entry.count))


def broken(reason: str, example: str) -> Skipped:
    """One image that cannot be decoded."""
    return Skipped(f"{BROKEN}: {reason}", 1, example)


def count_broken(skipped: Iterable[Skipped]) -> int:
    """How many of the entries are images that cannot be decoded."""
    return sum(entry.count for entry in skipped if entry.reason.startswith(BROKEN))
