"""`classification`: pooling, dropout, a linear classifier; before it a norm or a 1x1. The default head."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mvsearch.arch import cost
from mvsearch.arch.blocks import ACTIVATIONS
from mvsearch.arch.cost import Cost, Num, Shape
from mvsearch.arch.heads import BaseHead, Part
from mvsearch.arch.schema import fraction, integer, one_of


@dataclass(frozen=True)
class Head(BaseHead):
    """Pooling over the last map, dropout, and a linear classifier; before it a norm or a hidden layer, if any."""

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
    norm: str = one_of("none", "map", "pooled", default="none")
    """Batch norm of the last map (StarNet), or of the pooled features (RepViT, SHViT)."""
    hidden: int = integer(low=0, default=0)
    """Channels of a 1x1 convolution with batch norm behind the pooling (MobileNetV4); 0 for none."""
    act: str = one_of(*ACTIVATIONS, default="relu")
    """The activation of the hidden layer."""

    @property
    def classifies(self) -> bool:
        """Whether there is a linear classifier."""
        return self.linear

    def parts(self, index: int, x: Shape, num_classes: Num, image: Shape) -> list[Part]:
        """The norm, the hidden layer and the classifier: as many MACs for one image as they have weights."""
        own, features = cost.norm(x.channels) if self.norm != "none" else Cost(), self.hidden or x.channels
        own += cost.operators(1 + (self.norm != "none"))  # the pooling, the norm
        if self.hidden:
            own += cost.conv(x.channels, self.hidden, 1) + cost.activation(self.act) + cost.operators(1)
        if self.linear:
            classifier = cost.linear(features, num_classes, 1) + cost.operators(
                -1
            )  # product and sum are one for a vector
            return [Part("", Shape(num_classes, 1, 1), own + classifier)]
        return [Part("", Shape(features, 1, 1), own)]

    def output_summary(self, parts: Sequence[Part], num_classes: int) -> str:
        """The number of classes, or of features."""
        return f"{parts[0].out.channels} {'classes' if self.linear else 'features'}"

    def output_shapes(self, features: int, num_classes: int) -> str:
        """Logits, or features."""
        return f"(B, {num_classes if self.linear else self.hidden or features})"

    def identity(self) -> list[Any]:
        """Without the kind and the values of later fields, so that keys stay as they were before there were more."""
        later: dict[str, Any] = {"norm": self.norm} if self.norm != "none" else {}
        later |= {"hidden": self.hidden, "act": self.act} if self.hidden else {}
        return [self.pool, self.dropout, self.linear, *([later] if later else [])]

    def summary(self) -> str:
        """The pooling, the dropout, and what is before the classifier."""
        norm = {"map": "norm of the map, ", "pooled": "norm of the pooled features, "}.get(self.norm, "")
        hidden = f"hidden {self.hidden} ({self.act}), " if self.hidden else ""
        return f"{self.pool} pool, {norm}{hidden}dropout {self.dropout:g}"
