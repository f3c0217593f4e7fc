"""What the latency is when other processes disturb it: rounds with known times, a machine that only the test knows."""

import json
import random
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import pytest
from torch import nn

from mvsearch.export.formats import format_names, load_format
from mvsearch.profiling import estimate, reference, timing
from mvsearch.profiling.estimate import interleave_precisely, is_busy, median_interval
from mvsearch.profiling.latency import TimingOptions, load_backend
from mvsearch.profiling.reference import KnownTime, known_time
from mvsearch.profiling.timing import Conditions, InterleavedTimes, Turn, interleave
from mvsearch.utils import cpu_usage
from mvsearch.utils.cpu_usage import CpuMeter, CpuUsage

NAME, REFERENCE_MS, TRUE_MS = "toy", 2.5, 8.5


def conditions(threads: int = 1, device: str = "cpu: toy") -> dict[str, Conditions]:
    same = {"batch": 1, "image_size": 256, "precision": "fp32", "backend": NAME}
    return {NAME: Conditions(threads=threads, device=device, **same)}


def rounds(*, slower: float = 1.0, share: float = 1.0, others: float | None = 0.0, n: int = 50) -> InterleavedTimes:
    """The rounds of a network of 8.5 ms on a quiet machine, on one where processor time is `slower` and the process has
    only a `share` of it."""
    rng = random.Random(0)
    noise = [slower * rng.uniform(0.97, 1.03) for _ in range(n)]
    cpu, ref_cpu = [TRUE_MS * each for each in noise], [REFERENCE_MS * each for each in noise]
    usage = CpuUsage(wall_s=1.0, process_s=share, other_cores=others, load=5.0)
    return InterleavedTimes(
        times_ms={NAME: [ms / share * (rng.uniform(0.8, 1.2) if share < 1 else 1) for ms in cpu]},
        planned=n,
        cpu_ms={NAME: cpu},
        reference_ms=[ms / share for ms in ref_cpu],
        reference_cpu_ms=ref_cpu,
        usage=usage,
    )


def latency(times: InterleavedTimes, **kwargs):
    return estimate.estimate(times, conditions(**kwargs))[NAME]


def test_on_a_quiet_machine_it_is_the_median_and_the_interval_is_narrow():
    found = latency(rounds())

    assert found.median_ms == pytest.approx(TRUE_MS, rel=0.03)
    assert 0.8 * TRUE_MS < found.wall_ms < 1.2 * TRUE_MS
    assert found.low_ms < found.median_ms < found.high_ms < 1.15 * found.low_ms
    assert not found.busy
    assert (found.reference, found.reference_quiet, found.cpu_share) == (reference.TITLE, True, 1.0)


@pytest.mark.parametrize(("slower", "share"), [(1.5, 1.0), (2.5, 0.3), (2.5, 0.15)])
def test_a_busy_machine_hardly_changes_it_once_the_reference_was_timed_on_a_quiet_one(slower, share):
    latency(rounds())
    busy = latency(rounds(slower=slower, share=share, others=1.9 * cpu_usage.core_count()))

    assert busy.busy
    assert busy.median_ms == pytest.approx(TRUE_MS, rel=0.03)
    assert busy.low_ms < TRUE_MS < busy.high_ms < 12
    assert busy.wall_ms >= slower * TRUE_MS * 0.9
    assert busy.reference_ms == pytest.approx(REFERENCE_MS, rel=0.03)


def test_where_the_machine_was_never_quiet_the_interval_reaches_down_to_the_true_time():
    busy = latency(rounds(slower=2.5, share=0.3))

    assert busy.median_ms > 20
    assert busy.low_ms < TRUE_MS
    assert busy.reference_quiet is False


def test_a_later_quiet_moment_corrects_the_following_measurements():
    latency(rounds(slower=2.5, share=0.3))
    latency(rounds())
    assert latency(rounds(slower=2.0, share=0.3)).median_ms == pytest.approx(TRUE_MS, rel=0.03)


