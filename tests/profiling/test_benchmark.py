"""Runtimes as latency backends, and networks timed side by side on them."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rich.progress import BarColumn
from small import PLAIN, SOFTMAX
from torch import nn
from toy import toy_plan

from mvsearch.arch.architecture import Architecture
from mvsearch.cli._progress import Steps
from mvsearch.errors import EnvironmentFault, PlanError
from mvsearch.metrics.record import EvaluationFailed
from mvsearch.nn import build
from mvsearch.profiling import benchmark, estimate
from mvsearch.profiling.latency import TimingOptions, load_backend
from mvsearch.profiling.latency._exported import Exported
from mvsearch.profiling.measurements.latency import LatencySettings
from mvsearch.profiling.timing import InterleavedTimes
from mvsearch.study.evaluator import Evaluator
from mvsearch.utils import machine_lock, yaml_document
from mvsearch.utils.installation import install_hint

pytestmark = pytest.mark.usefixtures("brief_timing")
SMALL, OTHER = Architecture.from_dict(PLAIN), Architecture.from_dict(SOFTMAX)
RUNTIMES = ("onnxruntime", "openvino", "executorch")
EACH_RUNTIME = (*RUNTIMES[:2], pytest.param("executorch", marks=pytest.mark.slow))  # its files take long to write


def installed(name: str):
    """The backend of a name; the test is skipped where its packages are missing."""
    backend = load_backend(name)
    if packages := backend.missing_packages()[1]:
        pytest.skip(f"{packages[0]} is not installed")
    return backend


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return tmp_path_factory.mktemp("files"), {}


@pytest.fixture(autouse=True)
def convert_once(files, monkeypatch):
    """Every runtime converts the small network once; later conversions load its file."""
    folder, converted = files
    convert = Exported._convert

    def convert_or_load(self, network, image_size, _folder, threads):
        weights = sorted(network.state_dict().items())
        key = (self.name, image_size, *(float(value.double().sum()) for _, value in weights))
        if key not in converted:
            converted[key] = folder / f"{self.name}-{len(converted)}"
            converted[key].mkdir()
            return convert(self, network, image_size, converted[key], threads)
        return self.runtime.load_runtime(converted[key] / f"network{self.format.suffix}", threads=threads)

    monkeypatch.setattr(Exported, "_convert", convert_or_load)


# Each runtime


@pytest.mark.parametrize("name", EACH_RUNTIME)
def test_a_runtime_s_latency_has_its_spread_and_names_the_runtime_and_the_torch_that_wrote_the_file(name):
    backend = installed(name)
    latency = backend.measure(build(SMALL, seed=0), 32, repeats=7)

    assert 0 < latency.p10_ms <= latency.median_ms <= latency.p90_ms
    assert (latency.repeats, latency.batch, latency.image_size, latency.threads) == (7, 1, 32, 1)
    assert (latency.backend, latency.precision) == (name, "fp32")
    assert latency.device == backend.device()
    assert f"{name} " in latency.device
    assert f"from torch {torch.__version__.split('+')[0]}, 1 thread" in latency.device
    assert backend.device(TimingOptions(threads=2)).endswith("2 threads")


@pytest.mark.parametrize("name", EACH_RUNTIME)
def test_a_runtime_leaves_the_caller_s_model_threads_and_random_state_as_they_were(name, tmp_path):
    backend, model = installed(name), build(SMALL, seed=0).train()
    model[1].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    random, threads = torch.get_rng_state(), torch.get_num_threads()
    backend.measure(model, 32, TimingOptions(threads=2), repeats=3)

    assert model.training
    assert not model[1].training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.get_num_threads() == threads
    kept = ("torchinductor", "mvsearch-")  # torch's own cache; the reference's time and the locks
    remaining = [path for path in tmp_path.iterdir() if not path.name.startswith(kept)]
    assert not remaining


@pytest.mark.slow
def test_the_first_use_of_executorch_in_a_process_leaves_the_random_state_too(tmp_path):
    installed("executorch")
    first = """
