"""Encoded images: their classes, and where their bytes are."""

import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from mvsearch.data._skipped import Skipped
from mvsearch.utils.text import printable


@dataclass(frozen=True)
class EncodedImages:
    """Encoded images of one part of a set.

    `labels` (N) int64 counts into `classes`; `names` (N) are the bytes of the paths below `root`. For images in shards,
    `spans` (N, 3) has the number of the shard, the first byte and the number of bytes. All of it is in NumPy arrays, so
    that processes share the memory.
    """

    root: Path
    classes: tuple[str, ...]
    labels: np.ndarray
    names: np.ndarray
    shards: tuple[Path, ...] = ()
    spans: np.ndarray | None = None

    @classmethod
    def of_files(cls, root: Path, classes: tuple[str, ...], files: Sequence[tuple[Path, int]]) -> Self:
        """The images in files below `root`, each with the number of its class."""
        names = np.array([os.fsencode(file.relative_to(root).as_posix()) for file, _ in files])
        return cls(root, classes, np.array([label for _, label in files], np.int64), names)

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, i: int) -> str:
        """Where image `i` is, for messages."""
        inside = printable(self._inside(i))
        return inside if self.spans is None else f"{printable(self.shards[self.spans[i, 0]].name)}: {inside}"

    @property
    def files(self) -> tuple[Path, ...]:
        """The files with the images: one for each, or the shards."""
        if self.spans is not None:
            return self.shards
        return tuple(self.root / self._inside(i) for i in range(len(self)))

    def subset(self, images: np.ndarray) -> Self:
        """Only these images, in this order."""
        spans = None if self.spans is None else self.spans[images]
        return replace(self, labels=self.labels[images], names=self.names[images], spans=spans)

    def open(self, i: int) -> Path | BinaryIO:
        """The encoded image."""
        if self.spans is None:
            return self.root / self._inside(i)
        shard, start, length = self.spans[i].tolist()
        with self.shards[shard].open("rb") as file:
            file.seek(start)
            return io.BytesIO(file.read(length))

    def _inside(self, i: int) -> str:
        return os.fsdecode(bytes(self.names[i]))


def listing_checksum(*parts: EncodedImages) -> str:
    """The first 32 hexadecimal digits of the SHA-256 of names, classes and spans; no image is read."""
    total = hashlib.sha256()
    for part in parts:
        spans = () if part.spans is None else (part.spans,)
        for array in (part.labels, part.names, *spans):
            total.update(f"{array.shape} {array.dtype}".encode() + np.ascontiguousarray(array).tobytes())
        total.update("\n".join(part.classes).encode())
    return total.hexdigest()[:32]


@dataclass(frozen=True)
class EncodedSet:
    """The encoded images to train on and to test on; what was left out and what was assumed, as in a DataSet.

    Without a test part of its own the seed splits the images.
    """

    train: EncodedImages
    test: EncodedImages
    skipped: tuple[Skipped, ...]
    assumptions: tuple[str, ...]
    has_test_part: bool
