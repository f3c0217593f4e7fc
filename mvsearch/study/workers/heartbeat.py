"""The register of a database server, whose workers sit on many machines: each lets a number of its own rise.

Who watches a number that no longer rises takes its worker for dead. Only the watcher's own clock is asked, and only how
long it ran while the server answered: machines may disagree about the time, clocks may be set back, and no number rises
while the server is away.
"""

import logging
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from mvsearch.errors import MvsearchError
from mvsearch.study.storage.store import Store, retry_while_unavailable
from mvsearch.study.workers.registry import FileRegistry, Status, WorkerRegistry

HEARTBEAT_INTERVAL_S, GRACE_PERIOD_S = 10.0, 60.0
_SAY_EVERY_S = _LOOK_EVERY_S = 1.0

_LOG = logging.getLogger(__name__)


class HeartbeatRegistry:
    """A register in the database. A worker beats every `beat_s`; after `grace_s` without, it is dead to who watched."""

    def __init__(self, store: Store, study: str, *, beat_s: float, grace_s: float) -> None:
        self.store, self.study, self.beat_s, self.grace_s = store, study, beat_s, grace_s
        self._seen: dict[str, tuple[int, float]] = {}
        """By name: the last beat seen, and when it was first seen, by `_reached`."""
        self._reach, self._reached_s, self._last = threading.Lock(), 0.0, time.monotonic()
        self._said = -_SAY_EVERY_S

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Beat until the end of the block, in a thread of its own."""
        retry_while_unavailable(lambda: self.store.beat(self.study, name, socket.gethostname()))
        done = threading.Event()
        thread = threading.Thread(target=self._beat, args=(name, done), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            with suppress(MvsearchError):
                self.store.retire(self.study, name)

    def _beat(self, name: str, done: threading.Event) -> None:
        while not done.wait(self.beat_s):
            try:
                self.store.beat(self.study, name, socket.gethostname())
                self._reached()
            except MvsearchError as error:  # the next one may come through
                _LOG.warning("%s", error)

    def _reached(self) -> float:
        """Seconds for which the server was seen to answer; each silence counts for two beats at most."""
        with self._reach:
            now = time.monotonic()
            self._reached_s += min(now - self._last, 2 * self.beat_s)
            self._last = now
            return self._reached_s

    def dead(self, names: Iterable[str]) -> set[str]:
        """Those whose number is gone, or was seen to stand still for too long; all that stand still are dismissed."""
        names, beats = set(names), self.store.beats(self.study)
        now = self._reached()
        for name, beat in beats.items():
            if self._seen.get(name, (None, 0.0))[0] != beat:
                self._seen[name] = (beat, now)
        still = {name for name in beats if now - self._seen[name][1] > self.grace_s}
        for name in still:
            self.store.dismiss(self.study, name, beats[name])
        return names & still | (names - beats.keys())

    def write(self, name: str, status: Status) -> None:
        """Beside its number, once a second at most; words may be lost, for nothing waits for a server that is away."""
        if "error" in status or time.monotonic() - self._said > _SAY_EVERY_S:
            self._said = time.monotonic()
            with suppress(MvsearchError):
                self.store.say(self.study, name, status)

    def forget(self, name: str) -> None:
        """Remove it, now that it beats no more."""
        with suppress(MvsearchError):
            self.store.erase(self.study, name)

    def statuses(self) -> list[Status]:
        """The words of those that are not known to be dead."""
        words = self.store.words(self.study)
        return [{"worker": name, **status} for name, status in words.items() if status]

    def clear_errors(self) -> None:
        """Remove the words of those that ended by an error."""
        for name, status in self.store.words(self.study).items():
            if "error" in status:
                self.store.erase(self.study, name)

    def anyone(self) -> bool:
        """Whether any worker is alive. Those in the register are watched until one beats, or all are dead."""
        first = self.store.beats(self.study)
        if first:
            _LOG.warning("study %r: looking whether its workers live, for %.0f s at most.", self.study, self.grace_s)
        while alive := first.keys() - self.dead(first):
            if any(self._seen[name][0] != first[name] for name in alive):
                return True
            time.sleep(_LOOK_EVERY_S)
        return False


def register(store: Store, study: str) -> WorkerRegistry:
    """The register of a study: in files beside a database that is a file, else in the database."""
    place = store.place(study)
    return (
        FileRegistry(place / "workers")
        if place
        else HeartbeatRegistry(store, study, beat_s=HEARTBEAT_INTERVAL_S, grace_s=GRACE_PERIOD_S)
    )
