"""One image from a file to pixels of one size."""

from pathlib import Path
from typing import BinaryIO

import numpy as np


def decode_image(file: Path | BinaryIO, size: int, *, detail: int = 1) -> tuple[np.ndarray | None, str]:
    """Upright, RGB, the shorter side at `size`, its middle: uint8 (size, size, 3). None and the fault if it is broken.

    A JPEG is decoded at an eighth, a quarter or half of its sides where that leaves `detail` times the size.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as image:
            image.draft("RGB", (detail * size, detail * size))
            upright = ImageOps.exif_transpose(image).convert("RGB")
            return np.asarray(ImageOps.fit(upright, (size, size), Image.Resampling.BILINEAR)), ""
    except Exception as fault:  # Pillow's readers raise whatever a damaged file leads them to
        return None, f"{type(fault).__name__}: {fault}"
