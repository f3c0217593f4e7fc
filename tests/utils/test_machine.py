import json
import os
import platform
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
from mvsearch.utils import machine

ROOT = Path(__file__).parents[2]
posix = pytest.mark.skipif(machine.fcntl is None, reason="Windows has no shared file locks")


class Helpers:
    """Real processes that share this test's lock files; whatever still runs at the end is killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []

    def start(self, body: str, *arguments: str) -> subprocess.Popen[str]:
        """Run `body` with the prelude below; its stdout is a pipe to read lines from."""
        prelude = "import os, sys, time\nfrom mvsearch.utils.machine import alone, beside_others\n"
        process = subprocess.Popen(
            [sys.executable, "-c", prelude + textwrap.dedent(body), *arguments],
            env={**os.environ, "TMPDIR": str(self.folder), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def holder(self, turn: str) -> subprocess.Popen[str]:
        """A process that holds a turn until it is killed; returns once it holds it."""
        process = self.start(f"with {turn}():\n    print('held', flush=True)\n    time.sleep(60)")
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process


@pytest.fixture
def helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Helpers]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = Helpers(tmp_path)
    yield made
    for process in made.started:
        process.kill()
        process.wait()


def can_take(turn: str, helpers: Helpers, *, within_s: float) -> bool:
    """Whether another process gets this turn; the time it takes to start is not counted."""
    process = helpers.start(f"print('asking', flush=True)\nwith {turn}():\n    pass")
    assert process.stdout is not None
    assert process.stdout.readline() == "asking\n"
    try:
        return process.wait(timeout=within_s) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        process.kill()


@posix
def test_training_keeps_out_timing_but_not_other_training(helpers):
    helpers.holder("beside_others")

    assert can_take("beside_others", helpers, within_s=20)
    assert not can_take("alone", helpers, within_s=0.5)


def test_timing_keeps_out_everybody(helpers):
    helpers.holder("alone")

    assert not can_take("alone", helpers, within_s=0.5)
    assert not can_take("beside_others", helpers, within_s=0.5)


@pytest.mark.parametrize("turn", ["alone", "beside_others"])
def test_a_turn_is_free_again_after_its_holder_was_killed(helpers, turn):
    holder = helpers.holder(turn)
    holder.kill()  # SIGKILL: nothing of the holder runs any more
    holder.wait()

    assert can_take("alone", helpers, within_s=20)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_outlives_its_killed_parent_does_not_keep_the_turn(helpers):
    parent = helpers.start(
        """
        with exclusive():
            child = os.fork()
            if child == 0:
                os.close(1)
                time.sleep(60)
            print(child, flush=True)
            time.sleep(60)
        """
    )
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    try:
        assert can_take("alone", helpers, within_s=20)
    finally:
        os.kill(child, signal.SIGKILL)


@posix
def test_timing_gets_its_turn_while_trainings_keep_coming(helpers):
    # Together they hardly ever leave the room empty; uneven turns keep them from falling into step.
    trainers = [
        helpers.start(
            """
            import random

            for turn in range(10_000):
                with beside_others():
                    if turn == 0:
                        print("held", flush=True)
                    time.sleep(random.uniform(0.1, 0.3))
            """
        )
        for _ in range(6)
    ]
    for trainer in trainers:
        assert trainer.stdout.readline() == "held\n"

    assert can_take("alone", helpers, within_s=10)
    assert all(trainer.poll() is None for trainer in trainers)


@posix
def test_turns_of_many_processes_never_overlap_a_timing(helpers):
    body = """
        for _ in range(20):
            with {turn}():
                begin = time.monotonic()
                time.sleep(0.002)
                print("{turn}", begin, time.monotonic(), flush=True)
    """
    turns = ("alone", "alone", "beside_others", "beside_others")
    processes = [helpers.start(body.format(turn=turn)) for turn in turns]
    lines = "".join(process.communicate(timeout=30)[0] for process in processes).splitlines()
    held = [(kind, float(begin), float(end)) for kind, begin, end in map(str.split, lines)]

    assert len(held) == 80
    for index, (kind, begin, end) in enumerate(held):
        others = held[:index] + held[index + 1 :] if kind == "alone" else []
        assert all(end <= other_begin or other_end <= begin for _, other_begin, other_end in others)


@pytest.mark.usefixtures("helpers")
def test_a_turn_within_a_turn_does_not_wait_for_itself():
    with machine.exclusive(), machine.exclusive(), machine.shared():
        pass
    with machine.shared(), machine.shared():
        pass


@pytest.mark.usefixtures("helpers")
def test_asking_to_be_alone_in_the_middle_of_training_is_refused_instead_of_hanging():
    with machine.shared(), pytest.raises(RuntimeError, match="before or after the training"), machine.exclusive():
        pass


def test_an_exception_gives_the_turn_back(helpers):
    with pytest.raises(ZeroDivisionError), machine.exclusive():
        _ = 1 / 0

    assert can_take("alone", helpers, within_s=20)


@pytest.mark.usefixtures("helpers")
def test_threads_of_one_process_are_told_apart():
    entered = threading.Event()

    def take() -> None:
        with machine.exclusive():
            entered.set()

    with machine.exclusive():
        thread = threading.Thread(target=take)
        thread.start()
        assert not entered.wait(0.3)
    thread.join(20)
    assert entered.is_set()


def test_without_flock_no_turn_begins_during_a_timing(helpers, monkeypatch):
    monkeypatch.setattr(machine, "fcntl", None)
    with machine.shared(), pytest.raises(RuntimeError), machine.exclusive():
        pass
    entered = threading.Event()

    def take() -> None:
        with machine.shared():
            entered.set()

    with machine.exclusive():
        thread = threading.Thread(target=take)
        thread.start()
        assert not entered.wait(0.3)
    thread.join(20)
    assert entered.is_set()


@posix
def test_a_lock_file_that_cannot_be_opened_is_told_with_its_path(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))

    with pytest.raises(EnvironmentFault, match=r"missing.*door\.lock.*set TMPDIR"), machine.exclusive():
        pass


@posix
def test_waiting_is_logged(helpers, caplog):
    caplog.set_level("INFO", logger="mvsearch.utils.machine")
    holder = helpers.holder("alone")
    threading.Timer(0.3, holder.kill).start()
    with machine.exclusive():
        pass

    assert "waiting for a turn" in caplog.text


def test_the_same_machine_has_the_same_id_in_another_process():
    code = "import json; from mvsearch.utils import machine; print(json.dumps(machine.describe()))"
    seen = [
        json.loads(subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True).stdout)
        for _ in range(2)
    ]

    assert machine.machine_id(seen[0]) == machine.machine_id(seen[1])
    assert machine.machine_id({**seen[0], "cpu": "another"}) != machine.machine_id(seen[0])


def test_describing_the_machine_does_not_load_torch():
    code = "import sys; from mvsearch.utils import machine; machine.describe(); sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_description_names_what_a_time_depends_on():
    described = machine.describe()

    assert described["cpu"]
    assert described["cores"] >= 1
    assert described["memory_bytes"] > 2**27
    assert described["python"] == platform.python_version()
    assert described["versions"]["torch"]


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("processor : 0\nmodel name\t: AMD EPYC 9R14\ncpu family: 25\n\nprocessor: 1\n", "AMD EPYC 9R14"),
        ("model name\t: AMD EPYC\ncpu family\t: 25\nmodel\t\t: 17\n", "AMD EPYC (family 25 model 17)"),
        ("processor : 0\nBogoMIPS : 243.75\n", platform.machine()),
    ],
)
def test_the_processor_is_named_even_where_a_virtual_machine_hides_its_model(tmp_path, cpuinfo, name):
    (tmp_path / "cpuinfo").write_text(cpuinfo)

    assert machine.cpu_name(tmp_path / "cpuinfo") == name


def test_two_kinds_of_mac_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(subprocess, "check_output", lambda *_a, **_k: "Apple M3 Pro\n")

    assert machine.cpu_name(tmp_path / "none") == "Apple M3 Pro"
