"""Reads a file of COCO's format. What cannot be used is counted with its reason; classes are matched by their names."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isclose
from pathlib import Path
from typing import Any

from mvsearch.data._orientation import Size
from mvsearch.data._outlines import in_shares
from mvsearch.data._values import Notes, flag, identifier, number, numbers, side
from mvsearch.errors import DataError

Id = int | str

LEAVING_SHARE, FAR = 0.25, 0.1
"""Boxes are taken for corners if more than this share of them leave their images by more than this share of a side."""


@dataclass(frozen=True)
class CocoFile:
    """The lists of a file; `categories` maps ids to names."""

    file: Path
    images: list[Any]
    annotations: list[Any]
    categories: dict[Id, str]

    @property
    def name(self) -> str:
        """Of the file, for messages."""
        return short_name(self.file)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the categories by ascending id, or in the file's order where ids are not numbers."""
        ids = list(self.categories)
        ordered = sorted(ids, key=int) if all(isinstance(one, int) for one in ids) else ids
        return tuple(self.categories[one] for one in ordered)


@dataclass(frozen=True)
class CocoObject:
    """An annotation: the number of its class, its box as left, top, right and bottom in pixels, or None.

    `ignored` if it is a crowd, or marked with `ignore` or `difficult` as sets that were converted from others are.
    """

    id: str
    kind: int
    box: tuple[float, float, float, float] | None
    crowd: bool
    ignored: bool
    area: float
    outline: Any


@dataclass(frozen=True)
class CocoImage:
    """An image and its objects; its width and height are (0, 0) if the file does not have them."""

    names: tuple[str, ...]
    size: Size
    objects: tuple[CocoObject, ...]


def short_name(file: Path) -> str:
    """The name of a file for messages, with its folder if files of other parts are called the same."""
    return f"{file.parent.name}/{file.name}" if file.name.startswith("_") else file.name


def read_coco(file: Path, notes: Notes) -> CocoFile:
    """The content of a file in UTF-8, UTF-16 or UTF-32; raises DataError if it is not in COCO's format."""
    try:
        about = json.loads(file.read_bytes())
    except UnicodeDecodeError as fault:
        raise DataError(f"is not text in UTF-8 (byte {fault.start}); save it as UTF-8.", at=file) from None
    except (OSError, ValueError, RecursionError) as fault:
        raise DataError(f"cannot be read as JSON ({fault}); use instances in COCO's format.", at=file) from fault
    if not isinstance(about, dict):
        raise DataError("is a list or a value; COCO's format is a mapping with images and annotations.", at=file)
    for name in ("images", "annotations"):
        if not isinstance(about.get(name), list):
            raise DataError(f"has no list of {name}; use instances in COCO's format.", at=file)
    used = {identifier(one.get("category_id")) for one in about["annotations"] if isinstance(one, dict)}
    categories = _categories(file, about.get("categories") or [], used, notes)
    return CocoFile(file, about["images"], about["annotations"], categories)


def _categories(file: Path, listed: Any, used: set[Id | None], notes: Notes) -> dict[Id, str]:
    found: dict[Id, str] = {}
    for kind in listed if isinstance(listed, list) else [listed]:
        key = identifier(kind.get("id")) if isinstance(kind, dict) else None
        name = kind.get("name") if isinstance(kind, dict) else None
        if key is None or isinstance(name, dict | list | bool | None) or not (text := " ".join(str(name).split())):
            raise DataError(f"its category {json.dumps(kind)[:80]} has no id or no name; add them.", at=file)
        if found.setdefault(key, text) != text:
            raise DataError(f"its categories {found[key]!r} and {text!r} have the same id, {key}; change one.", at=file)
    for key, text in list(found.items()):
        twice = [other for other in found if found[other] == text]
        if text.strip("_").lower() == "background" and key not in used:
            notes.assume(f"{short_name(file)}: no object is of category {key}, {text!r}: it is read as the background")
            del found[key]
        elif len(twice) > 1 and key not in used:
            notes.assume(f"{short_name(file)}: two categories are called {text!r}; that of id {key} has no objects")
            del found[key]
        elif len(twice) > 1 and all(other in used for other in twice):
            raise DataError(
                f"its categories {' and '.join(map(str, twice))} are both called {text!r}; rename one of them.", at=file
            )
    for first, second in pairwise(sorted(found.values(), key=str.casefold)):
        if first.casefold() == second.casefold():
            notes.assume(f"{short_name(file)}: {first!r} and {second!r} are read as two classes")
    return found


