"""Whether labels belong to an image as it is stored, or turned upright by its EXIF orientation.

The labels' width and height decide. Where both readings fit (squares, and orientations that keep the sides), it is as
in most of the other images of the set, and upright if there are none: the tools that people label with show images
upright.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from mvsearch.data._decode import ORIENTATION, upright_size

Size = tuple[int, int]
"""Width and height in pixels; (0, 0) if they are not known."""

_MOST_PIXELS = 2**28  # of labels, which may be for a larger copy: their masks have to fit into memory


class Fit(Enum):
    """What the labels of an image belong to."""

    PLAIN = "an image without an orientation"
    STORED = "the stored image"
    UPRIGHT = "the upright image"
    BOTH = "the image either way"
    NEITHER = "an image of another width and height"


@dataclass(frozen=True)
class View:
    """The width and height of an image as it is stored and upright, whether these differ, and those of its labels."""

    stored: Size
    upright: Size
    turned: bool
    labels: Size

    @property
    def fit(self) -> Fit:
        """What the labels belong to."""
        if self.labels == (0, 0):
            return Fit.BOTH if self.turned else Fit.PLAIN
        if self.turned and self.stored != self.upright and self.labels in (self.stored, self.upright):
            return Fit.STORED if self.labels == self.stored else Fit.UPRIGHT
        stored, upright = (_same_shape(self.labels, size) for size in (self.stored, self.upright))
        if not self.turned:
            return Fit.PLAIN if stored else Fit.NEITHER
        return {(True, True): Fit.BOTH, (True, False): Fit.STORED, (False, True): Fit.UPRIGHT}.get(
            (stored, upright), Fit.NEITHER
        )

    @property
    def decided(self) -> bool:
        """Whether the labels' width and height tell the stored image from the upright one."""
        return self.stored != self.upright and self.fit in (Fit.STORED, Fit.UPRIGHT)

    @property
    def scaled(self) -> bool:
        """Whether the labels are for a larger or smaller copy of the image."""
        return self.labels not in ((0, 0), self.stored, self.upright)


def view_of(image: Any, labels: Size) -> View:
    """The view of an image that Pillow opened."""
    turned = image.format != "TIFF" and image.getexif().get(ORIENTATION) in range(
        2, 9
    )  # Pillow turns TIFF files itself
    return View(image.size, upright_size(image), turned, labels)


def _same_shape(first: Size, second: Size) -> bool:
    # A resized copy has sides that are rounded to whole pixels.
    (w, h), (width, height) = first, second
    return w * h <= _MOST_PIXELS and abs(w * height - h * width) <= max(width, height) / 2 + max(w, h) / 2


def read_upright(views: Sequence[View]) -> bool:
    """Whether images whose labels fit either way are turned upright."""
    counts = Counter(view.fit for view in views)
    return counts[Fit.UPRIGHT] >= counts[Fit.STORED]


def describe(views: Sequence[tuple[str, View]]) -> Iterator[str]:
    """What is assumed of the images of a set, with an example of each."""
    examples: dict[Fit, str] = {}
    counts = Counter(view.fit for _, view in views)
    for name, view in views:
        examples.setdefault(view.fit, name)
    for fit, reading in ((Fit.UPRIGHT, "turned upright"), (Fit.STORED, "left as they are stored")):
        if counts[fit]:
            yield (
                f"{counts[fit]} images with an EXIF orientation are {reading}, as their labels' width and height say "
                f"(such as {examples[fit]})"
            )
    if counts[Fit.BOTH]:
        upright, seen = read_upright([view for _, view in views]), counts[Fit.UPRIGHT] + counts[Fit.STORED]
        why = "as most others of the set" if seen else "as labelling tools show them"
        yield (
            f"{counts[Fit.BOTH]} images with an EXIF orientation (such as {examples[Fit.BOTH]}) are assumed to be "
            f"labelled {'upright' if upright else 'as stored'}, {why}; remove the orientation from their files "
            "if they are not"
        )
    scaled = [name for name, view in views if view.scaled and view.fit is not Fit.NEITHER]
    if scaled:
        yield f"the labels of {len(scaled)} images (such as {scaled[0]}) are for another size and are scaled to them"
