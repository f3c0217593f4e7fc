"""A candidate: a point of the search space that a worker has claimed, with its architecture."""

from dataclasses import dataclass

from mvsearch.arch.architecture import Architecture
from mvsearch.metrics.record import Record
from mvsearch.space.inverse import Point


@dataclass(frozen=True)
class Candidate:
    """A claimed candidate. It is made once: nothing that follows the claim parses the architecture again."""

    number: int
    point: Point
    """Its choices, without those that have no effect."""
    architecture: Architecture
    key: str
    published: str | None = None
    """The name of the published model that it is, if it is one."""

    @property
    def name(self) -> str:
        """The name of a published model, otherwise the key."""
        return self.published or self.key

    def record(self, state: str = "complete", *, reason: str | None = None) -> Record:
        """The record of the candidate, of which only the cost is known."""
        return Record(
            number=self.number,
            key=self.key,
            state=state,
            reason=reason,
            metrics=self.architecture.metrics(),
            choices=dict(self.point),
            architecture=self.architecture.to_dict(),
            published=self.published,
            seconds=0.0,
        )
