"""The workers of a study: which of them are alive, and what each one does.

There are two registries. A database in a file has `FileRegistry`: a worker holds a file lock for as long as it runs,
and the operating system releases the lock however the worker ends. A database server has the one in `heartbeat`.
"""

import json
import os
import socket
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

_STATUS_INTERVAL_S = 0.3

Status = dict[str, Any]
"""What a worker does: `number` and `name` of its candidate, `doing`, `done` and `of`, and the `share` of the score that
is computed; `waiting` if it waits for the machine; `error` if that ended it."""


class WorkerRegistry(Protocol):
    """The workers of one study."""

    def registered(self, name: str) -> AbstractContextManager[None]:
        """Register a worker as alive under this name for the duration of the block."""

    def stale(self, names: Iterable[str]) -> set[str]:
        """Those of these workers that are not alive. Their entries are removed."""

    def set_status(self, name: str, status: Status) -> None:
        """Publish what the worker of that name does."""

    def delete(self, name: str) -> None:
        """Remove the status of a worker that is no longer alive."""

    def statuses(self) -> list[Status]:
        """The last status of every worker, with its name as `worker`."""

    def clear_errors(self) -> None:
        """Remove the statuses of workers that ended with an error in an earlier run."""

    def has_live_worker(self) -> bool:
        """Whether any worker is alive."""


class Worker:
    """A worker of this process: its name in the registry of a study, its status and its clock."""

    def __init__(self, registry: WorkerRegistry) -> None:
        self.registry = registry
        self.name = f"{socket.gethostname()[:40]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.status: Status = {}
        self.waited_s = 0.0
        self._reported = 0.0

    def clock(self) -> float:
        """Seconds of work: the time that the worker waited for a place to measure (`waited_s`) does not count."""
        return time.monotonic() - self.waited_s

    @contextmanager
    def running(self) -> Iterator[None]:
        """Register as alive. At the end the status is removed, unless it holds the error that ended the worker."""
        try:
            with self.registry.registered(self.name):
                yield
        finally:
            if "error" not in self.status:
                self.registry.delete(self.name)

    def stale(self, names: Iterable[str]) -> set[str]:
        """Those of these other workers that are not alive."""
        return self.registry.stale(set(names) - {self.name})

    def report(self, **changes: Any) -> None:
        """Update and publish the status; at most every 0.3 s, unless the candidate, a wait or an error is new."""
        urgent = not changes.keys().isdisjoint({"number", "waiting", "error"})
        self.status = changes if "number" in changes else self.status | changes
        if urgent or time.monotonic() - self._reported > _STATUS_INTERVAL_S:
            self._reported = time.monotonic()
            self.registry.set_status(self.name, self.status)


class FileRegistry:
    """A registry in a folder: each worker has a file that it keeps locked and a file with its status."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, name: str, suffix: str) -> Path:
        return self.folder / f"{name}.{suffix}"

    @contextmanager
    def registered(self, name: str) -> Iterator[None]:
        """Hold the lock of that name."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._path(name, "lock")):
                yield
        finally:
            self._path(name, "lock").unlink(missing_ok=True)

    def stale(self, names: Iterable[str]) -> set[str]:
        """Those whose lock is free."""
        return {name for name in names if not self._is_locked(name)}

    def _is_locked(self, name: str) -> bool:
        if Path(name).name != name or not self._path(name, "lock").exists():
            return False
        try:
            with FileLock(self._path(name, "lock"), timeout=0):
                self.delete(name)
                with suppress(OSError):  # Windows keeps an open file
                    # While it is held, so that a worker that is about to hold it makes another file.
                    self._path(name, "lock").unlink()
        except Timeout:
            return True
        return False

    def set_status(self, name: str, status: Status) -> None:
        """Replace the status file in one step."""
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self._path(name, "partial")
        partial.write_text(json.dumps(status), encoding="utf-8")
        partial.replace(self._path(name, "json"))

    def delete(self, name: str) -> None:
        """Remove the status file."""
        self._path(name, "json").unlink(missing_ok=True)

    def statuses(self) -> list[Status]:
        """The contents of all status files."""
        statuses = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                statuses.append({"worker": path.stem, **json.loads(path.read_text(encoding="utf-8"))})
            except (OSError, ValueError):  # its worker ended, or replaces it at this moment
                continue
        return statuses

    def clear_errors(self) -> None:
        """Remove all status files; live workers write theirs again."""
        for path in self.folder.glob("*.json"):
            path.unlink(missing_ok=True)

    def has_live_worker(self) -> bool:
        """Whether any lock is held."""
        return any(self._is_locked(path.stem) for path in self.folder.glob("*.lock"))
