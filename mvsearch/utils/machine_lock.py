"""A lock on the machine: latency is measured with exclusive access, trainings share it. Loads no torch.

A latency is valid only if nothing else runs on the machine, and workers of one machine do not know each other.
They coordinate through two lock files in the temporary folder:

    shared()      many at once: training        entry: every process passes it, one at a time
    exclusive()   one at a time: timing         usage: held shared or exclusively

A process that wants exclusive access holds the entry lock while it waits for the usage lock. New trainings wait at
the entry meanwhile, so that a steady stream of them cannot postpone a measurement forever.

A device that is measured by a command has a lock file of its own, `device()`.

The operating system releases the locks of a process that ends, however it ends. The locks work among the processes of
one user that share a temporary folder; other users and containers are not seen. Windows has no shared file locks:
there, measurements exclude each other and no training starts during one, but a running training is not waited for.

This is not `filelock.ReadWriteLock`, which keeps its state in SQLite: a forked worker must not keep using that.
"""

import logging
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from io import FileIO
from pathlib import Path
from typing import Literal

from mvsearch.errors import EnvironmentFault
from mvsearch.utils.hashing import digest

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_LOG = logging.getLogger(__name__)

Mode = Literal["exclusive", "shared"]


class _ThreadState(threading.local):
    """The mode in which the running thread holds the machine, and the callback for its waits."""

    mode: Mode | None = None
    callback: Callable[[bool], None] | None = None


_thread = _ThreadState()
_open_files: set[FileIO] = set()


def exclusive() -> AbstractContextManager[None]:
    """Wait until no other process uses the machine and keep others out: for timing. May be nested."""
    return _acquire("exclusive")


def shared() -> AbstractContextManager[None]:
    """Wait until no process has exclusive access and block new ones: for work on all cores. May be nested."""
    return _acquire("shared")


def device(name: str) -> AbstractContextManager[None]:
    """Wait until no other process measures on the device of this name and keep others out: a phone, a board."""
    return named(f"device-{digest(name)}")


@contextmanager
def named(name: str) -> Iterator[None]:
    """Wait until no other process and no other thread holds the lock of this name, and hold it.

    It is independent of the lock on the machine, and not nested.
    """
    path = _lock_path(name)
    if fcntl:
        with _lock_file(path, fcntl.LOCK_EX):
            yield
        return
    from filelock import FileLock

    with FileLock(path):
        yield


@contextmanager
def on_wait(callback: Callable[[bool], None]) -> Iterator[None]:
    """Call `callback` whenever the running thread waits for access: with True as a wait begins, False as it ends."""
    before, _thread.callback = _thread.callback, callback
    try:
        yield
    finally:
        _thread.callback = before


@contextmanager
def _acquire(mode: Mode) -> Iterator[None]:
    if _thread.mode in ("exclusive", mode):
        yield
        return
    if _thread.mode:
        raise RuntimeError("exclusive() within shared() would wait for itself: time before or after the training.")
    with _acquire_flock(mode) if fcntl else _acquire_filelock(mode):
        _thread.mode = mode
        try:
            yield
        finally:
            _thread.mode = None


@contextmanager
def _acquire_flock(mode: Mode) -> Iterator[None]:
    with ExitStack() as usage:
        with _lock_file(_lock_path("entry"), fcntl.LOCK_EX):
            operation = fcntl.LOCK_EX if mode == "exclusive" else fcntl.LOCK_SH
            usage.enter_context(_lock_file(_lock_path("usage"), operation))
        yield


@contextmanager
def _acquire_filelock(mode: Mode) -> Iterator[None]:
    from filelock import FileLock

    with ExitStack() as usage:
        with FileLock(_lock_path("entry")) as entry:
            if mode == "exclusive":
                usage.enter_context(entry)
        yield


@contextmanager
def _lock_file(path: Path, operation: int) -> Iterator[None]:
    with _open(path) as file:
        _open_files.add(file)
        try:
            _flock(file, operation)
            yield
        finally:
            _open_files.discard(file)


def _flock(file: FileIO, operation: int) -> None:
    """Lock a file; a wait is logged and reported to the thread's callback."""
    try:
        fcntl.flock(file, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        _LOG.info("waiting for a lock: other processes train or time on this machine, or measure on the same device")
        if _thread.callback is not None:
            _thread.callback(True)
        fcntl.flock(file, operation)
        if _thread.callback is not None:
            _thread.callback(False)


def user_name() -> str:
    """The user in the names of files in the temporary folder."""
    return str(os.getuid()) if hasattr(os, "getuid") else "user"


def _lock_path(name: str) -> Path:
    return Path(tempfile.gettempdir(), f"mvsearch-{user_name()}-{name}.lock")


def _open(path: Path) -> FileIO:
    try:
        return FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "r+")
    except OSError as error:
        raise EnvironmentFault(
            f"the lock file for timing cannot be opened ({error.strerror}); remove the file, or set TMPDIR to a "
            "writable folder.",
            at=path,
        ) from error


def _reset_after_fork() -> None:
    """Close the lock files that a forked child inherits: otherwise it keeps a lock that its parent released."""
    for file in _open_files:
        file.close()
    _open_files.clear()
    _thread.mode = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
