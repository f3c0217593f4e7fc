"""WebDataset shards: tar files with images and their classes.

    PATH/train*.tar  PATH/test*.tar  (or val, and other usual names, see `_roles`), or in folders of these names
    PATH/classes.txt                 names the classes of numbers, one a line

In a shard `NAME.jpg` is an image and `NAME.cls` its class, a number from 0 or a word. NAME may contain dots: an image
`a.1.jpg` has the class of `a.1.cls` if that exists, and of `a.cls` otherwise. One image has one class file: where
several share `a.cls`, the first is used and the others are left out.
"""

import os
import re
import tarfile
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath

import numpy as np

from mvsearch.data._encoded import EncodedImages, EncodedSet
from mvsearch.data._roles import role_of
from mvsearch.data._skipped import Tally
from mvsearch.data._walk import Walk, is_hidden, is_image, not_an_image, split_suffix
from mvsearch.errors import DataError, Location
from mvsearch.utils.progress import Progress, track
from mvsearch.utils.text import printable

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?", re.ASCII)
_CLASS = re.compile(r"0*\d{1,9}", re.ASCII)
_MOST_NUMBERS = 10  # for each class that has images; without classes.txt more are a mistake, such as numbers of images


@dataclass(frozen=True)
class _Member:
    """An image: `span` is the number of its shard, its first byte and its number of bytes."""

    name: str
    span: tuple[int, int, int]
    label: str


def in_shards(path: Path) -> bool:
    """Whether the images of a folder are in shards; an archive beside folders of classes is not a shard."""
    if not path.is_dir():
        return False
    walk = Walk(path)
    root, *folders = map(walk.entries, _folders(walk))
    if any(folder.folders for folder in folders):
        return False
    beside = [role_of(split_suffix(name)[0]) for name in root.files if _is_shard(name)]
    inside = any(_is_shard(name) for folder in folders for name in folder.files)
    return inside or any(beside) or (bool(beside) and not root.folders)


def read_shards(path: Path, progress: Progress | None) -> EncodedSet:
    """The images and classes of the shards of a folder; raises DataError naming what is missing or damaged."""
    walk = Walk(path)
    found = _by_part(walk)
    train, test = found["train"], found["test"] or found["val"]
    if not train:
        raise DataError("has shards, but no train*.tar; rename them to train*.tar and test*.tar.", at=path)
    if not test:
        raise DataError("has train*.tar but no test shards; add test*.tar or val*.tar.", at=path)
    files = (*train, *test)
    _leave_out_rest(walk, {*files, path / "classes.txt"})
    members = [
        member
        for i, shard in enumerate(track(files, "read shards", len(files), progress))
        for member in _members(i, shard, walk.left_out)
    ]
    classes, numbers, assumptions = _classes(path, members)
    parts = []
    for first, last in ((0, len(train)), (len(train), len(files))):
        part = [member for member in members if first <= member.span[0] < last]
        if not part:
            raise DataError(
                "contains no images, nor do the other shards of its part; check how they were written.", at=files[first]
            )
        labels = np.array([numbers[member.label] for member in part], np.int64)
        names = np.array([os.fsencode(member.name) for member in part])
        spans = np.array([member.span for member in part], np.int64)
        parts.append(EncodedImages(path, classes, labels, names, files, spans))
    if only := sorted({*parts[0].labels.tolist()} ^ {*parts[1].labels.tolist()}):
        assumptions += (f"{len(only)} classes have images in one part only, such as {printable(classes[only[0]])}",)
    return EncodedSet(parts[0], parts[1], walk.skipped, assumptions, True)


def _folders(walk: Walk) -> list[Path]:
    """The folder and those in it that are parts by their names."""
    return [walk.root, *(walk.root / name for name in walk.entries(walk.root).folders if role_of(name))]


def _by_part(walk: Walk) -> dict[str, list[Path]]:
    parts = defaultdict[str, list[Path]](list)
    for folder in _folders(walk):
        for name in filter(_is_shard, walk.entries(folder).files):
            role = role_of(split_suffix(name)[0] if folder == walk.root else folder.name)
            if role:
                parts[role.part].append(folder / name)
    return parts


def _leave_out_rest(walk: Walk, used: Container[Path]) -> None:
    """Count what is beside the shards."""
    for folder in _folders(walk):
        entries = walk.entries(folder)
        for name in (*entries.files, *entries.folders, *entries.hidden, *entries.dead):
            if (path := folder / name) not in used and path not in _folders(walk):
                shard = _is_shard(name)
                walk.leave_out(path, "shards of no part that is used" if shard else "files outside the shards")


def _is_shard(name: str) -> bool:
    return split_suffix(name)[1] == ".tar" and not is_hidden(name)


