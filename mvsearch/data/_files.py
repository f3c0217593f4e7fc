"""Encoded images, for data sets that are too large to be decoded in advance: their classes and their bytes.

    PATH/train/CLASS/*.jpg  PATH/test/CLASS/*.jpg     (or val), as the source `folder` reads them
    PATH/CLASS/*.jpg                                  split by the seed
    PATH/train*.tar  PATH/test*.tar                   (or val): WebDataset shards, or in folders of these names

In a shard the files of one image share their name up to the first dot: the image, and `.cls`, its class as a number
from 0 or as a word. `PATH/classes.txt` names the classes of numbers, one a line.
"""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from mvsearch.data.folder import Listing, image_suffixes, parts
from mvsearch.errors import DataError
from mvsearch.utils.progress import Progress, track


@dataclass(frozen=True)
class EncodedImages:
    """Encoded images of one part of a set.

    `labels` (N) int64 counts into `classes`; `names` (N) are the paths below `root`, as UTF-8. For images in shards,
    `spans` (N, 3) has the number of the shard, the first byte and the number of bytes. All of it is in NumPy arrays, so
    that processes share the memory.
    """

    root: Path
    classes: tuple[str, ...]
    labels: np.ndarray
    names: np.ndarray
    shards: tuple[Path, ...] = ()
    spans: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, i: int) -> str:
        """Where image `i` is, for messages."""
        inside = bytes(self.names[i]).decode()
        return inside if self.spans is None else f"{self.shards[self.spans[i, 0]].name}: {inside}"

    def subset(self, images: np.ndarray) -> Self:
        """Only these images, in this order."""
        spans = None if self.spans is None else self.spans[images]
        return replace(self, labels=self.labels[images], names=self.names[images], spans=spans)

    def open(self, i: int) -> Path | BinaryIO:
        """The encoded image."""
        if self.spans is None:
            return self.root / self.name(i)
        shard, start, length = self.spans[i].tolist()
        with self.shards[shard].open("rb") as file:
            file.seek(start)
            return io.BytesIO(file.read(length))


def in_shards(path: Path) -> bool:
    """Whether the images of a folder are in shards."""
    return any(path.glob("*.tar")) or any((path / "train").glob("*.tar"))


def listing_checksum(*parts: EncodedImages) -> str:
    """The first 32 hexadecimal digits of the SHA-256 of names, classes and spans; no image is read."""
    total = hashlib.sha256()
    for part in parts:
        spans = () if part.spans is None else (part.spans,)
        for array in (part.labels, part.names, *spans):
            total.update(f"{array.shape} {array.dtype}".encode() + np.ascontiguousarray(array).tobytes())
        total.update("\n".join(part.classes).encode())
    return total.hexdigest()[:32]


def find_files(
    path: Path, *, test_fraction: float = 0.1, seed: int = 0, progress: Progress | None = None
) -> tuple[EncodedImages, EncodedImages]:
    """The images to train on and those to test on; reads the headers of shards. DataError names what is missing."""
    if not path.is_dir():
        raise DataError("no such folder; give one with a folder of images for each class, or with shards.", at=path)
    if train := _shards(path, "train"):
        test = _shards(path, "test") or _shards(path, "val")
        if not test:
            raise DataError("has train*.tar but no test shards; add test*.tar or val*.tar.", at=path)
        return _in_shards(path, train, test, progress)
    if any(path.glob("*.tar")):
        raise DataError("has shards, but no train*.tar; rename them to train*.tar and test*.tar.", at=path)
    classes, *both = parts(path, test_fraction, seed)
    train_files, test_files = (_loose(path, classes, part) for part in both)
    return train_files, test_files


def _loose(root: Path, classes: tuple[str, ...], listing: Listing) -> EncodedImages:
    names = np.array([file.relative_to(root).as_posix().encode() for file, _ in listing])
    return EncodedImages(root, classes, np.array([label for _, label in listing], np.int64), names)


def _shards(path: Path, part: str) -> list[Path]:
    return sorted([*path.glob(f"{part}*.tar"), *(path / part).glob("*.tar")])


@dataclass(frozen=True)
class _Member:
    name: str
    span: tuple[int, int, int]
    label: str


def _in_shards(
    root: Path, train: list[Path], test: list[Path], progress: Progress | None
) -> tuple[EncodedImages, EncodedImages]:
    shards = (*train, *test)
    members = [
        member
        for i, shard in enumerate(track(shards, "read shards", len(shards), progress))
        for member in _members(i, shard)
    ]
    classes, numbers = _classes(root, sorted({member.label for member in members}))
    both = []
    for first, last in ((0, len(train)), (len(train), len(shards))):
        part = [member for member in members if first <= member.span[0] < last]
        if not part:
            raise DataError(
                "contains no images, nor do the other shards of its part; check how they were written.",
                at=shards[first],
            )
        labels = np.array([numbers[member.label] for member in part], np.int64)
        spans = np.array([member.span for member in part], np.int64)
        both.append(
            EncodedImages(root, classes, labels, np.array([member.name.encode() for member in part]), shards, spans)
        )
    return both[0], both[1]


def _members(number: int, shard: Path) -> Iterator[_Member]:
    images: dict[str, tarfile.TarInfo] = {}
    labels: dict[str, str] = {}
    suffixes = image_suffixes()
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in filter(tarfile.TarInfo.isfile, tar):
                folder, slash, name = member.name.rpartition("/")
                stem, _, kind = name.partition(".")
                key = folder + slash + stem
                if kind.lower() == "cls" and (file := tar.extractfile(member)):
                    labels[key] = file.read().decode().strip()
                elif f".{kind.lower()}" in suffixes:
                    images[key] = member
    except (tarfile.TarError, OSError, UnicodeDecodeError) as fault:
        raise DataError(f"damaged shard ({fault}); fetch or write it again.", at=shard) from fault
    for key, member in images.items():
        if key not in labels:
            raise DataError(f"{member.name} has no class; write it to {key}.cls beside the image.", at=shard)
        yield _Member(member.name, (number, member.offset_data, member.size), labels[key])


def _classes(root: Path, labels: list[str]) -> tuple[tuple[str, ...], dict[str, int]]:
    """The classes, and the number of each label: labels are numbers, or names in alphabetical order."""
    if not all(label.isdecimal() for label in labels):
        return tuple(labels), {label: i for i, label in enumerate(labels)}
    numbers = {label: int(label) for label in labels}
    file = root / "classes.txt"
    classes = tuple(file.read_text(encoding="utf-8").split("\n")) if file.is_file() else ()
    classes = tuple(name.strip() for name in classes if name.strip())
    count = 1 + max(numbers.values(), default=0)
    if classes and len(classes) < count:
        raise DataError(
            f"names {len(classes)} classes, but the shards have class {count - 1}; name all of them.", at=file
        )
    return classes or tuple(map(str, range(count))), numbers
