"""Machines that fill up, clocks that go back, commands that meet."""

import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import pytest
from toy import TOY, arithmetic, toy_plan

from mvsearch.errors import EnvironmentFault, StudyError
from mvsearch.metrics.pareto import front
from mvsearch.study.executors import local
from mvsearch.study.executors.progress import StudyProgress
from mvsearch.study.reader import open_study
from mvsearch.study.retry import RETRY_POLICY, RetryPolicy
from mvsearch.study.storage.store import Store
from mvsearch.study.study import Study
from mvsearch.study.workers.heartbeat import worker_registry

RUN = [
    sys.executable,
    "-m",
    "mvsearch",
    "run",
    "toy.yaml",
    "--objective",
    "params",
    "--objective",
    "macs",
    "--sampler",
    "random",
]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(path):
    with path.open("wb") as file:
        while True:
            os.write(file.fileno(), bytes(4096))


def test_a_full_disk_is_told_and_what_was_finished_is_still_there(small_disk):
    plan = toy_plan(small_disk)
    study = Study.join(plan)
    study.run(arithmetic, trials=5)
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space left"):
        fill(ballast)
    with pytest.raises(EnvironmentFault, match="full"):
        study.run(arithmetic, trials=400)
    finished = study.count()
    assert finished >= 5
    ballast.unlink()

    Study.join(plan).run(arithmetic, trials=finished + 5)
    records = Study.read(plan).records()
    assert len(records) == finished + 5
    assert len({record.key for record in records}) == len(records)


def test_a_disk_that_was_full_before_is_told_and_room_brings_all_back(small_disk):
    (small_disk / "toy.yaml").write_text(TOY)
    subprocess.run([*RUN, "--trials", "5", "--workers", "1"], cwd=small_disk, check=True, capture_output=True)
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space left"):
        fill(ballast)
    front = [sys.executable, "-m", "mvsearch", "front", "toy"]
    done = subprocess.run(front, cwd=small_disk, capture_output=True, text=True)
    assert (done.returncode, "The disk is full: make room" in done.stderr) == (1, True), done.stderr
    ballast.unlink()
    assert Store(f"sqlite:///{small_disk / 'studies/toy/study.db'}", create=False).count("toy") == 5


def test_two_commands_on_one_study_share_it(tmp_path):
    (tmp_path / "toy.yaml").write_text(TOY)
    command = [*RUN, "--trials", "30", "--workers", "2"]
    both = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in "ab"]
    said = [one.communicate(timeout=120)[1].decode() for one in both]
    assert [one.returncode for one in both] == [0, 0], said

    records = Store(f"sqlite:///{tmp_path / 'studies/toy/study.db'}", create=False).records("toy")
    assert sorted(record.number for record in records) == list(range(30))
    assert max(Counter(record.key for record in records).values()) == 1


def test_a_clock_that_is_set_back_disturbs_nothing(tmp_path, monkeypatch):
    plan, real = toy_plan(tmp_path, sampler="surrogate"), time.time
    Study.join(plan).run(arithmetic, trials=6)
    monkeypatch.setattr(time, "time", lambda: real() - 1e6)
    Study.join(plan).run(arithmetic, trials=12)

    records = Study.read(plan).records()
    assert [record.number for record in records] == list(range(12))
    assert all(0 <= record.seconds < 60 for record in records)


def test_a_study_is_found_by_name_after_its_owner_died_in_the_middle(tmp_path, monkeypatch):
    (tmp_path / "toy.yaml").write_text(TOY)
    command = [*RUN, "--trials", "400", "--workers", "2"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    database = tmp_path / "studies/toy/study.db"
    while not database.exists() or Store(f"sqlite:///{database}", create=True).count("toy") < 5:
        time.sleep(0.1)
    process.kill()
    process.wait()

    monkeypatch.chdir(tmp_path)
    reader = open_study("toy")
    before = reader.records()
    assert before
    until = len(before) + 40
    subprocess.run([*RUN, "--trials", str(until), "--workers", "2"], check=True, capture_output=True)
    after = reader.records()
    assert {record.number: record for record in before}.items() <= {record.number: record for record in after}.items()
    assert len(after) >= until


def test_who_started_the_workers_knows_the_front_and_the_count_and_keeps_no_more(tmp_path):
    plan = toy_plan(tmp_path, sampler="random", objectives=("params", "macs"))
    study, progress = Study.join(plan), None
    for trials in (3, 4, 20, 60):
        study.run(lambda arch: arch.metrics(), trials=trials)
        progress = progress or StudyProgress(plan, study)
        news, records = progress.poll(), study.records()
        assert progress.count == len(records) == trials
        assert [each.number for each in progress.front] == [each.number for each in front(records, plan.objectives)]
        assert [each.number for each in news] == ([] if trials == 3 else [*range(trials - len(news), trials)])
    assert progress.poll() == []
    assert not progress._counted
    assert not any(each.architecture for each in progress.front)


def run_with_killed_workers(folder, times, retry: RetryPolicy = RETRY_POLICY):
    """A study of two worker processes, all of which are killed as soon as they are seen, so many times."""
    plan, rounds = toy_plan(folder, objectives=("params", "macs"), trials=20), iter(range(times))
    Study.join(plan)
    reader = Study.read(plan)

    def watch(*_):
        if next(rounds, None) is not None:
            for worker in multiprocessing.active_children():
                worker.kill()
                worker.join()

    local.run(plan, reader, watch, workers=2, retry=retry)
    return reader


def test_workers_that_are_killed_are_replaced_while_trials_are_left(tmp_path):
    assert [record.state for record in run_with_killed_workers(tmp_path, 2).records()] == ["complete"] * 20


def test_workers_that_always_die_are_not_replaced_for_ever(tmp_path):
    with pytest.raises(StudyError, match=r"exit codes -9, -9\) with 0 of 20 trials done"):
        run_with_killed_workers(tmp_path, 1000, replace(RETRY_POLICY, restart_budget=2))


def test_a_worker_that_gave_up_is_told_though_others_came_to_the_end(tmp_path, caplog):
    plan = toy_plan(tmp_path, objectives=("params", "macs"), trials=3)
    Study.join(plan)
    reader = Study.read(plan)
    words = worker_registry(reader.store, plan.name)

    local.run(plan, reader, lambda *_: words.set_status("one", {"error": "one stops, for 5 failed"}), workers=1)

    assert reader.count() == 3
    assert caplog.messages == ["one stops, for 5 failed"]
