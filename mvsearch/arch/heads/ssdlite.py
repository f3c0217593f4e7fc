"""`ssdlite`: boxes with classes, from six sizes of map, by separable convolutions (arXiv 1512.02325, 1801.04381).

    stride 16 ─ predict        stride 32 ─┬─ predict
                                          └─ 64 ─┬─ predict
                                                 └─ 128 ─┬─ predict ...  256, the whole image

Each place of a map predicts, for each of its anchors, a logit a class (class 0: nothing there) and four offsets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from mvsearch.arch import cost
from mvsearch.arch.cost import Num, Shape
from mvsearch.arch.heads import BaseHead, Part, at_reduction

LEVELS = ("16", "32", "64", "128", "256", "whole")
WIDTHS = (512, 256, 256, 128, 128, 64)
RATIOS = ((2, 3), (2, 3), (2, 3), (2, 3), (2, 3), (2,))
"""Aspect ratios of the anchors, by level; there are two square ones besides."""
SCALES = (0.1, 1.05)
"""The anchors' side at the first level, and what it would be behind the last, as shares of the image's."""


def anchors_of(level: int) -> int:
    """How many anchors each place has: two squares, and each ratio upright and lying."""
    return 2 + 2 * len(RATIOS[level])


@dataclass(frozen=True, kw_only=True)
class Head(BaseHead):
    """As all MobileViTs have it, with nothing to set; the 81 classes are COCO's and the background."""

    task: ClassVar[str] = "detection"
    image_size: ClassVar[int] = 320
    num_classes: ClassVar[int] = 81

    def reads(self, reductions: Sequence[int]) -> tuple[int, ...]:
        """The last maps at strides 16 and 32."""
        return at_reduction(reductions, 16, "ssdlite"), at_reduction(reductions, 32, "ssdlite")

    def parts(self, nth: int, x: Shape, num_classes: Num, image: Shape) -> list[Part]:
        """On the first map a prediction; on the second one, and all that is smaller."""
        made = [self._predict(nth, x, num_classes)]
        if nth == 0:
            return made
        for level in range(2, len(LEVELS)):
            smaller, x = self._shrink(level, x)
            made += [smaller, self._predict(level, x, num_classes)]
        return made

    def gives(self, parts: Sequence[Part], num_classes: int) -> str:
        """How many anchors, each with a box and classes."""
        predicted = sum(part.out.channels * part.out.pixels for part in parts if part.name.startswith("predict"))
        return f"{predicted // (4 + num_classes)} boxes, {num_classes} classes"

    def words(self) -> str:
        """The maps."""
        return f"maps at strides {', '.join(LEVELS[:-1])} and of the {LEVELS[-1]} image"

    def _predict(self, level: int, x: Shape, num_classes: Num) -> Part:
        width, out = WIDTHS[level], anchors_of(level) * (4 + num_classes)
        predicted = cost.conv(width, out, x.pixels, bias=True, norm=False)
        if level < len(LEVELS) - 1:
            predicted += cost.conv(width, width, x.pixels, kernel=3, groups=width)
            predicted += cost.conv(x.channels, width, x.pixels).times(1 * (x.channels != width))
        return Part(f"predict_{LEVELS[level]}", Shape(out, x.height, x.width), predicted)

    def _shrink(self, level: int, x: Shape) -> tuple[Part, Shape]:
        width = WIDTHS[level]
        if level == len(LEVELS) - 1:
            y = Shape(width, 1, 1)
            shrunk = cost.conv(x.channels, width, 1, norm=False)
        else:
            y = x.strided(2, width)
            shrunk = cost.conv(x.channels, x.channels, y.pixels, kernel=3, groups=x.channels)
            shrunk += cost.conv(x.channels, width, y.pixels)
        return Part(f"shrink_{LEVELS[level]}", y, shrunk), y
