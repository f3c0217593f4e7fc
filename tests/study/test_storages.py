"""Studies in a file and on a real server: several workers, killed workers, restarted servers, passwords."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
import sqlalchemy as sa
from command import PROCESS
from toy import TOY, arithmetic, toy_plan
from waiting import wait_until

from mvsearch.cli import doctor
from mvsearch.errors import DatabaseUnavailable, StudyError
from mvsearch.metrics.record import Record
from mvsearch.study.archive import lines
from mvsearch.study.storage import engine
from mvsearch.study.storage.faults import translate_db_errors
from mvsearch.study.storage.store import Store
from mvsearch.study.storage.trials import OptunaTrialStore
from mvsearch.study.study import Study
from mvsearch.study.workers import heartbeat
from mvsearch.study.workers.heartbeat import HeartbeatRegistry


def plan_in(storage, folder, **search):
    return replace(toy_plan(folder, **search), storage=storage)


def worker_process(storage: str, folder: Path, trials: int, seconds: float, name: str = "toy") -> subprocess.Popen:
    """A process that works on the toy study, with short heartbeats. It writes down each evaluation that it ends."""
    script = f"""
        import os, sys, time
        sys.path.insert(0, {str(Path(__file__).parents[1])!r})
        from dataclasses import replace
        from pathlib import Path
        from toy import toy_plan, arithmetic
        from mvsearch.study.workers import heartbeat
        from mvsearch.study.study import Study

        heartbeat.HEARTBEAT_INTERVAL_S, heartbeat.GRACE_PERIOD_S = 0.2, 2.0

        def evaluate(arch):
            time.sleep({seconds})
            with open({str(folder / "ended.txt")!r}, "a") as file:
                file.write(arch.key + "\\n")
            return arithmetic(arch)

        plan = replace(toy_plan(Path({str(folder)!r})), name={name!r}, storage={storage!r})
        Study.join(plan).run(evaluate, trials={trials})
    """
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stderr=subprocess.DEVNULL)


def test_a_study_runs_and_is_resumed(storage, tmp_path):
    plan = plan_in(storage, tmp_path)
    Study.join(plan).run(arithmetic, trials=4)
    Study.join(plan).run(arithmetic, trials=9)

    records = Study.read(plan).records()
    assert [record.number for record in records] == list(range(9))
    assert len({record.key for record in records}) == 9
    assert [trial.state.name for trial in Study.join(plan).trials.all()] == ["COMPLETE"] * 9


def test_one_seed_gives_the_same_candidates_on_every_kind_of_database(postgres, tmp_path):
    found = {}
    for name, url in {"file": None, "server": postgres.database()}.items():
        plan = replace(toy_plan(tmp_path / name, sampler="surrogate"), storage=url)
        Study.join(plan).run(arithmetic, trials=12)
        found[name] = [(record.key, record.metrics) for record in Study.read(plan).records()]
    assert found["file"] == found["server"]


def kill_workers(storage: str, folder: Path, *, trials: int, kills: int, workers: int) -> None:
    """Run workers to the end of a study; kill one at random again and again, and start another in its place."""
    processes = [worker_process(storage, folder, trials, 0.3) for _ in range(workers)]
    rng, plan, store = random.Random(0), plan_in(storage, folder), Store(storage, create=True)
    wait_until(lambda: store.count("toy"))
    seen: list[Record] = []
    for _ in range(kills):
        time.sleep(rng.uniform(0.1, 1.0))
        i = rng.randrange(workers)
        processes[i].send_signal(signal.SIGKILL)
        processes[i].wait()
        now = Study.read(plan).records()
        assert {record.number: record for record in seen}.items() <= {r.number: r for r in now}.items()
        seen = now
        processes[i] = worker_process(storage, folder, trials, 0.3)
    assert [process.wait(180) for process in processes] == [0] * workers

    records = Study.read(plan).records()
    states = Counter(record.state for record in records)
    assert states["complete"] + states["failed"] == trials
    assert len({record.key for record in records}) == trials
    ended = Counter((folder / "ended.txt").read_text().split())
    assert {record.key for record in records if record.state == "complete"} <= ended.keys()
    in_optuna = {trial.number: trial.state.name for trial in OptunaTrialStore.open(plan).all()}
    for record in records:
        assert in_optuna[record.number] == {"complete": "COMPLETE", "failed": "FAIL"}[record.state]


@pytest.mark.parametrize("storage", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)], indirect=True)
def test_a_killed_worker_loses_no_finished_trial(storage, tmp_path):
    kill_workers(storage, tmp_path, trials=6, kills=1, workers=2)


@pytest.mark.slow
def test_workers_killed_at_random_lose_no_finished_trial(storage, tmp_path):
    kill_workers(storage, tmp_path, trials=60, kills=30, workers=4)


def test_workers_wait_for_a_server_that_is_restarted(postgres, tmp_path):
    storage = postgres.database()
    workers = [worker_process(storage, tmp_path, 10, 0.2) for _ in range(2)]
    plan = plan_in(storage, tmp_path)
    store = Store(storage, create=True)
    wait_until(lambda: len(store.heartbeats("toy")) == 2 and store.count("toy") >= 2)
    before = Study.read(plan).records()
    postgres.restart()

    assert [worker.wait(120) for worker in workers] == [0, 0]
    records = Study.read(plan).records()
    assert {record.number: record for record in before}.items() <= {r.number: r for r in records}.items()
    assert [record.state for record in records] == ["complete"] * 10
    assert len({record.key for record in records}) == 10


def test_a_trial_over_which_three_workers_died_fails(storage, tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "GRACE_PERIOD_S", -1.0)
    plan = plan_in(storage, tmp_path)
    for _ in range(3):
        study = Study.join(plan)
        assert study.scheduler.next(10).number in (0, 1, 2)  # and never finished

    Study.join(plan).run(arithmetic, trials=4)

    records = Study.read(plan).records()
    assert Counter(record.state for record in records) == {"complete": 3, "failed": 1}
    failed = next(record for record in records if record.state == "failed")
    assert failed.reason.startswith("3 workers died")
    assert failed.metrics["params"] > 0


def test_every_database_stores_whatever_an_evaluation_returns_or_raises(storage, tmp_path):
    plan, nan = plan_in(storage, tmp_path), float("nan")
    values = {
        "side": nan,
        "classes": [0.5, nan],
        "half": np.float32(0.5),
        "path": Path("x"),
        "text": "a\0b\ud800",
        3: 1,
    }
    messages = iter(["a nul \0", "half a pair \ud800"])

    def evaluate(arch):
        if (message := next(messages, None)) is not None:
            raise ValueError(message)
        return arithmetic(arch) | values

    Study.join(plan).run(evaluate, trials=4)

    first, second, *others = Study.read(plan).records()
    assert (first.reason, second.reason) == ("ValueError: a nul \\x00", "ValueError: half a pair \\ud800")
    stored = {"classes": [0.5, None], "half": 0.5, "path": "x", "text": values["text"], "3": 1}
    for record in others:
        assert record.metrics.items() >= stored.items()
        assert "side" not in record.metrics


def test_an_interrupted_trial_does_not_count_as_an_attempt(storage, tmp_path):
    plan = plan_in(storage, tmp_path)

    def interrupted(arch):
        raise KeyboardInterrupt

    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            Study.join(plan).run(interrupted, trials=3)
    Study.join(plan).run(arithmetic, trials=3)

    assert [record.state for record in Study.read(plan).records()] == ["complete"] * 3


def test_a_worker_wrongly_considered_dead_leaves_its_measurement_to_the_worker_that_has_the_trial_now(
    storage, tmp_path
):
    plan, measured = plan_in(storage, tmp_path), []

    def evaluate(arch):
        measured.append(arch.key)
        if len(measured) == 1:  # meanwhile another worker takes the trial
            sleeper.trials.mark_lost(0)
        return arithmetic(arch)

    sleeper = Study.join(plan)
    sleeper.run(evaluate, trials=3)

    records = sleeper.records()
    assert len(records) == 3
    assert len(measured) == 3
    assert [record.key for record in records if record.cached] == measured[:1]


def test_a_request_fails_if_the_server_never_responds(postgres, monkeypatch):
    if postgres.named:
        pytest.skip("a process of another machine cannot be stopped")
    monkeypatch.setattr(engine, "RESPONSE_LIMIT_S", 0.5)
    store = Store(postgres.database(), create=True)
    with store.lock("long"), store.engine.connect() as line:
        backend = line.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        os.kill(backend, signal.SIGSTOP)
        try:
            with pytest.raises(DatabaseUnavailable), translate_db_errors(store.url):
                line.execute(sa.text("SELECT 1"))
        finally:
            os.kill(backend, signal.SIGCONT)
    assert store.names() == []  # on a new connection


def test_the_wait_for_a_lock_has_no_limit(postgres, monkeypatch):
    monkeypatch.setattr(engine, "RESPONSE_LIMIT_S", 0.2)
    store, acquired = Store(postgres.database(), create=True), []

    def wait():
        with store.lock("long"):
            acquired.append(time.monotonic())

    with store.lock("long"):
        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(1.5)
        released = time.monotonic()
    waiting.join(60)
    assert acquired[0] >= released


def test_a_worker_without_heartbeats_is_stale_and_one_with_heartbeats_is_not(postgres):
    store = Store(postgres.database(), create=True)
    here = HeartbeatRegistry(store, "s", interval_s=0.1, grace_s=1.0)
    there = HeartbeatRegistry(store, "s", interval_s=0.1, grace_s=1.0)
    store.heartbeat("s", "dead", "host")
    with here.registered("living"):
        here.set_status("living", {"number": 3})
        until = time.monotonic() + 2
        while time.monotonic() < until:
            dead = there.stale(["living", "dead"])
            assert "living" not in dead
            time.sleep(0.1)
        assert dead == {"dead"}
        assert there.statuses() == [{"worker": "living", "number": 3}]
    assert there.stale(["living"]) == {"living"}


def test_a_server_that_was_away_for_longer_than_the_grace_leaves_all_workers_alive(postgres, monkeypatch):
    store = Store(postgres.database(), create=True)
    here, there = (HeartbeatRegistry(store, "s", interval_s=0.1, grace_s=0.8) for _ in range(2))
    send, look = store.heartbeat, store.heartbeats

    def away(*args):
        raise DatabaseUnavailable("away")

    with here.registered("here"), there.registered("there"):
        assert not there.stale(["here"])
        monkeypatch.setattr(store, "heartbeat", away)
        monkeypatch.setattr(store, "heartbeats", away)
        time.sleep(2)
        monkeypatch.setattr(store, "heartbeats", look)
        assert not there.stale(["here"])  # before a heartbeat could be sent
        monkeypatch.setattr(store, "heartbeat", send)
        time.sleep(0.3)
        assert not there.stale(["here"])


@pytest.mark.slow
def test_a_study_whose_worker_was_killed_can_be_exported_once_the_worker_is_stale(postgres, tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "GRACE_PERIOD_S", 3.0)
    storage = postgres.database()
    plan = plan_in(storage, tmp_path)
    Study.join(plan).run(arithmetic, trials=3)
    worker = worker_process(storage, tmp_path, 100, 1.0)
    reader = Study.read(plan)
    wait_until(lambda: reader.store.heartbeats("toy"))
    with pytest.raises(StudyError, match="a worker is running"):
        list(lines(reader))
    worker.kill()
    worker.wait()
    assert len(list(lines(reader))) > 3
    assert not reader.store.heartbeats("toy")


def test_looking_for_one_stale_worker_evicts_all(postgres):
    store = Store(postgres.database(), create=True)
    for name in ("between candidates", "over a candidate"):
        store.heartbeat("s", name, "host")
    assert HeartbeatRegistry(store, "s", interval_s=1.0, grace_s=-1.0).stale(["over a candidate"]) == {
        "over a candidate"
    }
    assert not store.heartbeats("s")


def test_a_deleted_study_leaves_no_rows_of_its_workers(storage, tmp_path):
    Study.join(plan_in(storage, tmp_path)).run(arithmetic, trials=1)
    store = Store(storage, create=False)
    store.heartbeat("toy", "dead", "host")
    store.claim_replicate("toy", 0, "dead")
    store.delete_study("toy")
    assert (store.heartbeats("toy"), store.replicate_claims("toy"), store.names()) == ({}, {}, [])


def test_a_server_that_cannot_be_reached_is_an_error_at_once_without_the_password():
    with pytest.raises(DatabaseUnavailable) as unavailable:
        Store("postgresql+psycopg://me:secret@127.0.0.1:1/x", create=True)
    assert "secret" not in str(unavailable.value)
    assert "127.0.0.1" in unavailable.value.file


def test_two_folders_share_the_locks_of_one_database_file(tmp_path):
    storage = f"sqlite:///{tmp_path / 'all.db'}"
    here = Study.join(plan_in(storage, tmp_path / "a"))
    there = Study.join(plan_in(storage, tmp_path / "b"))
    with here.worker.running():
        assert not there.worker.stale([here.worker.name])
    here.pin_environment(device="one")
    with pytest.raises(StudyError, match="device one"):
        there.pin_environment(device="other")


def test_a_study_on_a_server_needs_no_folder(postgres, tmp_path):
    plan = plan_in(postgres.database(), tmp_path / "nowhere")
    Study.join(plan).run(arithmetic, trials=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("storage", [pytest.param("sqlite", marks=pytest.mark.slow), "postgres"], indirect=True)
def test_a_worker_joins_from_another_folder_and_needs_only_the_name_and_the_url(
    storage, tmp_path, mvsearch, monkeypatch
):
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir()
    away.mkdir()
    (home / "toy.yaml").write_text(TOY)
    flags = ["--objective", "params", "--objective", "macs", "--workers", "1", "--storage", storage]
    command = [*PROCESS, "run", "toy.yaml", "--trials", "12", "--sampler", "random", *flags]
    driver = subprocess.Popen(command, cwd=home, stdout=subprocess.DEVNULL)
    store = Store(storage, create=True)
    wait_until(lambda: "toy" in store.names())
    monkeypatch.chdir(away)
    helper = mvsearch("worker", "toy", "--storage", storage)

    assert (driver.wait(120), helper.code) == (0, 0), helper.err
    assert "12 of 12 trials" in helper.err
    assert {path.name for path in (home / "studies/toy").iterdir()} >= {"front.csv", "front.png"}
    assert not list(away.iterdir())
    assert len({record.key for record in store.records("toy")}) == 12


def test_two_studies_of_one_database_never_measure_the_same_network_twice(storage, tmp_path):
    def evaluate(arch):
        time.sleep(0.1)
        with (tmp_path / "ended.txt").open("a") as file:
            file.write(f"{arch.key}\n")
        return arithmetic(arch)

    other = worker_process(storage, tmp_path, 12, 0.1, "two")
    store = Store(storage, create=True)
    wait_until(lambda: "two" in store.names())
    Study.join(replace(plan_in(storage, tmp_path), name="one")).run(evaluate, trials=12)
    assert other.wait(120) == 0

    ended = (tmp_path / "ended.txt").read_text().split()
    keys = {name: {record.key for record in store.records(name)} for name in ("one", "two")}
    assert keys["one"] == keys["two"]  # the same seed
    assert len(ended) == len(set(ended)) == 12


def test_a_password_is_never_printed_nor_stored(postgres, tmp_path, mvsearch, monkeypatch):
    monkeypatch.setattr(doctor, "_import_failures", dict)  # importing every package takes ten seconds
    plain, password = sa.make_url(postgres.database()), {"password": "s3cret-word"}
    urls = [url.render_as_string(False) for url in (plain.set(**password), plain.update_query_dict(password))]
    (tmp_path / "toy.yaml").write_text(TOY)

    def output(*args: str, url: str) -> str:
        finished = mvsearch(*args, "--storage", url)
        return finished.out + finished.err

    run = ("run", "toy.yaml", "--objective", "params", "--objective", "macs", "--trials", "6", "--sampler", "random")
    text = output(*run, "--workers", "1", url=urls[0])  # its worker process prints to the same streams
    assert "[6/6]" in text
    for url in urls:
        refused = output(*run, "--objective", "macs_paper", url=url)
        assert "macs_paper" in refused
        worker = output("worker", "toy", url=url)
        assert "6 of 6 trials" in worker
        text += refused + worker
        for command in (("front", "toy"), ("cache", "toy"), ("studies",), ("show", "toy:3")):
            text += output(*command, url=url)
    text += output("report", "toy", url=urls[1]) + output("doctor", url=urls[1])
    assert "s3cret-word" not in text
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"front.csv", "settings.yaml"} <= {path.name for path in files}
    assert not [path for path in files if b"s3cret-word" in path.read_bytes()]


def test_optuna_reads_what_we_write(storage, tmp_path):
    plan = plan_in(storage, tmp_path, sampler="nsga2")
    Study.join(plan).run(arithmetic, trials=9)

    ours = OptunaTrialStore.open(plan).all()
    theirs = optuna.load_study(study_name="toy", storage=storage).get_trials()
    assert theirs == ours
