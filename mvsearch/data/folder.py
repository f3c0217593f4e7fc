"""Your own images: one folder a class.

    PATH/train/CLASS/*.jpg  PATH/test/CLASS/*.jpg     (or val), and other usual names, see `_layout`
    PATH/CLASS/*.jpg                                  split by the seed, every class in proportion

Each image is rotated upright, converted to RGB, resized so that its shorter side is `size`, and cropped to the centre.
"""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mvsearch.data._cache import Decoding, files_identity, load_or_decode
from mvsearch.data._decode import UnreadableImage, read_image
from mvsearch.data._duplicates import find_duplicates
from mvsearch.data._images import DataSet, DecodedImage, Request
from mvsearch.data._layout import Listing, read_layout
from mvsearch.data._skipped import Skipped, broken
from mvsearch.data._source import DataSource
from mvsearch.data._walk import printable
from mvsearch.errors import DataError
from mvsearch.utils.progress import Progress, track

LICENCE = "that of your images"
SIZE = 64
BATCH = 512  # images in memory at once


def get(path: Path | None, progress: Progress | None) -> Path:
    """The folder itself: nothing is fetched."""
    if path is None:
        raise DataError("needs a path: use --path, or `path` under `data:` in the file of the search.", at="folder")
    if not path.is_dir():
        raise DataError("no such folder; give one with a folder of images for each class.", at=path)
    return path


def load(request: Request, progress: Progress | None) -> DataSet:
    """The images of the folder, decoded at `size` (64); decoded again only if one of its files changes."""
    path, size = get(request.path, progress), request.size or SIZE
    if size < 8:
        raise DataError(f"size={size} is too small; use 8 px or more.", at=path)
    layout = read_layout(path, request.test_fraction, request.seed)
    both = (layout.train, layout.test)
    identity = [size, layout.classes, *([files_identity(path, [file for file, _ in part]) for part in both])]

    def decode() -> Decoding:
        streams = (_decode(path, part, layout.classes, size, progress) for part in both)
        return Decoding(layout.classes, *streams, assumptions=lambda: find_duplicates(path, *both))

    return load_or_decode(
        "folder",
        identity,
        decode,
        source=printable(path),
        licence=LICENCE,
        skipped=layout.skipped,
        assumptions=layout.assumptions,
    )


def check(path: Path | None, progress: Progress | None) -> tuple[str, ...]:
    """Describes how the folder is read; `load` decodes the images."""
    root = get(path, progress)
    layout = read_layout(root, Request().test_fraction, 0)
    split = "no test part: every class is split by the seed"
    if layout.parts:
        train, test = (printable(part.relative_to(root).as_posix()) for part in layout.parts)
        split = f"{train} is for training, {test} for the test"
    return (f"{printable(root)}: {len(layout.classes)} classes; {split}.",)


def _decode(
    path: Path, files: Listing, classes: tuple[str, ...], size: int, progress: Progress | None
) -> Iterator[DecodedImage | Skipped]:
    bad_files: Counter[int] = Counter()
    first: dict[int, str] = {}
    for (file, label), image in track(_decode_all(files, size), f"decode {path.name}", len(files), progress):
        if isinstance(image, UnreadableImage):
            bad_files[label] += 1
            name = printable(file.relative_to(path).as_posix())
            first.setdefault(label, f"{name} ({image})")
            yield broken(str(image), name)
        else:
            yield image
    counts = Counter(label for _, label in files)
    for label, bad in bad_files.items():
        if 2 * bad > counts[label]:
            raise DataError(
                f"{bad} of {counts[label]} images of class {classes[label]} cannot be read, "
                f"the first is {first[label]}; replace them or remove the class.",
                at=path,
            )


def _read(file: Path, label: int, size: int) -> DecodedImage | UnreadableImage:
    try:
        return read_image(file, size, label)
    except UnreadableImage as fault:
        return fault


def _decode_all(files: Listing, size: int) -> Iterator[tuple[tuple[Path, int], DecodedImage | UnreadableImage]]:
    # Threads are enough: Pillow releases the GIL while it decodes and resizes.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(files), BATCH):
            batch = files[start : start + BATCH]
            yield from zip(batch, pool.map(lambda item: _read(item[0], item[1], size), batch), strict=True)


DATA_SOURCE = DataSource(
    description="your own images: PATH/train/CLASS and PATH/test/CLASS (or val), or PATH/CLASS",
    licence=LICENCE,
    get=get,
    load=load,
    check=check,
)
