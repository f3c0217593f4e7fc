"""The folder of fetched and decoded images: where it is, how an entry is written once, and which are deleted.

CACHE/decoded/NAME-KEY/     an entry; complete as soon as it exists: written under another name, then renamed
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvsearch.errors import EnvironmentFault

if TYPE_CHECKING:
    from filelock import FileLock

PARTIAL, _DELETED = ".partial", ".gone"  # suffixes of a folder while it is written, and while it is deleted


def cache_dir() -> Path:
    """The folder of fetched and decoded images: `$MVSEARCH_CACHE`, or the user's cache folder.

    `$MVSEARCH_CACHE_GIB` limits the decoded ones.
    """
    from platformdirs import user_cache_dir

    return Path(os.environ.get("MVSEARCH_CACHE") or user_cache_dir("mvsearch"))


def write_once(folder: Path, write: Callable[[Path], None]) -> None:
    """Have a folder of the cache written unless it exists; it is complete as soon as it does.

    If two processes need it, one writes it and the other waits. Raises EnvironmentFault if it cannot be written.
    """
    if folder.exists():
        return
    partial = folder.with_name(folder.name + PARTIAL)  # one name is enough: its owner holds the lock
    with cache_faults(), folder_lock(folder):
        if not folder.exists():
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            try:
                write(partial)
                partial.replace(folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    enforce_limit(folder)


def read_about(folder: Path) -> dict[str, Any]:
    """The about.json of a folder of the cache, which was used now."""
    with suppress(OSError):  # the cache of another user can be read, too
        os.utime(folder)  # when it was last used
    about: dict[str, Any] = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    return about


def enforce_limit(newest: Path) -> None:
    """Delete the least recently used data sets if `$MVSEARCH_CACHE_GIB` is exceeded, but never the newest."""
    text = os.environ.get("MVSEARCH_CACHE_GIB")
    if not text:
        return
    try:
        limit = int(float(text) * 2**30)
    except (ValueError, OverflowError):  # the latter for an infinite one
        raise EnvironmentFault(f"found {text!r}; use a number of GiB, e.g. 50.", at="MVSEARCH_CACHE_GIB") from None
    others = [entry for entry in list_cached() if entry.folder != newest]
    forget(others, keep_bytes=limit - _describe(newest).bytes)


@dataclass(frozen=True)
class Cached:
    """A decoded data set: its bytes on disk, and when it was last read, in seconds since 1970.

    One that is not `whole` is the rest of a process that was killed, or lacks a file; it cannot be used.
    """

    name: str
    folder: Path
    bytes: int
    used: float
    whole: bool


def list_cached() -> list[Cached]:
    """The data sets decoded on this machine, the most recently used first; without those being decoded now."""
    folders = [path for path in (cache_dir() / "decoded").glob("*-*") if path.is_dir() and not _is_locked(path)]
    return sorted(map(_describe, folders), key=lambda entry: -entry.used)


def _is_locked(folder: Path) -> bool:
    """Whether a process is writing or deleting a data set in the folder."""
    if folder.suffix not in (PARTIAL, _DELETED):
        return False
    try:
        with folder_lock(folder, wait=False):
            return False
    except OSError:  # locked (a TimeoutError), or the cache belongs to another user
        return True


def _describe(folder: Path) -> Cached:
    files = [path.stat() for path in folder.iterdir()]
    whole = folder.suffix not in (PARTIAL, _DELETED) and (folder / "about.json").is_file()
    return Cached(folder.name.rpartition("-")[0], folder, sum(f.st_size for f in files), folder.stat().st_mtime, whole)


def forget(entries: Sequence[Cached], *, older_than_s: float = 0.0, keep_bytes: int | None = None) -> list[Cached]:
    """Delete data sets unused for so long; with `keep_bytes` only as many as needed for the rest to fit into it.

    The least recently used are deleted first. Processes that have them open can still read them: the system keeps a
    mapped file until it is closed everywhere. Returns the deleted ones.
    """
    deleted, total = [], 0
    for entry in sorted(entries, key=lambda entry: -entry.used):
        total += entry.bytes
        fits = keep_bytes is not None and total <= keep_bytes
        if fits or time.time() - entry.used < older_than_s:
            continue
        with cache_faults(), folder_lock(entry.folder):
            if not entry.folder.exists():  # another process deleted it, or finished writing it
                continue
            renamed = entry.folder.with_name(entry.folder.name + _DELETED)  # a kill leaves no incomplete data set
            shutil.rmtree(renamed, ignore_errors=True)
            entry.folder.replace(renamed)
            shutil.rmtree(renamed)
        deleted.append(entry)
    return deleted


@contextmanager
def cache_faults() -> Iterator[None]:
    """Translate the errors of a full disk or a read-only folder."""
    try:
        yield
    except OSError as fault:
        raise EnvironmentFault(
            f"the cache cannot be written ({fault.strerror or fault}); free some space, or set MVSEARCH_CACHE to "
            "another folder.",
            at=cache_dir(),
        ) from fault


def folder_lock(folder: Path, *, wait: bool = True) -> "FileLock":
    """The lock of a data set, whatever its folder is called at the moment."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    from filelock import FileLock

    return FileLock(folder.with_name(folder.name.partition(".")[0] + ".lock"), blocking=wait)
