"""Waiting for another process, with a deadline."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], *, seconds: float = 120.0) -> None:
    """Return as soon as the condition holds; fail if it does not within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(0.05)