import torch
from small import PLAIN
from mvsearch.arch.architecture import Architecture
from mvsearch.profiling.measurements.latency import LatencySettings
from mvsearch.profiling.latency import load_backend
from mvsearch.nn import build
model = build(Architecture.from_dict(PLAIN), seed=0)
before = torch.get_rng_state()
load_backend("executorch").measure(model, 32, repeats=3)
assert torch.equal(torch.get_rng_state(), before)
"""
    run = subprocess.run(
        [sys.executable, "-c", first],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "TMPDIR": str(tmp_path),  # locks of its own: it would wait for the trainings of this machine
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.slow
def test_executorch_s_threads_are_restored():
    backend = installed("executorch")
    from executorch.extension.pybindings import portable_lib

    portable_lib._unsafe_reset_threadpool(3)
    with backend.prepare(build(SMALL, seed=0), 32, TimingOptions(threads=2)):
        assert portable_lib._threadpool_get_thread_count() == 2
    assert portable_lib._threadpool_get_thread_count() == 3


@pytest.mark.parametrize("name", EACH_RUNTIME)
def test_a_call_returns_the_network_s_outputs_for_all_images_of_a_batch(name):
    model = build(SMALL, seed=0).eval()
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with installed(name).prepare(model, 32, TimingOptions(batch=3)) as call, torch.no_grad():
        outputs = torch.cat([torch.from_numpy(output) for part in call() for output in part])
        torch.testing.assert_close(outputs, model(images), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", EACH_RUNTIME)
def test_conversion_shares_the_machine_and_timing_is_exclusive(name, monkeypatch):
    backend, modes = installed(name), []
    for mode in ("exclusive", "shared"):
        acquire = getattr(machine_lock, mode)
        monkeypatch.setattr(machine_lock, mode, lambda acquire=acquire, mode=mode: modes.append(mode) or acquire())
    backend.measure(build(SMALL, seed=0), 32, repeats=3)
    assert modes == ["shared", "exclusive"]


@pytest.mark.parametrize("name", EACH_RUNTIME)
def test_what_cannot_be_measured_is_refused_before_it_is_converted(name):
    with pytest.raises(PlanError, match="batch=0"):
        installed(name).measure(build(SMALL), 32, TimingOptions(batch=0))


def test_a_network_that_a_format_cannot_convert_fails_in_one_line():
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if float(x.sum()) > 0 else x[:1]

    with pytest.raises(EvaluationFailed, match=r"onnx .* \(\w+: .*\)"):
        installed("onnxruntime").measure(Odd(), 32)


@pytest.mark.parametrize("name", EACH_RUNTIME)
def test_a_missing_package_is_named_with_its_extra(name, monkeypatch):
    monkeypatch.setattr("mvsearch.export.formats.find_spec", lambda _: None)
    backend = load_backend(name)
    for call in (backend.device, lambda: backend.measure(build(SMALL), 32)):
        with pytest.raises(EnvironmentFault, match=re.escape(install_hint(str(backend.missing_packages()[0])))):
            call()


@pytest.mark.parametrize("name", EACH_RUNTIME)
def test_a_search_can_use_a_runtime_s_latency(name, tmp_path):
    backend = installed(name)
    settings = LatencySettings(backend=name, repeats=3)
    plan = toy_plan(tmp_path, objectives=("latency_ms", "params"))
    plan = replace(plan, measurements={**plan.measurements, "latency": settings})
    evaluate = Evaluator(plan)
    metrics = evaluate(SMALL)
    assert evaluate.facts()["device"] == backend.device() == metrics["latency_device"]
    assert (metrics["latency_backend"], metrics["latency_repeats"]) == (name, 3)


# Side by side


class SlowBackend(type(load_backend("torch_cpu"))):
    name = "slow"

    def device(self, options=None):
        return "cpu: slow"


def interleave_as(monkeypatch, times_ms):
    """The benchmark with these times, case by case; returns the arguments of the calls."""
    arguments = []

    def interleave(calls, **options):
        arguments.append({**options, "calls": len(calls), "mode": machine_lock._thread.mode})
        return InterleavedTimes({key: times_ms[i] for i, key in enumerate(calls)}, planned=len(times_ms[0]))

    monkeypatch.setattr(estimate, "interleave", interleave)
    return arguments


def test_every_pair_is_timed_as_often_and_compared_with_eager_of_the_same_network(monkeypatch):
    backends = {"torch_cpu": load_backend("torch_cpu"), "slow": SlowBackend()}
    monkeypatch.setattr(benchmark, "load_backend", lambda name: backends[name])
    interleave_as(monkeypatch, [[4.0], [12.0], [2.0], [3.0]])

    timings = benchmark.benchmark_architectures([SMALL, OTHER], ["torch_cpu", "slow"], TimingOptions())
    assert [(timing.arch, timing.latency.backend) for timing in timings] == [
        (arch, name) for arch in (SMALL, OTHER) for name in backends
    ]
    assert [timing.ratio_to_eager for timing in timings] == [1.0, 3.0, 1.0, 1.5]
    [alone] = benchmark.benchmark_architectures([SMALL], ["slow"], TimingOptions())
    assert alone.ratio_to_eager is None


@pytest.mark.parametrize(("threads", "settle"), [(1, False), (2, True)])
def test_only_with_several_threads_a_pair_waits_for_those_of_the_previous_one(threads, settle, monkeypatch):
    arguments = interleave_as(monkeypatch, [[1.0]])
    benchmark.benchmark_architectures([SMALL], ["torch_cpu"], TimingOptions(threads=threads))
    assert [options["settle"] for options in arguments] == [settle]


def test_pairs_are_interleaved_with_exclusive_access_once_all_are_prepared(monkeypatch):
    arguments = interleave_as(monkeypatch, [[1.0], [1.0]])
    benchmark.benchmark_architectures([SMALL, SMALL], ["torch_cpu"], TimingOptions())
    assert [(options["calls"], options["mode"]) for options in arguments] == [(2, "exclusive")]
    assert machine_lock._thread.mode is None


@pytest.fixture
def run(mvsearch):
    """The command `bench`, in a folder with small_plain.yaml."""
    Path("small_plain.yaml").write_text(yaml_document.dump(SMALL.to_dict()), encoding="utf-8")
    return lambda *args: mvsearch("bench", *args)


@pytest.mark.slow
def test_the_command_times_all_runtimes_that_are_here(run):
    names = ["torch_cpu", *(name for name in RUNTIMES if not load_backend(name).missing_packages()[1])]
    finished = run("small_plain.yaml", "--backend", ",".join(names), "--repeats", "5", "--json")
    assert finished.code == 0, finished.err
    reports = json.loads(finished.out)
    assert [(report["name"], report["latency_backend"]) for report in reports] == [
        ("small_plain", name) for name in names
    ]
    assert {report["latency_repeats"] for report in reports} == {5}
    assert {report["params"] for report in reports} == {SMALL.cost().params}
    for report in reports:
        assert report["ratio_to_eager"] == pytest.approx(report["latency_ms"] / reports[0]["latency_ms"])
    steps = [f"preparing small_plain for {name}, batch 1" for name in names]
    steps += ["warming up"]
    printed = [line for line in finished.err.splitlines() if not line.startswith("timing again")]  # on a busy machine
    assert printed == [*steps, *(f"timing, round {i} of 5" for i in range(1, 6))]


def test_on_a_terminal_the_rounds_are_a_bar():
    steps = Steps()
    steps.is_live = True
    steps(0, None, "warming up")
    assert not any(isinstance(column, BarColumn) for column in steps.bars.columns)
    for done in range(7):
        steps(done, 7, "timing")
    [task] = steps.bars.tasks
    assert (task.description, task.completed, task.total) == ("timing, round 7 of 7", 6, 7)
    assert any(isinstance(column, BarColumn) for column in steps.bars.columns)
    steps.file.close()


def test_without_a_terminal_the_first_of_many_rounds_tells_the_time_left_if_that_is_minutes(capfd, monkeypatch):
    now = iter([0, 90])
    monkeypatch.setattr("mvsearch.cli._progress.time", SimpleNamespace(monotonic=lambda: next(now)))
    steps = Steps("file")
    for done in range(3):
        steps(done, 10, "layer1 alone in int8")
    steps.file.close()
    assert capfd.readouterr().err.splitlines() == [
        "layer1 alone in int8, file 1 of 10",
        "about 14 min left for 9 files",
        "layer1 alone in int8, file 3 of 10",
    ]


def test_the_table_names_each_network_once_and_every_device(run):
    finished = run("small_plain.yaml", "--backend", "torch_cpu", "--repeats", "3", "--batch", "2", "--image-size", "64")
    assert finished.code == 0, finished.err
    [row] = [line.split() for line in finished.out.splitlines() if "torch_cpu" in line]
    assert (row[:2], row[-2:]) == (["small_plain", "64"], ["1.00", "3"])
    assert "2 images per batch, fp32" in finished.out
    assert load_backend("torch_cpu").device() in finished.out


def test_all_that_is_missing_is_named_in_one_sentence(run, monkeypatch):
    monkeypatch.setattr("mvsearch.export.formats.find_spec", lambda name: None if name != "onnx" else find_spec("json"))
    finished = run("small_plain.yaml")
    assert finished.code == 1
    assert len(finished.err.splitlines()) == 1
    assert "onnxscript, onnxruntime, executorch, openvino" in finished.err
    assert install_hint("onnx", "executorch", "openvino") in finished.err


def test_what_cannot_be_timed_side_by_side_is_one_sentence(run):
    for args, message in {
        (
            "small_plain.yaml",
            "--backend",
            "torch_cuda",
        ): "`mvsearch profile --latency --backend torch_cuda`",
        (
            "small_plain.yaml",
            "--backend",
            "onnxruntim",
        ): "; did you mean 'onnxruntime'?",
        ("nothing", "--backend", "torch_cpu"): "'nothing'",
    }.items():
        finished = run(*args)
        assert finished.code == 1
        assert message in finished.err
        assert len(finished.err.splitlines()) == 1
    assert run("small_plain.yaml", "--backend", ",").code == 2
