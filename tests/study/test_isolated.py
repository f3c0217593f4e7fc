"""Candidates that hang, crash or grow: they fail, and the study continues."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from toy import TOY, toy_plan

from mvsearch.arch.published import published
from mvsearch.metrics.record import EvaluationFailed
from mvsearch.study.executors.isolated import Isolated, make_evaluator
from mvsearch.study.plan import Plan
from mvsearch.study.study import Study
from mvsearch.utils import machine_lock

COSTS = ("params", "macs")
"""Objectives without a proxy: the child does not load torch for them."""

SIX = (
    TOY.replace("{range: [8, 64, 8]}", "8")
    .replace("{range: [16, 64, 8]}", "16")
    .replace("{choose: [16, 24, 32, 48]}", "{choose: [16, 24]}")
)
"""Six candidates: two widths by three depths."""


def make_misbehaving(plan, device, report):
    """Crashes, grows or hangs at the smaller width, by the depth."""

    def evaluate(arch, **_):
        body = arch.blocks[-1]
        if body.dim == 16 and body.depth == 1:
            os.kill(os.getpid(), signal.SIGSEGV)
        if body.dim == 16 and body.depth == 2:
            bytearray(16 << 30)
        if body.dim == 16:
            time.sleep(300)
        return {**arch.metrics(), "process": os.getpid()}

    return evaluate


def make_pid(plan, device, report):
    return lambda arch, **_: {"process": os.getpid()}


def make_faulty(plan, device, report):
    def evaluate(arch, **_):
        raise OSError(f"no images for {os.getpid()}")

    return evaluate


def make_torch_without_memory(plan, device, report):
    import torch

    return lambda arch, **_: torch.empty(1 << 46)


def make_without_memory(plan, device, report):
    def evaluate(arch, **_):
        raise MemoryError

    return evaluate


def make_shared(plan, device, report):
    def evaluate(arch, **_):
        with machine_lock.shared():
            return {"process": os.getpid()}

    return evaluate


def make_echo(plan, device, report):
    def evaluate(arch, **_):
        report(doing=arch.name)
        return {"name": arch.name}

    return evaluate


def isolated(plan: Plan, factory=make_evaluator) -> Isolated:
    return Isolated(plan, device="cpu", report=lambda **_: None, factory=factory)


def test_a_tensor_that_does_not_fit_into_memory_is_reported_as_any_lack_of_memory(tmp_path):
    evaluate = isolated(toy_plan(tmp_path, objectives=COSTS, memory_gib=8.0), make_torch_without_memory)
    with pytest.raises(EvaluationFailed, match="limit 8 GiB"):
        evaluate(published("mobilevitv3_xxs"))
    assert evaluate._child is None


def test_candidates_that_crash_grow_or_hang_fail_with_the_reason_and_the_study_continues(tmp_path):
    plan = toy_plan(tmp_path, SIX, objectives=COSTS, timeout_s=1.5, memory_gib=8.0)
    study, evaluate = Study.join(plan), isolated(plan, make_misbehaving)
    study.run(evaluate, trials=6)
    evaluate.close()

    reasons = {1: "SIGSEGV", 2: "limit 8 GiB", 3: "longer than 1.5 s"}
    records = study.records()
    bad = [record for record in records if record.choices["dim"] == 16]
    assert {record.choices["body.depth"] for record in bad} == {1, 2, 3}
    for record in bad:
        assert record.state == "failed"
        assert reasons[record.choices["body.depth"]] in record.reason
    assert {record.state for record in records if record not in bad} == {"complete"}
    assert os.getpid() not in {record.metrics.get("process") for record in records}


def test_a_real_evaluation_returns_the_same_in_a_child_and_reports_its_progress(tmp_path, one_thread):
    proxy = "proxy: {steps: 2, batch: 8, image_size: 32, held_out: 50}\n"
    plan = toy_plan(tmp_path, TOY + proxy, objectives=("scaled_loss", "params"), isolate=True)
    arch = plan.space.architecture(plan.space.point(plan.space.sample(1, 0)[0]))
    reports: list[dict] = []
    evaluate = Isolated(plan, device="cpu", report=lambda **status: reports.append(status))
    metrics = evaluate(arch)
    evaluate.close()

    assert metrics == make_evaluator(plan, "cpu", lambda **_: None)(arch)
    assert {"doing", "done", "of", "share"} in [set(report) for report in reports]


def test_the_child_is_reused_for_the_next_candidate(tmp_path):
    evaluate = isolated(toy_plan(tmp_path, objectives=COSTS, isolate=True), make_pid)
    assert len({evaluate(published("mobilevitv3_xxs"))["process"] for _ in range(3)}) == 1
    evaluate.close()


def test_a_fault_of_the_machine_is_raised_as_it_was_and_the_next_candidate_gets_a_new_child(tmp_path):
    evaluate, faults = isolated(toy_plan(tmp_path, objectives=COSTS, isolate=True), make_faulty), set()
    for _ in range(2):
        with pytest.raises(OSError, match="no images for") as fault:
            evaluate(published("mobilevitv3_xxs"))
        faults.add(str(fault.value))
    assert len(faults) == 2


def test_without_a_limit_a_lack_of_memory_is_a_fault_of_the_machine(tmp_path):
    evaluate = isolated(toy_plan(tmp_path, objectives=COSTS, isolate=True), make_without_memory)
    with pytest.raises(MemoryError):
        evaluate(published("mobilevitv3_xxs"))


def test_a_wait_for_the_machine_lock_does_not_count_as_the_candidates_time_and_keeps_no_core_busy(tmp_path):
    evaluate, reports = isolated(toy_plan(tmp_path, objectives=COSTS, timeout_s=1.0), make_shared), []
    evaluate(published("mobilevitv3_xxs"))  # starts the child
    evaluate.report = lambda **status: reports.append(status)
    with ThreadPoolExecutor(1) as pool:
        with machine_lock.exclusive():
            metrics = pool.submit(evaluate, published("mobilevitv3_xxs"))
            time.sleep(1.5)
        assert metrics.result()["process"]
    assert len(reports) < 20
    evaluate.close()


def test_an_answer_that_was_not_waited_for_is_not_taken_for_that_to_the_next_candidate(tmp_path):
    evaluate, failed = isolated(toy_plan(tmp_path, objectives=COSTS, isolate=True), make_echo), []

    def report(**status):
        if status and not failed:  # the status of the worker cannot be written
            failed.append(status)
            raise OSError("no space left on device")

    evaluate.report = report
    with pytest.raises(OSError, match="no space"):
        evaluate(published("mobilevitv3_xxs"))
    assert evaluate(published("mobilevitv3_s"))["name"] == "mobilevitv3_s"
    evaluate.close()


WORKER = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from toy import toy_plan
from study.test_isolated import COSTS, Isolated, {factory}, published

if __name__ == "__main__":
    plan = toy_plan(Path("."), objectives=COSTS, timeout_s=600)
    Isolated(plan, device="cpu", report=lambda **_: None, factory={factory})(published("mobilevitv3_xxs"))
"""


def make_printing(plan, device, report):
    def evaluate(arch, **_):
        print(os.getpid(), flush=True)
        time.sleep(600)

    return evaluate


def make_printing_slowly(plan, device, report):
    print(os.getpid(), flush=True)
    os.read(0, 1)  # until the worker, which has the same stdin, is killed
    return make_printing(plan, device, report)


@pytest.mark.parametrize("factory", [make_printing, make_printing_slowly])
def test_a_child_ends_with_its_killed_worker_and_prints_nothing(tmp_path, factory):
    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(tests=str(Path(__file__).parents[1]), factory=factory.__name__))
    worker = subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert int(worker.stdout.readline()) != worker.pid
    worker.kill()

    assert worker.communicate(timeout=60) == (b"", b"")  # which returns once the child has closed them too
