"""`classification`: pooling, dropout, a linear classifier. The default head."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mvsearch.arch import cost
from mvsearch.arch.cost import Cost, Num, Shape
from mvsearch.arch.heads import BaseHead, Part
from mvsearch.arch.schema import fraction, one_of


@dataclass(frozen=True)
class Head(BaseHead):
    """Pooling over the last map, dropout, and a linear classifier."""

    task: ClassVar[str] = "classification"
    image_size: ClassVar[int] = 256
    num_classes: ClassVar[int] = 1000
    pools_last_map: ClassVar[bool] = True

    pool: str = one_of("mean", "max", default="mean")
    """How the last map is pooled."""
    dropout: float = fraction(default=0.0)
    """Dropout before the classifier, while training."""
    linear: bool = one_of(True, False, default=True)
    """Whether there is a linear classifier; without one the network returns features."""

    @property
    def classifies(self) -> bool:
        """Whether there is a linear classifier."""
        return self.linear

    def parts(self, index: int, x: Shape, num_classes: Num, image: Shape) -> list[Part]:
        """The classifier: as many MACs for one image as it has weights."""
        if self.linear:
            return [Part("", Shape(num_classes, 1, 1), cost.linear(x.channels, num_classes, 1))]
        return [Part("", Shape(x.channels, 1, 1), Cost())]

    def output_summary(self, parts: Sequence[Part], num_classes: int) -> str:
        """The number of classes, or of features."""
        return f"{parts[0].out.channels} {'classes' if self.linear else 'features'}"

    def output_shapes(self, features: int, num_classes: int) -> str:
        """Logits, or features."""
        return f"(B, {num_classes if self.linear else features})"

    def identity(self) -> list[Any]:
        """Without the kind, so that keys stay as they were before there were other heads."""
        return [self.pool, self.dropout, self.linear]

    def summary(self) -> str:
        """The pooling and the dropout."""
        return f"{self.pool} pool, dropout {self.dropout:g}"
