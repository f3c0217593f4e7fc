import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mvsearch.errors import EnvironmentFault
from mvsearch.utils import machine_lock

ROOT = Path(__file__).parents[2]
posix = pytest.mark.skipif(machine_lock.fcntl is None, reason="Windows has no shared file locks")


class Helpers:
    """Real processes that share this test's lock files; whatever still runs at the end is killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []

    def start(self, body: str, *arguments: str) -> subprocess.Popen[str]:
        """Run `body` after the prelude below; its stdout is a pipe to read lines from."""
        prelude = "import os, sys, time\nfrom mvsearch.utils.machine_lock import exclusive, shared\n"
        process = subprocess.Popen(
            [sys.executable, "-c", prelude + textwrap.dedent(body), *arguments],
            env={**os.environ, "TMPDIR": str(self.folder), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def holder(self, mode: str) -> subprocess.Popen[str]:
        """Start a process that holds the lock until it is killed; return once it holds the lock."""
        process = self.start(f"with {mode}():\n    print('held', flush=True)\n    time.sleep(300)")
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process


@pytest.fixture
def helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Helpers]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    started = Helpers(tmp_path)
    yield started
    for process in started.started:
        process.kill()
        process.wait()


def can_acquire(mode: str, helpers: Helpers, *, within_s: float) -> bool:
    """Whether another process acquires the lock; the time that it takes to start does not count."""
    process = helpers.start(f"print('asking', flush=True)\nwith {mode}():\n    pass")
    assert process.stdout is not None
    assert process.stdout.readline() == "asking\n"
    try:
        return process.wait(timeout=within_s) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        process.kill()


@posix
def test_shared_access_blocks_exclusive_access_but_not_shared_access(helpers):
    helpers.holder("shared")

    assert can_acquire("shared", helpers, within_s=60)
    assert not can_acquire("exclusive", helpers, within_s=0.5)


def test_exclusive_access_blocks_all_other_access(helpers):
    helpers.holder("exclusive")

    assert not can_acquire("exclusive", helpers, within_s=0.5)
    assert not can_acquire("shared", helpers, within_s=0.5)


@pytest.mark.parametrize("mode", ["exclusive", "shared"])
def test_a_killed_process_releases_the_lock(helpers, mode):
    holder = helpers.holder(mode)
    holder.kill()  # SIGKILL: nothing of the holder runs any more
    holder.wait()

    assert can_acquire("exclusive", helpers, within_s=60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_outlives_its_killed_parent_does_not_keep_the_lock(helpers):
    parent = helpers.start(
        """
        with exclusive():
            child = os.fork()
            if child == 0:
                os.close(1)
                time.sleep(300)
            print(child, flush=True)
            time.sleep(300)
        """
    )
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    try:
        assert can_acquire("exclusive", helpers, within_s=60)
    finally:
        os.kill(child, signal.SIGKILL)


@posix
def test_a_steady_stream_of_trainings_does_not_starve_a_measurement(helpers):
    # Together they nearly always hold the lock; uneven durations keep them out of step.
    trainers = [
        helpers.start(
            """
            import random

            for i in range(10_000):
                with shared():
                    if i == 0:
                        print("held", flush=True)
                    time.sleep(random.uniform(0.1, 0.3))
            """
        )
        for _ in range(6)
    ]
    for trainer in trainers:
        assert trainer.stdout.readline() == "held\n"

    assert can_acquire("exclusive", helpers, within_s=60)
    assert all(trainer.poll() is None for trainer in trainers)


@posix
def test_no_access_overlaps_an_exclusive_one(helpers):
    body = """
        for _ in range(20):
            with {mode}():
                begin = time.monotonic()
                time.sleep(0.002)
                print("{mode}", begin, time.monotonic(), flush=True)
    """
    modes = ("exclusive", "exclusive", "shared", "shared")
    processes = [helpers.start(body.format(mode=mode)) for mode in modes]
    lines = "".join(process.communicate(timeout=120)[0] for process in processes).splitlines()
    spans = [(mode, float(begin), float(end)) for mode, begin, end in map(str.split, lines)]

    assert len(spans) == 80
    for index, (mode, begin, end) in enumerate(spans):
        others = spans[:index] + spans[index + 1 :] if mode == "exclusive" else []
        assert all(end <= other_begin or other_end <= begin for _, other_begin, other_end in others)


@pytest.mark.usefixtures("helpers")
def test_nested_access_does_not_wait_for_itself():
    with machine_lock.exclusive(), machine_lock.exclusive(), machine_lock.shared():
        pass
    with machine_lock.shared(), machine_lock.shared():
        pass


@pytest.mark.usefixtures("helpers")
def test_exclusive_access_within_shared_access_raises_instead_of_hanging():
    with (
        machine_lock.shared(),
        pytest.raises(RuntimeError, match="before or after"),
        machine_lock.exclusive(),
    ):
        pass


def test_an_exception_releases_the_lock(helpers):
    with pytest.raises(ZeroDivisionError), machine_lock.exclusive():
        _ = 1 / 0

    assert can_acquire("exclusive", helpers, within_s=60)


@pytest.mark.usefixtures("helpers")
def test_threads_of_one_process_exclude_each_other():
    entered = threading.Event()

    def acquire() -> None:
        with machine_lock.exclusive():
            entered.set()

    with machine_lock.exclusive():
        thread = threading.Thread(target=acquire)
        thread.start()
        assert not entered.wait(0.3)
    thread.join(60)
    assert entered.is_set()


def test_without_flock_no_access_begins_during_an_exclusive_one(helpers, monkeypatch):
    monkeypatch.setattr(machine_lock, "fcntl", None)
    with machine_lock.shared(), pytest.raises(RuntimeError), machine_lock.exclusive():
        pass
    entered = threading.Event()

    def acquire() -> None:
        with machine_lock.shared():
            entered.set()

    with machine_lock.exclusive():
        thread = threading.Thread(target=acquire)
        thread.start()
        assert not entered.wait(0.3)
    thread.join(60)
    assert entered.is_set()


@posix
def test_a_lock_file_that_cannot_be_opened_is_an_error_with_its_path(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))

    with pytest.raises(EnvironmentFault, match=r"entry\.lock") as error, machine_lock.exclusive():
        pass
    assert str(tmp_path / "missing") in error.value.file


@posix
def test_a_wait_is_logged_and_reported_to_the_callback(helpers, caplog):
    caplog.set_level("INFO", logger="mvsearch.utils.machine_lock")
    holder, waits = helpers.holder("exclusive"), []

    def callback(waiting: bool) -> None:
        waits.append(waiting)
        holder.kill()

    with machine_lock.on_wait(callback), machine_lock.exclusive():
        pass

    assert waits == [True, False]
    assert [record.name for record in caplog.records] == ["mvsearch.utils.machine_lock"]


@posix
def test_a_callback_is_called_within_its_block_alone(helpers):
    def interrupted(_: bool) -> None:
        raise KeyboardInterrupt

    with pytest.raises(ZeroDivisionError), machine_lock.on_wait(interrupted):
        _ = 1 / 0

    holder = helpers.holder("exclusive")
    threading.Timer(0.3, holder.kill).start()
    with machine_lock.exclusive():
        pass
    assert holder.wait() == -signal.SIGKILL
