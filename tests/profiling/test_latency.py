import inspect
import os
import subprocess
import sys
from dataclasses import fields
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mvsearch.errors import EnvironmentFault, PlanError
from mvsearch.metrics.record import Latency
from mvsearch.profiling import timing as _timing
from mvsearch.profiling.latency import (
    LatencyBackend,
    TimingOptions,
    backend_names,
    check_options,
    load_backend,
    torch_cuda,
)

pytestmark = pytest.mark.usefixtures("brief_timing")
TORCH_CPU, TORCH_CUDA = load_backend("torch_cpu"), load_backend("torch_cuda")
ROOT = Path(__file__).parents[2]
has_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


def toy() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


class Spy(nn.Module):
    """Notes how it is called; deep copies note on the same page."""

    page: list[SimpleNamespace]

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        type(self).page = []
        self.error = error

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.page.append(
            SimpleNamespace(
                images=images,
                training=self.training,
                threads=torch.get_num_threads(),
                inference=torch.is_inference_mode_enabled(),
            )
        )
        if self.error:
            raise self.error
        return images


def numbers(latency: Latency) -> tuple[float, float, float]:
    return latency.p10_ms, latency.median_ms, latency.p90_ms


# Every backend


@pytest.mark.parametrize("name", backend_names())
def test_every_backend_keeps_the_contract(name):
    backend = load_backend(name)

    assert backend.name == name
    assert backend.version >= 1  # part of the cache key
    assert backend.supports <= {field.name for field in fields(TimingOptions)} - {"batch", "threads"}
    extra, packages = backend.missing_packages()
    assert extra or not packages
    for method in ("device", "prepare", "measure", "conditions"):
        ours = list(inspect.signature(getattr(LatencyBackend, method)).parameters)[1:]
        assert list(inspect.signature(getattr(backend, method)).parameters) == ours, method


@pytest.mark.parametrize("name", backend_names())
def test_an_option_that_a_backend_does_not_have_is_named(name):
    backend, changed = load_backend(name), {"precision": "fp16", "graph": True, "fused": True, "channels_last": False}
    for option, value in changed.items():
        if option in backend.supports:
            check_options(backend, TimingOptions(**{option: value}))
        else:
            with pytest.raises(PlanError, match=option):
                check_options(backend, TimingOptions(**{option: value}))


# torch_cpu


def test_a_measurement_has_its_spread_and_all_it_depends_on():
    latency = TORCH_CPU.measure(toy(), 32, TimingOptions(batch=2), repeats=7)

    assert 0 < latency.p10_ms <= latency.median_ms <= latency.p90_ms
    assert (latency.repeats, latency.batch, latency.image_size, latency.threads) == (7, 2, 32, 1)
    assert (latency.backend, latency.precision) == ("torch_cpu", "fp32")
    assert latency.device == TORCH_CPU.device()


def test_the_network_is_timed_as_it_would_be_used():
    TORCH_CPU.measure(Spy().train(), 16, TimingOptions(batch=3), repeats=5)
    calls = Spy.page

    assert all(call.images.shape == (3, 3, 16, 16) for call in calls)
    assert all(call.images.is_contiguous(memory_format=torch.channels_last) for call in calls)
    assert all(call.inference and not call.training and call.threads == 1 for call in calls)


def test_calls_that_warm_up_are_not_kept():
    assert TORCH_CPU.measure(Spy(), 8, repeats=4).repeats == 4
    assert len(Spy.page) >= 4 + _timing.WARM_CALLS


def test_the_model_comes_back_as_it_was():
    model = toy().train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    strides = [parameter.stride() for parameter in model.parameters()]
    TORCH_CPU.measure(model, 32, repeats=3)

    assert [module.training for module in model] == [True, False, True, True, True, True]
    assert [parameter.stride() for parameter in model.parameters()] == strides
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_a_half_precision_model_is_timed_in_fp32_and_stays_half():
    model = toy().bfloat16()

    assert TORCH_CPU.measure(model, 32, repeats=3).precision == "fp32"
    assert next(model.parameters()).dtype == torch.bfloat16


def test_measuring_does_not_move_the_random_state():
    model, before = toy(), torch.get_rng_state()
    TORCH_CPU.measure(model, 16, repeats=3)

    assert torch.equal(torch.get_rng_state(), before)


def test_threads_are_put_back_even_when_the_network_fails():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError):
        TORCH_CPU.measure(Spy(ZeroDivisionError()), 16, TimingOptions(threads=before + 1))

    assert Spy.page[0].threads == before + 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("name", ["batch", "repeats", "threads"])
def test_a_setting_that_cannot_be_measured_is_named(name):
    rounds = {"repeats": 0} if name == "repeats" else {}
    options = TimingOptions() if rounds else TimingOptions(**{name: 0})
    with pytest.raises(PlanError, match=f"{name}=0"):
        TORCH_CPU.measure(toy(), 16, options, **rounds)


