"""Candidates that hang, crash or grow: they fail, and the study goes on."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from toy import arithmetic, toy_plan

from mvsearch.arch.published import published
from mvsearch.metrics.record import EvaluationFailed
from mvsearch.study.executors import isolated
from mvsearch.study.executors.isolated import Isolated
from mvsearch.study.plan import Plan
from mvsearch.study.study import Study
from mvsearch.utils import machine_lock


def misbehaves(arch, **_):
    """Crashes, grows or hangs at the narrowest width, by its depth; in a process where anything may happen."""
    body = arch.blocks[-1]
    if body.dim == 16 and body.depth == 1:
        os.kill(os.getpid(), signal.SIGSEGV)
    if body.dim == 16 and body.depth == 2:
        bytearray(16 << 30)
    if body.dim == 16:
        time.sleep(60)
    return {**arithmetic(arch), "process": os.getpid()}


def who(plan, device, report):
    return lambda arch, **_: {"process": os.getpid()}


def meets_a_fault(plan, device, report):
    def evaluate(arch, **_):
        raise OSError(f"no images for {os.getpid()}")

    return evaluate


def make(plan, device, report):
    return misbehaves


def make_greedy(plan, device, report):
    return lambda arch, **_: torch.empty(1 << 46)


def test_a_tensor_that_finds_no_memory_is_told_as_any_lack_of_memory_is(tmp_path):
    plan = toy_plan(tmp_path, memory_gib=8.0)
    evaluate = Isolated(plan, device="cpu", report=lambda **_: None, factory=make_greedy)
    with pytest.raises(EvaluationFailed, match=r"ran out of memory \(limit 8 GiB\)"):
        evaluate(plan.space.architecture(plan.space.point(plan.space.sample(1, 0)[0])))
    assert evaluate._child is None


def test_candidates_that_crash_grow_or_hang_fail_with_the_reason_and_the_study_goes_on(tmp_path):
    plan = toy_plan(tmp_path, timeout_s=3.0, memory_gib=8.0, seed=3)
    study, evaluate = Study.join(plan), Isolated(plan, device="cpu", report=lambda **_: None, factory=make)
    study.run(evaluate, trials=24)
    evaluate.close()

    said = {
        1: "ended by SIGSEGV",
        2: "ran out of memory (limit 8 GiB)",
        3: "took longer than 3 s, the limit of a trial",
    }
    records = study.records()
    bad = [record for record in records if record.choices["dim"] == 16]
    assert {record.choices["body.depth"] for record in bad} == {1, 2, 3}
    for record in bad:
        assert record.state == "failed"
        assert said[record.choices["body.depth"]] in record.reason
    assert {record.state for record in records if record not in bad} == {"complete"}
    assert os.getpid() not in {record.metrics.get("process") for record in records}


def test_a_real_evaluation_gives_the_same_in_a_child_and_reports_on_its_way(tmp_path, one_thread):
    text = (
        Path("spaces/quick.yaml").read_text().replace("steps: 60", "steps: 4").replace("held_out: 1000", "held_out: 50")
    )
    (tmp_path / "short.yaml").write_text(text)
    plan = Plan.load(tmp_path / "short.yaml", objectives=("scaled_loss", "params"), isolate=True)
    arch = plan.space.architecture(plan.space.published_points()[0][1])
    said: list[dict] = []
    evaluate = Isolated(plan, device="cpu", report=lambda **words: said.append(words))
    found = evaluate(arch)
    evaluate.close()

    assert found == isolated.Evaluator(plan)(arch)
    assert {"doing", "done", "of"} in [set(words) for words in said]


def test_the_child_is_kept_from_one_candidate_to_the_next(tmp_path):
    plan, arch = toy_plan(tmp_path, isolate=True), published("mobilevitv3_xxs")
    evaluate = Isolated(plan, device="cpu", report=lambda **_: None, factory=who)
    assert len({evaluate(arch)["process"] for _ in range(3)}) == 1
    evaluate.close()


def test_a_fault_of_the_machine_is_told_as_it_was_and_the_next_candidate_gets_a_new_child(tmp_path):
    plan, arch, said = toy_plan(tmp_path, isolate=True), published("mobilevitv3_xxs"), set()
    evaluate = Isolated(plan, device="cpu", report=lambda **_: None, factory=meets_a_fault)
    for _ in range(2):
        with pytest.raises(OSError, match="no images for") as fault:
            evaluate(arch)
        said.add(str(fault.value))
    assert len(said) == 2


def takes_all_memory(plan, device, report):
    def evaluate(arch, **_):
        raise MemoryError

    return evaluate


def test_without_a_limit_a_lack_of_memory_is_the_machines(tmp_path):
    plan = toy_plan(tmp_path, isolate=True)
    evaluate = Isolated(plan, device="cpu", report=lambda **_: None, factory=takes_all_memory)
    with pytest.raises(MemoryError):
        evaluate(published("mobilevitv3_xxs"))


def takes_its_turn(plan, device, report):
    def evaluate(arch, **_):
        with machine_lock.shared():
            return {"process": os.getpid()}

    return evaluate


def test_a_wait_for_a_turn_is_not_the_candidates_time(tmp_path):
    plan = toy_plan(tmp_path, timeout_s=1.0)
    evaluate = Isolated(plan, device="cpu", report=lambda **_: None, factory=takes_its_turn)
    evaluate(published("mobilevitv3_xxs"))  # the child is there
    with ThreadPoolExecutor(1) as pool:
        with machine_lock.exclusive():
            found = pool.submit(evaluate, published("mobilevitv3_xxs"))
            time.sleep(2.5)
        assert found.result()["process"]
    evaluate.close()


WORKER = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from toy import toy_plan
from study.test_isolated import Isolated, {factory}, published

if __name__ == "__main__":
    evaluate = Isolated(toy_plan(Path("."), timeout_s=600), device="cpu", report=lambda **_: None, factory={factory})
    evaluate(published("mobilevitv3_xxs"))
"""


def says_who_and_hangs(plan, device, report):
    def evaluate(arch, **_):
        print(os.getpid(), flush=True)
        time.sleep(600)

    return evaluate


def says_who_and_starts_slowly(plan, device, report):
    print(os.getpid(), flush=True)
    os.read(0, 1)  # until the worker, whose input this is too, was killed
    return says_who_and_hangs(plan, device, report)


@pytest.mark.parametrize("factory", [says_who_and_hangs, says_who_and_starts_slowly])
def test_a_child_ends_with_its_worker_that_was_killed_and_says_nothing(tmp_path, factory):
    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(tests=str(Path(__file__).parents[1]), factory=factory.__name__))
    worker = subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert int(worker.stdout.readline()) != worker.pid
    worker.kill()

    assert worker.communicate(timeout=60) == (b"", b"")  # which comes when the child, too, has closed them
