"""`classification`: pooling, dropout, a linear classifier. What an architecture has if its file names no other head."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mvsearch.arch import cost
from mvsearch.arch.blocks import fraction, one_of
from mvsearch.arch.cost import Cost, Num, Shape
from mvsearch.arch.heads import BaseHead, Part


@dataclass(frozen=True)
class Head(BaseHead):
    """Pooling over the map (`mean` or `max`), dropout, and a linear classifier, or none: then features come out."""

    task: ClassVar[str] = "classification"
    image_size: ClassVar[int] = 256
    num_classes: ClassVar[int] = 1000

    pool: str = one_of("mean", "max", default="mean")
    dropout: float = fraction(default=0.0)
    linear: bool = one_of(True, False, default=True)

    @property
    def classifies(self) -> bool:
        """Whether there is a linear classifier."""
        return self.linear

    def parts(self, nth: int, x: Shape, num_classes: Num, image: Shape) -> list[Part]:
        """The classifier: its parameters, and as many MACs for one image."""
        if self.linear:
            return [Part("", Shape(num_classes, 1, 1), cost.linear(x.channels, num_classes, 1))]
        return [Part("", Shape(x.channels, 1, 1), Cost())]

    def gives(self, parts: Sequence[Part], num_classes: int) -> str:
        """Classes, or features."""
        return f"{parts[0].out.channels} {'classes' if self.linear else 'features'}"

    def identity(self) -> list[Any]:
        """As it was before there were other heads, so that keys stay."""
        return [self.pool, self.dropout, self.linear]

    def words(self) -> str:
        """The pooling and the dropout."""
        return f"{self.pool} pool, dropout {self.dropout:g}"