@pytest.mark.parametrize(("threads", "clock"), [(1, "cpu"), (2, "wall")])
def test_several_threads_are_measured_on_the_wall(threads, clock):
    times = rounds(share=0.5)
    found = estimate.clock_times(times, list(conditions(threads).values()))
    assert found == (times.cpu_ms if clock == "cpu" else times.times_ms)


@pytest.mark.parametrize("cpu_share", [0.05, 1.9])
def test_a_call_that_waits_or_whose_threads_spin_is_measured_on_the_wall(cpu_share):
    times = InterleavedTimes({NAME: [10.0] * 5}, 5, cpu_ms={NAME: [10 * cpu_share] * 5})
    assert estimate.clock_times(times, list(conditions().values())) == times.times_ms


def test_a_call_in_another_process_is_measured_on_the_wall():
    times = rounds()
    elsewhere = [replace(each, in_process=False) for each in conditions().values()]
    assert estimate.clock_times(times, elsewhere) == times.times_ms

    waits = replace(times, cpu_ms={NAME: [0.1 * ms for ms in times.times_ms[NAME]]})  # while the reference computes
    assert estimate.clock_times(waits, list(conditions().values())) == waits.times_ms


@pytest.mark.parametrize("name", [name for name in format_names() if load_format(name).runtime])
def test_formats_whose_files_are_run_by_another_python_say_so(name):
    assert load_format(name).runtime.in_process == (name not in ("torch", "package", "timm"))


def test_the_interval_of_a_median_covers_it():
    rng = random.Random(1)
    hits = [median_interval([rng.gauss(5, 1) for _ in range(51)]) for _ in range(400)]
    assert 0.92 < sum(each.low <= 5 <= each.high for each in hits) / 400 < 0.99
    assert (median_interval([1.0, 2.0, 9.0]).low, median_interval([1.0, 2.0, 9.0]).high) == (1.0, 9.0)


@pytest.mark.parametrize(
    ("share", "others", "busy"),
    [
        (1.0, 0.0, False),
        (0.94, 0.0, True),
        (None, 0.0, False),
        (None, 0.3, True),
        (1.0, None, False),
        (0.96, 0.2, False),
    ],
)
def test_a_machine_is_busy_if_the_process_had_to_wait_or_others_use_its_cores(share, others, busy):
    cores = None if others is None else others * cpu_usage.core_count()
    assert is_busy(CpuUsage(1.0, 1.0, cores, None), share) is busy


# Repetitions


def repeating(monkeypatch, half_widths: list[float]) -> list[int]:
    """Rounds whose ratios have these half-widths in turn; returns the seeds of those that were timed."""
    seeds: list[int] = []

    def fake(calls, *, seed, **_):
        seeds.append(seed)
        spread = half_widths[seed]
        return InterleavedTimes({NAME: [1 - spread, 1.0, 1 + spread]}, 3, reference_ms=[1.0] * 3)

    monkeypatch.setattr(estimate, "interleave", fake)
    return seeds


@pytest.mark.parametrize(
    ("half_widths", "timed", "kept"),
    [([0.01], 1, 0.01), ([0.5, 0.02], 2, 0.02), ([0.4, 0.2, 0.3, 0.5], 4, 0.2)],
)
def test_rounds_are_repeated_while_their_ratios_are_imprecise_and_the_best_are_kept(
    half_widths, timed, kept, monkeypatch
):
    seeds = repeating(monkeypatch, half_widths)
    times = interleave_precisely({NAME: int}, conditions(), beside=int, repeats=3, limit_s=10)
    assert len(seeds) == timed
    assert max(times.times_ms[NAME]) == pytest.approx(1 + kept)


def test_repeated_rounds_call_as_often_as_the_first_ones_whatever_their_only_warm_up_call_took(monkeypatch):
    seconds = chain([0.0005, 0.004], repeat(0.05))  # the network's and the reference's; then both are disturbed
    monkeypatch.setattr(timing, "warm_up", lambda call, **_: next(seconds))
    monkeypatch.setattr(estimate, "imprecision", lambda *_: 1.0)
    turns = []
    monkeypatch.setattr(estimate, "interleave", lambda *args, **kw: turns.append(t := interleave(*args, **kw)) or t)
    interleave_precisely({NAME: int}, conditions(), beside=int, repeats=3, limit_s=10)
    assert [each.turns for each in turns] == [{NAME: Turn(1, 10), "": Turn(1, 2)}] * 4


