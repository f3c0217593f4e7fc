"""A process at work on a study: known by a file that it keeps locked for as long as it lives, however it dies."""

import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

_REPORT_EVERY_S = 0.3


class Worker:
    """This process, or rather its name in a study's folder."""

    def __init__(self, study: Path) -> None:
        self.folder = study / "workers"
        self.name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.status: dict[str, Any] = {}
        self._reported = 0.0

    def _path(self, name: str, suffix: str) -> Path:
        return self.folder / f"{name}.{suffix}"

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Hold the lock that says so."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._path(self.name, "lock")):
            try:
                yield
            finally:
                if "error" not in self.status:
                    self._path(self.name, "json").unlink(missing_ok=True)
        self._path(self.name, "lock").unlink(missing_ok=True)

    def is_alive(self, name: str | None) -> bool:
        """Whether the worker of that name still holds its lock."""
        if name == self.name:
            return True
        if name is None or not self._path(name, "lock").exists():
            return False
        try:
            with FileLock(self._path(name, "lock"), timeout=0):
                self._path(name, "json").unlink(missing_ok=True)
            self._path(name, "lock").unlink(missing_ok=True)
        except Timeout:
            return True
        return False

    def report(self, **changes: Any) -> None:
        """Say what is being done, for whoever watches; at most some times a second, unless the candidate changes."""
        news = "number" in changes or "error" in changes
        self.status |= changes
        if news or time.monotonic() - self._reported > _REPORT_EVERY_S:
            self._reported = time.monotonic()
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = self._path(self.name, "partial")
            partial.write_text(json.dumps(self.status))
            partial.replace(self._path(self.name, "json"))


def any_at_work(study: Path) -> bool:
    """Whether any worker of a study is alive."""
    nobody = Worker(study)
    return any(nobody.is_alive(path.stem) for path in (study / "workers").glob("*.lock"))


def statuses(study: Path) -> list[dict[str, Any]]:
    """What every worker of a study last said."""
    found = []
    for path in sorted((study / "workers").glob("*.json")):
        try:
            found.append({"worker": path.stem, **json.loads(path.read_text())})
        except (OSError, ValueError):  # it ended or wrote just now
            continue
    return found


def clear_errors(study: Path) -> None:
    """Forget what workers of an earlier run died of."""
    for path in (study / "workers").glob("*.json"):
        path.unlink(missing_ok=True)
