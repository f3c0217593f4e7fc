"""Lists folders of images: hidden and system files are left out, links are followed, and every file is counted."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from mvsearch.data._skipped import Skipped, Tally
from mvsearch.errors import DataError
from mvsearch.utils.text import printable

# Of macOS, Synology, QNAP, Windows and Linux, in lower case; names that begin with a dot are hidden everywhere.
_SYSTEM = frozenset(
    (
        *("__macosx", "@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@__thumb", "@tmp"),
        *("$recycle.bin", "system volume information", "recycler", "thumbs.db", "ehthumbs.db", "desktop.ini"),
        *("lost+found", "__pycache__"),
    )
)
_STUBS = ("MPEG", "HDF5", "GRIB", "BUFR", "WMF")  # kinds that Pillow recognises, but cannot decode by itself


@dataclass(frozen=True)
class Entries:
    """The names in a folder, sorted; a link counts as what it leads to."""

    folders: tuple[str, ...]
    files: tuple[str, ...]
    hidden: tuple[str, ...]
    dead: tuple[str, ...]


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name belongs to the system or to a program, not to the data set."""
    return name.startswith(".") or name.casefold() in _SYSTEM


@cache
def image_suffixes() -> frozenset[str]:
    """The suffixes of files that Pillow decodes, in lower case, with the dot."""
    from PIL import Image

    suffixes = Image.registered_extensions().items()
    return frozenset(suffix for suffix, kind in suffixes if kind in Image.OPEN and kind not in _STUBS)


def split_suffix(name: str) -> tuple[str, str]:
    """A name or path and its last suffix, in lower case and with the dot; "" if there is none.

    >>> split_suffix("some.dir/a.1.JPG")
    ('some.dir/a.1', '.jpg')
    """
    dot = name.rfind(".")
    return (name[:dot], name[dot:].lower()) if dot > name.rfind("/") + 1 else (name, "")


def is_image(name: str) -> bool:
    """Whether a file is an image by its suffix."""
    return split_suffix(name)[1] in image_suffixes()


def not_an_image(name: str) -> str:
    """Why a file is left out that is not an image by its suffix."""
    suffix = printable(split_suffix(name)[1])
    return f"{suffix} files, which Pillow does not read as images" if suffix else "files without a suffix"


@dataclass
class Walk:
    """Lists folders below `root`, reading each of them once, and collects what is left out; `used` are files that are
    read by others."""

    root: Path
    used: frozenset[Path] = frozenset()
    left_out: Tally = field(default_factory=Tally)
    _entries: dict[Path, Entries] = field(default_factory=dict)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What was left out so far."""
        return self.left_out.skipped

    def entries(self, folder: Path) -> Entries:
        """The names in a folder; raises DataError if it cannot be listed."""
        if folder not in self._entries:
            self._entries[folder] = _scan(folder)
        return self._entries[folder]

    def images(self, folder: Path) -> list[Path]:
        """The image files in a folder and the folders in it, sorted; everything else in them is left out."""
        parents = (parent for parent in folder.parents if parent == self.root or self.root in parent.parents)
        return sorted(self._images(folder, frozenset(map(os.path.realpath, parents))))

    def leave_out(self, path: Path, reason: str) -> None:
        """Count a file, or the files in a folder and the folders in it; links to folders are not followed here."""
        if path.is_dir() and not path.is_symlink():
            with suppress(DataError):  # a system's folder may be closed to users
                entries = self.entries(path)
                for name in (*entries.folders, *entries.files, *entries.dead):
                    self.leave_out(path / name, reason)
                self._hide(path, entries, reason if is_hidden(path.name) else None)
        else:
            self.left_out.add(reason, self.name(path))

    def leave_out_rest(self, folder: Path, used: tuple[str, ...], reason: str, others: str) -> None:
        """Count all that is in a folder but is not `used`: its files by a reason, its other folders by another."""
        entries = self.entries(folder)
        for name in (*entries.files, *entries.dead):
            self.leave_out(folder / name, reason)
        for name in entries.folders:
            if name not in used:
                self.leave_out(folder / name, f"files in {printable(name)}, {others}")
        self._hide(folder, entries)

    def name(self, path: Path) -> str:
        """The path below the root, for messages."""
        return printable(path.relative_to(self.root).as_posix())

    def _images(self, folder: Path, above: frozenset[str]) -> Iterator[Path]:
        real = os.path.realpath(folder)
        if real in above:
            self.left_out.add("links to a folder that contains them", self.name(folder))
            return
        entries = self.entries(folder)
        for name in entries.files:
            if is_image(name):
                yield folder / name
            elif folder / name not in self.used:
                self.leave_out(folder / name, not_an_image(name))
        for name in entries.dead:
            self.leave_out(folder / name, "links that lead nowhere, pipes and devices")
        self._hide(folder, entries)
        for name in entries.folders:
            yield from self._images(folder / name, above | {real})

    def _hide(self, folder: Path, entries: Entries, reason: str | None = None) -> None:
        for name in entries.hidden:
            self.leave_out(folder / name, reason or "hidden or system files")


def _scan(folder: Path) -> Entries:
    kinds: dict[str, list[str]] = {kind: [] for kind in ("folders", "files", "hidden", "dead")}
    try:
        with os.scandir(folder) as found:
            for entry in found:
                kinds[_kind(entry)].append(entry.name)
    except OSError as fault:
        raise DataError(f"cannot be listed ({fault.strerror or fault}); check its permissions.", at=folder) from fault
    return Entries(**{kind: tuple(sorted(names)) for kind, names in kinds.items()})


def _kind(entry: os.DirEntry[str]) -> str:
    if is_hidden(entry.name):
        return "hidden"
    with suppress(OSError):  # a link that leads to itself, or to where the user may not look
        if entry.is_dir():
            return "folders"
        if entry.is_file():
            return "files"
    return "dead"
