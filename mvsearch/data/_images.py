"""Images, scenes and data sets as every source returns them, and how they are split. NumPy only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from mvsearch.data._skipped import Skipped
from mvsearch.errors import DataError

IGNORED = 255
"""In a mask: an unknown class, which is neither trained on nor evaluated."""


@dataclass(frozen=True)
class Images:
    """Images of one size with a class each.

    `pixels` is uint8 of shape (image, row, column, channel), memory-mapped and read-only, with 1 or 3 channels;
    `labels` is int64 and counts into `classes`.

    Scenes, which show several things, have more: `masks`, uint8 (image, row, column), the class of every pixel, IGNORED
    where it is not known; `boxes`, float64 (box, 6), each with the number of its image, its class, and x0, y0, x1, y1
    in shares of the sides. Class 0 is the background then, and `labels` says which other class covers most. `ignored`
    (box, 7) are boxes of crowds and of difficult objects, which are not trained on and whose detection is neither right
    nor wrong; the last number is 1 for a crowd, else 0.
    """

    pixels: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    masks: np.ndarray | None = None
    boxes: np.ndarray | None = None
    ignored: np.ndarray | None = None

    def class_counts(self) -> np.ndarray:
        """For each class (class), int64: its boxes, or the images that show it."""
        if self.boxes is not None:
            return np.bincount(self.boxes[:, 1].astype(int), minlength=len(self.classes))
        return self.image_counts()

    def image_counts(self) -> np.ndarray:
        """For each class (class), int64: the images that show it."""
        if self.boxes is not None:
            shows = np.unique(self.boxes[:, :2].astype(int), axis=0)[:, 1]
            return np.bincount(shows, minlength=len(self.classes))
        if self.masks is not None:
            shown = (np.bincount(mask.ravel(), minlength=256)[: len(self.classes)] > 0 for mask in self.masks)
            counts: np.ndarray = sum(shown, np.zeros(len(self.classes), np.int64))
            return counts
        return np.bincount(self.labels, minlength=len(self.classes))

    def subset(self, images: np.ndarray) -> Self:
        """Only these images, each given once, with their masks and boxes."""
        number = np.full(len(self.labels), -1)
        number[images] = np.arange(len(images))

        def renumber(boxes: np.ndarray | None) -> np.ndarray | None:
            if boxes is None:
                return None
            owner = number[boxes[:, 0].astype(int)]
            kept: np.ndarray = np.column_stack((owner, boxes[:, 1:]))[owner >= 0]
            return kept

        return replace(
            self,
            pixels=self.pixels[images],
            labels=self.labels[images],
            masks=None if self.masks is None else self.masks[images],
            boxes=renumber(self.boxes),
            ignored=renumber(self.ignored),
        )

    def relabel(self, positions: Sequence[int], classes: tuple[str, ...]) -> Self:
        """The same images with labels that count into other `classes`, where each class has its position."""
        table = np.arange(max(IGNORED + 1, len(positions)))  # boxes may be of more classes than a mask holds
        table[: len(positions)] = positions

        def renumber(boxes: np.ndarray | None) -> np.ndarray | None:
            return (
                None if boxes is None else np.column_stack((boxes[:, 0], table[boxes[:, 1].astype(int)], boxes[:, 2:]))
            )

        return replace(
            self,
            labels=np.asarray(positions, np.int64)[self.labels],
            classes=classes,
            masks=None if self.masks is None else table.astype(np.uint8)[self.masks],
            boxes=renumber(self.boxes),
            ignored=renumber(self.ignored),
        )


@dataclass(frozen=True)
class Scene:
    """What an image shows: `mask`, uint8 (row, column), or `boxes`, (box, 5), each a class and its corners; or both.

    `ignored`, (box, 6), are boxes that are not evaluated, each with 1 for a crowd or 0 at the end.
    """

    mask: np.ndarray | None = None
    boxes: np.ndarray | None = None
    ignored: np.ndarray | None = None

    @property
    def label(self) -> int:
        """The class that covers most besides the background, by the mask or else by the boxes; 0 for none."""
        if self.mask is not None:
            covered = np.bincount(self.mask[self.mask != IGNORED], minlength=1)
        else:
            kind, x0, y0, x1, y1 = np.reshape([] if self.boxes is None else self.boxes, (-1, 5)).T
            covered = np.bincount(kind.astype(int), weights=(x1 - x0) * (y1 - y0), minlength=1)
        return int(covered[1:].argmax()) + 1 if covered[1:].any() else 0


@dataclass(frozen=True)
class DecodedImage:
    """One image as a source yields it: `pixels`, uint8 (row, column, channel), and its class or what it shows.

    `width` and `height` are those of the upright image in its file, in pixels; 0 if they are the same for all.
    `encoding` describes the file's pixels if they are not 8-bit RGB, e.g. "16-bit grey".
    """

    pixels: np.ndarray
    content: int | Scene
    width: int = 0
    height: int = 0
    encoding: str = ""


@dataclass(frozen=True)
class Native:
    """The images as they are in their files: the minimum, median and maximum of their widths and heights in pixels,
    and how many there are of each encoding other than 8-bit RGB."""

    width: tuple[float, float, float]
    height: tuple[float, float, float]
    encodings: Mapping[str, int]


@dataclass(frozen=True)
class DataSet:
    """Images to train on and images to test on.

    `checksum` identifies the decoded content on any machine and in any folder. `skipped` counts what was left out, by
    its reason; `assumptions` are sentences about what the files leave open and how it was read. `native` is None for
    images that are generated, or have one size in every copy of the data set.
    """

    name: str
    train: Images
    test: Images
    checksum: str
    skipped: tuple[Skipped, ...]
    source: str
    licence: str
    assumptions: tuple[str, ...] = ()
    native: Native | None = None


@dataclass(frozen=True)
class Request:
    """The images that a user requests from a source: `None` means the source's default.

    `task` is what the images are for; most sources are for one task, or give the same images for all.
    """

    path: Path | None = None
    size: int | None = None
    test_fraction: float = 0.1
    seed: int = 0
    task: str | None = None

    def only_size(self, name: str, size: int) -> None:
        """Raise DataError for another size than the source's: a silent resize would change the published images."""
        if self.size not in (None, size):
            raise DataError(f"found size={self.size}, but its images have {size} px; omit size.", at=name)


def stratified_split(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The indices to train on and those held out: the same share of every class, and at least one image."""
    if not 0 < fraction < 1:
        raise DataError(f"cannot hold out {fraction} of the images; use a fraction between 0 and 1.")
    rng = np.random.default_rng(seed)
    train, held_out = [], []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        if len(members) < 2:
            raise DataError(f"class {label} has one image and cannot be split; it needs two or more.")
        share = min(max(round(fraction * len(members)), 1), len(members) - 1)
        held_out.append(members[:share])
        train.append(members[share:])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(held_out))
