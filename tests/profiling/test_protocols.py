"""Networks timed side by side under the paper's protocol and ours: what is done, never how fast."""

import json

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from mvsearch.cli.main import cli
from mvsearch.errors import EnvironmentFault, PlanError
from mvsearch.metrics.record import Latency
from mvsearch.nn.fuse import Fused
from mvsearch.profiling import estimate, protocols
from mvsearch.profiling import timing as _timing
from mvsearch.profiling.benchmark import CaseTiming
from mvsearch.profiling.latency import TimingOptions, load_backend
from mvsearch.profiling.protocols import OWN, PAPER, NamedNetwork, time_networks
from mvsearch.study.evaluator import measured_devices
from mvsearch.study.plan import Plan

pytestmark = pytest.mark.usefixtures("brief_timing")
TORCH_CPU, FUSED = load_backend("torch_cpu"), TimingOptions(fused=True)
no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


class Spy(nn.Module):
    """Records the order of calls and the images."""

    page: list[tuple[str, torch.Tensor]]

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.page.append((self.name, x))
        return x


def spies(*names: str) -> list[NamedNetwork]:
    Spy.page = []
    return [NamedNetwork(name, Spy(name), 16) for name in names]


def test_any_network_is_timed_under_both_protocols():
    session = time_networks([NamedNetwork("toy", nn.Conv2d(3, 4, 3), 32)], batch=2, repeats=5)

    assert [(row.network, row.variant) for row in session.timings] == [("toy", "paper"), ("toy", "own")]
    for row in session.timings:
        assert isinstance(row.latency, Latency)
        assert (row.latency.repeats, row.latency.batch, len(row.times_ms)) == (5, 2, 5)
        assert min(row.times_ms) <= row.mean_ms <= max(row.times_ms)
    assert not session.interrupted


def test_the_paper_s_images_are_channels_first_and_ours_last():
    time_networks(spies("a"), [PAPER], batch=2, repeats=3)
    assert all(x.is_contiguous() for _, x in Spy.page)

    time_networks(spies("a"), [OWN], batch=2, repeats=3)
    assert all(x.is_contiguous(memory_format=torch.channels_last) for _, x in Spy.page)


def test_networks_are_interleaved_after_ten_warm_up_calls_each(monkeypatch):
    monkeypatch.setattr(_timing.Turn, "of", lambda *_, **__: _timing.Turn(untimed=0, timed=1))
    time_networks(spies("a", "b"), [PAPER], repeats=20)
    order = [name for name, _ in Spy.page]

    assert order[:10] == ["a"] * 10
    assert all({*order[i : i + 2]} == {"a", "b"} for i in range(len(order) - 40, len(order), 2))


def test_the_protocols_have_different_devices():
    labels = {row.variant: row.latency.device for row in time_networks(spies("a"), repeats=3).timings}

    assert labels["own"] == TORCH_CPU.device(FUSED) == f"{TORCH_CPU.device()}, fused"
    assert labels["paper"] == f"{TORCH_CPU.device()}, channels first"


def test_ratios_are_taken_within_a_round():
    def row(times_ms: list[float]) -> CaseTiming:
        return CaseTiming("x", "paper", TORCH_CPU.measure(nn.Identity(), 8, repeats=3), times_ms)

    assert row([1.0, 30.0, 2.0]).ratio_to(row([2.0, 60.0, 4.0])) == (0.5, 0.5, 0.5)


def interrupting(after: int):
    def progress(done: float, total: float | None, _step: str = "") -> None:
        if total and done == after:
            raise KeyboardInterrupt

    return progress


def test_an_interrupt_keeps_the_complete_rounds():
    session = time_networks(spies("a", "b"), [PAPER], repeats=50, progress=interrupting(4))

    assert session.interrupted
    assert [row.latency.repeats for row in session.timings] == [4, 4]


def test_an_interrupt_before_the_first_round_is_one():
    with pytest.raises(KeyboardInterrupt):
        time_networks(spies("a"), repeats=50, progress=interrupting(0))


def test_a_busy_processor_is_noticed(monkeypatch):
    monkeypatch.setattr(estimate, "BUSY_CORES", 2.0)  # whatever else runs beside the tests
    monkeypatch.setattr(_timing, "process_time", lambda: 0.0)
    assert time_networks(spies("a"), repeats=3).busy

    monkeypatch.setattr(_timing, "process_time", _timing.perf_counter)
    assert not time_networks(spies("a"), repeats=3).busy


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(PlanError, match="repeats=0"):
        time_networks(spies("a"), repeats=0)


