"""What the formats of labelled scenes share: images are made square together with their masks and boxes.

Both sides are scaled independently, as SSD does; boxes in shares of the sides stay correct.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np

from mvsearch.data._decode import fault_reason, to_rgb
from mvsearch.data._decoded import Decoding
from mvsearch.data._duplicates import find_duplicates
from mvsearch.data._encoded import EncodedImages
from mvsearch.data._images import IGNORED, DecodedImage, Request, Scene, stratified_split
from mvsearch.data._orientation import Fit, Size, View, describe, read_upright, view_of
from mvsearch.data._outlines import PART_OF
from mvsearch.data._skipped import Skipped, broken
from mvsearch.errors import DataError
from mvsearch.utils.progress import Progress, track

SIZE = 256
BATCH = 64  # images in memory at once
MOST_CLASSES = IGNORED - 1  # in a mask, besides the background
CONTRARY_SHARE = 0.25  # of the images with an EXIF orientation, whose boxes contradict their width and height

Box = tuple[int, float, float, float, float]
"""A class, and x0, y0, x1, y1 in pixels."""

IgnoredBox = tuple[int, float, float, float, float, bool]
"""The same, and whether it is a crowd."""


_Opened = tuple[DecodedImage, list[Skipped], np.ndarray] | Skipped
"""An image, what is left out of its labels, and how many pixels or boxes are of each class; or why it is left out."""


class MaskReader(Protocol):
    """Reads the class of each pixel."""

    @property
    def count(self) -> int:
        """How many objects are drawn into the mask; 0 if it is an image."""

    def size(self) -> Size:
        """The width and height, without reading the pixels; (0, 0) if they are those of the image."""

    def read(self, size: Size) -> tuple[np.ndarray, list[Skipped]]:
        """The mask, uint8 (row, column), of an image of this width and height, and the objects that are left out."""


@dataclass(frozen=True)
class Labelled:
    """An image file with its labels and their width and height, (0, 0) if they are those of the image.

    `ignored` are crowds and difficult objects: neither trained on nor counted as errors in the score.
    """

    file: Path
    size: Size = (0, 0)
    boxes: tuple[Box, ...] = ()
    ignored: tuple[IgnoredBox, ...] = ()
    mask: MaskReader | None = None


def size_of(request: Request) -> int:
    """The side of the images in pixels."""
    if request.size is not None and request.size < 32:
        raise DataError(f"size={request.size} is too small; use 32 px or more.", at=request.path)
    return request.size or SIZE


def split(items: Sequence[Labelled], request: Request) -> tuple[list[Labelled], list[Labelled]]:
    """The items to train on and those to test on, split by the seed."""
    if len(items) < 2:
        raise DataError("one image cannot be split into train and test; add another.", at=request.path)
    train, test = stratified_split(np.zeros(len(items)), request.test_fraction, request.seed)
    return [items[i] for i in train], [items[i] for i in test]


def check_class_limit(names: Sequence[str], root: Path) -> None:
    """Raises DataError for more classes than the numbers of a mask can tell apart."""
    if len(names) > MOST_CLASSES:
        raise DataError(
            f"has {len(names)} classes, but a mask holds {MOST_CLASSES} besides the background and unknown pixels; "
            "use fewer, or train for detection.",
            at=root,
        )


class SceneDecoder:
    """Decodes the images to train on and to test on to squares of `size` pixels, with masks or else with boxes."""

    def __init__(
        self,
        root: Path,
        classes: tuple[str, ...],
        parts: tuple[Sequence[Labelled], Sequence[Labelled]],
        *,
        size: int,
        masks: bool,
        progress: Progress | None,
    ) -> None:
        self.root, self.classes, self.parts = root, classes, parts
        self.side, self.masks, self.progress = size, masks, progress
        self.absent: list[str] = []
        self.cut: list[str] = []

    def decoding(self) -> Decoding:
        """The streams; each raises DataError if most of its images are broken."""
        train, test = (self._decode(part) for part in (0, 1))
        return Decoding(self.classes, train, test, assumptions=self._assumptions)

    def _decode(self, part: int) -> Iterator[DecodedImage | Skipped]:
        items, faults = self.parts[part], list[Skipped]()
        covered, bad = np.zeros(max(IGNORED + 1, len(self.classes)), np.int64), list[Skipped]()
        for opened in track(self._open_all(part), "decode scenes", len(items), self.progress):
            if isinstance(opened, Skipped):
                faults.append(opened)
                yield opened
                continue
            image, left_out, pixels = opened
            covered += pixels
            yield image
            yield from left_out
            bad += [entry for entry in left_out if not entry.reason.startswith(PART_OF)]
        if 2 * len(faults) > len(items):
            raise DataError(
                f"{len(faults)} of {len(items)} images cannot be used, the first is {faults[0].example} "
                f"({faults[0].reason}); replace them.",
                at=self.root,
            )
        objects = sum((item.mask.count if item.mask else 0) if self.masks else len(item.boxes) for item in items)
        if bad and 2 * len(bad) > objects:
            raise DataError(
                f"{len(bad)} of {objects} objects cannot be used, the first is {bad[0].example} ({bad[0].reason}).",
                at=self.root,
            )
        self._check_covered(covered, part)

    def _check_covered(self, covered: np.ndarray, part: int) -> None:
        """Raises DataError if nothing in a part is of a class: it could not be learned, or not evaluated."""
        if not covered[1 : len(self.classes)].any():
            where = ("the training part", "the test part")[part]
            if not self.masks:
                raise DataError(f"{where} has no boxes, which detection needs.", at=self.root)
            unknown = f", and {covered[IGNORED]:,} pixels are {IGNORED}, unknown" if covered[IGNORED] else ""
            raise DataError(
                f"{where} has no pixel of any class in its masks{unknown}; number classes from 1, the background 0.",
                at=self.root,
            )
        if part == 0:
            pairs = zip(self.classes[1:], covered[1:].tolist(), strict=False)
            self.absent += [name for name, count in pairs if not count]

    @cached_property
    def _views(self) -> tuple[list[View | Skipped], ...]:
        """The header of every image; both parts are read first, as each is evidence for the other."""
        count = sum(map(len, self.parts))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            views = track(pool.map(self._view, chain(*self.parts)), "read sizes", count, self.progress)
            found = tuple([next(views) for _ in part] for part in self.parts)
        self._check_orientation([pair for pairs in map(zip, self.parts, found) for pair in pairs])
        return found

    def _check_orientation(self, pairs: Sequence[tuple[Labelled, View | Skipped]]) -> None:
        """Raises DataError if boxes fit their images only the other way around than their width and height say."""
        sized = [(item, view.labels) for item, view in pairs if isinstance(view, View) and view.decided]
        contrary = [self._name(item) for item, (w, h) in sized if not _fits(item, w, h) and _fits(item, h, w)]
        if len(contrary) > CONTRARY_SHARE * len(sized):
            raise DataError(
                f"the boxes of {len(contrary)} images with an EXIF orientation (such as {contrary[0]}) fit only if "
                "their width and height are swapped; correct these, or remove the orientation from the files.",
                at=self.root,
            )

    @cached_property
    def _upright(self) -> bool:
        return read_upright([view for view in chain(*self._views) if isinstance(view, View)])

    def _assumptions(self) -> Iterator[str]:
        pairs = zip(chain(*self.parts), chain(*self._views), strict=True)
        yield from describe([(self._name(item), view) for item, view in pairs if isinstance(view, View)])
        yield from find_duplicates(*map(self._encoded, self.parts))
        if self.cut:
            yield f"{len(self.cut)} boxes reach beyond their images (such as {min(self.cut)}) and are cut at the edges"
        if self.absent:
            more = f" and {len(self.absent) - 20} more" if len(self.absent) > 20 else ""
            yield f"nothing in the images for training is of the class {', '.join(map(repr, self.absent[:20]))}{more}"

    def _encoded(self, items: Sequence[Labelled]) -> EncodedImages:
        """The files, of one class each: only those in both parts are told."""
        names = np.array([os.fsencode(self._name(item)) for item in items])
        return EncodedImages(self.root, (), np.zeros(len(items), np.int64), names)

    def _name(self, item: Labelled) -> str:
        return str(item.file.relative_to(self.root) if item.file.is_relative_to(self.root) else item.file)

    def _view(self, item: Labelled) -> View | Skipped:
        from PIL import Image

        try:
            with Image.open(item.file) as image:
                return view_of(image, item.mask.size() if self.masks and item.mask else item.size)
        except Exception as fault:  # Pillow can raise anything for a damaged file
            return broken(fault_reason(item.file, fault), self._name(item))

    def _open_all(self, part: int) -> Iterator[_Opened]:
        pairs = list(zip(self.parts[part], self._views[part], strict=True))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, len(pairs), BATCH):
                yield from pool.map(lambda pair: self._open(*pair), pairs[start : start + BATCH])

    def _open(self, item: Labelled, view: View | Skipped) -> _Opened:
        from PIL import Image

        if isinstance(view, Skipped):
            return view
        if view.fit is Fit.NEITHER:
            return Skipped("images whose labels are for another width and height", 1, self._name(item))
        upright = view.fit is Fit.UPRIGHT or (view.fit is Fit.BOTH and self._upright)
        size = view.labels if view.labels != (0, 0) else view.upright if upright else view.stored
        try:
            with Image.open(item.file) as image:
                rgb, encoding = to_rgb(image, upright=upright)
                pixels = np.asarray(rgb.resize((self.side,) * 2, Image.Resampling.BILINEAR))
            scene, left_out, covered = self._scene(item, size)
        except DataError as fault:
            if fault.file:
                raise
            raise DataError(f"{fault}", at=item.file) from None
        except Exception as fault:  # Pillow can raise anything for a damaged file
            return broken(fault_reason(item.file, fault), self._name(item))
        return DecodedImage(pixels, scene, *view.upright, encoding), left_out, covered

    def _scene(self, item: Labelled, size: Size) -> tuple[Scene, list[Skipped], np.ndarray]:
        from PIL import Image

        if not self.masks:
            return self._boxes(item, size)
        mask, left_out = item.mask.read(size) if item.mask else (np.zeros(size[::-1], np.uint8), [])
        covered = np.bincount(mask.ravel(), minlength=IGNORED + 1)
        unknown = np.flatnonzero(covered[len(self.classes) : IGNORED]) + len(self.classes)
        if len(unknown):
            edges = f" and {len(unknown) - 1} more, as smoothed edges leave" if len(unknown) > 3 else ""
            raise DataError(
                f"its mask contains class {unknown[0]}{edges}, but there are only {len(self.classes)} with the "
                "background."
            )
        square = Image.fromarray(mask).resize((self.side,) * 2, Image.Resampling.NEAREST)
        return Scene(np.asarray(square)), left_out, covered

    def _boxes(self, item: Labelled, size: Size) -> tuple[Scene, list[Skipped], np.ndarray]:
        (boxes, beyond), (ignored, _) = (
            _place(boxes, size, width) for boxes, width in ((item.boxes, 5), (item.ignored, 6))
        )
        self.cut += [self._name(item)] * beyond
        outside = len(item.boxes) - len(boxes)
        left_out = [Skipped("boxes outside their images", 1, self._name(item))] * outside
        counts = np.bincount(boxes[:, 0].astype(int), minlength=max(IGNORED + 1, len(self.classes)))
        return Scene(boxes=boxes, ignored=ignored), left_out, counts


def _fits(item: Labelled, width: int, height: int) -> bool:
    return all(box[3] <= 1.05 * width and box[4] <= 1.05 * height for box in (*item.boxes, *item.ignored))


def _place(boxes: Sequence[Sequence[float]], size: Size, columns: int) -> tuple[np.ndarray, int]:
    """The boxes of which something is inside the image, (box, columns), in shares of its sides; and how many of them
    are cut at its edges by more than a pixel."""
    found = np.array(boxes, float).reshape(-1, columns)
    corners = found[:, 1:5].clip(0, (*size, *size))
    inside = (corners[:, 2:] > corners[:, :2]).all(1)
    beyond = inside & (np.abs(corners - found[:, 1:5]) > 1).any(1)
    found[:, 1:5] = corners / (*size, *size)
    return found[inside], int(beyond.sum())
