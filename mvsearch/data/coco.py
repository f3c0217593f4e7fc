"""Your own scenes in the format of COCO.

    PATH/annotations/instances_NAME.json      NAME begins with train or val, e.g. train2017
    PATH/NAME/*.jpg                           the images

Without a file for val the seed splits the images. For detection, crowds are left out; in masks they are unknown. Masks
are drawn from the objects' outlines, the smaller ones on top; that needs pycocotools, of the extra `detection`.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from mvsearch.data._cache import Decoding, files_identity, load_or_decode
from mvsearch.data._images import IGNORED, DataSet, Request
from mvsearch.data._labelled import Labelled, decode_scenes, folder_of, size_of, split
from mvsearch.data._source import DataSource
from mvsearch.errors import DataError, EnvironmentFault
from mvsearch.utils.installation import install_hint
from mvsearch.utils.progress import Progress

LICENCE = "that of your images"
TASKS = ("detection", "segmentation")


def get(path: Path | None, progress: Progress | None) -> Path:
    """The folder itself: nothing is fetched."""
    return folder_of("coco", path, "annotations")


def load(request: Request, progress: Progress | None) -> DataSet:
    """Boxes or masks, by the task; squares of `size` (256) pixels."""
    root, size, task = get(request.path, progress), size_of(request), request.task or TASKS[0]
    if task == "segmentation":
        _tools()
    files = [file for part in ("train", "val") if (file := _file(root, part)) is not None]
    names, parts = _read(files)
    train, test = parts if len(parts) == 2 else split(parts[0], request)
    identity = [task, size, request.test_fraction, request.seed, files_identity(root, files)]
    identity.append(files_identity(root, [item.file for item in (*train, *test)]))

    def decode() -> Decoding:
        masks = task == "segmentation"
        streams = (decode_scenes(part, len(names) + 1, size, masks, progress) for part in (train, test))
        return Decoding(("background", *names), *streams)

    return load_or_decode("coco", identity, decode, source=str(root), licence=LICENCE)


def check(path: Path | None, progress: Progress | None) -> tuple[str, ...]:
    """Reads the annotations and counts their content."""
    root = get(path, progress)
    files = [file for part in ("train", "val") if (file := _file(root, part)) is not None]
    names, parts = _read(files)
    return tuple(
        f"{file}: {len(part)} images, {sum(len(item.boxes) for item in part)} boxes, {len(names)} classes."
        for file, part in zip(files, parts, strict=True)
    )


def _file(root: Path, part: str) -> Path | None:
    """The annotations of a part; raises DataError if there are several, or none for training."""
    files = sorted((root / "annotations").glob(f"instances_{part}*.json"))
    if len(files) > 1:
        raise DataError(f"{files[0].name} and {files[1].name} are both for {part}; keep one of them.", at=root)
    if not files and part == "train":
        raise DataError("has no annotations/instances_train*.json; use COCO's format.", at=root)
    return files[0] if files else None


def _read(files: list[Path]) -> tuple[tuple[str, ...], list[list[Labelled]]]:
    """The classes, sorted by their numbers, and the labelled images of each file."""
    read = []
    for file in files:
        try:
            read.append(json.loads(file.read_text()))
            kinds = sorted(read[0]["categories"], key=lambda kind: int(kind["id"]))
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise DataError(f"cannot be read ({fault!r}); use instances in COCO's format.", at=file) from fault
    number = {kind["id"]: i for i, kind in enumerate(kinds, 1)}
    return tuple(str(kind["name"]) for kind in kinds), [
        _items(file, about, number) for file, about in zip(files, read, strict=True)
    ]


def _items(file: Path, about: dict[str, Any], number: dict[int, int]) -> list[Labelled]:
    images = file.parent.parent / file.stem.removeprefix("instances_")
    objects: dict[int, list[dict[str, Any]]] = defaultdict(list)
    try:
        for annotation in about["annotations"]:
            label = number[annotation["category_id"]]
            objects[annotation["image_id"]].append(annotation | {"number": label})
        items = [_item(images, image, objects[image["id"]]) for image in about["images"]]
    except (KeyError, TypeError, ValueError) as fault:
        raise DataError(f"is not in COCO's format ({fault!r}).", at=file) from fault
    for item in items:
        if not item.file.is_file():
            raise DataError(f"is named in {file.name}, but does not exist.", at=item.file)
    return items


def _item(images: Path, image: dict[str, Any], objects: list[dict[str, Any]]) -> Labelled:
    single = [annotation for annotation in objects if not annotation.get("iscrowd")]
    boxes = tuple((one["number"], x, y, x + w, y + h) for one in single for x, y, w, h in [one["bbox"]])
    height, width = image["height"], image["width"]
    return Labelled(images / image["file_name"], width, height, boxes, lambda: _mask(height, width, objects))


def _mask(height: int, width: int, objects: list[dict[str, Any]]) -> np.ndarray:
    tools = _tools()
    mask = np.zeros((height, width), np.uint8)
    for annotation in sorted(objects, key=lambda annotation: -annotation.get("area", 0)):
        if not (outline := annotation.get("segmentation")):
            raise DataError(
                f"its annotation {annotation.get('id')} has no outline, which segmentation needs; add or remove it."
            )
        if isinstance(outline, list):
            outline = tools.merge(tools.frPyObjects(outline, height, width))
        elif isinstance(outline["counts"], list):
            outline = tools.frPyObjects(outline, height, width)
        mask[tools.decode(outline) > 0] = IGNORED if annotation.get("iscrowd") else annotation["number"]
    return mask


def _tools() -> Any:
    try:
        from pycocotools import mask
    except ImportError:
        raise EnvironmentFault(
            f"masks need pycocotools; install it with `{install_hint('detection')}`.", at="coco"
        ) from None
    return mask


DATA_SOURCE = DataSource(
    description="your own scenes as COCO has them: annotations/instances_train*.json and train*/",
    licence=LICENCE,
    get=get,
    load=load,
    check=check,
    tasks=TASKS,
)
