import json
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from mvsearch.cli._sustained import Duration, to_json
from mvsearch.metrics.record import EvaluationFailed
from mvsearch.profiling.device_command import Reading
from mvsearch.profiling.sustained import Clocks, SustainedLatency, Window, measure_sustained
from mvsearch.utils.cpu_usage import CpuUsage
from mvsearch.utils.sensors import SensorReading, read_sensors


def sustained(medians, *, clocks=None, celsius=None, busy=None):
    """A window a second."""
    count = len(medians)
    rows = zip(medians, clocks or [None] * count, celsius or [None] * count, busy or [False] * count, strict=True)
    windows = (Window(i + 1.0, ms, ms, 10, clock, heat, shared) for i, (ms, clock, heat, shared) in enumerate(rows))
    return SustainedLatency(tuple(windows), float(count))


@pytest.mark.parametrize(
    ("medians", "change", "verdict"),
    [
        ([10.0] * 50, 0.0, "steady"),
        ([10.0] * 10 + [10.29] * 40, 0.029, "steady"),
        ([10.0] * 10 + [10.31] * 40, 0.031, "drifts"),
        ([10.0] * 40 + [20.0] * 10, 1.0, "drifts"),
        ([10.0] * 10 + [9.0] * 40, -0.1, "drifts"),
        ([10.0] * 20 + [15.0] * 10 + [10.0] * 20, 0.5, "drifts"),  # slow in between, and as before at the end
        ([10.0] * 29, 0.0, "not to be trusted"),
        ([9.0, 11.0] * 25, None, "not to be trusted"),
    ],
)
def test_the_verdict_is_that_of_the_fifth_that_differs_most_from_the_first(medians, change, verdict):
    latency = sustained(medians)
    assert latency.verdict == verdict
    if change is not None:
        assert latency.change == pytest.approx(change)


@pytest.mark.parametrize(("high", "verdict"), [((10.35, 10.75), "steady"), ((10.45, 10.85), "drifts")])
def test_a_change_within_the_noise_is_no_drift(high, verdict):
    latency = sustained([10.0, 10.4] * 10 + [*high] * 40)  # the medians are 10.2 and the middle of high, each +-0.2
    assert latency.noise == pytest.approx(0.2 / 10.2 + 0.4 / sum(high))
    assert latency.change == pytest.approx(sum(high) / 20.4 - 1)
    assert latency.verdict == verdict


@pytest.mark.parametrize("windows", [10, 15, 20, 30, 50, 100])
def test_windows_that_scatter_around_one_latency_do_not_drift_however_few_they_are(windows):
    rng = np.random.default_rng(0)
    verdicts = [sustained(10 + 0.2 * rng.standard_normal(windows)).verdict for _ in range(100)]
    assert verdicts.count("drifts") <= 3


@pytest.mark.parametrize(("busy", "verdict"), [(5, "steady"), (6, "not to be trusted")])
def test_other_processes_in_more_than_a_tenth_of_the_windows_are_a_doubt(busy, verdict):
    latency = sustained([10.0] * 50, busy=[True] * busy + [False] * (50 - busy))
    assert latency.verdict == verdict
    assert latency.busy_share == busy / 50


@pytest.mark.parametrize(
    ("clock", "words"),
    [(2000.0, "throttled: -20.0%"), (2500.0, "does not explain it: +0.0%"), (None, "clock is not known")],
)
def test_a_drift_is_explained_by_the_clock_where_that_fell_alike(clock, words):
    clocks = None if clock is None else [2500.0] * 10 + [clock] * 40
    latency = sustained([10.0] * 10 + [12.5] * 40, clocks=clocks, celsius=[40.0] * 10 + [81.0] * 40)
    assert latency.sentence.startswith("drifts by +25.0% (")
    assert words in latency.sentence
    assert "81 °C instead of 40 °C" in latency.sentence


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def call(self, seconds):
        def run():
            self.now += seconds

        return run


