"""The command `run` as a user runs it: worker processes, signals, trainings on real images."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import chdir
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from command import PROCESS

from mvsearch.cli.main import cli
from mvsearch.metrics.record import Record
from mvsearch.study.plan import Plan
from mvsearch.study.reader import open_study
from mvsearch.study.study import Study
from mvsearch.study.workers.registry import FileRegistry

V3 = str(Path(__file__).parents[2] / "spaces" / "v3.yaml")
CHEAP = ("--objective", "params", "--objective", "macs", "--sampler", "random")

TINY = """
name: tiny
image_size: 32
num_classes: 10
blocks:
  - {name: stem, block: conv, out: {range: [8, 32, 8]}, stride: 2}
  - {name: down, block: mv2, out: body.out, stride: 2, expand: 2}
  - {name: body, block: mobilevit, out: {range: [16, 48, 8]}, dim: {choose: [16, 24, 32]}, depth: {choose: [1, 2]}}
search: {objectives: [top1, params], trials: 4, sampler: random}
proxy: {steps: STEPS, seeds: 1, batch: 8, held_out: 50}
"""


def write_space(folder: Path, steps: int = 2) -> str:
    (folder / "tiny.yaml").write_text(TINY.replace("STEPS", str(steps)))
    return "tiny.yaml"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A folder with a finished study of four trainings by a worker, and the command that ran it."""
    folder = tmp_path_factory.mktemp("run")
    with chdir(folder):
        return folder, CliRunner().invoke(cli, ["run", write_space(folder), "--workers", "1"])


def test_run_trains_on_real_images_and_writes_a_front(finished: tuple[Path, Result]):
    folder, done = finished
    assert done.exit_code == 0, done.output
    assert "[4/4]" in done.stderr
    assert done.stderr.index("CPU seconds a trial") < done.stderr.index("[1/4]")
    assert re.search(r"\d (s|min) left$", next(line for line in done.stderr.splitlines() if line.startswith("[1/4]")))

    records = open_study(folder / "studies" / "tiny").records()
    assert [record.number for record in records] == [0, 1, 2, 3]
    assert all(0 <= record.metrics["top1"] <= 1 for record in records)
    files = {path.name for path in (folder / "studies" / "tiny").iterdir()}
    assert {"study.db", "front.csv", "front.png", "settings.yaml", "machine.json"} <= files


