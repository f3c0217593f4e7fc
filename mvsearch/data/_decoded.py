"""Decoded images: they are decoded once, into files of the cache that are memory-mapped afterwards.

CACHE/decoded/NAME-KEY/
    train.pixels  test.pixels     uint8, image after image
    train.labels  test.labels     int64
    train.masks   test.masks      uint8, scenes only
    train.boxes   test.boxes      float64, scenes only
    train.ignored test.ignored    float64, scenes with crowds or difficult objects only
    about.json                    shapes, classes, checksum, images skipped, native sizes and encodings
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mvsearch.data._cache import cache_dir, read_about, write_once
from mvsearch.data._decode import encoding_assumptions
from mvsearch.data._images import DataSet, DecodedImage, Images, Native, Scene
from mvsearch.data._skipped import Skipped, merge_skipped
from mvsearch.errors import DataError

FORMAT = 5  # another number decodes everything anew
_SCENE_FILES = ("masks", "boxes", "ignored")

Decoded = Iterable[DecodedImage | Skipped]
"""One image after another; in place of an image that cannot be used, why it is left out."""


@dataclass(frozen=True)
class Decoding:
    """A data set that is being decoded. Its streams raise only MvsearchError.

    `assumptions` is called after the streams: what had to be assumed while they were decoded.
    """

    classes: tuple[str, ...]
    train: Decoded
    test: Decoded
    assumptions: Callable[[], Iterable[str]] = field(default=tuple, kw_only=True)


def load_or_decode(
    name: str,
    identity: Any,
    decode: Callable[[], Decoding],
    *,
    source: str,
    licence: str,
    skipped: Iterable[Skipped] = (),
    assumptions: Iterable[str] = (),
) -> DataSet:
    """The decoded images of `identity`, from the cache if they were decoded before.

    `identity` is JSON and contains all that the pixels depend on: files, size, seed. If two processes need the same
    images, one decodes them and the other waits. `skipped` and `assumptions` are what is known before the decoding.
    """
    key = hashlib.sha256(json.dumps([FORMAT, name, identity]).encode()).hexdigest()[:16]
    folder = cache_dir() / "decoded" / f"{name}-{key}"
    write_once(folder, lambda partial: _write(partial, decode))
    data = _read(folder, name, source, licence)
    encodings = encoding_assumptions(data.native.encodings) if data.native else ()
    noted = tuple(dict.fromkeys((*assumptions, *data.assumptions, *encodings)))
    return replace(data, skipped=merge_skipped((*skipped, *data.skipped)), assumptions=noted)


def files_identity(root: Path, files: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Name, size and modification time of every file, which identify its content without reading it."""
    return [(_name(root, path), *_size_and_time(path)) for path in files]


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:  # deleted since it was listed: counted where it is decoded
        return -1, -1
    return stat.st_size, stat.st_mtime_ns


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.absolute().as_posix()


def digest_of(*parts: Images) -> str:
    """The checksum of decoded images: shapes, classes, pixels, labels, and what a scene has of masks and boxes."""
    total = hashlib.sha256()
    for images in parts:
        pixels = hashlib.sha256(np.ascontiguousarray(images.pixels).data)
        total.update(_summary(images.pixels.shape, images.classes, pixels.hexdigest(), images.labels))
        for extra in (images.masks, images.boxes, images.ignored):
            if extra is not None:
                total.update(hashlib.sha256(np.ascontiguousarray(extra).data).digest())
    return total.hexdigest()[:32]


def _write(folder: Path, decode: Callable[[], Decoding]) -> None:
    decoding = decode()
    about: dict[str, Any] = {"classes": decoding.classes}
    total = hashlib.sha256()
    for part, stream in (("train", decoding.train), ("test", decoding.test)):
        about[part], summary = _write_part(folder, part, stream, decoding.classes)
        total.update(summary)
    about["assumptions"] = [*decoding.assumptions()]
    (folder / "about.json").write_text(json.dumps(about | {"checksum": total.hexdigest()[:32]}), encoding="utf-8")