def test_the_device_names_processor_torch_and_threads():
    assert TORCH_CPU.device().startswith("cpu: ")
    assert f"torch {torch.__version__.split('+')[0]}, 1 thread" in TORCH_CPU.device()
    assert TORCH_CPU.device(TimingOptions(threads=4)).endswith("4 threads")


@pytest.mark.slow  # six processes
def test_two_processes_that_measure_at_once_never_overlap(tmp_path):
    code = """
import time, torch
from mvsearch.profiling import estimate
from mvsearch.profiling.latency import load_backend

estimate.MAX_REPETITIONS, estimate.WARM_S = 1, 0.0

class Slow(torch.nn.Module):
    def forward(self, x):
        begin = time.monotonic()
        time.sleep(0.01)
        print(begin, time.monotonic())
        return x

for _ in range(3):
    load_backend('torch_cpu').measure(Slow(), 8, repeats=5)
    print("done")
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    spans = []
    for process in processes:
        for run in process.communicate(timeout=240)[0].split("done")[:-1]:
            times = [float(word) for word in run.split()]
            spans.append((min(times), max(times)))

    assert len(spans) == 6
    assert all(end <= begin for (_, end), (begin, _) in zip(sorted(spans), sorted(spans)[1:], strict=False))


# What backends share: numbers, with a clock of our own


def test_the_spread_is_the_tenth_and_ninetieth_percentile():
    latency = summarised([float(value) for value in range(101)])

    assert numbers(latency) == (10, 50, 90)
    assert latency.repeats == 101


def test_one_slow_call_does_not_move_the_median():
    assert summarised([2.0] * 20 + [2549.0]).median_ms == 2.0


def summarised(times_ms: list[float]) -> Latency:
    conditions = _timing.Conditions(
        batch=1, image_size=256, threads=1, precision="fp32", backend="toy", device="toy: none"
    )
    return _timing.summarise(times_ms, conditions)


def ticking(step_s: float):
    """A clock that moves on by a step whenever it is read."""
    ticks = count()
    return lambda: next(ticks) * step_s


def test_warm_up_makes_enough_calls_and_takes_enough_time():
    calls: list[int] = []
    _timing.warm_up(lambda: calls.append(1), limit_s=30, clock=ticking(1.0))
    assert len(calls) == _timing.WARM_CALLS

    calls.clear()
    _timing.warm_up(lambda: calls.append(1), limit_s=30, clock=ticking(0.001))
    assert len(calls) > _timing.WARM_CALLS


def test_warm_up_of_a_huge_network_ends_at_the_time_limit_but_calls_once():
    calls: list[int] = []
    _timing.warm_up(lambda: calls.append(1), limit_s=0.5, clock=ticking(10.0))

    assert len(calls) == 1


def test_calls_of_several_threads_are_timed_once_other_threads_sleep_and_their_own_are_awake(monkeypatch):
    done = []
    monkeypatch.setattr(_timing, "warm_up", lambda call, **_: 0.005)
    monkeypatch.setattr(_timing, "sleep", lambda seconds: done.append(f"asleep {seconds}"))
    monkeypatch.setattr(_timing, "seconds_of", lambda call: [done.append("timed"), call()] and 0.005)
    times = _timing.interleave({"a": lambda: done.append("runs")}, repeats=2, limit_s=1, settle=True)
    assert done == ["asleep 0.01", "runs", "timed", "runs"] * 2
    assert times.times_ms == {"a": [5.0, 5.0]}

    done.clear()
    _timing.interleave({"a": lambda: done.append("runs")}, repeats=100, limit_s=0.2, settle=True)
    assert done.count("timed") == 10  # of 2 x 5 ms and 10 ms


@pytest.mark.parametrize(
    ("seconds", "settle", "untimed", "timed"),
    [(0.05, False, 0, 1), (0.05, True, 1, 1), (0.012, False, 1, 1), (0.004, False, 1, 2), (0.00025, True, 1, 20)],
)
def test_short_calls_are_timed_with_full_caches_and_several_at_once(seconds, settle, untimed, timed):
    turn = _timing.Turn.of(seconds, settle=settle)

    assert (turn.untimed, turn.timed) == (untimed, timed)


def test_the_time_of_several_calls_is_that_of_one(monkeypatch):
    done = []
    monkeypatch.setattr(_timing, "warm_up", lambda call, **_: 0.001)
    monkeypatch.setattr(_timing, "seconds_of", lambda call: [done.append("timed"), call()] and 0.001)
    times = _timing.interleave({"a": lambda: done.append("runs")}, repeats=2, limit_s=1)

    assert done == ["runs", *["timed", "runs"] * 5] * 2
    assert times.times_ms == {"a": [1.0, 1.0]}


@pytest.fixture
def one_call_a_turn(monkeypatch):
    """Time calls that return at once one by one."""
    monkeypatch.setattr(_timing.Turn, "of", lambda *_, **__: _timing.Turn(untimed=0, timed=1))


@pytest.mark.usefixtures("one_call_a_turn")
def test_calls_that_are_compared_are_interleaved_in_changing_order():
    made: list[str] = []
    calls = {name: (lambda name=name: made.append(name)) for name in ("a", "b", "c")}
    times_ms = _timing.interleave(calls, repeats=20, limit_s=30).times_ms

    assert [len(times) for times in times_ms.values()] == [20, 20, 20]
    rounds = [tuple(made[i : i + 3]) for i in range(len(made) - 60, len(made), 3)]
    assert all(sorted(each) == ["a", "b", "c"] for each in rounds)
    assert len(set(rounds)) > 2


@pytest.mark.parametrize(
    ("repeats", "seconds", "timed"), [(50, 0.01, 50), (50, 1.0, 30), (50, 60.0, 3), (2, 60.0, 2), (50, 0.0, 50)]
)
def test_repeats_are_cut_to_the_time_limit_but_keep_a_spread(repeats, seconds, timed):
    assert _timing.affordable(repeats, seconds=seconds, limit_s=30.0) == timed


# torch_cuda


@no_cuda
def test_without_a_gpu_another_backend_is_named():
    for call in (TORCH_CUDA.device, lambda: TORCH_CUDA.measure(toy(), 32)):
        with pytest.raises(EnvironmentFault, match="torch_cpu"):
            call()


def test_an_unknown_precision_is_refused_with_the_known_ones(monkeypatch):
    monkeypatch.setattr(torch_cuda.TorchCuda, "device", lambda *_: "cuda: toy")
    with pytest.raises(PlanError, match=r"'int8'.*: fp32, tf32, fp16, bf16"):
        TORCH_CUDA.measure(toy(), 32, TimingOptions(precision="int8"))


def test_cuda_settings_hold_during_a_measurement_and_go_back_after_it():
    backends = torch.backends
    before = (backends.cudnn.benchmark, backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32)
    with torch_cuda.cuda_settings("fp32"):
        assert backends.cudnn.benchmark
        assert backends.cuda.matmul.fp32_precision == backends.cudnn.conv.fp32_precision == "ieee"
    with pytest.raises(ZeroDivisionError), torch_cuda.cuda_settings("tf32"):
        _ = 1 / 0

    # Read by the old names: they raise where old and new switches were left in disagreement.
    assert (backends.cudnn.benchmark, backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32) == before


@pytest.mark.parametrize(("precision", "on"), [("tf32", True), ("fp32", False)])
def test_tf32_is_set_by_the_switches_that_this_torch_has(precision, on):
    old = SimpleNamespace(
        cudnn=SimpleNamespace(benchmark=False, allow_tf32=not on),
        cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=not on)),
    )
    with torch_cuda.cuda_settings(precision, old):
        assert old.cudnn.allow_tf32 is old.cuda.matmul.allow_tf32 is on
    assert old.cudnn.allow_tf32 is old.cuda.matmul.allow_tf32 is not on

    with torch_cuda.cuda_settings(precision):
        assert torch.backends.cudnn.conv.fp32_precision == ("tf32" if on else "ieee")


def test_on_a_gpu_the_network_and_the_reference_are_timed_in_every_round(monkeypatch):
    clock, made = [0.0], []

    class Event:
        def record(self):
            self.at = clock[0]

        def elapsed_time(self, end):
            return end.at - self.at

    def call(name, ms):
        def run():
            made.append(name)
            clock[0] += ms

        return run

    monkeypatch.setattr(torch_cuda, "_events", lambda count: [Event() for _ in range(count)])
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    times_ms = torch_cuda._event_times_ms([call("network", 4.0), call("reference", 2.0)], 3)
    assert times_ms == [[4.0] * 3, [2.0] * 3]
    assert made == ["network", "reference"] * 3


@has_cuda
@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16", "bf16"])
def test_a_gpu_measures_every_precision_eagerly_and_as_a_graph(precision, graph):
    model = toy().train()
    latency = TORCH_CUDA.measure(model, 64, TimingOptions(batch=4, precision=precision, graph=graph), repeats=20)

    assert 0 < latency.p10_ms <= latency.median_ms <= latency.p90_ms
    assert (latency.repeats, latency.precision, latency.backend) == (20, precision, "torch_cuda")
    assert latency.device == TORCH_CUDA.device(TimingOptions(graph=graph))
    assert model.training
    assert next(model.parameters()).device.type == "cpu"