def meter(process_s):
    return lambda: SimpleNamespace(read=lambda: CpuUsage(1.0, process_s, None, None))


def test_calls_follow_each_other_for_the_whole_time_in_a_hundred_windows():
    clock = Clock()
    sensors = lambda: SensorReading(2000.0 + clock.now, 50.0)  # noqa: E731
    latency = measure_sustained(clock.call(0.01), 10.0, clocks=Clocks(clock, sensors, meter(1.0)))

    assert sum(window.calls for window in latency.windows) == pytest.approx(1000, abs=110)
    assert 90 <= len(latency.windows) <= 101
    assert (latency.windows[0].median_ms, latency.verdict) == (pytest.approx(10), "steady")
    assert latency.clock_change == pytest.approx(0, abs=0.01)
    assert measure_sustained(clock.call(0.01), 1.0, clocks=Clocks(clock, None, meter(0.5))).busy_share == 1


def test_a_device_s_own_milliseconds_and_heat_count():
    clock = Clock()

    def call():
        clock.now += 1.0
        return Reading(4.0, {"battery_c": 31.5, "clock_mhz": 1800, "device": "x"})

    latency = measure_sustained(call, 40.0, clocks=Clocks(clock, None, None))
    assert [(w.median_ms, w.clock_mhz, w.celsius, w.busy) for w in latency.windows] == [(4.0, 1800.0, 31.5, None)] * 40
    assert latency.verdict == "steady"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), EvaluationFailed("device offline")], ids=["Ctrl-C", "device"])
def test_what_was_measured_before_an_end_is_kept(error):
    clock, left = Clock(), [25]

    def call():
        clock.now += 1.0
        left[0] -= 1
        if not left[0]:
            raise error

    latency = measure_sustained(call, 100.0, clocks=Clocks(clock, None, None))
    assert (latency.ended_by, len(latency.windows), to_json(latency)["interrupted"]) == (error, 24, True)
    left[0] = 1
    with pytest.raises(type(error)):
        measure_sustained(call, 100.0, clocks=Clocks(clock, None, None))


def test_the_sensors_are_those_that_the_system_has(tmp_path):
    assert read_sensors(tmp_path) == SensorReading(None, None)
    files = {"proc/cpuinfo": "cpu MHz\t\t: 2596.1\n\ncpu MHz : 2700.5\n"}
    files |= {f"sys/class/thermal/thermal_zone{i}/temp": text for i, text in enumerate(["45000", "-274000", "x", "0"])}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert read_sensors(tmp_path) == SensorReading(2700.5, 45.0)
    frequency = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"
    frequency.parent.mkdir(parents=True)
    frequency.write_text("1800000")
    assert read_sensors(tmp_path) == SensorReading(1800.0, 45.0)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1h", 3600), ("2", 2), ("0.5 min", 30)])
def test_a_duration_is_a_number_with_a_unit(text, seconds):
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("arguments", [["--sustained", "0m"], ["--sustained", "ten"], ["--sustained", "1s", "b.yaml"]])
def test_what_cannot_be_measured_over_time_is_refused(arguments):
    from mvsearch.cli.bench import bench

    assert CliRunner().invoke(bench, ["mobilevitv3_xxs", *arguments]).exit_code == 2


def test_the_command_prints_the_verdict_and_draws_the_figure(tmp_path):
    from mvsearch.cli.bench import bench

    arguments = ["mobilevitv3_xxs", "--image-size", "32", "--sustained", "1s", "--plot", str(tmp_path / "s.png")]
    done = CliRunner().invoke(bench, [*arguments, "--json"])
    printed = json.loads(done.stdout)
    assert printed["precision"] == "fp32"

    assert done.exit_code == 0
    assert printed["verdict"] in ("steady", "drifts", "not to be trusted")
    assert printed["windows"][0]["median_ms"] > 0
    assert (tmp_path / "s.png").stat().st_size > 10_000
