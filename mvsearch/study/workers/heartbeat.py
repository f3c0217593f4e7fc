"""Heartbeats: how workers on several machines that share a database server know that the others are alive.

Every worker increments a counter of its own in the database each HEARTBEAT_INTERVAL_S seconds. A worker that sends no
heartbeat for GRACE_PERIOD_S seconds is considered dead. An observer measures this time with its own clock, and only
while the server answers: the clocks of two machines may differ or be set back, and while the server is unavailable no
counter can change.
"""

import logging
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from mvsearch.errors import MvsearchError
from mvsearch.study.storage.faults import retry_while_unavailable
from mvsearch.study.storage.store import Store
from mvsearch.study.workers.registry import FileRegistry, Status, WorkerRegistry

HEARTBEAT_INTERVAL_S = 10.0
"""How often a worker sends a heartbeat."""

GRACE_PERIOD_S = 60.0
"""How long a worker may send no heartbeat before others consider it dead and evaluate its candidate again."""

_STATUS_INTERVAL_S = _POLL_INTERVAL_S = 1.0

_LOG = logging.getLogger(__name__)


class HeartbeatRegistry:
    """A registry in the database. A worker that sends no heartbeat for `grace_s` seconds is considered dead."""

    def __init__(self, store: Store, study: str, *, interval_s: float, grace_s: float) -> None:
        self.store, self.study, self.interval_s, self.grace_s = store, study, interval_s, grace_s
        self._seen: dict[str, tuple[int, float]] = {}
        """By name: the last counter, and the uptime (`_record_uptime`) at which it was first seen."""
        self._lock, self._uptime_s, self._last_answer = threading.Lock(), 0.0, time.monotonic()
        self._last_status = -_STATUS_INTERVAL_S

    @contextmanager
    def registered(self, name: str) -> Iterator[None]:
        """Send heartbeats from a thread until the block ends."""
        retry_while_unavailable(lambda: self.store.heartbeat(self.study, name, socket.gethostname()))
        done = threading.Event()
        thread = threading.Thread(target=self._send_heartbeats, args=(name, done), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            with suppress(MvsearchError):
                self.store.deregister(self.study, name)

    def _send_heartbeats(self, name: str, done: threading.Event) -> None:
        while not done.wait(self.interval_s):
            try:
                self.store.heartbeat(self.study, name, socket.gethostname())
                self._record_uptime()
            except MvsearchError as error:  # the next heartbeat may succeed
                _LOG.warning("%s", error)

    def _record_uptime(self) -> float:
        """Seconds during which the server answered. A gap between two answers counts for two intervals at most."""
        with self._lock:
            now = time.monotonic()
            self._uptime_s += min(now - self._last_answer, 2 * self.interval_s)
            self._last_answer = now
            return self._uptime_s

    def stale(self, names: Iterable[str]) -> set[str]:
        """Those without a counter, and those whose counter stood still for too long. All of the latter are evicted."""
        names, counters = set(names), self.store.heartbeats(self.study)
        now = self._record_uptime()
        for name, counter in counters.items():
            if self._seen.get(name, (None, 0.0))[0] != counter:
                self._seen[name] = (counter, now)
        silent = {name for name in counters if now - self._seen[name][1] > self.grace_s}
        for name in silent:
            self.store.evict(self.study, name, counters[name])
        return names & silent | (names - counters.keys())

    def set_status(self, name: str, status: Status) -> None:
        """Write the status, at most once a second unless it has an error or a wait. It may be lost: no work waits for a
        server that is unavailable."""
        urgent = not status.keys().isdisjoint({"error", "waiting"})
        if urgent or time.monotonic() - self._last_status > _STATUS_INTERVAL_S:
            self._last_status = time.monotonic()
            with suppress(MvsearchError):
                self.store.set_status(self.study, name, status)

    def delete(self, name: str) -> None:
        """Remove a worker that sends no heartbeats any more."""
        with suppress(MvsearchError):
            self.store.delete_worker(self.study, name)

    def statuses(self) -> list[Status]:
        """The statuses of all workers that were not evicted."""
        statuses = self.store.statuses(self.study)
        return [{"worker": name, **status} for name, status in statuses.items() if status]

    def clear_errors(self) -> None:
        """Remove workers that ended with an error."""
        for name, status in self.store.statuses(self.study).items():
            if "error" in status:
                self.store.delete_worker(self.study, name)

    def has_live_worker(self) -> bool:
        """Whether any worker is alive. Waits until a registered worker sends a heartbeat or all are stale."""
        first = self.store.heartbeats(self.study)
        if first:
            _LOG.warning("study %r: checking for live workers, up to %.0f s.", self.study, self.grace_s)
        while alive := first.keys() - self.stale(first):
            if any(self._seen[name][0] != first[name] for name in alive):
                return True
            time.sleep(_POLL_INTERVAL_S)
        return False


def worker_registry(store: Store, study: str) -> WorkerRegistry:
    """The registry of a study: in files next to a database file, otherwise in the database."""
    folder = store.lock_dir(study)
    return (
        FileRegistry(folder / "workers")
        if folder
        else HeartbeatRegistry(store, study, interval_s=HEARTBEAT_INTERVAL_S, grace_s=GRACE_PERIOD_S)
    )
