"""How far a long job is: the one type of progress callback in the package."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Progress(Protocol):
    """Receives how much of a job is done, of how much in all, and the current step in words.

    It is called by the thread that does the job, with 0 at the start of a step and again after each part; `done` does
    not decrease within a step. `total` is None where it is not known. A callback returns quickly and raises nothing.
    """

    def __call__(self, done: float, total: float | None, step: str = "", /) -> object:
        """Show the progress."""


def no_progress(done: float, total: float | None, step: str = "", /) -> None:
    """The callback of a job whose progress nobody watches."""


def track(items: Iterable[Item], step: str, total: int | None, progress: Progress | None) -> Iterator[Item]:
    """Iterate over items and report after each; `total` is None where the number of items is not known."""
    progress = progress or no_progress
    progress(0, total, step)
    for done, item in enumerate(items, start=1):
        yield item
        progress(done, total, step)
