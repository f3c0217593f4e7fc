"""A study from joining to its records: claims, retries, the cache, samplers."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock, Timeout
from toy import TOY, arithmetic, toy_plan

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import StudyError
from mvsearch.metrics.record import ConstraintViolated, EvaluationFailed
from mvsearch.study.archive import remove
from mvsearch.study.executors.progress import StudyProgress
from mvsearch.study.plan import Plan
from mvsearch.study.reader import Reader, open_study
from mvsearch.study.storage.store import Store
from mvsearch.study.study import Study
from mvsearch.study.workers.heartbeat import worker_registry
from mvsearch.study.workers.registry import FileRegistry
from mvsearch.utils import machine, plugins


def test_a_worker_is_found_by_every_spelling_of_the_path_to_its_study(tmp_path, monkeypatch):
    study = Study.join(toy_plan(tmp_path / "studies"))
    with study.worker.running():
        monkeypatch.chdir(tmp_path / "studies" / "toy")
        reader = open_study(".")
        assert worker_registry(reader.store, reader.name).has_live_worker()
        (tmp_path / "other").symlink_to(tmp_path / "studies" / "toy")
        reader = open_study(tmp_path / "other")
        assert worker_registry(reader.store, reader.name).has_live_worker()


def test_a_worker_that_registers_while_another_looks_for_live_ones_is_alive(tmp_path, monkeypatch):
    """Its lock file is there before it is locked."""
    registry, unlink = FileRegistry(tmp_path), Path.unlink
    (tmp_path / "new.lock").touch()

    def check(path: Path, **options: bool) -> None:
        if path.suffix == ".lock":
            with pytest.raises(Timeout):
                FileLock(path, timeout=0).acquire()
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", check)
    assert registry.stale(["new"]) == {"new"}
    assert not list(tmp_path.glob("*.lock"))


def test_a_study_that_was_replaced_before_the_run_is_not_written_to(tmp_path):
    study = Study.join(toy_plan(tmp_path))
    remove(Study.read(toy_plan(tmp_path)))
    Study.join(toy_plan(tmp_path, objectives=("params",)))
    with pytest.raises(StudyError, match="deleted or replaced"):
        study.run(arithmetic, trials=3)


def test_a_study_whose_name_leads_out_of_its_folder_is_not_deleted(tmp_path):
    study = Study.join(toy_plan(tmp_path))
    study.store.rename_study("toy", "../../evil")
    with pytest.raises(StudyError, match=r"\.\./\.\./evil"):
        remove(Reader("../../evil", study.store))


def test_a_study_has_scores_of_one_precision(tmp_path):
    study = Study.join(toy_plan(tmp_path))
    before = study.evaluation_key()
    study.pin_environment(precision="float32")
    assert study.evaluation_key() == before
    with pytest.raises(StudyError, match="precision float32"):
        Study.join(toy_plan(tmp_path)).pin_environment(precision="bfloat16")


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("aarch64 (implementer 0x41 part 0xd0c)", "aarch64"),
        ("Intel(R) Xeon(R) CPU @ 2.20GHz (family 6 model 79)", "Intel(R) Xeon(R) CPU @ 2.20GHz"),
    ],
)
def test_a_study_whose_device_has_the_name_of_an_earlier_version_resumes(tmp_path, monkeypatch, name, before):
    monkeypatch.setattr(machine, "cpu_name", lambda: name)
    study = Study.join(toy_plan(tmp_path))
    study.pin_environment(device=f"cpu: {before}, torch 2.13.0, 1 thread")
    key = study.evaluation_key()
    study.pin_environment(device=machine.describe_cpu("torch 2.13.0", 1))
    assert study.evaluation_key() == key
    with pytest.raises(StudyError, match="device"):
        study.pin_environment(device=machine.describe_cpu("torch 2.14.0", 1))


def test_a_worker_that_joins_late_stops_at_the_same_total(tmp_path):
    plan = toy_plan(tmp_path)
    for _worker in range(2):
        Study.join(plan).run(arithmetic, trials=12)

    assert Study.read(plan).count() == 12


def test_a_study_continues_to_a_larger_total(tmp_path):
    plan = toy_plan(tmp_path)
    Study.join(plan).run(arithmetic, trials=3)
    Study.join(plan).run(arithmetic, trials=7)

    assert [record.number for record in Study.read(plan).records()] == list(range(7))


def test_the_total_of_a_study_is_at_least_what_is_finished(tmp_path):
    Study.join(toy_plan(tmp_path, trials=8)).run(arithmetic)
    study = Study.join(toy_plan(tmp_path, trials=3))
    study.run(arithmetic)

    assert (study.plan.search.trials, study.facts.search.trials, study.count()) == (8, 8, 8)


def test_the_published_models_of_the_space_come_first_and_are_marked(tmp_path):
    plan = replace(Plan.load("spaces/v3.yaml", objectives=("params", "macs"), sampler="random"), studies=tmp_path)
    Study.join(plan).run(lambda arch: arch.metrics(), trials=13)

    names = [record.published for record in Study.read(plan).records()]
    assert names[:6] == [
        "mobilevitv3_xxs",
        "mobilevitv3_xxs_l2",
        "mobilevitv3_xs",
        "mobilevitv3_xs_l2",
        "mobilevitv3_s",
        "mobilevitv3_s_l2",
    ]
    assert names[6:8] == ["mobilevitv1_s", "mobilevitv3_s_unscaled"]
    assert names[11:] == [None, None]


def test_no_architecture_is_measured_twice(tmp_path):
    measured = Counter()

    def evaluate(arch):
        measured[arch.key] += 1
        return arithmetic(arch)

    redundant = TOY.replace("depth: {choose: [1, 2, 3]}", "depth: 1, fusion: none, concat: {choose: [local, input]}")
    plan = toy_plan(tmp_path, redundant)
    Study.join(plan).run(evaluate, trials=40)

    records = Study.read(plan).records()
    assert len(records) == 40
    assert set(measured.values()) == {1}
    assert sum(record.cached for record in records) == 40 - len(measured) > 0
    results = {record.key: record.metrics for record in records if not record.cached}
    assert all(record.metrics == results[record.key] for record in records)


def test_a_failed_trial_has_its_reason_and_the_study_continues(tmp_path):
    plan = toy_plan(tmp_path)

    def evaluate(arch):
        if arch.blocks[0].out % 16 == 0:
            raise EvaluationFailed("the loss became nan at step 3 of 9")
        if arch.blocks[0].out == 8:
            raise ValueError("a bug")
        return arithmetic(arch)

    Study.join(plan).run(evaluate, trials=16)

    reasons = {record.reason for record in Study.read(plan).records() if record.state == "failed"}
    assert reasons == {"the loss became nan at step 3 of 9", "ValueError: a bug"}
    assert Study.read(plan).count() == 16


def test_a_study_in_which_all_trials_fail_stops_with_the_reason(tmp_path):
    def evaluate(arch):
        raise RuntimeError("no such device")

    with pytest.raises(StudyError, match=r"5 trials failed and none is complete so far .last: .*no such device"):
        Study.join(toy_plan(tmp_path)).run(evaluate, trials=30)
    assert Study.read(toy_plan(tmp_path)).count() == 5


def test_a_candidate_is_parsed_once_and_the_settings_once_a_run(tmp_path, monkeypatch):
    parses, settings = Counter(), Counter()
    parse, proxy_settings = Architecture.parse.__func__, Plan.proxy_settings

    def counting_parse(cls, document):
        arch = parse(cls, document)
        parses[arch.key] += 1
        return arch

    def counting_settings(plan):
        settings[plan.name] += 1
        return proxy_settings(plan)

    def evaluate(arch, *, rung=300):
        return arithmetic(arch)

    monkeypatch.setattr(Architecture, "parse", classmethod(counting_parse))
    monkeypatch.setattr(Plan, "proxy_settings", counting_settings)
    plan = toy_plan(tmp_path, TOY + "proxy: {steps: 300, rungs: [30, 100]}\n")
    few, many = (Study.join(replace(plan, name=name)) for name in ("few", "many"))
    few.run(evaluate, trials=3)
    parses.clear()
    many.run(evaluate, trials=12)

    assert parses == Counter(record.key for record in many.records())
    assert settings["few"] == settings["many"]


@pytest.mark.parametrize(
    "fault", [OSError("no route to host"), MemoryError("4 GiB"), RuntimeError("CUDA error: uncorrectable ECC error")]
)
def test_a_worker_whose_machine_has_a_fault_stops_and_others_retry_its_trials(tmp_path, fault):
    def evaluate(arch):
        raise fault

    plan = toy_plan(tmp_path)
    Study.join(plan).run(arithmetic, trials=3)
    with pytest.raises(StudyError, match=f"5 trials failed .last: {type(fault).__name__}"):
        Study.join(plan).run(evaluate, trials=20)
    lost = [trial.params for trial in Study.join(plan).trials.all()[3:]]
    assert len({tuple(params.values()) for params in lost}) == 5
    Study.join(plan).run(arithmetic, trials=20)

    records = Study.read(plan).records()
    assert [record.state for record in records] == ["complete"] * 20
    assert [record.choices for record in records[3:8]] == lost


def test_a_worker_that_alone_has_failures_stops(tmp_path):
    def broken(arch):
        raise ValueError("an old version")

    plan = toy_plan(tmp_path)
    Study.join(plan).run(arithmetic, trials=3)
    with pytest.raises(StudyError, match=r"5 trials failed .*an old version"):
        Study.join(plan).run(broken, trials=20)
    Study.join(plan).run(arithmetic, trials=20)

    assert Counter(record.state for record in Study.read(plan).records()) == {"complete": 15, "failed": 5}


def test_a_temporary_fault_loses_no_trial(tmp_path):
    plan, calls = toy_plan(tmp_path, objectives=("params", "macs"), limits=("params <= 6000",)), []

    def evaluate(arch):
        calls.append(arch.key)
        if len(calls) in (2, 3, plan.search.trials + 2):  # the last of them with nothing else left to try
            raise OSError("connection reset")
        return arch.metrics()

    study = Study.join(plan)
    study.run(evaluate)

    assert [record.state for record in study.records()] == ["complete"] * plan.search.trials
    assert len(calls) == plan.search.trials + 3
    assert not study.exhausted


def test_a_worker_whose_machine_has_a_fault_tries_another_trial_each_time_also_where_choices_have_no_effect(tmp_path):
    row = "  - {name: more, block: mv2, out: body.out, repeat: {choose: [0, 1]}, expand: {choose: [2, 4]}}\n"
    plan, tried = toy_plan(tmp_path, TOY.replace("where:", f"{row}where:")), []

    def evaluate(arch):
        tried.append(arch.key)
        raise OSError("no route to host")

    with pytest.raises(StudyError, match="no route to host"):
        Study.join(plan).run(evaluate, trials=20)
    assert len(set(tried)) == len(tried) == 5


def test_a_trial_that_meets_a_fault_in_three_attempts_fails(tmp_path):
    plan, calls = toy_plan(tmp_path), Counter()

    def evaluate(arch):
        calls[arch.key] += 1
        if arch.blocks[0].out == 16:
            raise OSError("too large a file")
        return arithmetic(arch)

    Study.join(plan).run(evaluate, trials=16)

    records = Study.read(plan).records()
    failed = {record.key for record in records if record.reason == "OSError: too large a file"}
    assert failed == {record.key for record in records if record.state == "failed"} != set()
    assert {calls[key] for key in failed} >= {3}
    assert {record.choices["stem.out"] for record in records if record.state == "complete"}.isdisjoint({16})


def test_a_worker_that_is_stopped_while_another_study_measures_its_candidate_releases_it(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    plan = toy_plan(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "evaluation_lock", interrupt)
        for _ in range(3):  # as often as a candidate is tried
            with pytest.raises(KeyboardInterrupt):
                Study.join(plan).run(arithmetic, trials=1)
    Study.join(plan).run(arithmetic, trials=1)
    assert [record.state for record in Study.read(plan).records()] == ["complete"]


def test_a_candidate_that_violates_a_constraint_is_pruned_and_has_its_cost(tmp_path):
    def evaluate(arch):
        raise ConstraintViolated("params 9,999 breaks the limit params <= 1k")

    plan = toy_plan(tmp_path)
    Study.join(plan).run(evaluate, trials=2)

    for record in Study.read(plan).records():
        assert (record.state, record.reason) == ("pruned", "params 9,999 breaks the limit params <= 1k")
        assert record.metrics["params"] > 0


def test_an_objective_that_is_not_a_number_fails_the_trial(tmp_path):
    plan = toy_plan(tmp_path)
    Study.join(plan).run(lambda arch: arithmetic(arch) | {"loss": float("nan")}, trials=1)

    assert Study.read(plan).records()[0].reason == "the objective loss is nan"


@pytest.mark.parametrize(("more", "value"), [({"loss": float("nan")}, "nan"), ({}, "None")])
def test_a_limited_metric_that_is_not_a_number_fails_the_trial(tmp_path, more, value):
    study = Study.join(toy_plan(tmp_path, objectives=("params", "macs"), limits=("loss <= 0.5",)))
    study.run(lambda arch: arch.metrics() | more, trials=1)

    (record,) = study.records()
    assert (record.state, record.reason) == ("failed", f"the limited metric loss is {value}")


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2", "surrogate"])
def test_the_same_seed_and_one_worker_give_the_same_candidates_even_if_interrupted(tmp_path, sampler):
    whole = toy_plan(tmp_path / "whole", sampler=sampler, seed=3)
    parts = toy_plan(tmp_path / "parts", sampler=sampler, seed=3)
    Study.join(whole).run(arithmetic, trials=16)
    for trials in (4, 11, 16):
        Study.join(parts).run(arithmetic, trials=trials)

    assert [r.choices for r in Study.read(whole).records()] == [r.choices for r in Study.read(parts).records()]


@pytest.mark.parametrize("sampler", plugins.names("sampler"))
def test_every_sampler_respects_conditions_and_constraints_and_repeats_nothing(tmp_path, sampler, one_thread):
    plan = toy_plan(tmp_path, sampler=sampler, limits=("params <= 40k",))
    Study.join(plan).run(arithmetic, trials=14)

    records = Study.read(plan).records()
    assert all(record.choices["stem.out"] <= record.choices["body.out"] for record in records)
    assert all(record.metrics["params"] <= 40_000 for record in records)
    assert len({record.key for record in records}) == 14


def test_another_space_or_other_settings_are_an_error_with_the_difference(tmp_path):
    Study.join(toy_plan(tmp_path)).run(arithmetic, trials=1)

    with pytest.raises(StudyError, match="a space with other choices"):
        Study.join(toy_plan(tmp_path, TOY.replace("depth: {choose: [1, 2, 3]}", "depth: {choose: [1, 2]}")))
    with pytest.raises(StudyError, match=r"proxy\.steps: 600 .*, 99 "):
        Study.join(toy_plan(tmp_path, TOY + "proxy: {steps: 99}\n"))
    with pytest.raises(StudyError, match=r"loss, params, not params.*--objective loss --objective params"):
        Study.join(toy_plan(tmp_path, objectives=("params",)))


def test_a_study_without_finished_trials_may_be_replaced(tmp_path):
    Study.join(toy_plan(tmp_path))
    other = toy_plan(
        tmp_path, TOY.replace("depth: {choose: [1, 2, 3]}", "depth: {choose: [1, 2]}"), objectives=("macs",)
    )
    Study.join(other).run(arithmetic, trials=4)

    assert {record.choices["body.depth"] for record in Study.read(other).records()} <= {1, 2}
    assert [objective.name for objective in Study.read(other).objectives] == ["macs"]


def test_the_cache_keeps_devices_apart(tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    for name, device in (("one", "cpu: slow"), ("two", "cpu: fast"), ("three", "cpu: slow")):
        study = Study.join(replace(toy_plan(tmp_path, seed=4), name=name, storage=url))
        study.pin_environment(device=device)
        study.run(arithmetic, trials=5)

    cached = [[r.cached for r in Reader(name, Store(url, create=False)).records()] for name in ("one", "two", "three")]
    assert cached == [[False] * 5, [False] * 5, [True] * 5]


def test_a_pruned_candidate_keeps_what_was_measured_of_it(tmp_path):
    plan = toy_plan(tmp_path, limits=("loss <= 1",))

    def evaluate(arch):
        metrics = arithmetic(arch) | {"loss": 7.0}
        plan.check_constraints(metrics)
        return metrics

    Study.join(plan).run(evaluate, trials=2)
    assert [r.metrics["loss"] for r in Study.read(plan).records()] == [7.0, 7.0]


def test_constraints_may_change_and_the_front_respects_the_new_ones(tmp_path):
    Study.join(toy_plan(tmp_path)).run(arithmetic, trials=12)
    Study.join(toy_plan(tmp_path, limits=("params <= 40k",)))

    reader = Study.read(toy_plan(tmp_path))
    kept = reader.within_limits(reader.records())
    assert 0 < len(kept) < 12
    assert all(record.metrics["params"] <= 40_000 for record in kept)


def test_a_claimed_candidate_has_all_its_values_from_the_first_moment(tmp_path):
    plan = toy_plan(tmp_path)

    def evaluate(arch):
        (claimed,) = [t for t in Study.join(plan).trials.all() if t.state.name == "RUNNING"]
        assert plan.space.architecture(claimed.params).key == arch.key
        return arithmetic(arch)

    Study.join(plan).run(evaluate, trials=3)
    assert [record.state for record in Study.read(plan).records()] == ["complete"] * 3


def test_a_space_smaller_than_the_number_of_trials_is_searched_once(tmp_path):
    assert Plan.load("spaces/fusion.yaml", trials=99).search.trials == 16


def test_a_worker_that_finds_no_new_candidate_waits_for_those_of_others(tmp_path):
    plan = toy_plan(tmp_path, limits=("params <= 6000",))
    points = len(plan.all_points)
    one, two = Study.join(plan), Study.join(plan)
    with ThreadPoolExecutor(1) as pool:
        with one.worker.running():
            held = one.scheduler.next(100)
            run = pool.submit(two.run, arithmetic, 100)
            deadline = time.monotonic() + 60
            while not Study.read(plan).exhausted and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(0.2)
            assert not run.done()
        run.result(60)  # once the other worker has ended
    records = Study.read(plan).records()
    assert len(records) == points
    assert held.key in {record.key for record in records}


def test_limits_that_leave_fewer_points_than_are_finished_do_not_end_a_study_before_they_are_tried(tmp_path):
    Study.join(toy_plan(tmp_path, trials=30)).run(arithmetic)
    plan = toy_plan(tmp_path, trials=100, limits=("params <= 9k",))
    study = Study.join(plan)
    study.run(arithmetic)

    within = study.within_limits(study.records())
    assert len(within) == len(plan.all_points) < 30
    assert plan.untried(study.records()) == 0
    assert study.count() == study.plan.search.trials == study.facts.search.trials
    assert (study.progress, Plan.of_study(study, workers=1).search.trials) == ("", study.count())
    again = Study.join(toy_plan(tmp_path, trials=3, limits=("params <= 9k",)))
    assert again.changes == (f"trials = {study.count()}, as so many are finished (asked for: 3)",)


def test_a_lost_trial_beyond_the_limits_of_this_run_is_not_tried_again(tmp_path):
    wide = Study.join(toy_plan(tmp_path))
    with wide.worker.running():
        lost = wide.scheduler.next(30)
    assert lost.architecture.cost().params > 9000
    study = Study.join(toy_plan(tmp_path, trials=100, limits=("params <= 9k",)))
    assert study.scheduler.interrupted() == []
    study.run(arithmetic)
    assert {record.state for record in study.records()} == {"complete"}
    assert study.count() == len(study.plan.all_points)


def test_the_front_that_a_search_shows_is_within_its_limits_whatever_earlier_runs_had(tmp_path):
    Study.join(toy_plan(tmp_path, trials=12)).run(arithmetic)
    plan = toy_plan(tmp_path, trials=13, limits=("params <= 20k",))
    study = Study.join(plan)
    progress = StudyProgress(plan, Study.read(plan))

    assert progress.count == 12
    assert {member.number for member in progress.front} == {r.number for r in study.within_limits(study.records())}
    assert 0 < len(progress.front) < 12


def weighed(name: str):
    """An evaluation that measures one of the two metrics of `memory:`, as each is counted only where it is needed."""
    return lambda arch: {**arch.metrics(), name: arch.cost().params / 1e3}


def test_a_limit_on_what_finished_trials_were_not_measured_for_is_refused(tmp_path):
    Study.join(toy_plan(tmp_path, objectives=("params", "memory_mib"), trials=3)).run(weighed("memory_mib"))
    limits = ("train_memory_mib <= 40",)
    plan = toy_plan(tmp_path, objectives=("params", "memory_mib"), trials=6, limits=limits)
    with pytest.raises(StudyError, match=r"created without train_memory_mib; .* leave out the limit"):
        Study.join(plan)
    other = replace(plan, name="other")
    Study.join(other).run(lambda arch: weighed("memory_mib")(arch) | weighed("train_memory_mib")(arch))
    assert len(Study.read(other).records()) == 6
    assert Study.join(replace(other, search=replace(other.search, limits=()))).changes


def test_a_measurement_without_a_metric_that_another_study_needs_is_made_again(tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    for name in ("memory_mib", "train_memory_mib"):
        plan = replace(toy_plan(tmp_path, objectives=("params", name), trials=4), name=name, storage=url)
        for copy in (plan, replace(plan, name=f"{name}_again")):
            Study.join(copy).run(weighed(name))
            records = Study.read(copy).records()
            assert [record.state for record in records] == ["complete"] * 4
            assert {record.cached for record in records} == {copy is not plan}


def test_a_trial_that_is_pruned_by_a_measurement_of_another_study_is_marked_as_cached(tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    for name, limits in (("wide", ()), ("tight", ("loss <= 1",))):
        plan = replace(toy_plan(tmp_path, limits=limits, trials=4), name=name, storage=url)
        Study.join(plan).run(arithmetic)
        records = Study.read(plan).records()
        assert [record.cached for record in records] == [bool(limits)] * 4
    assert {record.state for record in records} == {"pruned"}


def test_a_study_has_numbers_of_one_device(tmp_path):
    study = Study.join(toy_plan(tmp_path))
    study.pin_environment(device="cpu: one")
    study.pin_environment(device="cpu: one")

    with pytest.raises(StudyError, match="device cpu: one"):
        Study.join(toy_plan(tmp_path)).pin_environment(device="cpu: two")


def test_reading_creates_nothing(tmp_path):
    with pytest.raises(StudyError, match="no such study"):
        Study.read(toy_plan(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_database_is_in_write_ahead_mode(tmp_path):
    plan = toy_plan(tmp_path)
    Study.join(plan)

    with sqlite3.connect(plan.folder / "study.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_commit_is_on_the_disk_and_survives_a_loss_of_power(tmp_path):
    study = Study.join(toy_plan(tmp_path))
    for engine in (study.store.engine, study.trials.engine):
        with engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2  # FULL: each commit is synced


def test_a_crash_between_the_record_and_the_state_of_the_trial_loses_nothing(tmp_path, monkeypatch):
    plan = toy_plan(tmp_path)
    study = Study.join(plan)
    monkeypatch.setattr(study.trials, "finish", lambda *_: sys.exit("killed"))
    with pytest.raises(SystemExit):
        study.run(arithmetic, trials=3)
    assert Study.read(plan).count() == 1

    Study.join(plan).run(arithmetic, trials=3)

    assert [record.number for record in Study.read(plan).records()] == [0, 1, 2]
    assert [trial.state.name for trial in Study.join(plan).trials.all()] == ["COMPLETE"] * 3


def worker_process(folder: Path, trials: int, seconds: float) -> subprocess.Popen:
    """Start a process that works on the toy study and evaluates each candidate for some seconds."""
    script = f"""
        import sys, time
        sys.path.insert(0, {str(Path(__file__).parents[1])!r})
        from pathlib import Path
        from toy import toy_plan, arithmetic
        from mvsearch.study.study import Study

        def evaluate(arch):
            with open({str(folder / "started.txt")!r}, "a") as file:
                file.write(arch.key + "\\n")
            time.sleep({seconds})
            return arithmetic(arch)

        Study.join(toy_plan(Path({str(folder)!r}))).run(evaluate, trials={trials})
    """
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])


def wait_for_lines(path: Path, n: int) -> list[str]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        if len(lines) >= n:
            return lines
        time.sleep(0.05)
    raise AssertionError(f"{path} never had {n} lines")


def test_kill_9_loses_at_most_the_running_trial_and_that_one_is_tried_again(tmp_path):
    process = worker_process(tmp_path, trials=100, seconds=0.3)
    wait_for_lines(tmp_path / "started.txt", 3)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    started = (tmp_path / "started.txt").read_text().splitlines()
    before = Study.read(toy_plan(tmp_path)).records()
    assert len(before) in (len(started) - 1, len(started))
    total = len(started) + 3

    Study.join(toy_plan(tmp_path)).run(arithmetic, trials=total)

    after = Study.read(toy_plan(tmp_path)).records()
    assert after[: len(before)] == before
    assert len(after) == total
    assert started == [record.key for record in after[: len(started)]]
    assert len({record.key for record in after}) == total


def test_many_processes_may_be_the_first_to_open_a_database(tmp_path):
    code = "import sys; from mvsearch.study.storage.store import Store; Store(sys.argv[1], create=True)"
    command = [sys.executable, "-c", code, f"sqlite:///{tmp_path / 'new.db'}"]
    openers = [subprocess.Popen(command) for _ in range(4)]
    assert [opener.wait(120) for opener in openers] == [0] * 4


def test_several_processes_share_a_study_without_overshooting(tmp_path):
    workers = [worker_process(tmp_path, trials=12, seconds=0.05) for _ in range(2)]
    assert [worker.wait(120) for worker in workers] == [0, 0]

    records = Study.read(toy_plan(tmp_path)).records()
    assert len(records) == 12
    assert len({record.key for record in records}) == 12
    assert len((tmp_path / "started.txt").read_text().splitlines()) == 12


def test_published_models_outside_the_constraints_are_not_tried(tmp_path):
    plan = Plan.load("spaces/v3.yaml", objectives=("params", "macs"), limits=("params <= 2M",), sampler="random")
    plan = replace(plan, studies=tmp_path)
    Study.join(plan).run(lambda arch: arch.metrics(), trials=8)

    records = Study.read(plan).records()
    assert [record.state for record in records] == ["complete"] * 8
    assert [record.published for record in records[:3]] == ["mobilevitv3_xxs", "mobilevitv3_xxs_l2", None]
    assert all(record.metrics["params"] <= 2e6 for record in records)


@pytest.mark.parametrize("sampler", plugins.names("sampler"))
def test_a_study_ends_when_no_new_candidate_is_left_inside_the_limits(tmp_path, sampler):
    plan = toy_plan(tmp_path, sampler=sampler, objectives=("params", "macs"), limits=("params <= 6000",))
    inside = plan.admissible(plan.space.enumerate_codes(range(len(plan.space.choices)))).sum()
    assert plan.search.trials == inside < 40

    study = Study.join(plan)
    study.run(lambda arch: arch.metrics(), trials=99)
    assert study.exhausted
    assert len({tuple(record.choices.values()) for record in study.records()}) == study.count() == inside
    study.run(lambda arch: arch.metrics(), trials=99)
    assert study.count() == inside


def test_a_suggestion_that_could_not_be_written_is_made_again(tmp_path, monkeypatch):
    plan = toy_plan(tmp_path, sampler="nsga2")
    unbroken = toy_plan(tmp_path / "unbroken", sampler="nsga2")
    Study.join(unbroken).run(arithmetic, trials=8)

    study = Study.join(plan)
    study.run(arithmetic, trials=4)
    with monkeypatch.context() as patch:
        patch.setattr(study.trials, "create", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            study.run(arithmetic, trials=8)
    study.run(arithmetic, trials=8)

    choices = [[record.choices for record in Study.read(p).records()] for p in (plan, unbroken)]
    assert choices[0] == choices[1]
