"""One image from a file to pixels of one size: the middle of it, or a crop."""

from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image as Pixels

Draw = Callable[[int, int], tuple[np.ndarray, bool]]
"""Height and width of an upright image → the box of a crop, (4), left, top, width and height in pixels, and whether it
is mirrored."""
_ORIENTATION, _ON_THEIR_SIDE = 0x0112, range(5, 9)  # of EXIF


def decode_image(file: Path | BinaryIO, size: int) -> tuple[np.ndarray | None, str]:
    """Upright, RGB, the shorter side at `size`, its middle: uint8 (size, size, 3). None and the fault if it is broken.

    A JPEG is decoded at an eighth, a quarter or half of its sides where that leaves twice the size.
    """
    from PIL import Image, ImageOps

    def middle(image: "Pixels") -> "Pixels":
        image.draft("RGB", (2 * size, 2 * size))
        return ImageOps.fit(_upright(image), (size, size), Image.Resampling.BILINEAR)

    return _read(file, middle)


def decode_crop(file: Path | BinaryIO, size: int, draw: Draw, interpolation: str) -> tuple[np.ndarray | None, str]:
    """As `decode_image`, but a crop of the whole image, by an `interpolation` of Pillow's.

    A JPEG is decoded smaller where that leaves the crop twice the size.
    """
    from PIL import Image, ImageOps

    def crop(image: "Pixels") -> "Pixels":
        wide, high = image.size
        if image.format != "TIFF" and image.getexif().get(_ORIENTATION) in _ON_THEIR_SIDE:
            wide, high = high, wide  # Pillow tells the size of an upright TIFF
        box, mirrored = draw(high, wide)
        left, top, width, height = box.tolist()
        share = 2 * size / min(width, height)
        image.draft("RGB", (ceil(share * image.width), ceil(share * image.height)))
        upright = _upright(image)
        x, y = upright.width / wide, upright.height / high
        right, bottom = min(x * (left + width), upright.width), min(y * (top + height), upright.height)
        kind = Image.Resampling[interpolation.upper()]
        found = upright.resize((size, size), kind, box=(x * left, y * top, right, bottom))
        return ImageOps.mirror(found) if mirrored else found

    return _read(file, crop)


def _upright(image: "Pixels") -> "Pixels":
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):  # Pillow would cut off all above 255
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    return upright.convert("RGB")


def _read(file: Path | BinaryIO, cut: "Callable[[Pixels], Pixels]") -> tuple[np.ndarray | None, str]:
    from PIL import Image

    try:
        with Image.open(file) as image:
            return np.asarray(cut(image)), ""
    except Exception as fault:  # Pillow's readers raise whatever a damaged file leads them to
        return None, f"{type(fault).__name__}: {fault}"