def class_numbers(part: CocoFile, training: CocoFile, notes: Notes) -> dict[Id, int]:
    """The number of the class, from 1, of each category id of a file, by the names in the file for training.

    Raises DataError if there are objects of a class that the file for training does not name.
    """
    own, numbered = part.categories, {name: i for i, name in enumerate(training.classes, 1)}
    if not own:
        notes.assume(f"{part.name} names no categories: its ids are read as those of {training.name}")
        own = training.categories
    used = {identifier(one.get("category_id")) for one in part.annotations if isinstance(one, dict)}
    alike: dict[str, list[int]] = defaultdict(list)
    for name, i in numbered.items():
        alike[name.casefold()].append(i)
    matched, unknown, unused = dict[Id, int](), list[str](), list[str]()
    for key, name in own.items():
        candidates = [numbered[name]] if name in numbered else alike[name.casefold()]
        if len(candidates) == 1:
            matched[key] = candidates[0]
            if name not in numbered:
                notes.assume(f"{part.name}: {name!r} is read as {training.classes[candidates[0] - 1]!r}")
        else:
            (unknown if key in used else unused).append(name)
    if unknown:
        raise DataError(
            f"has objects of {', '.join(map(repr, unknown[:10]))}, which {training.name} does not name; add "
            "the categories there, or remove these objects.",
            at=part.file,
        )
    if unused:
        notes.assume(f"{part.name}: no object is of {', '.join(map(repr, unused[:10]))}: left out of the classes")
    return matched


def images_of(part: CocoFile, kinds: dict[Id, int], notes: Notes, *, boxes: bool) -> list[CocoImage]:
    """The images with their objects; with `boxes`, objects without a box are left out.

    Raises DataError if most of the annotations, or all images, cannot be used.
    """
    listed = _images(part, notes)
    objects: dict[Id, list[CocoObject]] = defaultdict(list)
    faults: Counter[str] = Counter()
    stray, seen = 0, dict[Id | None, Any]()
    for annotation in part.annotations:
        found, fault = _object(annotation, kinds, boxes)
        owner = identifier(annotation.get("image_id")) if isinstance(annotation, dict) else None
        name = annotation.get("id") if isinstance(annotation, dict) else json.dumps(annotation)
        example = f"annotation {name} of {part.name}"
        if owner not in listed and isinstance(annotation, dict):
            stray += 1
            notes.skip("annotations of images that are not listed", example)
        elif found is None:
            faults[fault] += 1
            notes.skip(fault, example)
        elif (key := identifier(annotation.get("id"))) is not None and seen.get(key) == annotation:
            notes.skip("annotations that are listed twice", example)
        elif owner is not None:
            seen[key] = annotation
            objects[owner].append(found)
    _refuse_if_most(part, faults, stray)
    images = [CocoImage(*about, tuple(objects[key])) for key, about in listed.items()]
    if boxes:
        _check_convention(part.file, images)
    elif in_shares(one.outline for image in images for one in image.objects):
        raise DataError("its outlines are shares of the sides; COCO's are x and y in pixels.", at=part.file)
    return images


