"""The machine: what it is, and whose turn it is on it. Loads no torch.

A latency is only a number if nothing else was running, and workers of one machine know nothing of each other. So
they take turns, through two lock files in the temporary folder:

    beside_others()   many at once: training         door: passed by everybody, one at a time
    exclusive()           nobody else: timing            room: held shared, or exclusively

Who wants to be alone waits in the open door until the room is empty. Nobody else gets in meanwhile, so it is not put
off for ever by trainings that keep coming; they lose the time that the last of them still takes.

The operating system frees the locks of a process that dies, however it dies. They hold among the processes of one
user that share a temporary folder: containers and other users are not seen. Windows has no shared file locks: there,
timings keep out of each other's way and no training starts during one, but one that already runs is not waited for.

Not `filelock.ReadWriteLock`: it keeps its state in SQLite, which a forked worker may not go on using.
"""

import hashlib
import json
import logging
import os
import platform
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from io import FileIO
from pathlib import Path
from typing import Any, Literal

from mvsearch._version import __version__
from mvsearch.errors import EnvironmentFault

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_LOG = logging.getLogger(__name__)

Mode = Literal["alone", "beside others"]


class _Turn(threading.local):
    """What the running thread holds, so that a turn within a turn does not wait for itself; who hears of its waits."""

    mode: Mode | None = None
    tell: Callable[[bool], None] | None = None


_turn = _Turn()
_held: set[FileIO] = set()


def exclusive() -> AbstractContextManager[None]:
    """Wait until no other turn is taken on this machine, and let none be taken: for timing. May be nested."""
    return _take("alone")


def shared() -> AbstractContextManager[None]:
    """Wait until nobody is timing, and let nobody begin: for work that keeps cores busy. May be nested."""
    return _take("beside others")


def on_wait(tell: Callable[[bool], None]) -> None:
    """Have the running thread's waits for a turn told: True as one begins, False as it ends."""
    _turn.tell = tell


@contextmanager
def _take(mode: Mode) -> Iterator[None]:
    if _turn.mode in ("alone", mode):
        yield
        return
    if _turn.mode:
        raise RuntimeError(
            "exclusive() within beside_others() would wait for itself: time before or after the training."
        )
    with _flock_turn(mode) if fcntl else _plain_turn(mode):
        _turn.mode = mode
        try:
            yield
        finally:
            _turn.mode = None


@contextmanager
def _flock_turn(mode: Mode) -> Iterator[None]:
    with ExitStack() as room:
        with _locked(_lock_path("door"), fcntl.LOCK_EX):
            room.enter_context(_locked(_lock_path("room"), fcntl.LOCK_EX if mode == "alone" else fcntl.LOCK_SH))
        yield


@contextmanager
def _plain_turn(mode: Mode) -> Iterator[None]:
    from filelock import FileLock

    with ExitStack() as room:
        with FileLock(_lock_path("door")) as door:
            if mode == "alone":
                room.enter_context(door)
        yield


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    with _open(path) as file:
        _held.add(file)
        try:
            _wait_for(file, how)
            yield
        finally:
            _held.discard(file)


def _wait_for(file: FileIO, how: int) -> None:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        _LOG.info("waiting for a turn: others are training or timing on this machine")
        if _turn.tell is not None:
            _turn.tell(True)
        fcntl.flock(file, how)
        if _turn.tell is not None:
            _turn.tell(False)


def _lock_path(name: str) -> Path:
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir(), f"mvsearch-{user}-{name}.lock")


def _open(path: Path) -> FileIO:
    try:
        return FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "r+")
    except OSError as error:
        raise EnvironmentFault(
            f"the lock that lets one process at a time be timed cannot be opened ({error.strerror}); "
            "remove the file, or set TMPDIR to a folder you may write to.",
            at=path,
        ) from error


def _forget_turns() -> None:
    """A forked child has its parent's files open: it would keep the turn that its parent gave back, or died in."""
    for file in _held:
        file.close()
    _held.clear()
    _turn.mode = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_turns)


def describe() -> dict[str, Any]:
    """What a number measured here may depend on. GPUs are listed once torch is loaded; it is not loaded for them."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "memory_bytes": _memory_bytes(),
        "gpus": _gpu_names(),
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {"mvsearch": __version__}
        | {name: installed_version(name) for name in ("torch", "optuna", "numpy")},
    }


def machine_id(description: dict[str, Any]) -> str:
    """Twelve letters for a description: another torch is another machine, since its times differ."""
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:12]


@cache
def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor as its maker calls it; virtual machines that hide the model tell at least its family."""
    if cpuinfo.exists():
        return _cpu_of_linux(cpuinfo.read_text()) or platform.machine()
    if platform.system() == "Darwin":  # platform.processor() says "arm" for every Mac
        return subprocess.check_output(["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"], text=True).strip()
    return platform.processor() or platform.machine()


def _cpu_of_linux(cpuinfo: str) -> str:
    pairs = (line.split(":", 1) for line in cpuinfo.split("\n\n")[0].splitlines() if ":" in line)
    first = {key.strip(): value.strip() for key, value in pairs}
    name = first.get("model name", "")
    if name and not any(letter.isdigit() for letter in name):
        return f"{name} (family {first.get('cpu family')} model {first.get('model')})"
    return name


def _memory_bytes() -> int | None:
    if not hasattr(os, "sysconf"):
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _gpu_names() -> list[str]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


@cache
def installed_version(package: str) -> str | None:
    """Of a package as it is installed here; None if it is not."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
