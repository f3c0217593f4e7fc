"""What the formats of labelled scenes share: images are made square together with their masks and boxes.

Both sides are scaled independently, as SSD does; boxes in shares of the sides stay correct.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mvsearch.data._decode import to_rgb
from mvsearch.data._images import IGNORED, DecodedImage, Request, Scene, stratified_split
from mvsearch.data._skipped import Skipped, broken
from mvsearch.errors import DataError
from mvsearch.utils.progress import Progress, track

SIZE = 256
BATCH = 64  # images in memory at once

Box = tuple[int, float, float, float, float]
"""A class, and x0, y0, x1, y1 in pixels."""


@dataclass(frozen=True)
class Labelled:
    """An image file with its labels and their width and height (0: as the image); `mask` reads each pixel's class."""

    file: Path
    width: int
    height: int
    boxes: tuple[Box, ...] = ()
    mask: Callable[[], np.ndarray] | None = None


def folder_of(name: str, path: Path | None, content: str) -> Path:
    """The user's folder; raises DataError if none is given or it is not there."""
    if path is None:
        raise DataError("needs a path: use --path, or `path` under `data:` in the file of the search.", at=name)
    if not path.is_dir():
        raise DataError(f"no such folder; give one that contains {content}.", at=path)
    return path


def size_of(request: Request) -> int:
    """The side of the images in pixels."""
    if request.size is not None and request.size < 32:
        raise DataError(f"size={request.size} is too small; use 32 px or more.", at=request.path)
    return request.size or SIZE


def split(items: Sequence[Labelled], request: Request) -> tuple[list[Labelled], list[Labelled]]:
    """The items to train on and those to test on, split by the seed."""
    if len(items) < 2:
        raise DataError("one image cannot be split into train and test; add another.", at=request.path)
    train, test = stratified_split(np.zeros(len(items)), request.test_fraction, request.seed)
    return [items[i] for i in train], [items[i] for i in test]


def decode_scenes(
    items: Sequence[Labelled], classes: int, size: int, masks: bool, progress: Progress | None
) -> Iterator[DecodedImage | Skipped]:
    """Images of (size, size, 3) pixels with a mask or boxes each. Raises DataError if most images are broken."""
    faults: list[Skipped] = []
    for image in track(_open_all(items, classes, size, masks), "decode scenes", len(items), progress):
        if isinstance(image, Skipped):
            faults.append(image)
        yield image
    if 2 * len(faults) > len(items):
        raise DataError(
            f"{len(faults)} of {len(items)} images cannot be read, the first is {faults[0].example} "
            f"({faults[0].reason}); replace them."
        )


def _open_all(items: Sequence[Labelled], classes: int, size: int, masks: bool) -> Iterator[DecodedImage | Skipped]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(items), BATCH):
            batch = items[start : start + BATCH]
            yield from pool.map(lambda item: _open(item, classes, size, masks), batch)


def _open(item: Labelled, classes: int, size: int, masks: bool) -> DecodedImage | Skipped:
    from PIL import Image

    try:
        with Image.open(item.file) as image:  # not rotated by EXIF: the labels belong to the stored pixels
            native = image.size
            width, height = item.width or image.width, item.height or image.height
            rgb, encoding = to_rgb(image, upright=False)
            pixels = np.asarray(rgb.resize((size, size), Image.Resampling.BILINEAR))
        mask = item.mask() if masks and item.mask else np.zeros((height, width), np.uint8)
    except DataError as fault:
        raise DataError(f"{fault}", at=item.file) from None
    except Exception as fault:  # Pillow can raise anything for a damaged file
        return broken(f"{type(fault).__name__}: {fault}", str(item.file))
    if not masks:
        sides = np.array([1, width, height, width, height])
        boxes = np.array(item.boxes, float).reshape(-1, 5) / sides
        boxes[:, 1:] = boxes[:, 1:].clip(0, 1)
        return DecodedImage(pixels, Scene(boxes=boxes[(boxes[:, 3:] > boxes[:, 1:3]).all(1)]), *native, encoding)
    unknown = np.setdiff1d(mask, [*range(classes), IGNORED])
    if len(unknown):
        raise DataError(
            f"its mask contains class {unknown[0]}, but there are only {classes} with the background.", at=item.file
        )
    scene = Scene(np.asarray(Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST)))
    return DecodedImage(pixels, scene, *native, encoding)
