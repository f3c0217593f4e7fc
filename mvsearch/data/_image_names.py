"""Finds the image that an annotation file names."""

from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote, urlsplit

from mvsearch.utils.text import names_on_disk


def find_image(names: Sequence[str], folders: Sequence[Path]) -> tuple[Path | None, str]:
    """The file of a name in the first of the folders that has it, and how it was found if not by the name as it is.

    Tried are the name as it is, with its backslashes as slashes, and with its %-escapes decoded; for an address, its
    last part. For an absolute path that does not exist, the folders are searched for the longest end of it.
    """
    for name in names:
        if "://" in name:
            name, how = urlsplit(name).path.rpartition("/")[2], "by the last part of their addresses"
        else:
            how = ""
        texts = dict.fromkeys((name, name.replace("\\", "/"), unquote(name), unquote(name.replace("\\", "/"))))
        for text in (name for each in texts for name in names_on_disk(each)):
            for folder in folders:
                if text and is_file(folder / text):  # an absolute path is itself
                    return folder / text, how
        parts = PureWindowsPath(name).parts
        if parts and (PureWindowsPath(name).drive or PureWindowsPath(name).root):
            for first in range(1, len(parts)):
                for folder in folders:
                    if is_file(file := folder.joinpath(*parts[first:])):
                        return file, "by the ends of their absolute paths, which do not exist here"
    return None, ""


def is_file(path: Path) -> bool:
    """Whether there is a file; False for names that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
