"""Encoded images, for data sets that are too large to be decoded in advance: their classes and their bytes.

    PATH/train/CLASS/*.jpg  PATH/test/CLASS/*.jpg     (or val), as the source `folder` reads them
    PATH/CLASS/*.jpg                                  split by the seed
    PATH/train*.tar  PATH/test*.tar                   (or val): WebDataset shards, or in folders of these names

`_shards` describes what is in a shard.
"""

from pathlib import Path

import numpy as np

from mvsearch.data._decode import upright_size
from mvsearch.data._encoded import EncodedImages, EncodedSet
from mvsearch.data._layout import layout_classes, read_layout
from mvsearch.data._shards import in_shards, read_shards
from mvsearch.data._source import user_folder
from mvsearch.errors import DataError
from mvsearch.utils.progress import Progress

_HEADERS = 200
"""Headers that are read for the sizes of images, evenly over all classes."""


def find_classes(path: Path) -> tuple[str, ...]:
    """The classes of a folder, from the names of its folders alone; none for shards. Raises DataError."""
    return () if in_shards(path) else layout_classes(path)


def find_encoded(
    path: Path, *, test_fraction: float = 0.1, seed: int = 0, progress: Progress | None = None
) -> EncodedSet:
    """The encoded images of a folder; reads the headers of shards. DataError names what is missing."""
    user_folder("folder", path, "with a folder of images for each class, or with shards")
    return read_shards(path, progress) if in_shards(path) else read_layout(path, test_fraction, seed)


def median_side(images: EncodedImages) -> float:
    """The median of the shorter sides in pixels, of some images; raises DataError if none of them can be read."""
    from PIL import Image

    chosen = np.unique(np.linspace(0, len(images) - 1, _HEADERS).round().astype(int)).tolist()
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
