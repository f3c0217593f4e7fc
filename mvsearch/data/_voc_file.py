"""Reads the annotation files of PASCAL VOC's format, and the names of its classes."""

import codecs
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

from mvsearch.data._values import flag, number, side
from mvsearch.errors import DataError

CLASS_FILES = ("classes.txt", "labels.txt", "labelmap.txt")

Colour = tuple[int, int, int]

BORDER: Colour = (224, 224, 192)
"""Of what is unknown in VOC's masks, such as the borders of objects, in colour."""


@dataclass(frozen=True)
class ClassList:
    """The classes in the order of their numbers, with their colours in masks where they are known.

    `file` is where they are listed, None for names that were found in annotations; `unused` are further lists.
    """

    file: Path | None
    colours: dict[str, Colour | None]
    background: Colour = (0, 0, 0)
    unused: tuple[Path, ...] = ()


@dataclass(frozen=True)
class VocObject:
    """An object: its name, its box as VOC writes it (xmin, ymin, xmax, ymax), or None, and whether it is difficult."""

    name: str
    box: tuple[float, float, float, float] | None
    difficult: bool


@dataclass(frozen=True)
class VocFile:
    """The objects of an image, and its width and height, (0, 0) if the file does not have them."""

    size: tuple[int, int]
    objects: tuple[VocObject, ...]


def read_voc(file: Path) -> VocFile | str:
    """The content of a file, or why it cannot be read."""
    try:
        raw = file.read_bytes()
        if b"<!ENTITY" in raw.replace(b"\0", b""):  # may expand to gigabytes, or read other files
            return "annotations that declare entities"
        tree = ET.fromstring(raw)
    except (OSError, ET.ParseError, ValueError, LookupError) as fault:  # the last two for unknown encodings
        return f"annotations that are not XML ({type(fault).__name__})"
    if tree.tag != "annotation" and tree.find("object") is None:
        return "annotations that are not in VOC's format"
    size = (side(tree.findtext("size/width")), side(tree.findtext("size/height")))
    objects = tuple(_object(item) for item in tree.findall("object"))
    return VocFile(size if all(size) else (0, 0), objects)


def _object(item: ET.Element) -> VocObject:
    found = [number(item.findtext(f"bndbox/{name}")) for name in ("xmin", "ymin", "xmax", "ymax")]
    x0, y0, x1, y1 = found
    box = None if x0 is None or y0 is None or x1 is None or y1 is None else (x0, y0, x1, y1)
    return VocObject(" ".join(item.findtext("name", "").split()), box, flag(item.findtext("difficult")))


def read_lines(file: Path) -> list[str]:
    """The lines of a text in UTF-8, or in UTF-16 with its mark, without empty ones and outer blanks."""
    try:
        raw = file.read_bytes()
        wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = normalize("NFC", raw.decode("utf-16" if wide else "utf-8-sig"))
        return [line.strip() for line in text.splitlines() if line.strip()]
    except OSError as fault:
        raise DataError(f"cannot be read ({fault.strerror}).", at=file) from fault
    except UnicodeDecodeError as fault:
        raise DataError(f"is not text in UTF-8 (byte {fault.start}); save it as UTF-8.", at=file) from None


def read_classes(root: Path, *, numbered: bool) -> ClassList | None:
    """The classes that a folder lists, without the background; None if it has no list.

    If masks are `numbered` by their order, the background must be the first. Raises DataError for a list that is empty
    or names a class twice.
    """
    files = [root / name for name in CLASS_FILES if (root / name).is_file()]
    if not files:
        return None
    file, *unused = files
    found: dict[str, Colour | None] = {}
    for line in read_lines(file):
        name, colour = _entry(line) if file.name == "labelmap.txt" else (line, None)
        if line.startswith("#") or not name:
            continue
        if name in found:
            raise DataError(f"names {name!r} twice; name each class once.", at=file)
        found[name] = colour
    for name, colour in list(found.items()):
        if name == "__ignore__" or colour == BORDER:  # as labelme and Datumaro list what is unknown
            del found[name]
    background: Colour = (0, 0, 0)
    for place, name in enumerate(list(found)):
        if name.strip("_").lower() == "background":
            if place and numbered and not any(found.values()):
                raise DataError(f"its background is line {place + 1}; put it first, as 0 is its number.", at=file)
            background = found.pop(name) or background
    if not found:
        raise DataError("names no classes; write one a line.", at=file)
    return ClassList(file, found, background, tuple(unused))


def _entry(line: str) -> tuple[str, Colour | None]:
    name, *rest = line.split(":")
    values = [int(value) for value in rest[0].split(",") if value.strip().isdecimal()] if rest else []
    return name.strip(), (values[0], values[1], values[2]) if len(values) == 3 else None
