"""A finished trial of a study."""

from dataclasses import dataclass, replace
from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.metrics.record import Record


@dataclass(frozen=True)
class Trial:
    """A finished candidate of a study, and the settings that its numbers depend on.

    `held_out` are the images that its scores were computed on, in words, where that is known.
    """

    study: str
    record: Record
    settings: dict[str, Any]
    held_out: str | None = None

    @property
    def architecture(self) -> Architecture:
        """The whole network, named after the study and the trial."""
        return replace(Architecture.from_dict(self.record.architecture), name=f"{self.study}_{self.record.number}")