@no_cuda
def test_a_gpu_that_is_not_there_is_said():
    with pytest.raises(EnvironmentFault, match="no CUDA device"):
        time_networks(spies("a"), device="cuda")


# The backend's option, and a study's


def test_the_fused_network_is_timed_if_asked_for(monkeypatch):
    kinds = []
    monkeypatch.setattr(_timing, "fuse", lambda model: kinds.append(Fused) or Fused(model))
    latency = TORCH_CPU.measure(nn.Identity(), 8, FUSED, repeats=3)

    assert kinds == [Fused]
    assert latency.device == f"{TORCH_CPU.device()}, fused"


def plan(tmp_path, latency: str) -> Plan:
    path = tmp_path / "space.yaml"
    path.write_text(
        "image_size: 32\nnum_classes: 10\n"
        "blocks: [{name: stem, block: conv, out: {choose: [8, 16]}, stride: 2}]\n"
        f"search: {{objectives: [latency_ms, params]}}\nlatency: {latency}\n"
    )
    return Plan.load(path)


def test_studies_of_fused_networks_do_not_mix_with_others(tmp_path):
    usual, fused = (plan(tmp_path, text) for text in ("{threads: 1}", "{threads: 1, fused: true}"))

    assert measured_devices(fused) == {"latency": f"{measured_devices(usual)['latency']}, fused"}
    assert fused.settings_digest != usual.settings_digest


def test_a_study_from_before_there_was_fusing_keeps_its_settings(tmp_path):
    assert "fused" not in plan(tmp_path, "{threads: 1}").settings()["latency"]


def test_a_backend_that_cannot_fuse_says_so(tmp_path):
    with pytest.raises(PlanError, match=r"fused: onnxruntime"):
        measured_devices(plan(tmp_path, "{backend: onnxruntime, fused: true}"))


# The command


@pytest.fixture
def few_rounds(monkeypatch):
    monkeypatch.setattr(protocols, "QUICK", protocols.Rounds(repeats=3, throughput_repeats=3, limit_s=5.0))


def test_the_command_times_latency_and_throughput_and_compares_with_the_first(few_rounds):
    names = ["mobilevitv3_xxs", "mobilevitv3_xxs_l2"]
    done = CliRunner().invoke(cli, ["latency", *names, "--quick", "--batch", "2", "--image-size", "64", "--json"])
    found = json.loads(done.stdout)

    assert done.exit_code == 0
    assert {what: part["timed"][0]["latency_batch"] for what, part in found.items()} == {"latency": 1, "throughput": 2}
    assert [row["printed_latency_ms"] for row in found["latency"]["timed"]] == [7.12, 7.12, 6.24, 6.24]
    assert {(row["name"], row["to"]) for row in found["latency"]["ratios"]} == {tuple(reversed(names))}


def test_the_table_has_the_paper_s_figures_and_their_ratio(few_rounds):
    arguments = ["latency", "mobilevitv3_xxs", "mobilevitv3_xxs_l2", "--quick", "--batch", "0", "--image-size", "64"]
    said = CliRunner().invoke(cli, arguments).stdout

    assert all(text in said for text in ("7.12", "6.24", "0.88"))  # 6.24 / 7.12
    assert "printed: at the published image size" in said  # and not at the 64 px that are timed
    assert "throughput" not in said


def test_an_interrupted_command_shows_what_there_is(few_rounds, monkeypatch):
    def two_of_nine_rounds(calls, **_):
        return _timing.InterleavedTimes({key: [1.0, 2.0] for key in calls}, planned=9)

    monkeypatch.setattr(estimate, "interleave", two_of_nine_rounds)
    done = CliRunner().invoke(cli, ["latency", "mobilevitv3_xxs", "--quick", "--image-size", "64"])

    assert done.exit_code != 0
    assert "2 rounds" in done.stdout
    assert "throughput" not in done.stdout


def test_a_command_without_a_network_says_what_would_do():
    done = CliRunner().invoke(cli, ["latency", "--quick"])

    assert done.exit_code == 2
    assert "--published" in done.stderr
