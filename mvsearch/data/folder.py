"""Your own images: one folder a class.

    PATH/train/CLASS/*.jpg  PATH/test/CLASS/*.jpg     (or val)
    PATH/CLASS/*.jpg                                  split by the seed, every class in proportion

Each image is rotated upright, converted to RGB, resized so that its shorter side is `size`, and cropped to the centre.
"""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mvsearch.data._cache import Decoding, files_identity, load_or_decode
from mvsearch.data._decode import UnreadableImage, read_image
from mvsearch.data._images import DataSet, DecodedImage, Request, stratified_split
from mvsearch.data._skipped import Skipped, broken
from mvsearch.data._source import DataSource
from mvsearch.errors import DataError
from mvsearch.utils.progress import Progress, track

LICENCE = "that of your images"
SIZE = 64
BATCH = 512  # images in memory at once

Listing = list[tuple[Path, int]]
"""Image files with the number of their class."""


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
    classes, train, test = parts(path, request.test_fraction, request.seed)
    identity = [size, classes, *([files_identity(path, [file for file, _ in part]) for part in (train, test)])]

    def decode() -> Decoding:
        streams = (_decode(path, part, classes, size, progress) for part in (train, test))
        return Decoding(classes, *streams)

    return load_or_decode("folder", identity, decode, source=str(path), licence=LICENCE)


def check(path: Path | None, progress: Progress | None) -> tuple[str, ...]:
    """Describes how the folder is read; `load` decodes the images."""
    root = get(path, progress)
    split = "its own test part" if _is_split(root) else "no test part: every class is split by the seed"
    return (f"{root}: {len(_classes(root / 'train' if _is_split(root) else root))} classes, {split}.",)


def parts(path: Path, fraction: float, seed: int) -> tuple[tuple[str, ...], Listing, Listing]:
    """The classes of a folder, its images to train on, and those to test on."""
    if not _is_split(path):
        classes = _classes(path)
        files = _listing(path, classes)
        labels = np.array([label for _, label in files])
        _check_counts(path, classes, labels)
        training, held_out = stratified_split(labels, fraction, seed)
        return classes, [files[i] for i in training], [files[i] for i in held_out]
    train, test = path / "train", _test_folder(path)
    classes, others = _classes(train), _classes(test)
    if unmatched := sorted(set(classes) ^ set(others)):
        side = train if unmatched[0] in classes else test
        raise DataError(
            f"{len(unmatched)} classes are only in one part, such as {side / unmatched[0]}; add them to both.", at=path
        )
    return classes, _listing(train, classes), _listing(test, classes)


def _is_split(path: Path) -> bool:
    return bool(_folders(path / "train"))  # a class may be called `train`: it contains images, not folders


def _test_folder(path: Path) -> Path:
    for name in ("test", "val"):
        if (path / name).is_dir():
            return path / name
    raise DataError(f"has train but neither test nor val; add one, or give {path / 'train'} to split it.", at=path)


def _folders(path: Path) -> list[str]:
    if not path.is_dir():
        return []
    return sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__")))


def _classes(path: Path) -> tuple[str, ...]:
    classes = tuple(_folders(path))
    if len(classes) < 2:
        content = f"only one folder, {classes[0]}" if classes else "no folders"
        raise DataError(f"found {content}; use one folder for each class, at least two.", at=path)
    return classes


def _listing(path: Path, classes: tuple[str, ...]) -> Listing:
    suffixes = image_suffixes()
    files: Listing = []
    for label, name in enumerate(classes):
        inside = (file for file in (path / name).rglob("*") if not file.name.startswith("."))
        images = sorted(file for file in inside if file.suffix.lower() in suffixes)
        if not images:
            raise DataError("this class has no images; add some or remove the folder.", at=path / name)
        files += [(file, label) for file in images]
    return files


def image_suffixes() -> frozenset[str]:
    """The suffixes of files that Pillow opens, in lower case, with the dot."""
    from PIL import Image

    return frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN)


def _check_counts(path: Path, classes: tuple[str, ...], labels: np.ndarray) -> None:
    for name, count in zip(classes, np.bincount(labels), strict=True):
        if count < 2:
            raise DataError("one image cannot be split into train and test; add another.", at=path / name)


def _decode(
    path: Path, files: Listing, classes: tuple[str, ...], size: int, progress: Progress | None
) -> Iterator[DecodedImage | Skipped]:
    bad_files: Counter[int] = Counter()
    first: dict[int, str] = {}
    for (file, label), image in track(_decode_all(files, size), f"decode {path.name}", len(files), progress):
        if isinstance(image, UnreadableImage):
            bad_files[label] += 1
            first.setdefault(label, f"{file.relative_to(path)} ({image})")
            yield broken(str(image), str(file.relative_to(path)))
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
