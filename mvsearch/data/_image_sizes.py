"""The sizes of the images in a folder, from the headers of some files."""

import numpy as np

from mvsearch.data._decode import upright_size
from mvsearch.data._files import EncodedImages
from mvsearch.errors import DataError

_READ = 200
"""Headers that are read, evenly over all classes."""


def median_side(images: EncodedImages) -> float:
    """The median of the shorter sides in pixels; raises DataError if none of the files can be read."""
    from PIL import Image

    chosen = np.unique(np.linspace(0, len(images) - 1, _READ).round().astype(int)).tolist()
    sides = []
    for i in chosen:
        try:
            with Image.open(images.open(i)) as image:
                sides.append(min(upright_size(image)))
        except Exception:
            continue
    if not sides:
        raise DataError(f"none of {len(chosen)} images can be read, the first is {images.name(0)}.", at=images.root)
    return float(np.median(sides))
