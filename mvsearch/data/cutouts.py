"""Photographs of birds, mammals, fruit and flowers, cut out and pasted on photographs, with their boxes and masks.

A fifth of the cut-outs of every class, drawn by the seed, is only for the test part, and so is the right quarter of
every background. Where two objects overlap, the later one is on top and covers at most a quarter of the other.
"""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mvsearch.data._cache import cache_dir, cache_faults
from mvsearch.data._debian import reason, unpack_package
from mvsearch.data._decoded import Decoding, load_or_decode
from mvsearch.data._images import DataSet, DecodedImage, Request, Scene, stratified_split
from mvsearch.data._source import DataSource
from mvsearch.data.photos import PHOTOS, photograph, pixels_of
from mvsearch.errors import DataError
from mvsearch.utils.progress import Progress, track

LICENCE = "GPL-2 (Tux Paint stamps); each background has its own, see the source photos"
SOURCE = "https://tuxpaint.org/stamps/"
TASKS = ("segmentation", "detection")

PACKAGE = "tuxpaint-stamps-default"
PACKAGED = Path("/usr/share/tuxpaint/stamps")
FOLDERS = {"bird": "animals/birds", "mammal": "animals/mammals", "fruit": "food/fruit", "flower": "plants/flowers"}
FILES = 151
SHA256 = "1268e4ded4f4c665738bef621dca64f130bead3efa5c0450af2d6bfb9e2874e1"
"""Of all files, by path, one after another: the version of 2022-06-04."""

BACKGROUNDS = tuple(PHOTOS.keys() - {"cat", "flower", "motorcycle"})  # these show objects of the classes
SIZE = 128
TEST_SHARE = 0.2
TRAIN, TEST = 2000, 500  # scenes
MOST = 4  # objects in a scene
SIDES = (0.25, 0.6)  # the longer side of an object, in shares of the image's
TRIES, COVERED = 10, 0.25  # attempts to place an object so that it covers no other by more


def get(path: Path | None, progress: Progress | None) -> Path:
    """The folder of stamps: the user's, the installed one, the cache's; else fetched into the cache."""
    if path is not None:
        if fault := _fault(path):
            raise DataError(f"{fault}; give the folder of stamps of {PACKAGE} 2022.06.04.", at=path)
        return path
    own = cache_dir() / "cutouts"
    for folder in (PACKAGED, own):
        if _fault(folder) is None:
            return folder
    failure = _fetch(own, progress)
    if failure is None:
        return own
    raise DataError(
        f"neither {PACKAGED} nor {own} contains the stamps, and they could not be fetched ({failure}); install "
        f"Debian's package {PACKAGE}, or copy its folder {PACKAGED} there.",
        at="cutouts",
    )


def load(request: Request, progress: Progress | None) -> DataSet:
    """Scenes of `size` (128) pixels; the same seed gives the same scenes."""
    size = request.size or SIZE
    if size < 32:
        raise DataError(f"size={size} is too small; use 32 px or more.", at="cutouts")
    if request.path is not None:
        get(request.path, progress)
    photos = [photograph(PHOTOS[name]) for name in sorted(BACKGROUNDS)]

    def decode() -> Decoding:
        folder = get(request.path, progress)
        files = [(file, label) for label, name in enumerate(FOLDERS, 1) for file in files_of(folder, name)]
        parts = stratified_split(np.array([label for _, label in files]), TEST_SHARE, request.seed)
        objects = [[(_load_cut_out(files[i][0]), files[i][1]) for i in part] for part in parts]
        backgrounds = [[_side(pixels_of(photo), test) for photo in photos] for test in (False, True)]
        streams = (
            _scenes(Stock(objects[part], backgrounds[part], size), (TRAIN, TEST)[part], (request.seed, part), progress)
            for part in (0, 1)
        )
        return Decoding(("background", *FOLDERS), *streams)

    sizes = [photo.stat().st_size for photo in photos]
    identity = [SHA256, size, request.seed, TRAIN, TEST, sorted(BACKGROUNDS), sizes]
    return load_or_decode("cutouts", identity, decode, source=SOURCE, licence=LICENCE)


def check(path: Path | None, progress: Progress | None) -> tuple[str, ...]:
    """Reads every cut-out: `get` accepts only the published ones."""
    folder = get(path, progress)
    counts = ", ".join(f"{len(files_of(folder, name))} of class {name}" for name in FOLDERS)
    return (f"{folder}: the SHA-256 of its {FILES} cut-outs is that of the published ones; {counts}.",)


def files_of(folder: Path, name: str) -> list[Path]:
    """The cut-outs of a class, without drawings."""
    return [file for file in sorted((folder / FOLDERS[name]).rglob("*.png")) if "cartoon" not in file.parts]


def _fault(folder: Path) -> str | None:
    files = [file for name in FOLDERS for file in files_of(folder, name)]
    if len(files) != FILES:
        return f"contains {len(files)} of {FILES} cut-outs" if files else "contains no cut-outs"
    total = hashlib.sha256()
    for file in files:
        total.update(file.read_bytes())
    return None if total.hexdigest() == SHA256 else f"its cut-outs are not the published ones ({total.hexdigest()})"


