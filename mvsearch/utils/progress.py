"""Saying how far a long job is, to whoever wants to know. rich fits in, and is loaded by those who draw."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Progress(Protocol):
    """The one method of `rich.progress.Progress` that is used here."""

    def track(self, sequence: Iterable[Item], total: float | None = None, *, description: str = "") -> Iterable[Item]:
        """The same items, with a bar that moves as they are taken."""


def tracked(items: Iterable[Item], words: str, total: int | None, progress: Progress | None) -> Iterable[Item]:
    """The same items, with a bar if somebody watches; `total` is None where the length is not known."""
    return items if progress is None else progress.track(items, total, description=words)
