"""One image from a file to pixels of one size."""

from pathlib import Path
from typing import BinaryIO

import numpy as np


def decode_image(file: Path | BinaryIO, size: int) -> tuple[np.ndarray | None, str]:
    """Upright, RGB, the shorter side at `size`, its middle: uint8 (size, size, 3). None and the fault if it is broken.

    A JPEG is decoded at an eighth, a quarter or half of its sides where that leaves twice the size.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as image:
            image.draft("RGB", (2 * size, 2 * size))
            upright = ImageOps.exif_transpose(image).convert("RGB")
            return np.asarray(ImageOps.fit(upright, (size, size), Image.Resampling.BILINEAR)), ""
    except Exception as fault:  # Pillow's readers raise whatever a damaged file leads them to
        return None, f"{type(fault).__name__}: {fault}"
