"""What heads share that give a class for every pixel: the classifier, and the second one that only training has."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from mvsearch.arch import cost
from mvsearch.arch.blocks import fraction, integer, one_of
from mvsearch.arch.cost import Cost, Num, Shape
from mvsearch.arch.heads import BaseHead, Part


@dataclass(frozen=True, kw_only=True)
class Dense(BaseHead):
    """Context over the last map, then a class a pixel, resized to the image.

    `output_stride` is how much smaller than the image the last map is: rows that would stride further are dilated.
    `aux` is a second classifier on the map before the last stride, whose loss helps training; costs leave it out.
    """

    task: ClassVar[str] = "segmentation"
    image_size: ClassVar[int] = 512
    num_classes: ClassVar[int] = 21

    out: int = integer(default=512)
    output_stride: int = one_of(8, 16, 32, default=16)
    dropout2d: float = fraction(default=0.1)
    align_corners: bool = one_of(True, False, default=True)
    aux: bool = one_of(True, False, default=False)

    @property
    def most_stride(self) -> int:
        """The output stride."""
        return self.output_stride

    def reads(self, reductions: Sequence[int]) -> tuple[int, ...]:
        """The last map, and with `aux` the last before the last stride."""
        if not self.aux:
            return super().reads(reductions)
        before = [i for i, reduction in enumerate(reductions) if reduction < reductions[-1]]
        if not before:
            raise ValueError("aux reads the map before the last stride, and no row strides; let one, or take aux out")
        return (len(reductions) - 1, before[-1])

    def parts(self, nth: int, x: Shape, num_classes: Num, image: Shape) -> list[Part]:
        """The context and the classifier, both on the last map."""
        if nth > 0:
            return []
        name, context = self.context(x)
        classifier = cost.conv(self.out, num_classes, x.pixels, bias=True, norm=False)
        return [
            Part(name, Shape(self.out, x.height, x.width), context),
            Part("classifier", Shape(num_classes, image.height, image.width), classifier),
        ]

    def deployed(self) -> Self:
        """The head without its second classifier."""
        return replace(self, aux=False)

    def gives(self, parts: Sequence[Part], num_classes: int) -> str:
        """Classes and the size of the image."""
        out = parts[-1].out
        return f"{num_classes} x {out.height} x {out.width}"

    def words(self) -> str:
        """Its width, its stride, and whether it has a second classifier."""
        return f"out {self.out}, output stride {self.output_stride}" + (", aux while training" if self.aux else "")

    def context(self, x: Shape) -> tuple[str, Cost]:
        """What gathers context: its name, and its cost on a map."""
        raise NotImplementedError

    def training_cost(self, nth: int, x: Shape, num_classes: Num) -> Cost:
        """The second classifier."""
        if nth == 0:
            return Cost()
        inner = max(x.channels // 4, 128)
        return cost.conv(x.channels, inner, x.pixels, kernel=3) + cost.conv(
            inner, num_classes, x.pixels, bias=True, norm=False
        )
