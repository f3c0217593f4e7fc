"""The common part of heads that give a class for every pixel: the classifier, and an auxiliary one for training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from mvsearch.arch import cost
from mvsearch.arch.cost import Cost, Num, Shape
from mvsearch.arch.heads import BaseHead, Part
from mvsearch.arch.schema import fraction, integer, one_of


@dataclass(frozen=True, kw_only=True)
class Dense(BaseHead):
    """Context over the last map, then a class for every pixel, resized to the image."""

    task: ClassVar[str] = "segmentation"
    image_size: ClassVar[int] = 512
    num_classes: ClassVar[int] = 21

    out: int = integer(default=512)
    """Channels of the context."""
    output_stride: int = one_of(8, 16, 32, default=16)
    """How much smaller than the image the last map is at most: dilation replaces further strides."""
    dropout2d: float = fraction(default=0.1)
    """Dropout of whole channels before the classifier, while training."""
    align_corners: bool = one_of(True, False, default=True)
    """How maps are resized: whether the corner pixels keep their places."""
    aux: bool = one_of(True, False, default=False)
    """Add an auxiliary classifier on the map before the last stride, for training only; costs leave it out."""

    @property
    def max_stride(self) -> int:
        """The output stride."""
        return self.output_stride

    def inputs(self, reductions: Sequence[int]) -> tuple[int, ...]:
        """The last map, and with `aux` also the last map before the last stride."""
        if not self.aux:
            return super().inputs(reductions)
        larger = [i for i, reduction in enumerate(reductions) if reduction < reductions[-1]]
        if not larger:
            raise ValueError("aux reads the map before the last stride, but no row strides; add a stride or remove aux")
        return (len(reductions) - 1, larger[-1])

    def parts(self, index: int, x: Shape, num_classes: Num, image: Shape) -> list[Part]:
        """The context and the classifier, both on the last map."""
        if index > 0:
            return []
        name, context = self.context(x)
        classifier = cost.conv(self.out, num_classes, x.pixels, bias=True, norm=False)
        return [
            Part(name, Shape(self.out, x.height, x.width), context),
            Part("classifier", Shape(num_classes, image.height, image.width), classifier),
        ]

    def deploy(self) -> Self:
        """The head without its auxiliary classifier."""
        return replace(self, aux=False)

    def output_summary(self, parts: Sequence[Part], num_classes: int) -> str:
        """The number of classes and the size of the image."""
        out = parts[-1].out
        return f"{num_classes} x {out.height} x {out.width}"

    def output_shapes(self, features: int, num_classes: int) -> str:
        """Logits of every pixel."""
        return f"(B, {num_classes}, H, W)"

    def summary(self) -> str:
        """Width, output stride, and whether there is an auxiliary classifier."""
        return f"out {self.out}, output stride {self.output_stride}" + (", aux while training" if self.aux else "")

    def context(self, x: Shape) -> tuple[str, Cost]:
        """The name of the part that gathers context, and its cost on a map."""
        raise NotImplementedError

    def training_cost(self, index: int, x: Shape, num_classes: Num) -> Cost:
        """The auxiliary classifier."""
        if index == 0:
            return Cost()
        inner = max(x.channels // 4, 128)
        return cost.conv(x.channels, inner, x.pixels, kernel=3) + cost.conv(
            inner, num_classes, x.pixels, bias=True, norm=False
        )
