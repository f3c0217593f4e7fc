"""Finds the image that an annotation file names."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote, urlsplit

from mvsearch.utils.text import names_on_disk


class ImageFinder:
    """Finds images by their names in the first of some folders that has them."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders
        self._by_case: dict[Path, dict[str, list[str]]] = {}

    def find(self, names: Sequence[str]) -> tuple[Path | None, str]:
        """The file of the first of the names that can be found, and how it was found if not by the name itself.

        Tried are the name as it is, without outer blanks, with its backslashes as slashes, and with its %-escapes
        decoded; for an address, its last part. Then, for an absolute path, the longest end of it that exists in a
        folder; and the one file whose name differs only in upper and lower case.
        """
        for name in names:
            how = ""
            if "://" in name:
                name, how = urlsplit(name).path.rpartition("/")[2], "by the last part of their addresses"
            slashes = name.strip().replace("\\", "/")
            texts = dict.fromkeys((name, name.strip(), slashes, unquote(name), unquote(slashes)))
            if file := self._first(other for text in texts if text for other in names_on_disk(text)):
                return file, how
            parts, windows = PureWindowsPath(name).parts, PureWindowsPath(name)
            if windows.drive or windows.root:
                ends = ("/".join(parts[first:]) for first in range(1, len(parts)))
                return self._first(ends), "by the ends of their absolute paths, which do not exist here"
            for folder in self.folders:
                place = folder / slashes
                alike = self._alike(place.parent).get(place.name.casefold(), [])
                if len(alike) == 1 and is_file(place.with_name(alike[0])):
                    return place.with_name(alike[0]), "by names that differ in upper and lower case"
        return None, ""

    def _first(self, texts: Iterable[str]) -> Path | None:
        for text in texts:
            for folder in self.folders:
                if is_file(folder / text):  # an absolute path is itself
                    return folder / text
        return None

    def _alike(self, folder: Path) -> dict[str, list[str]]:
        """The names in a folder by their folded case; none if it cannot be listed."""
        if folder not in self._by_case:
            names = self._by_case[folder] = {}
            with suppress(OSError, ValueError):
                for file in folder.iterdir():
                    names.setdefault(file.name.casefold(), []).append(file.name)
        return self._by_case[folder]


def is_file(path: Path) -> bool:
    """Whether there is a file; False for names that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
