"""Your own images: one folder a class.

    PATH/train/CLASS/*.jpg  PATH/test/CLASS/*.jpg     (or val)
    PATH/CLASS/*.jpg                                  split by the seed, every class in proportion

Each image is turned upright, made RGB, and resized so that its shorter side fits `size`; the middle is kept.
"""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mvsearch.data._cache import Decoding, files_identity, load_or_decode
from mvsearch.data._decode import decode_image
from mvsearch.data._images import DataSet, Request, stratified_split
from mvsearch.data._source import DataSource
from mvsearch.errors import DataError
from mvsearch.utils.progress import Progress, track

LICENCE = "that of your images"
SIZE = 64
BATCH = 512  # images on their way at once: bounds the memory, whatever the size of the set

Listing = list[tuple[Path, int]]
"""Image files with the number of their class."""


def get(path: Path | None, progress: Progress | None) -> Path:
    """The folder itself: nothing is fetched."""
    if path is None:
        raise DataError("folder: which one? Give its path (--path, or path under data: in the file of the search).")
    if not path.is_dir():
        raise DataError("no such folder; give one that holds a folder of images for each class.", at=path)
    return path


def load(request: Request, progress: Progress | None) -> DataSet:
    """The images of the folder, decoded at `size` (64) once; again only when a file of it changes."""
    path, size = get(request.path, progress), request.size or SIZE
    if size < 8:
        raise DataError(f"size={size} leaves nothing to see; give 8 px or more.", at=path)
    classes, train, test = parts(path, request.test_fraction, request.seed)
    identity = [size, classes, *([files_identity(path, [file for file, _ in part]) for part in (train, test)])]

    def decode() -> Decoding:
        streams = (_decode(path, part, classes, size, progress) for part in (train, test))
        return Decoding(classes, *streams)

    return load_or_decode("folder", identity, decode, source=str(path), licence=LICENCE)


def check(path: Path | None, progress: Progress | None) -> tuple[str, ...]:
    """Says how the folder is read; whether each image can be decoded is found out by `load`."""
    root = get(path, progress)
    how = "its own test part" if _is_split(root) else "no test part: every class is split by the seed"
    return (f"{root}: {len(_classes(root / 'train' if _is_split(root) else root))} classes, {how}.",)


def parts(path: Path, fraction: float, seed: int) -> tuple[tuple[str, ...], Listing, Listing]:
    """The classes of a folder, its images to train on, and those to test on, as the file's head says."""
    if not _is_split(path):
        classes = _classes(path)
        files = _listing(path, classes)
        labels = np.array([label for _, label in files])
        _refuse_lonely(path, classes, labels)
        kept, held = stratified_split(labels, fraction, seed)
        return classes, [files[i] for i in kept], [files[i] for i in held]
    train, test = path / "train", _test_folder(path)
    classes, others = _classes(train), _classes(test)
    if odd := sorted(set(classes) ^ set(others)):
        side = train if odd[0] in classes else test
        raise DataError(
            f"{len(odd)} classes are on one side only, such as {side / odd[0]}; give them to both.", at=path
        )
    return classes, _listing(train, classes), _listing(test, classes)


def _is_split(path: Path) -> bool:
    return bool(_folders(path / "train"))  # a class may be called `train`: it holds images, not folders


def _test_folder(path: Path) -> Path:
    for name in ("test", "val"):
        if (path / name).is_dir():
            return path / name
    raise DataError(f"has train but neither test nor val; add one, or give {path / 'train'} to have it split.", at=path)


def _folders(path: Path) -> list[str]:
    if not path.is_dir():
        return []
    return sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__")))


def _classes(path: Path) -> tuple[str, ...]:
    classes = tuple(_folders(path))
    if len(classes) < 2:
        found = f"only one folder, {classes[0]}" if classes else "no folders"
        raise DataError(f"found {found}; put the images of each class, two classes at least, into its own.", at=path)
    return classes


def _listing(path: Path, classes: tuple[str, ...]) -> Listing:
    suffixes = image_suffixes()
    files: Listing = []
    for label, name in enumerate(classes):
        inside = (file for file in (path / name).rglob("*") if not file.name.startswith("."))
        found = sorted(file for file in inside if file.suffix.lower() in suffixes)
        if not found:
            raise DataError("this class has no images; add some or remove the folder.", at=path / name)
        files += [(file, label) for file in found]
    return files


def image_suffixes() -> frozenset[str]:
    """How names of images end that Pillow opens, in lower case, each with its dot."""
    from PIL import Image

    return frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN)


def _refuse_lonely(path: Path, classes: tuple[str, ...], labels: np.ndarray) -> None:
    for name, count in zip(classes, np.bincount(labels), strict=True):
        if count < 2:
            raise DataError("one image cannot be split into train and test; add another.", at=path / name)


def _decode(
    path: Path, files: Listing, classes: tuple[str, ...], size: int, progress: Progress | None
) -> Iterator[tuple[np.ndarray | None, int]]:
    broken: Counter[int] = Counter()
    first: dict[int, str] = {}
    for (file, label), (pixels, fault) in track(_decoded(files, size), f"decode {path.name}", len(files), progress):
        if pixels is None:
            broken[label] += 1
            first.setdefault(label, f"{file.relative_to(path)} ({fault})")
        yield pixels, label
    counts = Counter(label for _, label in files)
    for label, bad in broken.items():
        if 2 * bad > counts[label]:
            raise DataError(
                f"{bad} of {counts[label]} images of class {classes[label]} cannot be read, "
                f"the first is {first[label]}; replace them or remove the class.",
                at=path,
            )


def _decoded(files: Listing, size: int) -> Iterator[tuple[tuple[Path, int], tuple[np.ndarray | None, str]]]:
    # Threads will do: Pillow lets go of the interpreter while it decodes and resizes.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(files), BATCH):
            batch = files[start : start + BATCH]
            yield from zip(batch, pool.map(lambda item: decode_image(item[0], size), batch), strict=True)


DATA_SOURCE = DataSource(
    description="your own images: PATH/train/CLASS and PATH/test/CLASS (or val), or PATH/CLASS",
    licence=LICENCE,
    get=get,
    load=load,
    check=check,
)
