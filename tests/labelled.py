"""Small labelled scenes in COCO's and VOC's format: each image shows one object in the colour of its class."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mvsearch.data import DataSet

WIDTH, HEIGHT = 60, 40
COLOURS = {"cat": (220, 20, 20), "dog": (20, 20, 220), "emu": (20, 220, 20)}
BOX = (10, 10, 20, 20)  # left, top, width, height of every object
INSIDE, SHARES = (slice(10, 30), slice(10, 30)), [10 / 60, 10 / 40, 30 / 60, 30 / 40]

Change = Callable[[dict[str, Any]], object]


def draw(name: str, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    pixels = np.full((*shape, 3), 90, np.uint8)
    pixels[INSIDE] = COLOURS[name]
    return pixels


def write_coco(root: Path, part: str, change: Change = lambda about: None, *, ids: dict[str, int] | None = None,
               count: int = 6, save: bool = True) -> dict[str, Any]:  # fmt: skip
    """Images of one object each, the classes in turn; `change` edits the file before it is written."""
    ids = ids or {"cat": 1, "dog": 2}
    about: dict[str, Any] = {"images": [], "annotations": []}
    about["categories"] = [{"id": number, "name": name} for name, number in ids.items()]
    start = {"train": 0, "val": 100, "test": 200}[part]
    (root / part).mkdir(parents=True, exist_ok=True)
    (root / "annotations").mkdir(exist_ok=True)
    for i in range(start, start + count):
        name = list(ids)[i % len(ids)]
        if save:
            Image.fromarray(draw(name)).save(root / part / f"{i}.png")
        about["images"].append({"id": i, "file_name": f"{i}.png", "width": WIDTH, "height": HEIGHT})
        x0, y0, x1, y1 = BOX[0], BOX[1], BOX[0] + BOX[2], BOX[1] + BOX[3]
        about["annotations"].append(
            {"id": i + 1, "image_id": i, "category_id": ids[name], "bbox": list(BOX), "area": 400, "iscrowd": 0,
             "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]]}
        )  # fmt: skip
    change(about)
    (root / "annotations" / f"instances_{part}.json").write_text(json.dumps(about), encoding="utf-8")
    return about


OBJECT = (
    "<object><name>{name}</name><difficult>0</difficult><bndbox><xmin>11</xmin><ymin>11</ymin><xmax>30</xmax>"
    "<ymax>30</ymax></bndbox></object>"
)
ANNOTATION = (
    "<annotation><size><width>{width}</width><height>{height}</height><depth>3</depth></size>{objects}</annotation>"
)


def write_voc(root: Path, *, names: Sequence[str] = ("cat", "dog"), count: int = 8, listed: str | None = None) -> Path:
    """Images 0 to `count`, of the classes in turn; the last two are in val.txt. `listed` is the text of classes.txt."""
    folders = ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Main", "ImageSets/Segmentation")
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        name = names[i % len(names)]
        Image.fromarray(draw(name)).save(root / "JPEGImages" / f"{i}.png")
        write_annotation(root, i, OBJECT.format(name=name))
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[INSIDE] = 1 + i % len(names)
        Image.fromarray(mask).save(root / "SegmentationClass" / f"{i}.png")
    for kind in ("Main", "Segmentation"):
        write_list(root, "train", range(count - 2), kind)
        write_list(root, "val", range(count - 2, count), kind)
    if listed is not None:
        (root / "classes.txt").write_text(listed, encoding="utf-8")
    return root


def write_annotation(root: Path, i: int, objects: str, width: object = WIDTH, height: object = HEIGHT) -> None:
    text = ANNOTATION.format(width=width, height=height, objects=objects)
    (root / "Annotations" / f"{i}.xml").write_text(text, encoding="utf-8")


def write_list(root: Path, part: str, ids: Sequence[object], kind: str = "Main") -> None:
    (root / "ImageSets" / kind / f"{part}.txt").write_text("".join(f"{i}\n" for i in ids), encoding="utf-8")


T = Image.Transpose
BACK = {
    2: T.FLIP_LEFT_RIGHT,
    3: T.ROTATE_180,
    4: T.FLIP_TOP_BOTTOM,
    5: T.TRANSPOSE,
    6: T.ROTATE_90,
    7: T.TRANSVERSE,
    8: T.ROTATE_270,
}


def save_turned(file: Path, upright: np.ndarray, orientation: int) -> None:
    """The image that is `upright` after its EXIF orientation is applied."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(upright).transpose(BACK[orientation]).save(file, exif=exif)


def counts(found: DataSet) -> dict[str, int]:
    return {entry.reason: entry.count for entry in found.skipped}


def agrees(found: DataSet) -> bool:
    """Whether every box, or every pixel of a mask, has the colour of its class."""
    for part in (found.train, found.test):
        for image, kind, x0, y0, x1, y1 in () if part.boxes is None else part.boxes:
            size = part.pixels.shape[1]
            pixel = part.pixels[int(image), int((y0 + y1) * size / 2), int((x0 + x1) * size / 2)].astype(int)
            if part.classes[int(kind)] != min(COLOURS, key=lambda name: abs(pixel - COLOURS[name]).sum()):
                return False
        for pixels, mask in () if part.masks is None else zip(part.pixels, part.masks, strict=True):
            for i, name in enumerate(part.classes[1:], 1):
                painted = abs(pixels.astype(int) - COLOURS[name]).sum(-1) < 90
                if (painted != (mask == i)).mean() > 0.02:
                    return False
    return True
