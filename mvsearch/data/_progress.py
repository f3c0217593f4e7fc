"""Saying how far a long job is, to whoever wants to know. rich is loaded only by those who draw."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress
else:
    Progress = object

Item = TypeVar("Item")

__all__ = ["Progress", "tracked"]


def tracked(items: Iterable[Item], words: str, total: int, progress: Progress | None) -> Iterable[Item]:
    """The same items, with a bar that moves as they are taken."""
    return items if progress is None else progress.track(items, total=total, description=words)