def _write_part(folder: Path, part: str, stream: Decoded, classes: tuple[str, ...]) -> tuple[dict[str, Any], bytes]:
    labels: list[int] = []
    shape: tuple[int, ...] = ()
    sizes, encodings = Counter[tuple[int, int]](), Counter[str]()  # of the files
    skipped, digest, scenes = list[Skipped](), hashlib.sha256(), _SceneWriter(folder, part)
    with (folder / f"{part}.pixels").open("wb") as file, scenes:
        for image in stream:
            if isinstance(image, Skipped):
                skipped.append(image)
                continue
            if image.width:
                sizes[image.width, image.height] += 1
            if image.encoding:
                encodings[image.encoding] += 1
            pixels, content = image.pixels, image.content
            raw = pixels.tobytes()
            file.write(raw)
            digest.update(raw)
            if isinstance(content, Scene):
                scenes.add(len(labels), content)
            labels.append(content.label if isinstance(content, Scene) else content)
            shape = pixels.shape
    array = np.array(labels, np.int64)
    array.tofile(folder / f"{part}.labels")
    shape = (len(labels), *shape)
    about: dict[str, Any] = {"shape": shape, "skipped": [asdict(entry) for entry in merge_skipped(skipped)]}
    about |= {"sizes": [[*size, count] for size, count in sizes.items()], "encodings": encodings}
    return about, _summary(shape, classes, digest.hexdigest(), array) + scenes.digest()


def _native(parts: Sequence[Mapping[str, Any]]) -> Native | None:
    sizes = np.array([row for part in parts for row in part["sizes"]], np.int64).reshape(-1, 3)
    if not len(sizes):
        return None
    sides = (np.repeat(sizes[:, side], sizes[:, 2]) for side in (0, 1))
    width, height = ((float(side.min()), float(np.median(side)), float(side.max())) for side in sides)
    encodings = sum((Counter(part["encodings"]) for part in parts), Counter[str]())
    return Native(width, height, dict(encodings))


class _SceneWriter(ExitStack):
    """Writes the masks and boxes of a part into files, which are created with the first of them."""

    def __init__(self, folder: Path, part: str) -> None:
        super().__init__()
        self.paths = {name: folder / f"{part}.{name}" for name in _SCENE_FILES}
        self.files: dict[str, BinaryIO] = {}
        self.digests: dict[str, Any] = {}

    def add(self, image: int, scene: Scene) -> None:
        """Write the scene of the image of that number."""
        if scene.mask is not None:
            self._write("masks", scene.mask.astype(np.uint8).tobytes())
        if scene.boxes is not None:
            boxes = np.asarray(scene.boxes, "<f8").reshape(-1, 5)
            self._write("boxes", np.insert(boxes, 0, image, axis=1).tobytes())
        if scene.ignored is not None and len(scene.ignored):
            self._write("ignored", np.insert(np.asarray(scene.ignored, "<f8"), 0, image, axis=1).tobytes())

    def digest(self) -> bytes:
        """The checksum of all of them."""
        return b"".join(self.digests[name].digest() for name in _SCENE_FILES if name in self.digests)

    def _write(self, name: str, raw: bytes) -> None:
        if name not in self.files:
            self.files[name] = self.enter_context(self.paths[name].open("wb"))
            self.digests[name] = hashlib.sha256()
        self.files[name].write(raw)
        self.digests[name].update(raw)


def _summary(shape: tuple[int, ...], classes: tuple[str, ...], pixels: str, labels: np.ndarray) -> bytes:
    # The bytes that a checksum covers; labels are little-endian on every machine.
    return json.dumps([shape, classes, pixels]).encode() + labels.astype("<i8").tobytes()


def _read(folder: Path, name: str, source: str, licence: str) -> DataSet:
    try:
        about = read_about(folder)
        train, test = (_map(folder, part, about) for part in ("train", "test"))
    except (OSError, ValueError, KeyError) as fault:
        raise DataError(f"these decoded images are damaged ({fault}); delete the folder.", at=folder) from fault
    parts = [about[part] for part in ("train", "test")]
    skipped = merge_skipped(Skipped(**entry) for part in parts for entry in part["skipped"])
    return DataSet(
        name, train, test, about["checksum"], skipped, source, licence, tuple(about["assumptions"]), _native(parts)
    )


def _map(folder: Path, part: str, about: dict[str, Any]) -> Images:
    shape = tuple(about[part]["shape"])
    pixels = np.memmap(folder / f"{part}.pixels", np.uint8, mode="r", shape=shape)
    labels = np.fromfile(folder / f"{part}.labels", np.int64)
    if len(labels) != len(pixels):
        raise ValueError(f"{len(pixels)} images but {len(labels)} labels")
    labels.setflags(write=False)
    masks, boxes, ignored = None, None, None
    if (place := folder / f"{part}.masks").exists():
        masks = np.memmap(place, np.uint8, mode="r", shape=shape[:3])
    if (place := folder / f"{part}.boxes").exists():
        boxes = np.fromfile(place, "<f8").reshape(-1, 6)
    if (place := folder / f"{part}.ignored").exists():
        ignored = np.fromfile(place, "<f8").reshape(-1, 7)
    return Images(pixels, labels, tuple(about["classes"]), masks, boxes, ignored)
