"""Photographs of birds, mammals, fruit and flowers, cut out and pasted on photographs: boxes and masks come for free.

A fifth of the cut-outs of every class, drawn by the seed, is for the test part alone. So is the right quarter of every
background, which never shows in the training part. Where two things overlap the later one lies on top, and covers at
most a quarter of another.
"""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mvsearch.data._cache import Decoding, cache_dir, cache_faults, load_or_decode
from mvsearch.data._debian import reason, unpacked
from mvsearch.data._images import DataSet, Request, Scene, stratified_split
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

BACKGROUNDS = tuple(PHOTOS.keys() - {"cat", "flower", "motorcycle"})  # these show what would have to be found
SIZE = 128
TEST_SHARE = 0.2
TRAIN, TEST = 2000, 500  # scenes
MOST = 4  # things in a scene
SIDES = (0.25, 0.6)  # of a thing's longer side, in shares of the image's
TRIES, COVERED = 10, 0.25  # so often a place is looked for where no other thing is covered by more


def get(path: Path | None, progress: Progress | None) -> Path:
    """The folder of stamps: the user's, the installed one, the cache's; else fetched into the cache."""
    if path is not None:
        if fault := _fault(path):
            raise DataError(f"{fault}; this folder should be the stamps of {PACKAGE} 2022.06.04.", at=path)
        return path
    own = cache_dir() / "cutouts"
    for folder in (PACKAGED, own):
        if _fault(folder) is None:
            return folder
    failure = _fetch(own, progress)
    if failure is None:
        return own
    raise DataError(
        f"cutouts: neither {PACKAGED} nor {own} holds its stamps and they could not be fetched ({failure}); "
        f"install Debian's package {PACKAGE}, or put its folder {PACKAGED} there."
    )


def load(request: Request, progress: Progress | None) -> DataSet:
    """Scenes at `size` (128), the same for the same seed."""
    size = request.size or SIZE
    if size < 32:
        raise DataError(f"cutouts: size={size} leaves nothing to see; give 32 px or more.")
    if request.path is not None:
        get(request.path, progress)
    photos = [photograph(PHOTOS[name]) for name in sorted(BACKGROUNDS)]

    def decode() -> Decoding:
        folder = get(request.path, progress)
        files = [(file, label) for label, name in enumerate(FOLDERS, 1) for file in files_of(folder, name)]
        parts = stratified_split(np.array([label for _, label in files]), TEST_SHARE, request.seed)
        things = [[(_cut_out(files[i][0]), files[i][1]) for i in part] for part in parts]
        grounds = [[_side(pixels_of(photo), test) for photo in photos] for test in (False, True)]
        streams = (
            _scenes(Stock(things[part], grounds[part], size), (TRAIN, TEST)[part], (request.seed, part), progress)
            for part in (0, 1)
        )
        return Decoding(("background", *FOLDERS), *streams)

    sizes = [photo.stat().st_size for photo in photos]
    identity = [SHA256, size, request.seed, TRAIN, TEST, sorted(BACKGROUNDS), sizes]
    return load_or_decode("cutouts", identity, decode, source=SOURCE, licence=LICENCE)


def check(path: Path | None, progress: Progress | None) -> tuple[str, ...]:
    """Reads every cut-out: `get` accepts no others than the published ones."""
    folder = get(path, progress)
    counts = ", ".join(f"{len(files_of(folder, name))} of class {name}" for name in FOLDERS)
    return (f"{folder}: the SHA-256 of its {FILES} cut-outs is that of the published ones; {counts}.",)


def files_of(folder: Path, name: str) -> list[Path]:
    """The cut-outs of a class, without drawings."""
    return [file for file in sorted((folder / FOLDERS[name]).rglob("*.png")) if "cartoon" not in file.parts]


def _fault(folder: Path) -> str | None:
    files = [file for name in FOLDERS for file in files_of(folder, name)]
    if len(files) != FILES:
        return f"holds {len(files)} of {FILES} cut-outs" if files else "holds no cut-outs"
    total = hashlib.sha256()
    for file in files:
        total.update(file.read_bytes())
    return None if total.hexdigest() == SHA256 else f"its cut-outs are not the published ones ({total.hexdigest()})"