def _fetch(folder: Path, progress: Progress | None) -> str | None:
    """Fetch the stamps; the reason if that fails, else None."""
    with cache_faults():
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with unpack_package(PACKAGE, folder, progress) as files:
            for place in FOLDERS.values():
                shutil.rmtree(folder / place, ignore_errors=True)
                shutil.copytree(
                    files / PACKAGED.relative_to("/") / place, folder / place, ignore=shutil.ignore_patterns("*.ogg")
                )
    except (OSError, subprocess.SubprocessError) as fault:
        return f"apt-get: {reason(fault)}"
    return _fault(folder)


@dataclass(frozen=True)
class Stock:
    """The material for the scenes of a part: cut-outs with their classes, backgrounds, and the side in pixels."""

    objects: list[tuple[Any, int]]
    backgrounds: list[np.ndarray]
    size: int


def _load_cut_out(file: Path) -> Any:
    """The image with its transparency, without empty margins."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            rgba = image.convert("RGBA")
            return rgba.crop(rgba.getchannel("A").point(lambda alpha: 255 * (alpha > 127)).getbbox())
    except (OSError, SyntaxError, ValueError) as fault:
        raise DataError(f"cannot be read ({fault}); delete its folder to fetch it again.", at=file) from fault


def _side(pixels: np.ndarray, test: bool) -> np.ndarray:
    cut = pixels.shape[1] * 3 // 4
    return pixels[:, cut:] if test else pixels[:, :cut]


def _scenes(stock: Stock, count: int, seeds: tuple[int, int], progress: Progress | None) -> Iterator[DecodedImage]:
    step = f"paste {('train', 'test')[seeds[1]]} scenes"
    for i in track(range(count), step, count, progress):
        yield DecodedImage(*paste(stock, np.random.default_rng([*seeds, i])))


def paste(stock: Stock, rng: np.random.Generator) -> tuple[np.ndarray, Scene]:
    """A scene: its pixels (size, size, 3), its mask, and its boxes around the visible part of each object."""
    image = _background(stock, rng)
    labels = sorted({label for _, label in stock.objects})
    owner = np.zeros((stock.size, stock.size), np.uint8)  # the number of the object that is visible at a pixel
    classes = [0]
    for _ in range(rng.integers(1, MOST + 1)):
        kind = rng.choice(labels)  # classes are equally likely, whatever their number of cut-outs
        cut_out = _choose([entry for entry in stock.objects if entry[1] == kind], rng)[0]
        cut_out = _resize(cut_out, stock.size, rng)
        covers = np.asarray(cut_out.getchannel("A")) > 127
        if (position := _find_position(owner, covers, rng)) is not None:
            top, left = position
            image.paste(cut_out, (left, top), cut_out)
            owner[top : top + covers.shape[0], left : left + covers.shape[1]][covers] = len(classes)
            classes.append(int(kind))
    mask = np.array(classes, np.uint8)[owner]
    boxes = [(classes[i], *box_of(owner == i)) for i in range(1, len(classes))]
    return np.asarray(image), Scene(mask, np.array(boxes))


def box_of(mask: np.ndarray) -> tuple[float, float, float, float]:
    """The box around the pixels of a mask: x0, y0, x1, y1 in shares of the sides."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    height, width = mask.shape
    return columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height


def _choose(items: list[Any], rng: np.random.Generator) -> Any:
    return items[rng.integers(len(items))]


def _background(stock: Stock, rng: np.random.Generator) -> Any:
    from PIL import Image

    photo = _choose(stock.backgrounds, rng)
    shorter = min(photo.shape[:2])
    side = int(rng.integers(min(stock.size, shorter), shorter + 1))
    top, left = (int(rng.integers(length - side + 1)) for length in photo.shape[:2])
    crop = Image.fromarray(photo[top : top + side, left : left + side])
    return crop.resize((stock.size, stock.size), Image.Resampling.BILINEAR)


def _resize(cut_out: Any, size: int, rng: np.random.Generator) -> Any:
    from PIL import Image, ImageOps

    factor = rng.uniform(*SIDES) * size / max(cut_out.size)
    width, height = (max(round(side * factor), 4) for side in cut_out.size)
    resized = cut_out.resize((width, height), Image.Resampling.BOX if factor < 1 else Image.Resampling.BILINEAR)
    return ImageOps.mirror(resized) if rng.random() < 0.5 else resized


def _find_position(owner: np.ndarray, covers: np.ndarray, rng: np.random.Generator) -> tuple[int, int] | None:
    """A position where an object does not cover too much of another; None if none is found."""
    for _ in range(TRIES):
        top, left = (int(rng.integers(a - b + 1)) for a, b in zip(owner.shape, covers.shape, strict=True))
        below = owner[top : top + covers.shape[0], left : left + covers.shape[1]][covers]
        covered = np.bincount(below, minlength=1)
        visible = np.bincount(owner.ravel(), minlength=len(covered))[: len(covered)]
        if covers.any() and (covered[1:] <= COVERED * visible[1:]).all():
            return top, left
    return None


DATA_SOURCE = DataSource(
    description="birds, mammals, fruit and flowers pasted on photographs, with boxes and masks, 4 classes, 128 px",
    licence=LICENCE,
    get=get,
    load=load,
    check=check,
    tasks=TASKS,
)
