"""A flaky device told apart from a bad candidate: a reference network is measured where a run of a candidate is odd.

    two runs agree ─────────────────────────────────────────────── their median is the latency
    a run fails alone ── again; the reference is measured before the latency counts
    two fail in a row, or they differ ── reference as before ── again; after the last attempt the candidate fails
                                      └─ reference fails or is slower ── wait, again; after the last the device is away

A run that fails alone is repeated at once. With the reference in between, on a device where every second run fails, the
reference would always run, and the candidate never.

Loads no torch.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise

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

CHECK_INTERVAL_S = 300.0
"""After so long without, the reference is measured again, though nothing is odd: a device that gets hot is slow in all
runs alike."""

_CHECK = "check the command, or run this again when the device answers"

PAUSE_S = 5.0
"""How long a device that is away or slow is left alone before the next attempt; twice as long each time."""


def closest_pair(readings: Sequence[Reading]) -> tuple[Reading, Reading] | None:
    """The two readings that differ least, the faster one first, if they agree; None if no two do."""
    ordered = sorted(readings, key=lambda reading: reading.latency_ms)
    pairs = [pair for pair in pairwise(ordered) if pair[1].latency_ms <= pair[0].latency_ms * (1 + AGREEMENT)]
    return min(pairs, key=lambda pair: pair[1].latency_ms / pair[0].latency_ms, default=None)


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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.reference, self.learn, self.retries = name, reference, learn, retries
        self.reference_ms = 0.0
        self._pause, self._clock = pause, clock
        self._checked = -float("inf")

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
            if pair := closest_pair(readings):
                self._learn(pair[0])
                if self._slow(pair[0]):
                    self._is_as_before()
                return pair[0]
        raise self._unavailable(f"the reference network: {reason or f'its runs differ: {_values(readings)}'}")

    def measure(self, candidate: Run) -> tuple[Reading, Reading]:
        """Two readings of a candidate that agree, the faster one first.

        Raises EvaluationFailed if the candidate fails where the reference does not, DeviceUnavailable if the reference
        fails too, or if the device does not stay as fast as it was.
        """
        readings, reason, disturbed = list[Reading](), "", False
        in_a_row, unchecked = 0, False  # failures, and whether one was since the reference was measured
        for left in reversed(range(2 + self.retries)):
            pair = None
            try:
                readings.append(candidate())
            except CommandFailed as error:
                reason, in_a_row, unchecked = str(error), in_a_row + 1, True
                odd = in_a_row > 1 or not left
            else:
                pair, in_a_row = closest_pair(readings), 0
                differ = pair is None and len(readings) > 1
                odd = differ or not (pair or left)
                reason = f"its runs differ: {_values(readings)}" if differ else reason
            if not odd and not (pair and (unchecked or self._overdue())):
                if pair:
                    return pair
                continue
            unchecked = False
            if self._is_as_before():
                if pair:
                    return pair
            else:  # it is now, after a pause; what was read before it cannot be trusted
                readings.clear()
                disturbed = True
        if disturbed:
            raise self._unavailable("it becomes slow or unavailable again and again")
        at = f"on {self.name}: " if self.name else ""
        raise EvaluationFailed(f"{at}{reason}; the reference network runs there as before")

    def _overdue(self) -> bool:
        return self._clock() - self._checked > CHECK_INTERVAL_S

    def _is_as_before(self) -> bool:
        """Whether the reference runs as fast as it is known to at once; False if it does so only after a pause.

        Raises DeviceUnavailable if it does not after the last pause either.
        """
        reason, cure = "", _CHECK
        for attempt in range(self.retries + 1):
            if attempt:
                self._pause(PAUSE_S * 2 ** (attempt - 1))
            try:
                reading = self.reference() if attempt else self._reference_at_once()
            except CommandFailed as error:
                reason, cure = f"the reference network: {error}", _CHECK
                continue
            if not self._slow(reading):
                self._learn(reading)
                return attempt == 0
            fast = f"and took {self.reference_ms:.4g} ms when the device was fast"
            reason = f"the reference network takes {reading.latency_ms:.4g} ms, {fast}"
            cure = f"wait until it is, or remove {times_file()} if it stays slower"
        raise self._unavailable(reason, cure)

    def _slow(self, reading: Reading) -> bool:
        return reading.latency_ms > SLOWDOWN * self.reference_ms

    def _reference_at_once(self) -> Reading:
        """A reading of the reference; where a run fails alone, that of the next one."""
        with suppress(CommandFailed):
            return self.reference()
        return self.reference()

    def _learn(self, reading: Reading) -> None:
        self.reference_ms, self._checked = self.learn(reading), self._clock()

    def _unavailable(self, reason: str, cure: str = _CHECK) -> DeviceUnavailable:
        at = f"the device {self.name}" if self.name else "the device of the command"
        return DeviceUnavailable(f"{reason}; {cure}.", at=at)


def _values(readings: Sequence[Reading]) -> str:
    return f"{', '.join(f'{reading.latency_ms:.4g}' for reading in readings)} ms"
