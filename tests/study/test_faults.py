"""Full disks, clocks that are set back, killed processes, several commands on one study."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from command import PROCESS
from toy import TOY, arithmetic, toy_plan
from waiting import wait_until

from mvsearch.errors import EnvironmentFault, StudyError
from mvsearch.metrics.pareto import front
from mvsearch.study.executors import local
from mvsearch.study.executors.progress import StudyProgress
from mvsearch.study.reader import open_study
from mvsearch.study.storage.store import Store
from mvsearch.study.study import Study
from mvsearch.study.workers.heartbeat import worker_registry

RUN = ("run", "toy.yaml", "--objective", "params", "--objective", "macs", "--sampler", "random")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path):
    with path.open("wb") as file:
        while True:
            os.write(file.fileno(), bytes(4096))


def test_a_full_disk_is_an_error_and_finished_trials_are_kept(small_disk):
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


def test_a_study_on_a_full_disk_cannot_be_read_until_there_is_space(small_disk):
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
from toy import arithmetic, toy_plan
from mvsearch.study.study import Study
Study.join(toy_plan(Path("studies"))).run(arithmetic, trials=5)
"""
    subprocess.run([sys.executable, "-c", code], cwd=small_disk, check=True, capture_output=True)
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space left"):
        fill(ballast)
    front = [sys.executable, "-m", "mvsearch", "front", "toy"]
    process = subprocess.run(front, cwd=small_disk, capture_output=True, text=True)
    assert (process.returncode, "disk is full" in process.stderr) == (1, True), process.stderr
    ballast.unlink()
    assert Store(f"sqlite:///{small_disk / 'studies/toy/study.db'}", create=False).count("toy") == 5


@pytest.mark.slow  # in the fast set processes share one: test_study.py
def test_two_commands_on_one_study_share_it(tmp_path, mvsearch):
    (tmp_path / "toy.yaml").write_text(TOY)
    run = (*RUN, "--trials", "30", "--workers", "1")
    other = subprocess.Popen([*PROCESS, *run], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    done = mvsearch(*run)
    error = other.communicate(timeout=120)[1].decode()
    assert (done.code, other.returncode) == (0, 0), done.err + error

    records = Store(f"sqlite:///{tmp_path / 'studies/toy/study.db'}", create=False).records("toy")
    assert sorted(record.number for record in records) == list(range(30))
    assert max(Counter(record.key for record in records).values()) == 1


def test_a_clock_that_is_set_back_changes_nothing(tmp_path, monkeypatch):
    plan, real = toy_plan(tmp_path, sampler="surrogate"), time.time
    Study.join(plan).run(arithmetic, trials=6)
    monkeypatch.setattr(time, "time", lambda: real() - 1e6)
    Study.join(plan).run(arithmetic, trials=12)

    records = Study.read(plan).records()
    assert [record.number for record in records] == list(range(12))
    assert all(0 <= record.seconds < 60 for record in records)


def test_a_study_opens_by_name_and_resumes_after_its_command_was_killed(tmp_path, mvsearch):
    (tmp_path / "toy.yaml").write_text(TOY)
    command = [*PROCESS, *RUN, "--trials", "400", "--workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    database = tmp_path / "studies/toy/study.db"
    wait_until(lambda: database.exists() and Store(f"sqlite:///{database}", create=True).count("toy") >= 5)
    process.kill()
    process.wait()

    reader = open_study("toy")
    before = reader.records()
    assert before
    total = len(before) + 10
    assert mvsearch(*RUN, "--trials", str(total), "--workers", "1").code == 0
    after = reader.records()
    assert {record.number: record for record in before}.items() <= {record.number: record for record in after}.items()
    assert len(after) >= total


def test_the_progress_of_a_study_has_the_counts_and_the_front_and_keeps_no_more(tmp_path):
    plan = toy_plan(tmp_path, sampler="random", objectives=("params", "macs"))
    study, progress = Study.join(plan), None
    for trials in (3, 4, 20, 32):
        study.run(lambda arch: arch.metrics(), trials=trials)
        progress = progress or StudyProgress(plan, study)
        new, records = progress.poll(), study.records()
        assert progress.count == len(records) == trials
        assert [r.number for r in progress.front] == [r.number for r in front(records, plan.objectives)]
        assert [record.number for record in new] == ([] if trials == 3 else [*range(trials - len(new), trials)])
    assert progress.poll() == []
    assert not progress._counted
    assert all(record.architecture.keys() == {"image_size"} and not record.choices for record in progress.front)


def run_with_killed_workers(folder, times):
    """Run a study in two worker processes; kill both of them as soon as they run, so many times."""
    plan, rounds = toy_plan(folder, objectives=("params", "macs"), trials=20), iter(range(times))
    Study.join(plan)
    reader = Study.read(plan)

    def callback(*_):
        if next(rounds, None) is not None:
            for worker in multiprocessing.active_children():
                worker.kill()
                worker.join()

    local.run(plan, reader, callback, workers=2)
    return reader


def test_workers_that_are_killed_are_replaced_while_trials_are_left(tmp_path):
    assert [record.state for record in run_with_killed_workers(tmp_path, 2).records()] == ["complete"] * 20


def test_workers_that_are_always_killed_are_not_replaced_forever(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "RESTART_BUDGET", 2)
    with pytest.raises(StudyError, match=r"-9, -9.* 0 of 20"):
        run_with_killed_workers(tmp_path, 1000)


def test_the_error_of_a_worker_is_logged_though_others_finish_the_study(tmp_path, caplog):
    plan = toy_plan(tmp_path, objectives=("params", "macs"), trials=3)
    Study.join(plan)
    reader = Study.read(plan)
    registry = worker_registry(reader.store, plan.name)

    local.run(plan, reader, lambda *_: registry.set_status("one", {"error": "one stopped"}), workers=1)

    assert reader.count() == 3
    assert caplog.messages == ["one stopped"]


class InterruptedConversion:
    """An evaluation that is interrupted within a library, which makes an error of its own of the interrupt."""

    def __init__(self, *_args, **_kwargs):
        pass

    def facts(self):
        return {}

    def __call__(self, arch, **_):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        except KeyboardInterrupt:
            raise RuntimeError("the conversion failed") from None


def test_a_candidate_is_not_blamed_for_an_interrupt_that_a_library_made_an_error_of(tmp_path, monkeypatch):
    plan = toy_plan(tmp_path, objectives=("params", "macs"))
    monkeypatch.setattr("mvsearch.study.evaluator.Evaluator", InterruptedConversion)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with pytest.raises(SystemExit) as end:
            local.work(plan, 0, os.getppid())
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)

    assert end.value.code == 130
    assert not Study.read(plan).records()
