"""Images are decoded once, into files that are memory-mapped ever after.

CACHE/decoded/NAME-KEY/     whole as soon as it exists: written under another name, then renamed
    train.pixels  test.pixels     uint8, image after image
    train.labels  test.labels     int64
    train.masks   test.masks      uint8, scenes only
    train.boxes   test.boxes      float64, scenes only
    about.json                    shapes, classes, checksum, images skipped
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout
from platformdirs import user_cache_dir

from mvsearch.data._images import DataSet, Images, Scene
from mvsearch.errors import DataError, EnvironmentFault

FORMAT = 2  # a change of it decodes everything anew
_PARTIAL, _GONE = ".partial", ".gone"  # what a folder is called while it is written, and while it is deleted

Decoded = Iterable[tuple[np.ndarray | None, int | Scene]]
"""Pixels of one image after another, and its label or what it shows; None stands for a broken image."""


@dataclass(frozen=True)
class Decoding:
    """A data set on its way into the cache. Its streams raise nothing but MvsearchError."""

    classes: tuple[str, ...]
    train: Decoded
    test: Decoded


def cache_dir() -> Path:
    """Where fetched and decoded images are kept: `$MVSEARCH_CACHE`, or the user's cache folder.

    `$MVSEARCH_CACHE_GIB` limits the decoded ones.
    """
    return Path(os.environ.get("MVSEARCH_CACHE") or user_cache_dir("mvsearch"))


def stored(name: str, identity: Any, decode: Callable[[], Decoding], *, source: str, licence: str) -> DataSet:
    """The decoded images of `identity`, from the cache if they were decoded before.

    `identity` is JSON and names all that the pixels depend on: files, size, seed. Of two processes that want the
    same images one decodes and the other waits.
    """
    key = hashlib.sha256(json.dumps([FORMAT, name, identity]).encode()).hexdigest()[:16]
    folder = cache_dir() / "decoded" / f"{name}-{key}"
    if not folder.exists():
        with cache_faults(), _alone(folder):
            if not folder.exists():
                _write(folder, decode)
        _keep_to_limit(folder)
    return _read(folder, name, source, licence)


def _keep_to_limit(newest: Path) -> None:
    """Forget what was longest unused where `$MVSEARCH_CACHE_GIB` is exceeded; never what was decoded just now."""
    given = os.environ.get("MVSEARCH_CACHE_GIB")
    if not given:
        return
    try:
        limit = int(float(given) * 2**30)
    except (ValueError, OverflowError):  # the latter for an infinite one
        raise EnvironmentFault(f"MVSEARCH_CACHE_GIB={given}: is no number of GiB; use e.g. 50.") from None
    others = [each for each in cached() if each.folder != newest]
    forget(others, keep_bytes=limit - _cached(newest).bytes)


@dataclass(frozen=True)
class Cached:
    """A decoded set: its bytes on disk, and when it was last read, in seconds since 1970.

    One that is not `whole` was left behind by a process that was killed, or lost a file; it is good for nothing.
    """

    name: str
    folder: Path
    bytes: int
    used: float
    whole: bool


def cached() -> list[Cached]:
    """What was decoded on this machine, the last used first; not what is being decoded now."""
    folders = [path for path in (cache_dir() / "decoded").glob("*-*") if path.is_dir() and not _at_work(path)]
    return sorted(map(_cached, folders), key=lambda each: -each.used)


def _at_work(folder: Path) -> bool:
    """Whether a process writes or deletes a set there."""
    if folder.suffix not in (_PARTIAL, _GONE):
        return False
    try:
        with _alone(folder, wait=False):
            return False
    except (Timeout, OSError):  # the latter where the cache is another user's
        return True


def _cached(folder: Path) -> Cached:
    files = [path.stat() for path in folder.iterdir()]
    whole = folder.suffix not in (_PARTIAL, _GONE) and (folder / "about.json").is_file()
    return Cached(folder.name.rpartition("-")[0], folder, sum(f.st_size for f in files), folder.stat().st_mtime, whole)


def forget(found: Sequence[Cached], *, older_than_s: float = 0.0, keep_bytes: int | None = None) -> list[Cached]:
    """Delete decoded sets unused for so long; with `keep_bytes` only so many that the last used keep to it.

    Processes that have them open go on reading: the system keeps a mapped file until nobody has it.
    """
    gone, kept = [], 0
    for each in sorted(found, key=lambda each: -each.used):
        kept += each.bytes
        fits = keep_bytes is not None and kept <= keep_bytes
        if fits or time.time() - each.used < older_than_s:
            continue
        with cache_faults(), _alone(each.folder):
            if not each.folder.exists():  # another process was faster, or wrote the set to its end
                continue
            beside = each.folder.with_name(each.folder.name + _GONE)  # so that a kill leaves no half of a set
            shutil.rmtree(beside, ignore_errors=True)
            each.folder.replace(beside)
            shutil.rmtree(beside)
        gone.append(each)
    return gone


def digest_of(*parts: Images) -> str:
    """The checksum of decoded images: shapes, classes, pixels, labels, and masks and boxes where there are any."""
    total = hashlib.sha256()
    for images in parts:
        pixels = hashlib.sha256(np.ascontiguousarray(images.pixels).data)
        total.update(_summary(images.pixels.shape, images.classes, pixels.hexdigest(), images.labels))
        for extra in (images.masks, images.boxes):
            if extra is not None:
                total.update(hashlib.sha256(np.ascontiguousarray(extra).data).digest())
    return total.hexdigest()[:32]


@contextmanager
def cache_faults() -> Iterator[None]:
    """Turn what a full disk or a forbidden folder raises into one sentence."""
    try:
        yield
    except OSError as fault:
        raise EnvironmentFault(
            f"the cache cannot be written ({fault.strerror or fault}); "
            "make room or set MVSEARCH_CACHE to a folder that can.",
            at=cache_dir(),
        ) from fault


def files_identity(root: Path, files: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Name, size and time of change of every file: what tells their content apart without reading it."""
    stats = ((path, path.stat()) for path in files)
    return [(path.relative_to(root).as_posix(), stat.st_size, stat.st_mtime_ns) for path, stat in stats]


