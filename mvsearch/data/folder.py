"""Your own images: one folder a class.

    PATH/train/CLASS/*.jpg  PATH/test/CLASS/*.jpg     (or val), and other usual names, see `_layout`
    PATH/CLASS/*.jpg                                  split by the seed, every class in proportion
    PATH/train*.tar  PATH/test*.tar                   shards, see `_shards`

Each image is rotated upright, converted to RGB, resized so that its shorter side is `size`, and cropped to the centre.
"""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from mvsearch.data._decode import UnreadableImage, read_image
from mvsearch.data._decoded import Decoding, files_identity, load_or_decode
from mvsearch.data._duplicates import find_duplicates
from mvsearch.data._encoded import EncodedImages, listing_checksum
from mvsearch.data._files import find_encoded
from mvsearch.data._images import DataSet, DecodedImage, Request
from mvsearch.data._settings import MIN_SIZE
from mvsearch.data._skipped import Skipped, broken
from mvsearch.data._source import DataSource, user_folder
from mvsearch.errors import DataError
from mvsearch.utils.progress import Progress, track
from mvsearch.utils.text import printable

LICENCE = "that of your images"
SIZE = 64
BATCH = 512  # images in memory at once


def get(path: Path | None, progress: Progress | None) -> Path:
    """The folder itself: nothing is fetched."""
    return user_folder("folder", path, "with a folder of images for each class")


def load(request: Request, progress: Progress | None) -> DataSet:
    """The images of the folder, decoded at `size` (64); decoded again only if one of its files changes."""
    path, size = get(request.path, progress), request.size or SIZE
    if size < MIN_SIZE:
        raise DataError(f"size={size} is too small; use {MIN_SIZE} px or more.", at=path)
    found = find_encoded(path, test_fraction=request.test_fraction, seed=request.seed, progress=progress)
    both = (found.train, found.test)
    files = [(*part.files,) for part in both]
    identity = [size, found.train.classes, listing_checksum(*both), *(files_identity(path, part) for part in files)]

    def decode() -> Decoding:
        streams = (_decode(part, size, progress) for part in both)
        return Decoding(found.train.classes, *streams, assumptions=lambda: find_duplicates(*both))

    return load_or_decode(
        "folder",
        identity,
        decode,
        source=printable(path),
        licence=LICENCE,
        skipped=found.skipped,
        assumptions=found.assumptions,
    )


def check(path: Path | None, progress: Progress | None) -> tuple[str, ...]:
    """Describes how the folder is read; `load` decodes the images."""
    root = get(path, progress)
    found = find_encoded(root, progress=progress)
    split = "its own test part" if found.has_test_part else "no test part: every class is split by the seed"
    return (f"{printable(root)}: {len(found.train.classes)} classes, {split}.",)


def _decode(part: EncodedImages, size: int, progress: Progress | None) -> Iterator[DecodedImage | Skipped]:
    bad_images: Counter[int] = Counter()
    first: dict[int, str] = {}
    for i, image in track(enumerate(_decode_all(part, size)), f"decode {part.root.name}", len(part), progress):
        if isinstance(image, UnreadableImage):
            label = int(part.labels[i])
            bad_images[label] += 1
            first.setdefault(label, f"{part.name(i)} ({image})")
            yield broken(str(image), part.name(i))
        else:
            yield image
    counts = np.bincount(part.labels)
    for label, bad in bad_images.items():
        if 2 * bad > counts[label]:
            raise DataError(
                f"{bad} of {counts[label]} images of class {part.classes[label]} cannot be read, "
                f"the first is {first[label]}; replace them or remove the class.",
                at=part.root,
            )


def _decode_all(part: EncodedImages, size: int) -> Iterator[DecodedImage | UnreadableImage]:
    # Threads are enough: Pillow releases the GIL while it decodes and resizes.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(part), BATCH):
            yield from pool.map(partial(_read, part, size), range(start, min(start + BATCH, len(part))))


def _read(part: EncodedImages, size: int, i: int) -> DecodedImage | UnreadableImage:
    try:
        return read_image(part.open(i), size, int(part.labels[i]))
    except UnreadableImage as fault:
        return fault
    except OSError as fault:  # a shard that cannot be opened any more
        return UnreadableImage(fault.strerror or str(fault))


DATA_SOURCE = DataSource(
    description="your own images: PATH/train/CLASS and PATH/test/CLASS (or val), or PATH/CLASS",
    licence=LICENCE,
    get=get,
    load=load,
    check=check,
)
