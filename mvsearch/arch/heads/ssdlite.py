"""`ssdlite`: boxes with classes, from six sizes of map, by separable convolutions (arXiv 1512.02325, 1801.04381).

    stride 16 ─ predict        stride 32 ─┬─ predict
                                          └─ 64 ─┬─ predict
                                                 └─ 128 ─┬─ predict ...  256, the whole image

Each position of a map predicts, for each of its anchors, a logit per class (class 0: background) and four offsets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from mvsearch.arch import cost
from mvsearch.arch.cost import Num, Shape
from mvsearch.arch.heads import BaseHead, Part, row_at_stride

LEVELS = ("16", "32", "64", "128", "256", "whole")
WIDTHS = (512, 256, 256, 128, 128, 64)
RATIOS = ((2, 3), (2, 3), (2, 3), (2, 3), (2, 3), (2,))
"""Aspect ratios of the anchors, by level, besides two square anchors."""
SCALES = (0.1, 1.05)
"""The side of the anchors at the first level, and extrapolated one past the last, as shares of the image's side."""


def num_anchors(level: int) -> int:
    """The number of anchors per position: two squares, and each ratio upright and flat."""
    return 2 + 2 * len(RATIOS[level])


@dataclass(frozen=True, kw_only=True)
class Head(BaseHead):
    """The head of all MobileViTs, without fields; the 81 classes are COCO's 80 and the background."""

    task: ClassVar[str] = "detection"
    image_size: ClassVar[int] = 320
    num_classes: ClassVar[int] = 81
    outputs: ClassVar[tuple[str, ...]] = ("logits", "offsets", "anchors")
    class_axis: ClassVar[int] = -1

    def inputs(self, reductions: Sequence[int]) -> tuple[int, ...]:
        """The last maps at strides 16 and 32."""
        return row_at_stride(reductions, 16, "ssdlite"), row_at_stride(reductions, 32, "ssdlite")

    def parts(self, index: int, x: Shape, num_classes: Num, image: Shape) -> list[Part]:
        """A prediction on each map; the second map is also reduced to all smaller levels."""
        parts = [self._predict(index, x, num_classes)]
        if index == 0:
            return parts
        for level in range(2, len(LEVELS)):
            smaller, x = self._shrink(level, x)
            parts += [smaller, self._predict(level, x, num_classes)]
        return parts

    def output_summary(self, parts: Sequence[Part], num_classes: int) -> str:
        """The number of boxes and of classes."""
        values = sum(part.out.channels * part.out.pixels for part in parts if part.name.startswith("predict"))
        return f"{values // (4 + num_classes)} boxes, {num_classes} classes"

    def output_shapes(self, features: int, num_classes: int) -> str:
        """Logits, offsets and anchors of every box."""
        return f"logits (B, A, {num_classes}), offsets (B, A, 4), anchors (B, A, 4)"

    def summary(self) -> str:
        """The strides of the maps."""
        return f"maps at strides {', '.join(LEVELS[:-1])} and of the {LEVELS[-1]} image"

    def _predict(self, level: int, x: Shape, num_classes: Num) -> Part:
        width, out = WIDTHS[level], num_anchors(level) * (4 + num_classes)
        prediction = cost.conv(width, out, x.pixels, bias=True, norm=False)
        if level < len(LEVELS) - 1:
            prediction += cost.conv(width, width, x.pixels, kernel=3, groups=width)
            prediction += cost.conv(x.channels, width, x.pixels).times(1 * (x.channels != width))
        return Part(f"predict_{LEVELS[level]}", Shape(out, x.height, x.width), prediction)

    def _shrink(self, level: int, x: Shape) -> tuple[Part, Shape]:
        width = WIDTHS[level]
        if level == len(LEVELS) - 1:
            y = Shape(width, 1, 1)
            reduction = cost.conv(x.channels, width, 1, norm=False)
        else:
            y = x.strided(2, width)
            reduction = cost.conv(x.channels, x.channels, y.pixels, kernel=3, groups=x.channels)
            reduction += cost.conv(x.channels, width, y.pixels)
        return Part(f"shrink_{LEVELS[level]}", y, reduction), y
