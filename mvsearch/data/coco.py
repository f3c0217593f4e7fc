"""Your own scenes in the format of COCO.

    PATH/annotations/instances_NAME.json      NAME begins with train or val, e.g. train2017
    PATH/annotations/PART.json  PATH/PART.json       PART is train, and val, valid or validation, or test
    PATH/NAME/*.jpg                           the images; or in PATH/images/NAME, PATH/images, PATH/data, PATH
    PATH/PART/_annotations.coco.json          as Roboflow exports them, with the images beside it
    PATH/annotations/instances_default.json   one file for all images, as CVAT exports it; or PATH/result.json of Label
                                              Studio, PATH/labels.json of FiftyOne, PATH/_annotations.coco.json

Without a file for val, that for test is used; without both, the seed splits the images. Categories are matched by their
names. Crowds are not trained on and do not count as errors in the score; in masks they are unknown. Masks are drawn
from the objects' outlines, the smaller ones on top; that needs pycocotools, of the extra `detection`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from mvsearch.data._coco_file import CocoFile, CocoImage, CocoObject, class_numbers, images_of, read_coco
from mvsearch.data._decoded import files_identity, load_or_decode
from mvsearch.data._image_names import ImageFinder
from mvsearch.data._images import IGNORED, DataSet, Request
from mvsearch.data._labelled import Labelled, SceneDecoder, check_class_limit, size_of, split
from mvsearch.data._orientation import Size
from mvsearch.data._outlines import draw, tools
from mvsearch.data._skipped import Skipped
from mvsearch.data._source import DataSource, user_folder
from mvsearch.data._values import Notes
from mvsearch.data._walk import Walk
from mvsearch.errors import DataError
from mvsearch.utils.progress import Progress

LICENCE = "that of your images"
TASKS = ("detection", "segmentation")
PARTS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
"""Words for the parts in the names of files and folders."""
ROBOFLOW = "_annotations.coco.json"
WHOLE = ("annotations/instances_default.json", ROBOFLOW, "result.json", "labels.json")
"""Annotations of a set without parts."""


def get(path: Path | None, progress: Progress | None) -> Path:
    """The folder itself: nothing is fetched."""
    return user_folder("coco", path, "that contains annotations")


def load(request: Request, progress: Progress | None) -> DataSet:
    """Boxes or masks, by the task; squares of `size` (256) pixels."""
    root, size, task = get(request.path, progress), size_of(request), request.task or TASKS[0]
    masks, notes = task == "segmentation", Notes()
    if masks:
        tools()
    files = _files(root, notes)
    names, parts = _read(root, files, notes, masks=masks)
    if masks:
        check_class_limit(names, root)
    train, test = parts if len(parts) == 2 else split(parts[0], request)
    identity = [task, size, request.test_fraction, request.seed, files_identity(root, files)]
    identity.append(files_identity(root, [item.file for item in (*train, *test)]))
    decoder = SceneDecoder(root, ("background", *names), (train, test), size=size, masks=masks, progress=progress)
    return load_or_decode(
        "coco",
        identity,
        decoder.decoding,
        source=str(root),
        licence=LICENCE,
        skipped=notes.skipped,
        assumptions=notes.assumptions,
    )


def check(path: Path | None, progress: Progress | None) -> tuple[str, ...]:
    """Reads the annotations and counts their content."""
    root, notes = get(path, progress), Notes()
    files = _files(root, notes)
    names, parts = _read(root, files, notes, masks=False)
    return tuple(
        f"{file}: {len(part)} images, {sum(len(item.boxes) for item in part)} boxes, {len(names)} classes."
        for file, part in zip(files, parts, strict=True)
    )


def _files(root: Path, notes: Notes) -> list[Path]:
    """The annotations for training, and those to evaluate on if there are any."""
    train, val, test = (_file(root, part) for part in PARTS)
    held_out = val or test
    if train is None and held_out is None:
        train = next((root / name for name in WHOLE if (root / name).is_file()), None)
    if train is None:
        raise DataError(
            f"has no annotations/instances_train*.json, train.json or train/{ROBOFLOW} in COCO's format; add one.",
            at=root,
        )
    if held_out is None:
        notes.assume(f"there are no annotations for val or test beside {_name(root, train)}: the seed holds out some")
    elif held_out == test:
        notes.assume(f"there are no annotations for val: {_name(root, test)} is the test part")
    files = [file for file in (train, held_out) if file is not None]
    places = chain(*(found for part in PARTS for found in _places(root, part)))
    others = {*(root / "annotations").glob("instances_*.json"), *places}
    for file in sorted(others.difference(files)):
        notes.skip("annotation files of parts that are not used", _name(root, file))
    return files


def _places(root: Path, part: str) -> Iterator[list[Path]]:
    """The annotations of a part in each of the places that are usual, COCO's own first."""
    patterns = ("annotations/instances_{}*.json", "annotations/{}.json", "{}.json", f"{{}}/{ROBOFLOW}")
    for pattern in patterns:
        yield sorted({file for word in PARTS[part] for file in root.glob(pattern.format(word))})


def _file(root: Path, part: str) -> Path | None:
    """The annotations of a part; raises DataError if there are several in the first place that has any."""
    files = next((found for found in _places(root, part) if found), [])
    if len(files) > 1:
        names = " and ".join(_name(root, file) for file in files[:2])
        raise DataError(f"{names} are both for {part}; keep one of them.", at=root)
    return files[0] if files else None


