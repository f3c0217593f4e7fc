"""Candidates that hang, crash or grow: they fail, and the study goes on."""

import os
import signal
import time

import pytest
from toy import toy_plan

from mvsearch.architecture import Architecture
from mvsearch.executors import isolated
from mvsearch.executors.isolated import Isolated
from mvsearch.models import published
from mvsearch.record import Failed


class Misbehaving:
    """In the place of the evaluator: what a candidate does is told by its number of classes."""

    def __init__(self, plan, *, device, report):
        self.report = report

    def __call__(self, arch: Architecture, *, rung=None, repeat=0):
        if arch.num_classes == 2:
            time.sleep(60)
        if arch.num_classes == 3:
            os.kill(os.getpid(), signal.SIGSEGV)
        if arch.num_classes == 4:
            bytearray(8 << 30)
        if arch.num_classes == 5:
            raise Failed("no luck")
        self.report(doing="training", done=1, of=2)
        return {"top1": 0.5, "process": os.getpid()}


def serve_misbehaving(plan, device, pipe):
    isolated.Evaluator = Misbehaving
    isolated._serve_well(plan, device, pipe)


@pytest.fixture
def evaluate(tmp_path, monkeypatch):
    monkeypatch.setattr(isolated, "_serve_well", isolated._serve, raising=False)
    said = []
    plan = toy_plan(tmp_path, timeout_s=4.0, memory_gib=4.0)
    evaluate = Isolated(plan, device="cpu", report=lambda **words: said.append(words))
    evaluate.said = said
    yield evaluate
    evaluate.close()


ARCH = published("mobilevitv3_xxs")


def test_a_result_and_its_progress_come_back_and_the_child_is_kept(tmp_path):
    said = []
    evaluate = Isolated(
        toy_plan(tmp_path, objectives=("params", "macs"), isolate=True), device="cpu", report=lambda **w: said.append(w)
    )
    first = evaluate(ARCH)
    child = evaluate._child.pid
    assert first == evaluate(ARCH) == ARCH.metrics()
    assert evaluate._child.pid == child
    evaluate.close()
