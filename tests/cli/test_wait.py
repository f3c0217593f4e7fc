"""What a command prints while it waits for the machine, and a search whose workers wait."""

import os
import subprocess
import tempfile

import pytest
from command import PROCESS
from toy import toy_plan, toy_space

from mvsearch.cli._progress import SearchProgress
from mvsearch.cli._wait import tell_of_wait
from mvsearch.study.executors.progress import StudyProgress
from mvsearch.study.study import Study
from mvsearch.utils import machine_lock


@pytest.mark.skipif(machine_lock.fcntl is None, reason="Windows reports no waits")
def test_a_command_prints_once_what_it_waits_for_and_continues(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    space = toy_space()
    space.architecture(space.point(space.sample(1, 0)[0])).save(tmp_path / "toy.yaml")
    with machine_lock.exclusive():
        command = subprocess.Popen(
            [*PROCESS, "profile", str(tmp_path / "toy.yaml"), "--latency"],
            env={**os.environ, "TMPDIR": str(tmp_path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        first = command.stderr.readline()
    _, rest = command.communicate(timeout=240)

    assert first.startswith("waiting for another mvsearch command")
    assert "waiting" not in rest
    assert command.returncode == 0


def test_a_search_prints_that_it_waits_once_all_workers_do(tmp_path, capsys):
    tell_of_wait.cache_clear()
    plan = toy_plan(tmp_path)
    Study.join(plan)
    reader = Study.read(plan)
    screen, progress = SearchProgress(plan, "here", 0, 2), StudyProgress(plan, reader)
    waits, works = ({"worker": "w", "number": 1, "name": "n", "waiting": waiting} for waiting in (True, False))
    for _ in range(20):
        screen(progress, [], [waits, works])
    assert not capsys.readouterr().err
    for _ in range(20):
        screen(progress, [], [waits, waits])
    assert capsys.readouterr().err.count("waiting for another mvsearch command") == 1
