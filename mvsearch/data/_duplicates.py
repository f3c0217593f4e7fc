"""Finds images with the same bytes in the training and the test part, and in several classes."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mvsearch.data._encoded import EncodedImages

_END = 256  # the last bytes tell nearly all files of one size apart


def find_duplicates(train: EncodedImages, test: EncodedImages) -> Iterator[str]:
    """A sentence if test images are also training images, and one if an image is in several classes.

    Images are compared by size, then by their last bytes, and read in full only if both are the same.
    """
    both = _Both(train, test)
    labels = np.concatenate((train.labels, test.labels))
    groups = [*both.same_bytes()]
    leaked = [(group[0], i) for group in groups if group[0] < len(train) for i in group if i >= len(train)]
    if leaked:
        yield f"{len(leaked):,} of {len(test):,} test images are also in train, such as {both.names(*leaked[0])}"
    mixed = [(group[0], i) for group in groups for i in group[1:] if labels[i] != labels[group[0]]]
    if mixed:
        yield f"{len(mixed):,} images are also in another class, such as {both.names(*mixed[0])}"


@dataclass(frozen=True)
class _Both:
    """The images of both parts, numbered through."""

    train: EncodedImages
    test: EncodedImages

    def same_bytes(self) -> Iterator[list[int]]:
        """The images that are not alone with their bytes, in groups, each in their order."""
        groups = [list(range(len(self.train) + len(self.test)))]
        for key in (self._size, self._last_bytes, self._digest):
            groups = [same for group in groups for same in _group(group, key)]
        yield from groups

    def names(self, *images: int) -> str:
        """The names of the images, for messages."""
        return " and ".join(part.name(i) for part, i in map(self._find, images))

    def _find(self, image: int) -> tuple[EncodedImages, int]:
        return (self.train, image) if image < len(self.train) else (self.test, image - len(self.train))

    def _size(self, image: int) -> Hashable:
        part, i = self._find(image)
        if part.spans is not None:
            return int(part.spans[i, 2]) or (image,)  # empty files are broken images, not duplicates
        with self._open(image) as content:
            return content.seek(0, 2) or (image,)

    def _last_bytes(self, image: int) -> bytes:
        with self._open(image) as content:
            content.seek(max(0, content.seek(0, 2) - _END))
            return content.read()

    def _digest(self, image: int) -> bytes:
        with self._open(image) as content:
            return hashlib.sha256(content.read()).digest()

    def _open(self, image: int) -> BinaryIO:
        part, i = self._find(image)
        content = part.open(i)
        return content.open("rb") if isinstance(content, Path) else content


def _group(images: list[int], key: Callable[[int], Hashable]) -> Iterator[list[int]]:
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for image in images:
        try:
            groups[key(image)].append(image)
        except OSError:  # counted where it is decoded
            continue
    return (group for group in groups.values() if len(group) > 1)
