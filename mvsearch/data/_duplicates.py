"""Finds images with the same bytes in the training and the test part, and in several classes."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path

from mvsearch.data._files import EncodedImages
from mvsearch.utils.text import printable

_END = 256  # the last bytes tell nearly all files of one size apart


def find_duplicates(train: EncodedImages, test: EncodedImages) -> Iterator[str]:
    """A sentence if test images are also training images, and one if an image is in several classes; not for shards.

    Files are compared by size, then by their last bytes, and read in full only if both are the same.
    """
    if train.spans is not None:
        return
    labels = dict(zip((*train.files, *test.files), (*train.labels, *test.labels), strict=True))
    in_train, groups = set(train.files), list(_same_bytes(list(labels)))
    leaked = [(group[0], file) for group in groups if group[0] in in_train for file in group if file not in in_train]
    if leaked:
        yield f"{len(leaked):,} of {len(test):,} test images are also in train, such as {_names(train.root, leaked[0])}"
    mixed = [(group[0], file) for group in groups for file in group[1:] if labels[file] != labels[group[0]]]
    if mixed:
        yield f"{len(mixed):,} images are also in another class, such as {_names(train.root, mixed[0])}"


def _names(root: Path, files: Sequence[Path]) -> str:
    return " and ".join(printable(file.relative_to(root).as_posix()) for file in files)


def _same_bytes(files: list[Path]) -> Iterator[list[Path]]:
    """The files that are not alone with their bytes, in groups, each in the order of the files."""
    groups = [files]
    for key in (_size, _last_bytes, _digest):
        groups = [same for group in groups for same in _group(group, key)]
    yield from groups


def _group(files: list[Path], key: Callable[[Path], Hashable]) -> Iterator[list[Path]]:
    groups: dict[Hashable, list[Path]] = defaultdict(list)
    for file in files:
        try:
            groups[key(file)].append(file)
        except OSError:  # counted where it is decoded
            continue
    return (group for group in groups.values() if len(group) > 1)


def _size(file: Path) -> Hashable:
    return file.stat().st_size or file  # empty files are broken images, not duplicates


def _last_bytes(file: Path) -> bytes:
    with file.open("rb") as content:
        content.seek(max(0, file.stat().st_size - _END))
        return content.read()


def _digest(file: Path) -> bytes:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()