def _name(root: Path, file: Path) -> str:
    return file.relative_to(root).as_posix()


def _read(
    root: Path, files: Sequence[Path], notes: Notes, *, masks: bool
) -> tuple[tuple[str, ...], list[list[Labelled]]]:
    """The classes, and the labelled images of each file."""
    read = [read_coco(file, notes) for file in files]
    if not read[0].classes:
        raise DataError("has no categories; name the classes there.", at=files[0])
    parts = []
    for part in read:
        kinds = class_numbers(part, read[0], notes)
        parts.append(_items(root, part, images_of(part, kinds, notes, boxes=not masks), notes))
    _note_files(root, read, parts, notes)
    return read[0].classes, parts


def _items(root: Path, part: CocoFile, images: Sequence[CocoImage], notes: Notes) -> list[Labelled]:
    finder, found, missing = ImageFinder(_folders(root, part.file)), dict[Path, CocoImage](), list[str]()
    found_otherwise, again = dict[str, list[str]](), 0
    for image in images:
        file, how = finder.find(image.names)
        if file is None:
            missing.append(image.names[0])
            continue
        if how:
            found_otherwise.setdefault(how, []).append(image.names[0])
        if (before := found.get(file)) is None:
            found[file] = image
        elif how or before.names[0] not in image.names or image.size != before.size:
            both = f"{before.names[0]} and {image.names[0]}"
            raise DataError(f"its images {both} are both found as {file}; name each file, once.", at=part.file)
        else:
            again += 1
            found[file] = replace(before, objects=before.objects + image.objects)
    if again:
        notes.assume(f"{part.name}: {again} images have a second id: the objects of both are used")
    for how, names in found_otherwise.items():
        notes.assume(f"{part.name}: {len(names)} images are found {how} (such as {names[0]})")
    if missing:
        notes.skip("listed images that do not exist", missing[0], len(missing))
    if 2 * len(missing) > len(images):
        raise DataError(
            f"{len(missing)} of its {len(images)} images do not exist, such as {missing[0]}; put them into "
            f"{finder.folders[0]}.",
            at=part.file,
        )
    return [_item(file, image) for file, image in found.items()]


def _folders(root: Path, file: Path) -> tuple[Path, ...]:
    """Where the images may be; the last is the root, of which most files are for others."""
    if file.name == ROBOFLOW:
        return file.parent, root
    name = file.stem.removeprefix("instances_")
    return root / name, root / "images" / name, root / "images", root / "data", root


def _note_files(root: Path, read: Sequence[CocoFile], parts: Sequence[Sequence[Labelled]], notes: Notes) -> None:
    """Count the images that no file lists, and mention those that are listed twice."""
    files = [item.file for part in parts for item in part]
    if twice := len(files) - len(set(files)):
        notes.assume(f"{twice} images are in both files, {read[0].name} and {read[-1].name}")
    listed = set(files)
    elsewhere = {file.resolve() for file in files if ".." in file.parts or not file.is_relative_to(root)}
    folders = {next((each for each in _folders(root, part.file)[:-1] if each.is_dir()), None) for part in read}
    walk = Walk(root, used=frozenset((root / ROBOFLOW, *root.glob(f"*/{ROBOFLOW}"))))
    for folder in sorted(folder for folder in folders if folder):
        for file in walk.images(folder):
            if file not in listed and not (elsewhere and file.resolve() in elsewhere):
                notes.skip("images that the annotations do not list", file.relative_to(root).as_posix())
    notes.left_out += walk.skipped


def _item(file: Path, image: CocoImage) -> Labelled:
    boxed = [(one, one.box) for one in image.objects if one.box is not None]
    boxes = tuple((one.kind, *box) for one, box in boxed if not one.ignored)
    crowds = tuple((one.kind, *box, one.crowd) for one, box in boxed if one.ignored)
    return Labelled(file, image.size, boxes, crowds, Outlines(image.size, image.objects))


@dataclass(frozen=True)
class Outlines:
    """The mask of an image from the outlines of its objects."""

    labels: Size
    objects: tuple[CocoObject, ...]

    @property
    def count(self) -> int:
        """Each annotation is one."""
        return len(self.objects)

    def size(self) -> Size:
        """As the file says."""
        return self.labels

    def read(self, size: Size) -> tuple[np.ndarray, list[Skipped]]:
        """The mask, and the objects that have no outline that can be drawn."""
        width, height = size
        drawn, left_out = list[tuple[float, np.ndarray, int]](), list[Skipped]()
        for one in self.objects:
            inside, fault = draw(one.outline, height, width)
            if fault:
                left_out.append(Skipped(fault, 1, f"annotation {one.id}"))
            if inside is not None:
                drawn.append((one.area or float(inside.sum()), inside, IGNORED if one.ignored else one.kind))
        mask = np.zeros((height, width), np.uint8)
        for _, inside, kind in sorted(drawn, key=lambda entry: -entry[0]):
            mask[inside] = kind
        return mask, left_out


DATA_SOURCE = DataSource(
    description="your own scenes as COCO has them: annotations/instances_train*.json and train*/",
    licence=LICENCE,
    get=get,
    load=load,
    check=check,
    tasks=TASKS,
)