def _members(number: int, shard: Path, left_out: Tally) -> Iterator[_Member]:
    images: dict[str, tarfile.TarInfo] = {}
    labels: dict[str, str] = {}

    def leave_out(reason: str, name: str) -> None:
        left_out.add(reason, f"{printable(shard.name)}: {printable(name)}")

    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                name = normpath(member.name)
                stem, suffix = split_suffix(name)
                if member.isdir():
                    continue
                if any(map(is_hidden, name.split("/"))):
                    leave_out("hidden or system files", name)
                elif not member.isfile():
                    leave_out("links in shards", name)
                elif suffix == ".cls" and (file := tar.extractfile(member)):
                    labels[stem] = file.read().decode("utf-8-sig").strip()
                elif is_image(name):
                    if name in images:
                        leave_out("images that a later member of the same name replaces", name)
                    images[name] = member
                else:
                    leave_out(not_an_image(name), name)
            _check_end(tar)
    except (tarfile.TarError, OSError, UnicodeDecodeError) as fault:
        raise DataError(f"damaged shard ({fault}); fetch or write it again.", at=shard) from fault
    unused = dict(labels)
    for key, names in _by_label(images, labels, shard).items():
        unused.pop(key)
        first, *others = names
        for name in others:
            leave_out("images of a class file that another image uses", name)
        member = images[first]
        yield _Member(first, (number, member.offset_data, member.size), labels[key])
    for key in unused:
        leave_out("classes without an image", f"{key}.cls")


def _check_end(tar: tarfile.TarFile) -> None:
    """Raises ReadError unless only zeros, at least one block, follow the last member that could be read.

    `tarfile` ends without an error where a shard is cut between members or damaged, or where another is appended.
    """
    file = tar.fileobj
    assert file is not None
    file.seek(tar.offset)
    blocks = list(map(any, iter(lambda: file.read(tarfile.RECORDSIZE), b"")))
    if not blocks or any(blocks):
        raise tarfile.ReadError(f"no end mark at byte {tar.offset:,}: it is cut, or more follows that cannot be read")


def _by_label(images: Iterable[str], labels: Mapping[str, str], shard: Path) -> dict[str, list[str]]:
    """The images of each class file, in the order of the shard, that of exactly its name first."""
    by_label = defaultdict[str, list[str]](list)
    for name in images:
        stem, _ = split_suffix(name)
        folder, slash, base = stem.rpartition("/")
        key = stem if stem in labels else folder + slash + base.partition(".")[0]
        if not labels.get(key):
            raise DataError(f"{printable(name)} has no class; write it to {printable(stem)}.cls beside it.", at=shard)
        by_label[key].append(name)
    for key, names in by_label.items():
        names.sort(key=lambda name: split_suffix(name)[0] != key)
    return by_label


def _classes(root: Path, members: Sequence[_Member]) -> tuple[tuple[str, ...], dict[str, int], tuple[str, ...]]:
    """The classes, the number of each label, and what was assumed.

    Labels are numbers from 0, or names in alphabetical order; raises DataError for a mixture and for other numbers.
    """
    labels = sorted({member.label for member in members})
    words = [label for label in labels if not _NUMBER.fullmatch(label)]
    others = [label for label in labels if label not in words and not _CLASS.fullmatch(label)]
    if words and len(words) < len(labels):
        number = next(label for label in labels if label not in words)
        raise DataError(
            f"some classes are numbers, such as {number}, and some are words, such as {words[0]!r}; use one.", at=root
        )
    if others:
        raise DataError(f"found the class {others[0][:20]}; number the classes from 0, or name them.", at=root)
    if words:
        unread = ("classes.txt not read: the shards name the classes",) if (root / "classes.txt").is_file() else ()
        return tuple(labels), {label: i for i, label in enumerate(labels)}, unread
    numbers = {label: int(label) for label in labels}
    names = _read_names(root / "classes.txt")
    count = 1 + max(numbers.values(), default=0)
    if names and len(names) < count:
        raise DataError(
            f"names {len(names)} classes, but the shards have class {count - 1}; name all of them.",
            at=root / "classes.txt",
        )
    found = {*numbers.values()}
    if not names and count > _MOST_NUMBERS * len(found):
        raise DataError(
            f"found class {count - 1}, but images of only {len(found)} classes; number the classes from 0 on, "
            "or name all of them in classes.txt.",
            at=root,
        )
    classes = names or tuple(map(str, range(count)))
    empty = sorted({*range(len(classes))} - found)
    note = f"{len(empty)} of {len(classes)} classes have no images, such as {classes[empty[0]]}" if empty else ""
    return classes, numbers, (note,) if note else ()


def _read_names(file: Path) -> tuple[str, ...]:
    """The names of the classes, one a line; none without a file. Raises DataError for blank and repeated names."""
    if not file.is_file():
        return ()
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise DataError(f"cannot be read ({fault}); write it in UTF-8.", at=file) from fault
    names = [name.strip() for name in text.rstrip().split("\n")] if text.strip() else []
    for line, name in enumerate(names, 1):
        if not name or name in names[: line - 1]:
            found = f"names {name!r} twice" if name else "has no name"
            raise DataError(f"{found}; write one name for each class, in their order.", at=Location(str(file), line))
    return tuple(names)
