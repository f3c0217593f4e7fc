"""A slow or flaky device told apart from a bad candidate: a reference network is measured beside each candidate.

    the two fastest runs agree ── reference as before ── their median is the latency
                               └─ reference slower or fails ── wait; once it is as before, the candidate starts anew
    a run fails alone ─────────── again
    two fail in a row, or the two fastest differ ── reference as before ── again; after the last run it fails

A candidate after which the reference is slow each time, and as before after a pause, slows the device down: it fails.
Anything that disturbs a run makes it slower. Two slow runs agree by chance, so a device whose runs once differed by
more than a quarter is unsteady: it then measures each candidate two times more.

Loads no torch.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from mvsearch.errors import DeviceUnavailable
from mvsearch.metrics.record import EvaluationFailed
from mvsearch.profiling.device_command import CommandFailed, Reading
from mvsearch.profiling.reference import times_file

Run = Callable[[], Reading]
"""One run of the command on one file; raises CommandFailed."""

AGREEMENT = 0.1
"""Two runs of one network agree if the slower takes at most this share longer."""

SLOWDOWN = 1.25
"""How much longer than its fastest known time the reference may take on a device that is as before."""

RUNS, RUNS_IF_UNSTEADY = 2, 4
"""The fewest runs of a candidate."""

_CHECK = "check the command, or run this again when the device answers"

PAUSE_S = 5.0
"""How long a device that is away or slow is left alone before the first repetition; twice as long each time."""


def pause_s(attempt: int) -> float:
    """How long to leave a device alone before its attempt of this number, from 1."""
    return PAUSE_S * 2.0 ** (attempt - 1)


def fastest_pair(readings: Sequence[Reading]) -> tuple[Reading, Reading] | None:
    """The two fastest readings, the faster one first, if they agree; None if they do not."""
    fastest = sorted(readings, key=lambda reading: reading.latency_ms)[:2]
    if len(fastest) < 2 or fastest[1].latency_ms > fastest[0].latency_ms * (1 + AGREEMENT):
        return None
    return fastest[0], fastest[1]


class CheckedDevice:
    """A device whose readings are trusted only while its reference takes as long as it is known to.

    `learn` receives each reading of the reference, and returns the fastest known latency.
    """

    def __init__(
        self,
        name: str,
        reference: Run,
        learn: Callable[[Reading], float],
        *,
        retries: int,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self.name, self.reference, self.learn, self.retries = name, reference, learn, retries
        self.reference_ms = 0.0
        self._last_reference = Reading(math.inf)
        self._pause = pause
        self._unsteady = False

    def probe(self) -> Reading:
        """The first reading of the reference.

        Raises DeviceUnavailable if it fails, if no two readings agree, or if it is slower than in an earlier process.
        """
        readings: list[Reading] = []
        reason = ""
        for _ in range(2 + self.retries):
            try:
                readings.append(self.reference())
            except CommandFailed as error:
                reason = str(error)
            if pair := fastest_pair(readings):
                self._note_spread(readings)
                self.reference_ms = self.learn(pair[0])
                self._last_reference = pair[0]
                if self._slow(pair[0]):
                    self._is_as_before()
                return pair[0]
        raise self._unavailable(f"the reference network: {reason or f'its runs differ: {_values(readings)}'}")

    def measure(self, candidate: Run) -> tuple[Reading, Reading]:
        """Two readings of a candidate that agree, the faster one first.

        Raises EvaluationFailed if the candidate fails where the reference does not, or slows the device down;
        DeviceUnavailable if the reference fails too, or if the device does not stay as fast as it was.
        """
        agreed = []
        for _ in range(1 + self.retries):
            pair, trusted = self._measure_once(candidate)
            if pair and trusted:
                return pair
            agreed.append(pair)
        if all(agreed):
            raise self._failed("it slows the device down; after a pause")
        raise self._unavailable("it becomes slow or unavailable again and again")

    def _measure_once(self, candidate: Run) -> tuple[tuple[Reading, Reading] | None, bool]:
        """Two readings that agree, or None, and whether the device was as before throughout; it is in any case now."""
        readings, reason, failures_in_a_row = list[Reading](), "", 0
        runs = RUNS_IF_UNSTEADY if self._unsteady else RUNS
        for left in reversed(range(runs + self.retries)):
            try:
                readings.append(candidate())
            except CommandFailed as error:
                reason, failures_in_a_row = str(error), failures_in_a_row + 1
            else:
                failures_in_a_row = 0
                self._note_spread(readings)
            enough = len(readings) >= runs or not left
            pair = fastest_pair(readings) if enough else None
            if enough and not pair and len(readings) > 1 and not failures_in_a_row:
                reason = f"its runs differ: {_values(readings)}"
            if not enough and failures_in_a_row < 2:
                continue
            as_before = self._is_as_before()
            if pair or not as_before:
                return pair, as_before
        raise self._failed(reason)

    def _note_spread(self, readings: Sequence[Reading]) -> None:
        times = [reading.latency_ms for reading in readings]
        self._unsteady |= max(times) > SLOWDOWN * min(times)

    def _is_as_before(self) -> bool:
        """Whether the reference runs as fast as it is known to at once; False if it does so only after a pause.

        Raises DeviceUnavailable if it does not after the last pause either.
        """
        reason, cure = "", _CHECK
        for attempt in range(self.retries + 1):
            if attempt:
                self._pause(pause_s(attempt))
            try:
                reading = self.reference() if attempt else self._reference_at_once()
            except CommandFailed as error:
                reason, cure = f"the reference network: {error}", _CHECK
                continue
            if not self._slow(reading):
                if pair := fastest_pair([self._last_reference, reading]):  # one alone may be wrong
                    self.reference_ms = self.learn(pair[1])
                self._last_reference = reading
                return attempt == 0
            fast = f"and took {self.reference_ms:.4g} ms when the device was fast"
            reason = f"the reference network takes {reading.latency_ms:.4g} ms, {fast}"
            cure = f"wait until it is, or remove {times_file()} if it stays slower"
        raise self._unavailable(reason, cure)

    def _slow(self, reading: Reading) -> bool:
        return reading.latency_ms > SLOWDOWN * self.reference_ms

    def _reference_at_once(self) -> Reading:
        """A reading of the reference; where a run fails alone or is slow, that of the next one."""
        slow_once = False
        with suppress(CommandFailed):
            reading = self.reference()
            if not self._slow(reading):
                return reading
            slow_once = True
        reading = self.reference()
        self._unsteady |= slow_once and not self._slow(reading)
        return reading

    def _failed(self, reason: str) -> EvaluationFailed:
        at = f"on {self.name}: " if self.name else ""
        return EvaluationFailed(f"{at}{reason}; the reference network runs there as before")

    def _unavailable(self, reason: str, cure: str = _CHECK) -> DeviceUnavailable:
        at = f"the device {self.name}" if self.name else "the device of the command"
        return DeviceUnavailable(f"{reason}; {cure}.", at=at)


def _values(readings: Sequence[Reading]) -> str:
    return f"{', '.join(f'{reading.latency_ms:.4g}' for reading in readings)} ms"
