"""A process at work on a study, and the register in which others see that it lives and what it does.

A register kept in files belongs to a database that is a file: a worker holds the lock of its own for as long as it
lives, however it dies. That of a database server is in `beats`.
"""

import json
import os
import socket
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

_REPORT_EVERY_S = 0.3

Status = dict[str, Any]
"""What a worker does: `number` and `name` of its candidate, `doing`, `done` and `of`; `error`, if that ended it."""


class WorkerRegistry(Protocol):
    """Who works on a study."""

    def held(self, name: str) -> AbstractContextManager[None]:
        """Be seen as alive under this name."""

    def dead(self, names: Iterable[str]) -> set[str]:
        """Those of these workers that are not at work; they are forgotten."""

    def write(self, name: str, status: Status) -> None:
        """Say what the worker of that name does."""

    def forget(self, name: str) -> None:
        """Take back what the worker of that name said, which is not at work any more."""

    def statuses(self) -> list[Status]:
        """What every worker last said, and its name as `worker`."""

    def clear_errors(self) -> None:
        """Forget what workers of an earlier run died of."""

    def anyone(self) -> bool:
        """Whether any worker is alive."""


class Worker:
    """This process, or rather its name in a study's register."""

    def __init__(self, register: WorkerRegistry) -> None:
        self.register = register
        self.name = f"{socket.gethostname()[:40]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.status: Status = {}
        self.waited_s = 0.0
        self._reported = 0.0

    def clock(self) -> float:
        """Seconds that count as work; what it `waited_s` for a place to measure at does not."""
        return time.monotonic() - self.waited_s

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Be known as alive; what it said is taken back at the end, unless that is why it ends."""
        try:
            with self.register.held(self.name):
                yield
        finally:
            if "error" not in self.status:
                self.register.forget(self.name)

    def dead(self, names: Iterable[str]) -> set[str]:
        """Those of these workers that are not at work."""
        return self.register.dead(set(names) - {self.name})

    def report(self, **changes: Any) -> None:
        """Say what is being done, for whoever watches; at most some times a second, unless the candidate changes."""
        news = "number" in changes or "error" in changes
        self.status |= changes
        if news or time.monotonic() - self._reported > _REPORT_EVERY_S:
            self._reported = time.monotonic()
            self.register.write(self.name, self.status)


class FileRegistry:
    """A register in a folder: for each worker a file that it keeps locked, and one with what it last said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, name: str, suffix: str) -> Path:
        return self.folder / f"{name}.{suffix}"

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Hold the lock that says so."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._path(name, "lock")):
                yield
        finally:
            self._path(name, "lock").unlink(missing_ok=True)

    def dead(self, names: Iterable[str]) -> set[str]:
        """Those whose lock is not held."""
        return {name for name in names if not self._is_held(name)}

    def _is_held(self, name: str) -> bool:
        if Path(name).name != name or not self._path(name, "lock").exists():
            return False
        try:
            with FileLock(self._path(name, "lock"), timeout=0):
                self.forget(name)
            self._path(name, "lock").unlink(missing_ok=True)
        except Timeout:
            return True
        return False

    def write(self, name: str, status: Status) -> None:
        """Whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self._path(name, "partial")
        partial.write_text(json.dumps(status))
        partial.replace(self._path(name, "json"))

    def forget(self, name: str) -> None:
        """Remove its words."""
        self._path(name, "json").unlink(missing_ok=True)

    def statuses(self) -> list[Status]:
        """Everybody's words."""
        found = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                found.append({"worker": path.stem, **json.loads(path.read_text())})
            except (OSError, ValueError):  # it ended or wrote just now
                continue
        return found

    def clear_errors(self) -> None:
        """Remove everybody's words; who lives says more."""
        for path in self.folder.glob("*.json"):
            path.unlink(missing_ok=True)

    def anyone(self) -> bool:
        """Whether any lock is held."""
        return any(self._is_held(path.stem) for path in self.folder.glob("*.lock"))
