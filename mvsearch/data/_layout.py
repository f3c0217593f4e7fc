"""How a folder of images is read: which folders are its parts, which are its classes, and which files are left out.

    PATH/train/CLASS/*.jpg  PATH/test/CLASS/*.jpg     parts, by their names (`_roles`)
    PATH/CLASS/*.jpg                                  classes, split by the seed

A folder that contains only one folder of folders stands for that one. With `train`, `test` and `val`, `test` is the
test part and `val` is left out. What can be read in two ways is refused.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mvsearch.data._encoded import EncodedImages, EncodedSet
from mvsearch.data._images import stratified_split
from mvsearch.data._roles import Role, role_of
from mvsearch.data._walk import Walk, is_image, split_suffix
from mvsearch.errors import DataError
from mvsearch.utils.text import printable

Listing = list[tuple[Path, int]]
"""Image files with the number of their class."""

# Names of folders that sort files by their kind, not images by their class.
_CONTENTS = (
    "images",
    "imgs",
    "img",
    "jpegimages",
    "masks",
    "mask",
    "labels",
    "annotations",
    "segmentations",
    "trimaps",
)
_OUTSIDE = "files outside the folders of classes"
_HINT = "sort the images into train/CLASS and test/CLASS, or into CLASS to have them split"


def read_layout(path: Path, fraction: float, seed: int) -> EncodedSet:
    """The images of a folder; `fraction` and `seed` matter only if it has no parts. Raises DataError."""
    return _Reader(Walk(path)).read(fraction, seed)


def layout_classes(path: Path) -> tuple[str, ...]:
    """The classes of a folder, without a look at its images. Raises DataError."""
    return _Reader(Walk(path)).classes()


@dataclass
class _Reader:
    walk: Walk
    assumptions: list[str] = field(default_factory=list)

    def read(self, fraction: float, seed: int) -> EncodedSet:
        root = self._unwrap(self.walk.root)
        parts = self._parts(root)
        if parts:
            classes, train, test = self._read_parts(root, *parts)
        else:
            classes, files = self._read_classes(root)
            labels = np.array([label for _, label in files])
            for name, count in zip(classes, np.bincount(labels), strict=True):
                if count < 2:
                    raise DataError("one image cannot be split into train and test; add another.", at=root / name)
            train, test = ([files[i] for i in part] for part in stratified_split(labels, fraction, seed))
        self._note_names(classes)
        names = tuple(map(printable, classes))
        training, held_out = (EncodedImages.of_files(self.walk.root, names, part) for part in (train, test))
        return EncodedSet(training, held_out, self.walk.skipped, tuple(self.assumptions), bool(parts))

    def classes(self) -> tuple[str, ...]:
        root = self._unwrap(self.walk.root)
        parts = self._parts(root)
        return tuple(map(printable, self._classes(self._unwrap(parts[0], into_parts=True) if parts else root)))

    def _unwrap(self, folder: Path, *, into_parts: bool = False) -> Path:
        """The folder itself, or the one folder in it that contains folders; it may be called `train` in a part."""
        while True:
            entries = self.walk.entries(folder)
            if len(entries.folders) != 1 or any(map(is_image, entries.files)):
                return folder
            [name] = entries.folders
            inner = folder / name
            if not self.walk.entries(inner).folders or (_is_certain(role_of(name)) and not into_parts):
                return folder
            self.assumptions.append(f"read {self.walk.name(inner)} as the folder of the images")
            self.walk.leave_out_rest(folder, (name,), _OUTSIDE, "")
            folder = inner

    def _parts(self, root: Path) -> tuple[Path, Path] | tuple[()]:
        """The folders to train on and to test on; none if the folders are classes. Raises DataError if unclear."""
        roles = {name: role for name in self.walk.entries(root).folders if (role := role_of(name))}
        with_classes = {name: role for name, role in roles.items() if self.walk.entries(root / name).folders}
        families = {role.affix for role in with_classes.values()}
        pairs = [pair for affix in families if (pair := _pair(root, with_classes, affix))]
        certain = [name for name, role in with_classes.items() if _is_certain(role)]
        if certain:
            pairs = [pair for pair in pairs if pair[0] in certain]
        if len(pairs) > 1:
            raise DataError(f"{pairs[0][0]} and {pairs[1][0]} can both be for training; keep one of them.", at=root)
        if pairs:
            [(train, test)] = pairs
            return root / train, root / test
        if certain:
            missing = "no test and no val" if with_classes[certain[0]].part == "train" else "no train"
            raise DataError(
                f"has {certain[0]}, but {missing} with folders of classes; add it, or give {root / certain[0]} to have "
                "it split.",
                at=root,
            )
        self._refuse_families(root, roles)
        return ()

    def _refuse_families(self, root: Path, roles: Mapping[str, Role]) -> None:
        """Refuse parts that are not all in folders of classes; a class of its own may be called `train`."""
        families: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
        for name, role in roles.items():
            entries = self.walk.entries(root / name)
            if entries.folders or any(map(is_image, entries.files)):
                families[role.affix][role.part] = name
        for parts in families.values():
            names = sorted(parts.values())
            loose = [name for name in names if not self.walk.entries(root / name).folders]
            if len(parts) > 1 and loose:
                both = " and ".join(map(printable, names))
                raise DataError(
                    f"{both} are parts by name, but {printable(loose[0])} contains no folders of classes; {_HINT}.",
                    at=root,
                )

    def _read_parts(self, root: Path, train: Path, test: Path) -> tuple[tuple[str, ...], Listing, Listing]:
        if (train.name, test.name) not in (("train", "test"), ("train", "val")):
            self.assumptions.append(f"read {printable(train.name)} as train and {printable(test.name)} as test")
        validation = [name for name in self.walk.entries(root).folders if _part(name) == "val" and name != test.name]
        if validation and _part(test.name) == "test":
            names = " and ".join(map(printable, validation))
            self.assumptions.append(f"left out {names}: {printable(test.name)} is the test part")
        others = f"which is neither {printable(train.name)} nor {printable(test.name)}"
        self.walk.leave_out_rest(root, (train.name, test.name), _OUTSIDE, others)
        train, test = self._unwrap(train, into_parts=True), self._unwrap(test, into_parts=True)
        classes = self._classes(train)
        self._check_same(root, {name: train / name for name in classes}, {n: test / n for n in self._classes(test)})
        return classes, self._listing(train, classes), self._listing(test, classes)

    def _read_classes(self, root: Path) -> tuple[tuple[str, ...], Listing]:
        classes = self._classes(root)
        for name in classes:
            if _is_certain(role_of(name)) or name.lower() in _CONTENTS:
                self.assumptions.append(f"read {printable(name)} as the name of a class")
        self._refuse_parts_in_classes(root, classes)
        lists = [name for name in self.walk.entries(root).files if role_of(split_suffix(name)[0])]
        if lists:
            self.assumptions.append(f"{' and '.join(map(printable, lists))} not read: the seed splits the images")
        return classes, self._listing(root, classes)

    def _classes(self, folder: Path) -> tuple[str, ...]:
        classes = self.walk.entries(folder).folders
        if len(classes) < 2:
            content = (
                f"only one folder, {printable(classes[0])}" if classes else f"no folders{_beside(self.walk, folder)}"
            )
            raise DataError(f"found {content}; use one folder for each class, at least two.", at=folder)
        return classes

    def _listing(self, folder: Path, classes: Sequence[str]) -> Listing:
        self.walk.leave_out_rest(folder, tuple(classes), _OUTSIDE, "")
        files: Listing = []
        nested = [folder / name for name in classes if self.walk.entries(folder / name).folders]
        if nested:
            self.assumptions.append(f"read the images in folders below {self.walk.name(nested[0])} as of this class")
        for label, name in enumerate(classes):
            images = self.walk.images(folder / name)
            if not images:
                raise DataError(
                    f"this class has no images{_instead(folder / name)}; add some or remove the folder.",
                    at=folder / name,
                )
            files += [(file, label) for file in images]
        return files

    def _check_same(self, root: Path, train: Mapping[str, Path], test: Mapping[str, Path]) -> None:
        unmatched = sorted(train.keys() ^ test.keys())
        if not unmatched:
            return
        name = unmatched[0]
        here, there = (train, test) if name in train else (test, train)
        alike = [other for other in there if _fold(other) == _fold(name)]
        hint = f"; {there[alike[0]]} differs only in case, blanks or Unicode form" if alike else ""
        raise DataError(
            f"{len(unmatched)} classes are only in one part, such as {here[name]}{hint}; use the same names in both.",
            at=root,
        )

    def _refuse_parts_in_classes(self, root: Path, classes: Sequence[str]) -> None:
        """Refuse PATH/CLASS/train, and folders that look like parts of unknown names."""
        inside = {name: self.walk.entries(root / name).folders for name in classes}
        for name, folders in inside.items():
            families: dict[tuple[str, ...], set[str]] = defaultdict(set)
            for role in filter(None, map(role_of, folders)):
                families[role.affix].add(role.part)
            if any(len(parts) > 1 for parts in families.values()):
                parts = " and ".join(map(printable, filter(role_of, folders)))
                raise DataError(f"contains {parts}, as a data set does; give this folder, or {_HINT}.", at=root / name)
        common = sorted(set[str].intersection(*map(set, inside.values())))
        loose = any(is_image(file) for name in classes for file in self.walk.entries(root / name).files)
        if len(common) > 1 and not loose:
            raise DataError(
                f"{printable(classes[0])} and {printable(classes[1])} contain the same folders, {printable(common[0])} "
                f"and {printable(common[1])}, and may be parts or classes; name parts train and test, or put the "
                "images of each class into one folder.",
                at=root,
            )

    def _note_names(self, classes: Sequence[str]) -> None:
        if groups := list(_groups(classes)):
            words = " and ".join(map(printable, groups[0]))
            self.assumptions.append(
                f"kept {sum(map(len, groups))} classes apart that differ only in case, blanks or Unicode form, such as "
                f"{words}"
            )


def _instead(folder: Path) -> str:
    """What a folder without images contains instead."""
    walk = Walk(folder)
    walk.images(folder)
    found = [f"{entry.count:,} {entry.reason}" for entry in walk.skipped]
    return f", but {' and '.join(found)}" if found else ""


def _beside(walk: Walk, folder: Path) -> str:
    """The files that a folder contains instead of folders."""
    kinds = Counter(
        "images" if is_image(name) else f"{printable(split_suffix(name)[1])} files".strip()
        for name in walk.entries(folder).files
    )
    found = [f"{count:,} {kind}" for kind, count in kinds.most_common(2)]
    return f", but {' and '.join(found)}" if found else ""


def _is_certain(role: Role | None) -> bool:
    """Whether a folder of classes with this role can only be a part."""
    return role is not None and not role.affix and role.part != "unlabelled"


def _part(name: str) -> str | None:
    role = role_of(name)
    return role.part if role else None


def _pair(root: Path, roles: Mapping[str, Role], affix: tuple[str, ...]) -> tuple[str, str] | None:
    """The names of train and test, else val, whose other words are these; raises DataError if one is there twice."""
    found = []
    for part in ("train", "test", "val"):
        names = [name for name, role in roles.items() if role == Role(part, affix)]
        if len(names) > 1:
            raise DataError(f"{names[0]} and {names[1]} can both be for {part}; keep one of them.", at=root)
        found.append(names[0] if names else None)
    train, test, val = found
    chosen = test or val
    return (train, chosen) if train and chosen else None


def _fold(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().strip()


def _groups(names: Sequence[str]) -> Iterator[list[str]]:
    """Names that differ only in case, blanks or the form of Unicode."""
    folded = defaultdict(list)
    for name in names:
        folded[_fold(name)].append(name)
    return (group for group in folded.values() if len(group) > 1)
