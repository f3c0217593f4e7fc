"""What CIFAR-10 and CIFAR-100 share: reading their archive, as Python pickles or as plain bytes, packed or unpacked."""

import hashlib
import pickle
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mvsearch.data._cache import cache_dir
from mvsearch.data._decoded import Decoding, files_identity, load_or_decode
from mvsearch.data._images import DataSet, DecodedImage, Request
from mvsearch.data._pickles import read_pickle
from mvsearch.data._source import GIVE_PATH, DataSource
from mvsearch.errors import DataError
from mvsearch.utils.progress import Progress, track

SOURCE = "https://www.cs.toronto.edu/~kriz/cifar.html"
SIZE = 32
LICENCE = "none stated; the authors ask to be cited (Krizhevsky, 2009)"


@dataclass(frozen=True)
class Form:
    """A form in which a data set is published: pickles, which have keys, or rows of bytes, labels before pixels."""

    archive: str
    md5: str
    folder: str
    train: tuple[str, ...]
    test: str
    names: str
    names_key: bytes = b""
    labels_key: bytes = b""
    label_bytes: int = 0  # CIFAR-100 has two, the second is the fine class

    @property
    def files(self) -> tuple[str, ...]:
        """All files that are read from the archive."""
        return (*self.train, self.test, self.names)


@dataclass(frozen=True)
class Cifar:
    """One of the two data sets, in any of its forms."""

    name: str
    forms: tuple[Form, ...]

    def source(self, classes: int) -> DataSource:
        """The data source of the set, which has so many classes."""
        return DataSource(
            description=f"60,000 colour photographs, {classes} classes, 32 px, from an archive that you fetch",
            licence=LICENCE,
            get=self.get,
            load=self.load,
            check=self.check,
            size=SIZE,
        )

    def find(self, path: Path | None) -> tuple[Path, Form]:
        """The archive or the unpacked folder: `path` itself or inside it; without a path, in the cache."""
        place = path or cache_dir() / self.name
        for form in self.forms:
            for archive in (place, place / form.archive):
                if archive.name == form.archive and archive.is_file():
                    return archive, form
            for folder in (place, place / form.folder):
                if (folder / form.train[0]).is_file():
                    return folder, form
        form = self.forms[0]
        raise DataError(
            f"found neither {form.archive} nor the folder {form.folder} at {place}; fetch the archive from {SOURCE} "
            f"and put it there; if you have it elsewhere, {GIVE_PATH}.",
            at=self.name,
        )

    def load(self, request: Request, progress: Progress | None) -> DataSet:
        """The published split, which has no settings."""
        request.only_size(self.name, SIZE)
        place, form = self.find(request.path)

        def decode() -> Decoding:
            raw = _read(place, form, progress)
            classes = _classes(place, form, raw[form.names])
            parts = (_images(place, form, raw, part, len(classes)) for part in (form.train, (form.test,)))
            return Decoding(classes, *parts)

        return load_or_decode(self.name, _identity(place, form), decode, source=SOURCE, licence=LICENCE)

    def get(self, path: Path | None, progress: Progress | None) -> Path:
        """The archive or the unpacked folder, at `path` or in the cache; it is never fetched."""
        return self.find(path)[0]

    def check(self, path: Path | None, progress: Progress | None) -> tuple[str, ...]:
        """Compares the archive with the published one; another archive in the same form can be read, too."""
        place, form = self.find(path)
        if place.is_dir():
            return (f"{place}: unpacked, so it cannot be compared with the MD5 of the published archive.",)
        with place.open("rb") as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        result = "its MD5 is that" if md5 == form.md5 else f"its MD5, {md5}, is not that"
        return (f"{place}: {result} of the published archive.",)


def _identity(place: Path, form: Form) -> list[tuple[str, int, int]]:
    if place.is_file():
        return files_identity(place.parent, [place])
    files = [place / name for name in form.files]
    for file in files:
        if not file.is_file():
            raise DataError(f"{file} is missing; unpack the whole archive from {SOURCE}.", at=place)
    return files_identity(place, files)


def _read(place: Path, form: Form, progress: Progress | None) -> dict[str, bytes]:
    """The files of the data set by name, in one pass; an archive is not unpacked to the disk."""
    step = f"read {place.name}"
    try:
        if place.is_dir():
            return {name: (place / name).read_bytes() for name in track(form.files, step, len(form.files), progress)}
        members = {f"{form.folder}/{name}": name for name in form.files}
        with tarfile.open(place) as archive:
            streams = ((member.name, archive.extractfile(member)) for member in track(archive, step, None, progress))
            contents = {members[name]: file.read() for name, file in streams if file and name in members}
    except (OSError, EOFError, tarfile.TarError, zlib.error) as fault:
        raise DataError(f"cannot be read ({fault}); fetch the archive again from {SOURCE}.", at=place) from fault
    if missing := set(members.values()) - set(contents):
        raise DataError(f"does not contain {min(missing)}; fetch the archive again from {SOURCE}.", at=place)
    return contents


def _classes(place: Path, form: Form, raw: bytes) -> tuple[str, ...]:
    try:
        names = read_pickle(raw)[form.names_key] if form.names_key else raw.split()
        return tuple(name.decode() for name in names)
    except (pickle.UnpicklingError, ValueError, TypeError, KeyError, AttributeError) as fault:
        raise _format_error(place, form.names, fault) from fault


def _images(
    place: Path, form: Form, raw: dict[str, bytes], names: tuple[str, ...], classes: int
) -> Iterator[DecodedImage]:
    for name in names:
        try:
            labels, pixels = _rows(form, raw[name])
            if len(labels) != len(pixels) or not 0 <= min(labels) <= max(labels) < classes:
                raise ValueError(f"{len(pixels)} images, {len(labels)} labels, {classes} classes")
        except (pickle.UnpicklingError, ValueError, TypeError, KeyError, AttributeError) as fault:
            raise _format_error(place, name, fault) from fault
        yield from map(DecodedImage, pixels, labels)


def _rows(form: Form, raw: bytes) -> tuple[list[int], np.ndarray]:
    if form.labels_key:
        batch = read_pickle(raw)
        labels, flat = [int(label) for label in batch[form.labels_key]], batch[b"data"].bytes_array()
    else:
        table = np.frombuffer(raw, np.uint8).reshape(-1, form.label_bytes + 3072)
        labels, flat = table[:, form.label_bytes - 1].tolist(), table[:, form.label_bytes :]
    return labels, flat.reshape(-1, 3, SIZE, SIZE).transpose(0, 2, 3, 1)


def _format_error(place: Path, name: str, fault: Exception) -> DataError:
    return DataError(
        f"{name} is not in the published form ({type(fault).__name__}: {fault}); "
        f"fetch the archive again from {SOURCE}.",
        at=place,
    )
