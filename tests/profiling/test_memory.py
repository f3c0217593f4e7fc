"""Peak memory: counted to the byte without running anything, and a thing that a study may seek."""

import json
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from small import SEPARABLE, SOFTMAX
from torch.profiler import ProfilerActivity, profile

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.published import published
from mvsearch.cli.main import cli
from mvsearch.errors import EnvironmentFault, PlanError, StudyError
from mvsearch.metrics.formatting import pretty
from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import ConstraintViolated, score_values
from mvsearch.profiling.memory import MIB, _prepare, alive_bytes, allocated_bytes, peak_bytes
from mvsearch.study.comparison import compare
from mvsearch.study.evaluator import Evaluator
from mvsearch.study.plan import Plan
from mvsearch.study.reader import open_study
from mvsearch.study.resolve import find_architecture
from mvsearch.study.study import Study
from mvsearch.utils import yaml_document

SMALL, OTHER = Architecture.from_dict(SOFTMAX), Architecture.from_dict(SEPARABLE)


@pytest.mark.parametrize("training", [False, True], ids=["answer", "step"])
@pytest.mark.parametrize("arch", [SMALL, OTHER], ids=["softmax", "separable"])
def test_what_is_counted_without_numbers_is_what_real_tensors_take(arch, training):
    assert peak_bytes(arch, batch=2, training=training) == alive_bytes(arch, batch=2, training=training)


@pytest.mark.parametrize(
    "head", ["ssdlite", *(pytest.param(name, marks=pytest.mark.slow) for name in ("deeplabv3", "pspnet"))]
)
def test_a_step_of_another_task_is_counted_with_the_loss_of_all_that_it_gives(head):
    arch = find_architecture(f"mobilevitv3_xxs+{head}").at(image_size=128, num_classes=5)
    if head != "ssdlite":
        arch = replace(arch, head=replace(arch.head, out=32))
    counted = peak_bytes(arch, batch=2, training=True)

    assert counted == pytest.approx(alive_bytes(arch, batch=2, training=True), rel=1e-3)
    assert counted > 2 * peak_bytes(arch, batch=2)


def of_the_allocator(arch: Architecture, *, batch: int, training: bool) -> int:
    """The peak of what torch's allocator on the CPU was asked for, everything from the weights on."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        run = _prepare(arch, batch, None, training)
        run()
        run()
    now = peak = 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    return peak


@pytest.mark.parametrize("training", [False, True], ids=["answer", "step"])
def test_the_allocator_of_the_cpu_agrees_up_to_scratch_space(training):
    arch = published("mobilevitv3_xxs").at(image_size=128)
    counted = peak_bytes(arch, batch=2, training=training)

    assert counted == pytest.approx(of_the_allocator(arch, batch=2, training=training), rel=0.02)


def test_weights_are_in_it_and_maps_grow_with_the_batch():
    weights = 4 * SMALL.cost().params
    one, two, three = (peak_bytes(SMALL, batch=batch) for batch in (1, 2, 3))

    assert one > weights
    assert three - two == pytest.approx(two - one, rel=0.01)


def test_a_step_holds_weights_gradients_and_two_averages():
    assert peak_bytes(SMALL, batch=1, training=True) > 4 * 4 * SMALL.cost().params


def test_a_large_batch_needs_no_memory_to_be_counted():
    assert peak_bytes(published("mobilevitv3_s"), batch=4096) > 40 * 1024**3


def test_counting_leaves_the_random_state_alone():
    before = torch.get_rng_state()
    peak_bytes(SMALL, batch=1, training=True)

    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_an_allocator_that_is_not_there_is_said():
    with pytest.raises(EnvironmentFault, match="no CUDA device"):
        allocated_bytes(SMALL, batch=1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("training", [False, True], ids=["answer", "step"])
def test_the_allocator_of_a_gpu_has_at_least_what_is_counted(training):
    arch = published("mobilevitv3_xxs").at(image_size=128)

    assert allocated_bytes(arch, batch=8, training=training) > 0.9 * peak_bytes(arch, batch=8, training=training)


# In a study


def plan(tmp_path, *, name: str = "space", memory: str = "{}", limits: str = "[]") -> Plan:
    path = tmp_path / f"{name}.yaml"
    path.write_text(
        "image_size: 32\nnum_classes: 10\n"
        "blocks: [{name: stem, block: conv, out: {choose: [8, 16]}, stride: 2}]\n"
        f"search: {{objectives: [memory_mib, train_memory_mib], limits: {limits}}}\nmemory: {memory}\n"
    )
    return Plan.load(path)


def first_of(study_plan: Plan) -> Architecture:
    return study_plan.space.architecture(study_plan.space.point(study_plan.all_points[0]))


def test_an_objective_is_counted_of_the_batches_that_the_plan_names(tmp_path):
    study_plan = plan(tmp_path, memory="{batch: 2, train_batch: 8, image_size: 64}")
    arch = first_of(study_plan)
    metrics = Evaluator(study_plan)(arch)

    assert metrics["memory_mib"] == peak_bytes(arch, batch=2, image_size=64) / MIB
    assert metrics["train_memory_mib"] == peak_bytes(arch, batch=8, image_size=64, training=True) / MIB
    assert study_plan.settings()["memory"] == {"batch": 2, "train_batch": 8, "image_size": 64}
    assert not score_values(metrics)


def test_a_limit_refuses_what_needs_more(tmp_path):
    study_plan = plan(tmp_path, limits="['memory_mib <= 0.001']")

    with pytest.raises(ConstraintViolated, match="memory_mib"):
        Evaluator(study_plan)(first_of(study_plan))


def test_memory_is_counted_before_time_is_taken(tmp_path, brief_timing):
    study_plan = plan(tmp_path, limits="['latency_ms <= 1000']")
    done = []
    Evaluator(study_plan, report=lambda doing, **_: done.append(doing))(first_of(study_plan))

    assert done == ["memory", "latency"]


def test_a_batch_of_none_is_refused(tmp_path):
    with pytest.raises(PlanError, match="memory"):
        plan(tmp_path, memory="{train_batch: 0}")


def test_studies_of_other_batches_are_not_compared(tmp_path):
    studies = {}
    for batch in (1, 2):
        study_plan = replace(
            plan(tmp_path, name=f"batch{batch}", memory=f"{{batch: {batch}}}"), studies=tmp_path / "studies"
        )
        Study.join(study_plan).run(Evaluator(study_plan), trials=2)
        studies[study_plan.name] = open_study(study_plan.folder)

    with pytest.raises(StudyError, match=r"memory.batch is 1 in batch1, 2 in batch2"):
        compare(studies)


def test_less_memory_is_better_and_has_its_unit():
    assert not Objective.named("memory_mib").maximise
    assert pretty("train_memory_mib", 3840.33) == "3840 MiB"


# The command


def test_the_profile_tells_both_peaks(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(yaml_document.dump(SOFTMAX), encoding="utf-8")
    arguments = ["profile", str(file), "--image-size", "64", "--memory", "--batch", "2", "--train-batch", "4"]
    metrics = json.loads(CliRunner().invoke(cli, [*arguments, "--json"]).stdout)
    output = CliRunner().invoke(cli, arguments).stdout

    arch = SMALL.at(image_size=64)
    assert metrics["memory_mib"] == peak_bytes(arch, batch=2) / MIB
    assert metrics["train_memory_mib"] == peak_bytes(arch, batch=4, training=True) / MIB
    assert pretty("memory_mib", metrics["memory_mib"]) in output