def _fetch(folder: Path, progress: Progress | None) -> str | None:
    """Why the stamps could not be fetched, or None when they are there and right."""
    with cache_faults():
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with unpacked(PACKAGE, folder, progress) as files:
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
    """What the scenes of a part are made of: cut-outs with their classes, backgrounds, and the side in pixels."""

    things: list[tuple[Any, int]]
    grounds: list[np.ndarray]
    size: int


def _cut_out(file: Path) -> Any:
    """The picture with its transparency, without empty margins."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            whole = image.convert("RGBA")
            return whole.crop(whole.getchannel("A").point(lambda alpha: 255 * (alpha > 127)).getbbox())
    except (OSError, SyntaxError, ValueError) as fault:
        raise DataError(f"cannot be read ({fault}); delete its folder to have it fetched anew.", at=file) from fault


def _side(pixels: np.ndarray, test: bool) -> np.ndarray:
    cut = pixels.shape[1] * 3 // 4
    return pixels[:, cut:] if test else pixels[:, :cut]


def _scenes(
    stock: Stock, count: int, seeds: tuple[int, int], progress: Progress | None
) -> Iterator[tuple[np.ndarray, Scene]]:
    words = f"paste {('train', 'test')[seeds[1]]} scenes"
    for i in track(range(count), words, count, progress):
        yield paste(stock, np.random.default_rng([*seeds, i]))


def paste(stock: Stock, rng: np.random.Generator) -> tuple[np.ndarray, Scene]:
    """A scene: its pixels (size, size, 3), its mask, and its boxes around what is still seen of each thing."""
    image = _background(stock, rng)
    labels = sorted({label for _, label in stock.things})
    owner = np.zeros((stock.size, stock.size), np.uint8)  # the number of the thing that is seen at a pixel
    classes = [0]
    for _ in range(rng.integers(1, MOST + 1)):
        kind = rng.choice(labels)  # classes alike, however many cut-outs they have
        thing = _sized(_drawn([each for each in stock.things if each[1] == kind], rng)[0], stock.size, rng)
        covers = np.asarray(thing.getchannel("A")) > 127
        if (place := _place(owner, covers, rng)) is not None:
            top, left = place
            image.paste(thing, (left, top), thing)
            owner[top : top + covers.shape[0], left : left + covers.shape[1]][covers] = len(classes)
            classes.append(int(kind))
    mask = np.array(classes, np.uint8)[owner]
    boxes = [(classes[i], *box_of(owner == i)) for i in range(1, len(classes))]
    return np.asarray(image), Scene(mask, np.array(boxes))


def box_of(covered: np.ndarray) -> tuple[float, float, float, float]:
    """The box around pixels, x0, y0, x1, y1 in shares of the sides."""
    rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
    height, width = covered.shape
    return columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height


def _drawn(items: list[Any], rng: np.random.Generator) -> Any:
    return items[rng.integers(len(items))]


def _background(stock: Stock, rng: np.random.Generator) -> Any:
    from PIL import Image

    ground = _drawn(stock.grounds, rng)
    shorter = min(ground.shape[:2])
    side = int(rng.integers(min(stock.size, shorter), shorter + 1))
    top, left = (int(rng.integers(length - side + 1)) for length in ground.shape[:2])
    crop = Image.fromarray(ground[top : top + side, left : left + side])
    return crop.resize((stock.size, stock.size), Image.Resampling.BILINEAR)


def _sized(thing: Any, size: int, rng: np.random.Generator) -> Any:
    from PIL import Image, ImageOps

    factor = rng.uniform(*SIDES) * size / max(thing.size)
    width, height = (max(round(side * factor), 4) for side in thing.size)
    smaller = thing.resize((width, height), Image.Resampling.BOX if factor < 1 else Image.Resampling.BILINEAR)
    return ImageOps.mirror(smaller) if rng.random() < 0.5 else smaller


def _place(owner: np.ndarray, covers: np.ndarray, rng: np.random.Generator) -> tuple[int, int] | None:
    """Where a thing goes without covering too much of another; None if no such place is found."""
    for _ in range(TRIES):
        top, left = (int(rng.integers(a - b + 1)) for a, b in zip(owner.shape, covers.shape, strict=True))
        below = owner[top : top + covers.shape[0], left : left + covers.shape[1]][covers]
        hidden = np.bincount(below, minlength=1)
        whole = np.bincount(owner.ravel(), minlength=len(hidden))[: len(hidden)]
        if covers.any() and (hidden[1:] <= COVERED * whole[1:]).all():
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