def _images(part: CocoFile, notes: Notes) -> dict[Id, tuple[tuple[str, ...], Size]]:
    found: dict[Id, tuple[tuple[str, ...], Size]] = {}
    sizeless = 0
    for image in part.images:
        key = identifier(image.get("id")) if isinstance(image, dict) else None
        names = tuple(image[name] for name in ("file_name", "coco_url") if image.get(name)) if key is not None else ()
        if key is None or not names or not all(isinstance(name, str) for name in names):
            notes.skip("images without an id or a file_name", json.dumps(image)[:80])
            continue
        width, height = side(image.get("width")), side(image.get("height"))
        sizeless += not (width and height)
        about = (names, (width, height) if width and height else (0, 0))
        if key not in found:
            found[key] = about
        elif found[key] == about:
            notes.skip("images that are listed twice", names[0])
        else:
            raise DataError(f"its images {found[key][0][0]} and {names[0]} have the same id, {key}.", at=part.file)
    if not found:
        raise DataError("has no images that can be used; each needs an id and a file_name.", at=part.file)
    if sizeless:
        notes.assume(f"{part.name}: {sizeless} images have no width or height: their labels are read as for the files")
    return found


def _object(annotation: Any, kinds: dict[Id, int], boxes: bool) -> tuple[CocoObject | None, str]:
    """An annotation as an object, or None and why it cannot be used."""
    if not isinstance(annotation, dict):
        return None, "annotations that are not mappings"
    category = identifier(annotation.get("category_id"))
    kind = None if category is None else kinds.get(category)
    if kind is None:
        return None, "annotations of categories that are not listed"
    box = numbers(annotation.get("bbox"), 4)
    if boxes and box is None:
        return None, "boxes that are not four finite numbers"
    if boxes and box is not None and min(box[2:]) <= 0:
        return None, "boxes whose width or height is not positive"
    corners = None if box is None else (box[0], box[1], box[0] + box[2], box[1] + box[3])
    area = number(annotation.get("area")) or 0.0
    crowd = flag(annotation.get("iscrowd"))
    ignored = crowd or any(flag(annotation.get(name)) for name in ("ignore", "difficult"))
    return CocoObject(
        str(annotation.get("id")), kind, corners, crowd, ignored, area, annotation.get("segmentation")
    ), ""


def _refuse_if_most(part: CocoFile, faults: Counter[str], stray: int) -> None:
    usable = len(part.annotations) - stray - faults.total()
    if part.annotations and not usable and not faults:
        raise DataError("none of its annotations is of an image that it lists; compare id and image_id.", at=part.file)
    if faults.total() > usable:
        reason, count = faults.most_common(1)[0]
        raise DataError(
            f"{faults.total()} of {len(part.annotations) - stray} annotations cannot be used ({count}: {reason}); "
            "use COCO's format.",
            at=part.file,
        )


def _check_convention(file: Path, images: Sequence[CocoImage]) -> None:
    """Raises DataError if boxes are written as corners or in shares of the sides instead of COCO's convention."""
    boxes = [(*one.box, *image.size) for image in images for one in image.objects if one.box]
    if boxes and all(max(x1, y1) <= 1.001 for _, _, x1, y1, *_ in boxes):
        raise DataError("its boxes are shares of the sides; COCO's are x, y, width and height in pixels.", at=file)
    areas = [(one.area, *one.box) for image in images for one in image.objects if one.box and one.area]
    if 2 * sum(_is_area_of_corners(*each) for each in areas) > len(areas):
        raise DataError(
            "the areas of its boxes are those of corners; COCO's boxes are x, y, width and height.", at=file
        )
    sized = [box for box in boxes if box[4]]
    far = sum(x1 > (1 + FAR) * w or y1 > (1 + FAR) * h for _, _, x1, y1, w, h in sized)
    corners = all(x1 > 2 * x and y1 > 2 * y and x1 - x <= w + 1 and y1 - y <= h + 1 for x, y, x1, y1, w, h in sized)
    if corners and far > LEAVING_SHARE * len(sized):
        raise DataError(
            f"{far} of its {len(sized)} boxes leave their images, but all fit if they are corners; COCO's are x, y, "
            "width and height.",
            at=file,
        )


def _is_area_of_corners(area: float, x0: float, y0: float, x1: float, y1: float) -> bool:
    """Whether an area is that of the box only if what was read as its width and height are its right and bottom."""
    width, height = x1 - x0, y1 - y0
    as_corners = isclose(area, (width - x0) * (height - y0), rel_tol=0.01)
    return as_corners and min(width - x0, height - y0) > 0 and not isclose(area, width * height, rel_tol=0.01)
