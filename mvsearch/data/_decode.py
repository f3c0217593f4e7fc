"""Decodes one image file to pixels of one size: its centre, or a crop."""

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
_ORIENTATION, _ROTATED = 0x0112, range(5, 9)  # of EXIF


def decode_image(file: Path | BinaryIO, size: int) -> tuple[np.ndarray | None, str]:
    """The centre of the upright image, its shorter side at `size`: uint8 (size, size, 3). None and the error if broken.

    A JPEG is decoded at an eighth, a quarter or half of its sides where that leaves twice the size.
    """
    from PIL import Image, ImageOps

    def centre(image: "Pixels") -> "Pixels":
        image.draft("RGB", (2 * size, 2 * size))
        return ImageOps.fit(_upright(image), (size, size), Image.Resampling.BILINEAR)

    return _read(file, centre)


def decode_crop(file: Path | BinaryIO, size: int, draw: Draw, interpolation: str) -> tuple[np.ndarray | None, str]:
    """As `decode_image`, but a crop of the whole image, resized by one of Pillow's interpolations.

    A JPEG is decoded at a smaller size where that leaves the crop twice the size.
    """
    from PIL import Image, ImageOps

    def crop_image(image: "Pixels") -> "Pixels":
        full_width, full_height = image.size
        if image.format != "TIFF" and image.getexif().get(_ORIENTATION) in _ROTATED:
            full_width, full_height = (
                full_height,
                full_width,
            )  # a TIFF's is upright already
        box, mirrored = draw(full_height, full_width)
        left, top, width, height = box.tolist()
        share = 2 * size / min(width, height)
        image.draft("RGB", (ceil(share * image.width), ceil(share * image.height)))
        upright = _upright(image)
        x, y = upright.width / full_width, upright.height / full_height
        right, bottom = min(x * (left + width), upright.width), min(y * (top + height), upright.height)
        kind = Image.Resampling[interpolation.upper()]
        crop = upright.resize((size, size), kind, box=(x * left, y * top, right, bottom))
        return ImageOps.mirror(crop) if mirrored else crop

    return _read(file, crop_image)


def _upright(image: "Pixels") -> "Pixels":
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):  # Pillow would clip values above 255
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    return upright.convert("RGB")


def _read(file: Path | BinaryIO, cut: "Callable[[Pixels], Pixels]") -> tuple[np.ndarray | None, str]:
    from PIL import Image

    try:
        with Image.open(file) as image:
            return np.asarray(cut(image)), ""
    except Exception as fault:  # Pillow can raise anything for a damaged file
        return None, f"{type(fault).__name__}: {fault}"
