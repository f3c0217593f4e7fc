"""Which images PASCAL VOC's lists put into which part.

train.txt and val.txt; or trainval.txt and test.txt; or train.txt and test.txt; or only train.txt or trainval.txt,
of which the seed holds out a share. Lists of one class (cat_train.txt) count only if there are no others.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from mvsearch.data._values import Notes
from mvsearch.data._voc_file import read_lines
from mvsearch.errors import DataError

_PARTS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
    "trainval": ("trainval",),
}
_NAMES = {name: part for part, names in _PARTS.items() for name in names}
_OF_CLASS = re.compile(rf".+_({'|'.join(_NAMES)})")


@dataclass(frozen=True)
class Split:
    """The ids of the images to train on, and those to test on: None where the seed has to hold some out.

    `complete` if the lists are those of the task, so that every image in them has to be labelled for it.
    """

    train: list[str]
    test: list[str] | None
    complete: bool


def read_split(root: Path, folders: Sequence[str], ids: Collection[str], notes: Notes) -> Split | None:
    """The split by the lists in the first of the folders of ImageSets that has any; None if there are no lists.

    `ids` are those of all images, to tell an id with a blank in it from an id with a mark behind it.
    """
    others = list[str]()
    for place, name in enumerate(folders):
        folder = root / "ImageSets" / name
        files = [file for file in sorted(folder.glob("*")) if file.suffix.lower() == ".txt" and file.name[0] != "."]
        if lists := _lists(files):
            if place:
                notes.assume(f"{root / 'ImageSets' / folders[0]} has no lists: those in {folder.name} are used")
            return _split(folder, lists, ids, notes, complete=not place)
        others += [file.relative_to(root).as_posix() for file in files]
    found = f" ({', '.join(others[:5])} is for none)" if others else ""
    notes.assume(f"there is no list for a part in ImageSets{found}: the seed holds out some of the images")
    return None


def _lists(files: Sequence[Path]) -> dict[str, list[Path]]:
    """The files of each part: its own, or else those of every class."""
    whole = {_NAMES[file.stem.lower()]: [file] for file in files if file.stem.lower() in _NAMES}
    if whole:
        return whole
    found: dict[str, list[Path]] = {}
    for file in files:
        if matched := _OF_CLASS.fullmatch(file.stem.lower()):
            found.setdefault(_NAMES[matched[1]], []).append(file)
    return found


def _split(
    folder: Path, lists: Mapping[str, Sequence[Path]], ids: Collection[str], notes: Notes, *, complete: bool
) -> Split:
    pairs = [("train", "val"), ("trainval", "test"), ("train", "test"), ("trainval", "val")]
    train, test = next(
        ((first, second) for first, second in pairs if first in lists and second in lists),
        ("trainval" if "trainval" in lists else "train", None),
    )
    if train not in lists:
        raise DataError(f"has {', '.join(f'{name}.txt' for name in lists)}, but no train.txt; add it.", at=folder)
    used = [name for name in (train, test) if name]
    parts = {name: _ids(lists[name], ids, notes) for name in used}
    if test is None:
        notes.assume(f"{folder} has no list for val or test: the seed holds out some of {train}.txt")
    elif test == "test":
        notes.assume(f"{folder} has no val.txt: {train}.txt is for training and {test}.txt for the test")
    elif train == "trainval":
        notes.assume(f"{folder} has no train.txt: the images of trainval.txt that are not in val.txt are for training")
        parts[train] = [one for one in parts[train] if one not in set(parts[test])]
    if unused := sorted(lists.keys() - set(used) - ({"trainval"} if test == "val" else set())):
        notes.assume(f"{folder}: {', '.join(f'{name}.txt' for name in unused)} is not used")
    if test and (both := set(parts[train]) & set(parts[test])):
        notes.assume(f"{len(both)} images (such as {min(both)}) are in {train}.txt and in {test}.txt")
    return Split(parts[train], parts[test] if test else None, complete)


def _ids(files: Sequence[Path], ids: Collection[str], notes: Notes) -> list[str]:
    found: dict[str, None] = {}
    for file in files:
        listed = [_id(line, ids) for line in read_lines(file)]
        if not listed:
            raise DataError("lists no images; add some, or remove the file to split the images by the seed.", at=file)
        if len(files) == 1 and (twice := len(listed) - len(set(listed))):
            notes.skip("lines of lists that repeat an image", file.name, twice)
        found |= dict.fromkeys(listed)
    return list(found)


def _id(line: str, ids: Collection[str]) -> str:
    """The id in a line such as `2008_1`, `2008_1 -1` or `JPEGImages/2008_1.jpg`; if there is none, the line."""
    marked = re.fullmatch(r"(.*\S)\s+(-1|0|1)", line)
    texts = [line, *([marked[1]] if marked else []), line.split()[0]]
    for text in texts:
        for candidate in (text, PureWindowsPath(text).name, PureWindowsPath(text).stem):
            if candidate in ids:
                return candidate
    return texts[1] if marked else line