def test_rounds_are_not_repeated_after_the_time_limit(monkeypatch):
    seeds = repeating(monkeypatch, [0.5] * 4)
    monkeypatch.setattr(estimate, "perf_counter", iter([0.0, 0.0, 8.0]).__next__)
    interleave_precisely({NAME: int}, conditions(), beside=int, repeats=3, limit_s=10)
    assert seeds == [0]


def test_rounds_end_at_the_time_limit_however_fast_the_warm_up_was(monkeypatch):
    clock = [0.0]

    def slow():
        clock[0] += 1.0

    monkeypatch.setattr(timing, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(timing, "warm_up", lambda call, **_: 0.001)
    times = interleave({"a": slow}, repeats=50, limit_s=5)
    assert 3 <= len(times.times_ms["a"]) <= 7
    assert not times.interrupted


# The reference's known time


def test_the_known_time_only_falls_and_stays_quiet():
    known = KnownTime(10.0, quiet=False)
    assert known.update(9.9, quiet=False) == known  # within a step
    assert known.update(5.0, quiet=True) == KnownTime(5.0, quiet=True)
    assert KnownTime(5.0, quiet=True).update(20.0, quiet=False) == KnownTime(5.0, quiet=True)


def test_the_known_time_is_shared_by_processes_and_kept_by_conditions():
    known_time("cpu: a", 3.0, quiet=True)
    assert known_time("cpu: a", 9.0, quiet=False).ms == 3.0
    assert known_time("cpu: b", 9.0, quiet=False).ms == 9.0


def test_known_times_that_are_found_at_once_are_all_kept():
    def learn(device: str) -> None:
        for i in range(20):
            known_time(f"{device}, run {i}", 5.0, quiet=True)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(learn, ("phone", "board")))
    times = json.loads(reference.times_file().read_text(encoding="utf-8"))
    assert sum("phone" in key or "board" in key for key in times) == 40


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', '{"a": [-1, true]}', "\xff"])
def test_a_damaged_file_of_known_times_is_ignored(content):
    path = Path(tempfile.gettempdir(), reference.times_file().name)
    path.write_bytes(content.encode("latin-1"))
    assert known_time("a", 4.0, quiet=True) == KnownTime(4.0, quiet=True)
    assert [4.0, True] in json.loads(path.read_text(encoding="utf-8")).values()


def test_a_folder_that_cannot_be_written_is_ignored(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    assert known_time("a", 4.0, quiet=True).ms == 4.0


# The machine


@pytest.mark.parametrize("content", ["cpu 100 0 50 900 0 0 0 50 0 0\n", "nothing", ""])
def test_the_use_of_the_processor_is_read_where_the_system_tells(content, tmp_path):
    stat = tmp_path / "stat"
    stat.write_text(content, encoding="ascii")
    busy = cpu_usage._busy_s(stat)
    assert busy is None if "cpu" not in content else busy > 0


def test_a_short_span_says_nothing_of_others():
    assert CpuMeter().read().other_cores is None


# The real thing


def test_a_measurement_states_its_reference_its_interval_and_the_machine():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = load_backend("torch_cpu").measure(network, 32, TimingOptions(), repeats=5).metrics()

    assert 0 < found["latency_low_ms"] <= found["latency_ms"] <= found["latency_high_ms"]
    assert found["latency_ms"] == pytest.approx(found["latency_ratio"] * found["latency_reference_ms"])
    assert found["latency_reference"] == "mobilevitv3_xxs at 128 px"
    assert 0 < found["latency_cpu_share"] <= 1
    assert found["latency_wall_ms"] > 0
    assert isinstance(found["latency_busy"], bool)