def _alone(folder: Path, *, wait: bool = True) -> FileLock:
    """The one lock of a set, whatever its folder is called at the moment."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(folder.with_name(folder.name.partition(".")[0] + ".lock"), blocking=wait)


def _write(folder: Path, decode: Callable[[], Decoding]) -> None:
    partial = folder.with_name(folder.name + _PARTIAL)  # one name will do: its owner holds the lock
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        decoding = decode()
        about: dict[str, Any] = {"classes": decoding.classes}
        total = hashlib.sha256()
        for part, stream in (("train", decoding.train), ("test", decoding.test)):
            about[part], summary = _write_part(partial, part, stream, decoding.classes)
            total.update(summary)
        (partial / "about.json").write_text(json.dumps(about | {"checksum": total.hexdigest()[:32]}), encoding="utf-8")
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_part(folder: Path, part: str, stream: Decoded, classes: tuple[str, ...]) -> tuple[dict[str, Any], bytes]:
    labels: list[int] = []
    shape: tuple[int, ...] = ()
    skipped, digest, scenes = 0, hashlib.sha256(), _Scenes(folder, part)
    with (folder / f"{part}.pixels").open("wb") as file, scenes:
        for pixels, shown in stream:
            if pixels is None:
                skipped += 1
                continue
            raw = pixels.tobytes()
            file.write(raw)
            digest.update(raw)
            if isinstance(shown, Scene):
                scenes.add(len(labels), shown)
            labels.append(shown.label if isinstance(shown, Scene) else shown)
            shape = pixels.shape
    kept = np.array(labels, np.int64)
    kept.tofile(folder / f"{part}.labels")
    shape = (len(labels), *shape)
    return {"shape": shape, "skipped": skipped}, _summary(shape, classes, digest.hexdigest(), kept) + scenes.digest()


class _Scenes(ExitStack):
    """The masks and boxes of a part on their way into files, of which there are none if nothing comes."""

    def __init__(self, folder: Path, part: str) -> None:
        super().__init__()
        self.places = {name: folder / f"{part}.{name}" for name in ("masks", "boxes")}
        self.files: dict[str, BinaryIO] = {}
        self.digests: dict[str, Any] = {}

    def add(self, image: int, scene: Scene) -> None:
        """What the image of that number shows."""
        if scene.mask is not None:
            self._write("masks", scene.mask.astype(np.uint8).tobytes())
        if scene.boxes is not None:
            boxes = np.asarray(scene.boxes, "<f8").reshape(-1, 5)
            self._write("boxes", np.insert(boxes, 0, image, axis=1).tobytes())

    def digest(self) -> bytes:
        """The checksum of both."""
        return b"".join(self.digests[name].digest() for name in ("masks", "boxes") if name in self.digests)

    def _write(self, name: str, raw: bytes) -> None:
        if name not in self.files:
            self.files[name] = self.enter_context(self.places[name].open("wb"))
            self.digests[name] = hashlib.sha256()
        self.files[name].write(raw)
        self.digests[name].update(raw)


def _summary(shape: tuple[int, ...], classes: tuple[str, ...], pixels: str, labels: np.ndarray) -> bytes:
    # The bytes behind a checksum; labels are little-endian wherever they were counted.
    return json.dumps([shape, classes, pixels]).encode() + labels.astype("<i8").tobytes()


def _read(folder: Path, name: str, source: str, licence: str) -> DataSet:
    with suppress(OSError):  # a cache of another user may be read all the same
        os.utime(folder)  # when it was last used
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        train, test = (_map(folder, part, about) for part in ("train", "test"))
    except (OSError, ValueError, KeyError) as fault:
        raise DataError(f"these decoded images are damaged ({fault}); delete the folder.", at=folder) from fault
    skipped = about["train"]["skipped"] + about["test"]["skipped"]
    return DataSet(name, train, test, about["checksum"], skipped, source, licence)


def _map(folder: Path, part: str, about: dict[str, Any]) -> Images:
    shape = tuple(about[part]["shape"])
    pixels = np.memmap(folder / f"{part}.pixels", np.uint8, mode="r", shape=shape)
    labels = np.fromfile(folder / f"{part}.labels", np.int64)
    if len(labels) != len(pixels):
        raise ValueError(f"{len(pixels)} images but {len(labels)} labels")
    labels.setflags(write=False)
    masks, boxes = None, None
    if (place := folder / f"{part}.masks").exists():
        masks = np.memmap(place, np.uint8, mode="r", shape=shape[:3])
    if (place := folder / f"{part}.boxes").exists():
        boxes = np.fromfile(place, "<f8").reshape(-1, 6)
    return Images(pixels, labels, tuple(about["classes"]), masks, boxes)
