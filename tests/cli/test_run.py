"""The command `run`, as a user meets it: real processes, real signals, real images."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mvsearch.study.reader import open_study

ROOT = Path(__file__).parents[2]
MVSEARCH = [sys.executable, "-c", "from mvsearch.cli.main import main; main()"]
CHEAP = ["--objective", "params", "--objective", "macs"]

TRAINED = """
name: tiny
image_size: 64
num_classes: 10
blocks:
  - {name: stem, block: conv, out: {range: [8, 32, 8]}, stride: 2}
  - {name: down, block: mv2, out: body.out, stride: 2, expand: 2}
  - {name: body, block: mobilevit, out: {range: [16, 48, 8]}, dim: {choose: [16, 24, 32]}, depth: {choose: [1, 2]}}
search: {objectives: [top1, params], trials: 6}
proxy: {steps: STEPS, seeds: 1, batch: 16, held_out: 200}
"""


def mvsearch(*args: str, folder: Path, **kwargs) -> subprocess.CompletedProcess:
    return subprocess.run([*MVSEARCH, *args], cwd=folder, capture_output=True, text=True, check=False, **kwargs)


def tiny(folder: Path, steps: int = 4) -> str:
    (folder / "tiny.yaml").write_text(TRAINED.replace("STEPS", str(steps)))
    return "tiny.yaml"


def test_run_trains_on_real_images_and_leaves_a_front_that_other_commands_read(tmp_path):
    done = mvsearch("run", tiny(tmp_path), "--workers", "2", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "[6/6]" in done.stderr

    found = json.loads(mvsearch("front", "tiny", "--json", folder=tmp_path).stdout)
    assert found["study"] == "tiny"
    assert found["objectives"] == ["top1", "params"]
    assert 0 < found["hypervolume"] < 1
    assert all({"number", "key", "params", "macs", "top1", "published"} <= set(trial) for trial in found["trials"])
    left = {path.name for path in (tmp_path / "studies" / "tiny").iterdir()}
    assert {"study.db", "front.csv", "front.png", "settings.yaml", "machine.json"} <= left

    number = found["trials"][0]["number"]
    profiled = json.loads(mvsearch("profile", f"tiny:{number}", "--json", folder=tmp_path).stdout)
    assert profiled["params"] == found["trials"][0]["params"]
    assert mvsearch("front", "tiny", "--plot", "front.svg", folder=tmp_path).returncode == 0
    assert (tmp_path / "front.svg").read_text().startswith("<?xml")


def test_rungs_and_confirming_work_on_real_trainings(tmp_path):
    space = tiny(tmp_path, steps=4)
    (tmp_path / space).write_text((tmp_path / space).read_text().replace("{steps: 4,", "{steps: 4, rungs: [1, 2],"))
    done = mvsearch("run", space, "--reevaluate", "--workers", "2", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr

    members = json.loads(done.stdout)["trials"]
    assert all(len(member["repeats"]) >= 2 and member["top1_sem"] >= 0 for member in members)
    assert all(set(member["rungs"]) == {"1", "2"} for member in members)
    assert "measurements" in done.stderr
    assert " ± " in mvsearch("front", "tiny", folder=tmp_path).stdout
    header = (tmp_path / "studies" / "tiny" / "front.csv").read_text().splitlines()[0].split(",")
    assert "top1_sem" in header
    assert "repeats" not in header


def test_run_again_goes_on_to_the_total_and_then_has_nothing_to_do(tmp_path):
    space = str(ROOT / "spaces" / "v3.yaml")
    for trials, expected in (("4", 4), ("14", 14), ("14", 14), ("5", 14)):
        done = mvsearch("run", space, *CHEAP, "--trials", trials, "--workers", "2", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert open_study(tmp_path / "studies" / "v3").count() == expected


@pytest.mark.parametrize("objective", ["params", "macs"])
def test_a_study_of_a_single_objective_leaves_its_remains_too(tmp_path, objective):
    space = str(ROOT / "spaces" / "quick.yaml")
    done = mvsearch("run", space, "--objective", objective, "--trials", "3", "--workers", "1", folder=tmp_path)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "studies" / "quick" / "front.png").stat().st_size > 10_000


def test_json_is_one_document_on_stdout(tmp_path):
    space = str(ROOT / "spaces" / "v3.yaml")
    done = mvsearch("run", space, *CHEAP, "--trials", "2", "--workers", "1", "--json", folder=tmp_path)

    assert json.loads(done.stdout)["trials"][0]["published"] == "mobilevitv3_xxs_l2"


@pytest.mark.parametrize(("end", "trained"), [(signal.SIGINT, True), (signal.SIGTERM, False), (signal.SIGKILL, False)])
def test_a_run_that_is_interrupted_or_killed_resumes(tmp_path, end, trained):
    """The first command has far more trials than it can finish before the signal, however busy the machine is."""
    cheap = [str(ROOT / "spaces" / "v3.yaml"), "--name", "tiny", *CHEAP, "--sampler", "random"]
    run = [*MVSEARCH, "run", *([tiny(tmp_path, steps=40)] if trained else cheap), "--workers", "2", "--trials"]
    process = subprocess.Popen([*run, "100" if trained else "100000"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    before = wait_for_records(tmp_path, 2)
    os.kill(process.pid, end)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == (-end if end == signal.SIGKILL else 130)
    assert "Traceback" not in stderr

    finished = open_study(tmp_path / "studies" / "tiny").count()
    total = finished + (4 if end == signal.SIGKILL else 1)  # each killed worker may still finish one trial
    subprocess.run([*run, str(total)], cwd=tmp_path, check=True, capture_output=True)

    records = open_study(tmp_path / "studies" / "tiny").records()
    assert len(records) == len({record.key for record in records}) == total
    assert {r.number: r.metrics for r in before}.items() <= {r.number: r.metrics for r in records}.items()


def wait_for_records(folder: Path, n: int) -> list:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        time.sleep(0.05)
        if (folder / "studies" / "tiny" / "study.db").exists():
            try:
                records = open_study(folder / "studies" / "tiny").records()
            except Exception:  # the tables do not exist yet
                continue
            if len(records) >= n:
                return records
    raise AssertionError(f"no {n} records after two minutes")


def test_a_latency_objective_is_measured_with_its_spread_and_device(tmp_path):
    space = tiny(tmp_path)
    done = mvsearch(
        "run",
        space,
        "--objective",
        "latency_ms",
        "--objective",
        "params",
        "--trials",
        "2",
        "--workers",
        "1",
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stderr

    for record in open_study(tmp_path / "studies" / "tiny").records():
        metrics = record.metrics
        assert 0 < metrics["latency_p10_ms"] <= metrics["latency_ms"] <= metrics["latency_p90_ms"]
        assert metrics["latency_device"].startswith("cpu: ")


def test_a_worker_that_cannot_work_says_why_and_the_command_fails(tmp_path):
    space = tiny(tmp_path)
    mvsearch(
        "run",
        space,
        "--objective",
        "params",
        "--objective",
        "latency_ms",
        "--trials",
        "1",
        "--workers",
        "1",
        folder=tmp_path,
    )
    import sqlite3

    with sqlite3.connect(tmp_path / "studies" / "tiny" / "study.db") as connection:
        connection.execute("UPDATE mvsearch_studies SET facts = json_set(facts, '$.device', 'cpu: another')")
    connection.close()

    done = mvsearch(
        "run",
        space,
        "--objective",
        "params",
        "--objective",
        "latency_ms",
        "--trials",
        "2",
        "--workers",
        "1",
        folder=tmp_path,
    )

    assert done.returncode == 1
    assert "device cpu: another" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_ends_where_nothing_new_is_left_inside_the_limits(tmp_path):
    asked = (*CHEAP, "--limit", "params <= 0.70M", "--trials", "40", "--workers", "2", "--json")
    done = mvsearch("run", str(ROOT / "spaces" / "v3.yaml"), *asked, folder=tmp_path)

    assert "No new candidate within the conditions and limits" in done.stderr
    assert done.returncode == 0
    assert open_study(tmp_path / "studies" / "v3").count() == 16