def test_other_commands_read_what_run_wrote(finished, mvsearch, monkeypatch):
    monkeypatch.chdir(finished[0])
    front = mvsearch("front", "tiny", "--json").json
    assert front["study"] == "tiny"
    assert front["objectives"] == ["top1", "params"]
    assert 0 < front["hypervolume"] < 1
    assert all({"number", "key", "params", "macs", "top1", "published"} <= set(trial) for trial in front["trials"])

    trial = front["trials"][0]
    assert mvsearch("profile", f"tiny:{trial['number']}", "--json").json["params"] == trial["params"]
    assert mvsearch("front", "tiny", "--plot", "front.svg", "--force").code == 0
    assert Path("front.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_run_resumes_to_the_new_total_and_then_has_nothing_to_do(finished, mvsearch, monkeypatch):
    folder, _ = finished
    monkeypatch.chdir(folder)
    study = folder / "studies" / "tiny"
    first = {record.number: record.metrics for record in open_study(study).records()}
    for trials, expected in (("6", 6), ("5", 6)):
        done = mvsearch("run", "tiny.yaml", "--trials", trials, "--workers", "1")
        assert done.code == 0, done.err
        records = open_study(study).records()
        assert len(records) == len({record.key for record in records}) == expected
        assert first.items() <= {record.number: record.metrics for record in records}.items()


@pytest.mark.slow
def test_rungs_and_reevaluation_work_on_real_trainings(tmp_path, mvsearch):
    space = write_space(tmp_path, steps=4)
    (tmp_path / space).write_text((tmp_path / space).read_text().replace("{steps: 4,", "{steps: 4, rungs: [1, 2],"))
    done = mvsearch("run", space, "--trials", "3", "--reevaluate", "--workers", "1", "--json")
    assert done.code == 0, done.err

    members = done.json["trials"]
    assert all(len(member["repeats"]) >= 2 and member["top1_sem"] >= 0 for member in members)
    assert all(set(member["rungs"]) == {"1", "2"} for member in members)
    assert "measurements" in done.err
    assert " ± " in mvsearch("front", "tiny").out
    header = (tmp_path / "studies" / "tiny" / "front.csv").read_text().splitlines()[0].split(",")
    assert "top1_sem" in header
    assert "repeats" not in header


@pytest.mark.parametrize("objective", ["params", pytest.param("macs", marks=pytest.mark.slow)])
def test_a_study_of_a_single_objective_has_a_front_and_a_figure(mvsearch, objective):
    done = mvsearch("run", "quick.yaml", "--objective", objective, "--trials", "3", "--workers", "1")

    assert done.code == 0, done.err
    assert Path("studies/quick/front.png").stat().st_size > 10_000


def test_json_is_one_document_on_stdout(mvsearch):
    done = mvsearch("run", "quick.yaml", *CHEAP, "--trials", "2", "--workers", "1", "--json")

    assert json.loads(done.out)["trials"][0]["published"] == "mobilevitv3_xxs_l2"


@pytest.mark.parametrize(
    ("end", "trained"),
    [
        (signal.SIGINT, False),
        pytest.param(signal.SIGKILL, False, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, True, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, False, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_or_killed_run_resumes_with_its_finished_trials(tmp_path, mvsearch, end, trained):
    """The first command has far more trials than it can finish before the signal, however busy the machine is."""
    space = (write_space(tmp_path, steps=15),) if trained else (V3, "--name", "tiny", *CHEAP)
    command = [*PROCESS, "run", *space, "--workers", "2", "--trials", "100" if trained else "100000"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    before = wait_for_record(tmp_path / "studies" / "tiny")
    os.kill(process.pid, end)
    _, err = process.communicate(timeout=120)
    assert process.returncode == (-end if end == signal.SIGKILL else 130)
    assert "Traceback" not in err
    assert ("stopping the workers" in err) == (end != signal.SIGKILL)

    wait_for_workers(tmp_path / "studies" / "tiny")
    total = open_study(tmp_path / "studies" / "tiny").count() + 1
    done = mvsearch("run", *space, "--workers", "1", "--trials", str(total))

    assert done.code == 0, done.err
    records = open_study(tmp_path / "studies" / "tiny").records()
    assert len(records) == len({record.key for record in records}) == total
    assert {r.number: r.metrics for r in before}.items() <= {r.number: r.metrics for r in records}.items()


def test_run_names_the_trials_that_it_repeats_under_new_numbers(mvsearch):
    plan = Plan.load("quick.yaml", objectives=("params", "macs"), trials=5, sampler="random")
    workers = [Study.join(plan) for _ in range(3)]
    workers[0].run(lambda arch: arch.metrics(), trials=2)
    with workers[0].worker.running(), workers[1].worker.running(), workers[2].worker.running():
        lost = [worker.scheduler.next(5) for worker in workers]
        workers[2].scheduler.release(4)  # as Ctrl-C does; the other two die with their trials
        assert workers[2].scheduler.interrupted() == lost[2:]
    command = ("run", "quick.yaml", *CHEAP, "--workers", "1", "--trials")

    first, rest, none = (mvsearch(*command, trials).err for trials in ("3", "5", "5"))

    names = [f"{candidate.number} ({candidate.name})" for candidate in lost]
    assert f"trial {names[0]} was interrupted and is repeated under a new number.\n" in first
    assert f"trials {names[1]} and {names[2]} were interrupted and are repeated under new numbers.\n" in rest
    assert "interrupted" not in none
    assert [(r.number, r.key) for r in workers[0].records()][2:] == [
        (n, c.key) for n, c in zip((5, 6, 7), lost, strict=True)
    ]


def wait_for_workers(study: Path, seconds: float = 100) -> None:
    """Workers whose parent was killed end by themselves, after the trial that they run."""
    deadline = time.monotonic() + seconds
    while FileRegistry(study / "workers").has_live_worker():
        assert time.monotonic() < deadline, f"workers still run after {seconds} s"
        time.sleep(0.1)


def wait_for_record(study: Path, seconds: float = 200) -> list[Record]:
    """The records of a running study, as soon as there is one."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (study / "study.db").exists():
            try:
                if records := open_study(study).records():
                    return records
            except Exception:  # its tables are being created
                pass
        time.sleep(0.1)
    raise AssertionError(f"no record after {seconds} s")


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of measured latencies, of which one is finished."""
    folder = tmp_path_factory.mktemp("timed")
    with chdir(folder):
        done = CliRunner().invoke(cli, ["run", write_space(folder), *TIMED, "--trials", "1", "--workers", "1"])
    assert done.exit_code == 0, done.output
    return folder


TIMED = ("--objective", "latency_ms", "--objective", "params", "--sampler", "random")


def test_a_latency_objective_is_measured_with_its_spread_and_device(timed):
    [record] = open_study(timed / "studies" / "tiny").records()
    metrics = record.metrics
    assert 0 < metrics["latency_p10_ms"] <= metrics["latency_ms"] <= metrics["latency_p90_ms"]
    assert metrics["latency_device"].startswith("cpu: ")


def test_a_run_on_another_device_fails_and_names_it(timed, mvsearch):
    shutil.copytree(timed, ".", dirs_exist_ok=True)
    with sqlite3.connect("studies/tiny/study.db") as connection:
        connection.execute("UPDATE mvsearch_studies SET facts = json_set(facts, '$.device', 'cpu: another')")
    connection.close()

    done = mvsearch("run", "tiny.yaml", *TIMED, "--trials", "2", "--workers", "1")

    assert done.code == 1
    assert "cpu: another" in done.err
    assert "Traceback" not in done.err


@pytest.mark.slow
def test_a_run_ends_when_no_new_candidate_is_within_the_limits(mvsearch):
    cheap = ("--objective", "params", "--objective", "macs")
    done = mvsearch("run", V3, *cheap, "--limit", "params <= 0.70M", "--trials", "40", "--workers", "1", "--json")

    assert done.code == 0
    assert "No new candidate" in done.err
    assert open_study("studies/v3").count() == 16
