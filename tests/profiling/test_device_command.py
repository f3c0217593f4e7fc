"""The latency backend `command`: its words, what is read, and a flaky device told apart from a bad candidate."""

import json
import time
from itertools import chain, cycle, repeat
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch import nn
from toy import TOY, toy_plan

from mvsearch.cli._search import search
from mvsearch.errors import DeviceUnavailable, PlanError, StudyError
from mvsearch.export.formats import load_format
from mvsearch.metrics.pareto import front
from mvsearch.metrics.record import EvaluationFailed
from mvsearch.profiling import device_check
from mvsearch.profiling.device_check import CheckedDevice
from mvsearch.profiling.device_command import CommandFailed, DeviceCommand, Reading, check_command, parse
from mvsearch.profiling.latency import TimingOptions, command, load_backend
from mvsearch.profiling.measurements.latency import LatencySettings
from mvsearch.report.figures.axes import choose_axes, known_metrics
from mvsearch.report.table import front_table
from mvsearch.study.evaluator import Evaluator, measured_devices
from mvsearch.study.study import Study

BACKEND = load_backend("command")


# What is run, and what is read


def test_a_path_with_blanks_stays_one_word_and_other_braces_stay_as_they_are():
    run = DeviceCommand("sh -c 'awk ${x} {y} $1' - {file} -t {threads}", 1.0, values={"threads": 2})
    assert run.words("a b.pte") == ["sh", "-c", "awk ${x} {y} $1", "-", "a b.pte", "-t", "2"]


@pytest.mark.parametrize(
    ("output", "ms"),
    [
        ("12.5\n", 12.5),
        ("loading\n.5 ms\n\n", 0.5),
        ("1e1", 10.0),
        ('{"latency_ms": 3}', 3.0),
        ('{\n "latency_ms": 3.25,\n "device": "x"\n}\n', 3.25),
        ('log {"a": 1}\n{"latency_ms": 4}\nbye', 4.0),
        ('{"latency_ms": 30, "phase": "warm-up"}\n12.5 ms', 12.5),
        ('warm\n{\n "latency_ms": 5,\n "runs": [\n  {"latency_ms": 6},\n  {"latency_ms": 7}\n ]\n}\n', 5.0),
    ],
)
def test_the_milliseconds_are_those_of_the_json_or_the_last_line(output, ms):
    assert parse(output).latency_ms == ms


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ("", "nothing"),
        ("took 12 ms", "'took 12 ms'"),
        ("12 us", "'12 us'"),
        ("nan", "nan"),
        ("-3.5", "-3.5"),
        ("0", "0"),
        ("inf ms", "inf"),
        ('{"latency_ms": NaN}', "NaN"),
        ('{"latency_ms": null}', "None"),
        ('{"latency_ms": true}', "True"),
        ('{"ms": 3}', "ms"),
        ("12 13", "'12 13'"),
    ],
)
def test_anything_else_is_no_latency(output, shown):
    with pytest.raises(CommandFailed, match=shown.replace("'", ".")):
        parse(output)


@pytest.mark.parametrize(
    ("run", "value"),
    [
        ("sh -c 'echo no device >&2; exit 3' {file}", r"exit code 3 \(no device\)"),
        ("no-such-command {file}", "`no-such-command` cannot be run"),
        ("sh -c 'echo done' {file}", "'done'"),
        ("sh -c 'sleep 20 & sleep 20' {file}", "0.3 s"),
        ("sh -c 'kill -SEGV $$' {file}", "signal 11"),
        ("sh -c 'head -c 17000000 /dev/zero; echo; echo 7' {file}", "more than 16 MiB"),
    ],
)
def test_a_command_that_fails_hangs_or_prints_no_number_has_a_reason(run, value):
    start = time.monotonic()
    with pytest.raises(CommandFailed, match=value):
        DeviceCommand(run, timeout_s=0.3)("net.pte")
    assert time.monotonic() - start < 10  # with what it started


def test_a_program_that_the_command_leaves_running_is_not_waited_for():
    assert DeviceCommand("sh -c 'sleep 3 & echo 5.5' {file}", timeout_s=2.0)("net.pte").latency_ms == 5.5


def test_characters_that_a_terminal_or_a_database_takes_amiss_are_left_out_of_a_device_s_name():
    assert Reading(1.0, {"device": "A\x00\x1b[31m 8"}).describe_device("", "x") == "A[31m 8"


@pytest.mark.parametrize(
    ("run", "options", "value"),
    [
        ("", {}, "is missing"),
        ("./m.sh", {}, "without {file}"),
        ("./m.sh '{file}", {}, "split"),
        ("./m.sh {file}", {"devices": ("a", "b")}, "no {device}"),
        ("./m.sh {file} {device}", {"devices": ("a", "a")}, "a, a"),
        ("./m.sh {file}", {"threads": 2}, "no {threads}"),
        ("./m.sh {file}", {"batch": 2}, "no {batch}"),
    ],
)
def test_a_command_that_cannot_be_right_is_refused_before_it_runs(run, options, value):
    with pytest.raises(PlanError) as error:
        check_command(run, options.pop("devices", ()), **options)
    assert value in str(error.value)
    assert str(error.value).startswith("latency.")


# A flaky device and a bad candidate, on a script of latencies: a text is a failure


class Script:
    """Readings one after the other; the last is repeated."""

    def __init__(self, *values):
        self.values, self.count = chain(values, repeat(values[-1])), 0

    def __call__(self):
        self.count += 1
        value = next(self.values)
        if isinstance(value, str):
            raise CommandFailed(value)
        return Reading(float(value))


def checked(reference, retries=2, known=()):
    known = [*known]

    def learn(reading):
        known.append(reading.latency_ms)
        return min(known)

    pauses = []
    device = CheckedDevice("pixel", reference, learn, retries=retries, pause=pauses.append)
    device.probe()
    return device, pauses


def test_two_runs_that_agree_are_the_latency_if_the_reference_beside_them_is_as_before():
    reference = Script(10)
    device, pauses = checked(reference)
    assert [reading.latency_ms for reading in device.measure(Script(5.4, 5))] == [5, 5.4]
    assert (reference.count, pauses) == (3, [])


@pytest.mark.parametrize("values", [(9, 5, 5.2), ("crash", 5, 5.2), (5, "crash", 5.2)])
def test_an_odd_run_is_repeated_where_the_reference_is_as_before(values):
    reference = Script(10)
    device, pauses = checked(reference)
    assert [reading.latency_ms for reading in device.measure(Script(*values))] == [5, 5.2]
    assert reference.count > 2
    assert pauses == []


@pytest.mark.parametrize("runs", [["crash", 0], [0, "crash"]], ids=["first fails", "first runs"])
def test_a_candidate_is_measured_on_a_device_where_every_second_run_fails(runs):
    outcomes = cycle(runs)

    def on_device(ms):
        return lambda: Script(next(outcomes) or ms)()

    known = []
    device = CheckedDevice("pixel", on_device(10), lambda reading: known.append(reading) or 10.0, retries=2)
    device.probe()
    for _ in range(2):
        assert [reading.latency_ms for reading in device.measure(on_device(5))] == [5, 5]
    assert len(known) == 3  # the reference runs after each candidate


@pytest.mark.parametrize(("values", "reason"), [(("crash",), "crash"), ((1, 2, 4, 8), "1, 2, 4, 8 ms")])
def test_a_candidate_that_alone_is_odd_fails_with_its_reason(values, reason):
    device, _ = checked(Script(10))
    candidate = Script(*values)
    with pytest.raises(EvaluationFailed, match=f"on pixel: .*{reason}; the reference"):
        device.measure(candidate)
    assert candidate.count == 4


def test_a_candidate_that_ran_once_only_is_not_blamed_for_a_device_that_is_away():
    device, _ = checked(Script(10, 10, "offline"), retries=0)
    with pytest.raises(DeviceUnavailable, match="offline"):
        device.measure(Script("crash", 5))


def test_a_device_that_is_away_is_waited_for_and_then_named():
    device, pauses = checked(Script(10, 10, "offline"))
    with pytest.raises(DeviceUnavailable, match="the device pixel: the reference network: offline"):
        device.measure(Script(5, "offline"))
    assert pauses == [5, 10]


def test_what_a_slow_device_measured_is_dropped_once_it_is_as_before():
    device, pauses = checked(Script(10, 10, 12.6, 12.6, 12.5))  # 12.5 is as before, 12.6 is not
    assert [reading.latency_ms for reading in device.measure(Script(9, 7, 5, 5))] == [5, 5]
    assert pauses == [5]


def test_a_hot_device_is_noticed_although_its_runs_agree():
    device, pauses = checked(Script(10, 10, 30, 30, 10))
    assert [reading.latency_ms for reading in device.measure(Script(15, 15, 5, 5))] == [5, 5]
    assert pauses == [5]


def test_the_last_candidates_of_a_run_are_not_stored_from_a_device_that_became_slow():
    device, _ = checked(Script(10, 10, 10, 20))
    assert [reading.latency_ms for reading in device.measure(Script(5))] == [5, 5]
    with pytest.raises(DeviceUnavailable, match="takes 20 ms, and took 10 ms"):
        device.measure(Script(10))


def test_two_slow_runs_that_agree_are_not_the_latency_beside_a_fast_one():
    device, _ = checked(Script(10))
    assert [reading.latency_ms for reading in device.measure(Script(15, 5, 15, 5.1))] == [5, 5.1]


def test_a_candidate_that_slows_the_device_down_fails_and_the_study_goes_on():
    device, pauses = checked(Script(10, 10, *[13, 13, 10] * 3, 10))
    with pytest.raises(EvaluationFailed, match="on pixel: it slows the device down"):
        device.measure(Script(50))
    assert pauses == [5, 5, 5]
    assert [reading.latency_ms for reading in device.measure(Script(5))] == [5, 5]


@pytest.mark.parametrize(
    ("retries", "values"),
    [(2, [5, "crash"] * 3), (0, [5, 5, "crash", 5]), (1, [5, 5, "crash", 5, "crash"]), (0, [5, 5, 5, "crash"])],
)
def test_an_unsteady_device_takes_fewer_runs_where_some_fail(retries, values):
    device, _ = checked(Script(10), retries=retries)
    device._unsteady = True
    assert [reading.latency_ms for reading in device.measure(Script(*values))] == [5, 5]


def test_a_device_that_was_hot_for_a_while_is_not_unsteady():
    device, pauses = checked(Script(10, 10, 30, 30, 10))
    device.measure(Script(15, 15, 5, 5))
    candidate = Script(5)
    device.measure(candidate)
    assert (candidate.count, pauses) == (2, [5])


def test_one_reading_of_the_reference_that_is_too_low_does_not_make_the_device_slow():
    device, pauses = checked(Script(10, 10, 7.9, 10))
    for _ in range(2):
        assert [reading.latency_ms for reading in device.measure(Script(5))] == [5, 5]
    assert (device.reference_ms, pauses) == (10, [])


@pytest.mark.parametrize("reference", [(10,), (10, 10, 30, 10)], ids=["candidate", "reference"])
def test_an_unsteady_device_measures_each_candidate_two_times_more(reference):
    device, pauses = checked(Script(*reference))
    device.measure(Script(15, 5, 5) if reference == (10,) else Script(5))
    candidate = Script(15, 15, 5, 5)
    assert [reading.latency_ms for reading in device.measure(candidate)] == [5, 5]
    assert (candidate.count, pauses) == (4, [])


def test_a_device_that_is_slower_than_in_an_earlier_process_is_waited_for_before_anything_is_measured():
    _, pauses = checked(Script(20, 20, 20, 20, 10), known=[10])
    assert pauses == [5]
    with pytest.raises(DeviceUnavailable, match=r"takes 20 ms, and took 10 ms .* remove .*reference.json if"):
        checked(Script(20), known=[10])


@pytest.mark.parametrize(("values", "reason"), [(("refused",), "refused"), ((1, 2, 4, 8), "1, 2, 4, 8 ms")])
def test_a_device_whose_reference_cannot_be_measured_is_refused_at_once(values, reason):
    with pytest.raises(DeviceUnavailable, match=reason):
        checked(Script(*values))


# The backend, and a study, on a device that is a shell script: a file is as long as its network has parameters


SCRIPT = """#!/bin/sh
# Milliseconds in proportion to the file; what the file `fault` says is done instead.
if [ -e {folder}/fault ]; then . {folder}/fault; fi
size=$(wc -c < "$1")
echo "$2 $size" >> {folder}/log
echo '{{"latency_ms": '$((size * ${{3:-1}})).5', "device": "Board '$2'", "runtime": "rt", "version": "1.2", "mb": 7}}'
"""


@pytest.fixture
def board(tmp_path, monkeypatch):
    """A folder with `measure.sh`; networks are written as files of so many bytes, without a converter."""
    script = tmp_path / "measure.sh"
    script.write_text(SCRIPT.format(folder=tmp_path))
    script.chmod(0o755)

    def write(model: nn.Module, _size: int, _format: object, path: Path) -> None:
        path.write_bytes(bytes(sum(parameter.numel() for parameter in model.parameters()) // 100))

    monkeypatch.setattr(command, "_write", write)
    monkeypatch.setattr(command.reference, "network", lambda: nn.Linear(99, 100))
    monkeypatch.setattr(device_check, "PAUSE_S", 0)
    command._bench.cache_clear()
    yield SimpleNamespace(
        path=tmp_path,
        run=f"{script} {{file}} {{device}}",
        fail=lambda text: (tmp_path / "fault").write_text(text),
        heal=(tmp_path / "fault").unlink,
        log=lambda: (tmp_path / "log").read_text().split("\n"),
    )
    command._bench.cache_clear()


def options(board, **changed):
    return TimingOptions(**{"run": board.run, "format": "onnx", **changed})


def test_a_latency_has_the_device_the_tools_and_what_the_command_printed(board):
    latency = BACKEND.measure(nn.Linear(9, 100), 32, options(board))

    assert (latency.median_ms, latency.p10_ms, latency.repeats, latency.threads) == (10.5, 10.5, 2, None)
    assert latency.device == BACKEND.device(options(board))
    assert latency.device.startswith("command: Board , rt 1.2, onnx file by torch ")
    assert latency.ratio == pytest.approx(10.5 / 100.5)
    assert latency.low_ms < 10.5 < latency.high_ms
    metrics = latency.metrics()
    assert metrics["latency_reported"]["mb"] == 7
    assert "latency_threads" not in metrics


def test_percentiles_that_cannot_be_are_not_taken_and_other_numbers_stay_json(board):
    board.fail("""echo '{"latency_ms": 3, "latency_p10_ms": -5, "latency_p90_ms": 1, "celsius": 1e999}'; exit""")
    metrics = BACKEND.measure(nn.Linear(9, 100), 32, options(board)).metrics()

    assert (metrics["latency_p10_ms"], metrics["latency_p90_ms"]) == (3.0, 3.0)
    assert metrics["latency_reported"]["celsius"] == "1e999"


def test_every_latency_names_the_converter_that_wrote_the_file(board, monkeypatch):
    pinned = BACKEND.device(options(board, devices=("1", "3")))
    monkeypatch.setattr(type(load_format("onnx")), "written_by", "torch 2.13.0, litert-torch 0.10.0")
    metrics = BACKEND.measure(nn.Linear(9, 100), 32, options(board, devices=("1", "3"))).metrics()

    names = [name for name in metrics if name.startswith("latency_device")]
    assert names == ["latency_device", "latency_device@1", "latency_device@3"]
    assert all(metrics[name].endswith("onnx file by torch 2.13.0, litert-torch 0.10.0") for name in names)
    assert BACKEND.device(options(board, devices=("1", "3"))) == pinned  # studies made before can be resumed


def test_several_devices_measure_the_same_network_and_the_slowest_counts(board):
    run = f"sh {board.path / 'measure.sh'} {{file}} {{device}} {{device}}"
    metrics = BACKEND.measure(nn.Linear(9, 100), 32, options(board, run=run, devices=("1", "3"))).metrics()

    assert metrics["latency_ms"] == metrics["latency_ms@3"] == 30.5
    assert metrics["latency_ms@1"] == 10.5
    assert metrics["latency_device"].startswith("command: 1: Board 1, rt 1.2; 3: Board 3, rt 1.2, onnx file by")
    assert {line.split()[0] for line in board.log() if line} == {"1", "3"}


def test_the_latency_of_another_device_is_not_taken_for_this_ones(board):
    BACKEND.device(options(board))
    board.run = board.run.replace("{device}", "x")
    (board.path / "measure.sh").write_text(SCRIPT.format(folder=board.path).replace("Board", "Phone"))
    assert "Phone x" in BACKEND.device(options(board))  # another command is another device
    (board.path / "measure.sh").write_text(SCRIPT.format(folder=board.path))
    with pytest.raises(DeviceUnavailable, match=r"Board x.*Phone x"):
        BACKEND.measure(nn.Linear(9, 100), 32, options(board))


def test_two_runs_on_two_devices_are_not_a_latency(board):
    BACKEND.device(options(board))
    board.fail(f"[ -e {board.path}/again ] && set -- $1 2; touch {board.path}/again")
    with pytest.raises(DeviceUnavailable, match=r"Board 2, .* so far it was Board , "):
        BACKEND.measure(nn.Linear(9, 100), 32, options(board))


def test_every_batch_has_a_reference_of_its_own(board):
    run = f"sh {board.path / 'measure.sh'} {{file}} x {{batch}}"
    for batch in (1, 4):  # as `throughput_batch` does in one study
        latency = BACKEND.measure(nn.Linear(9, 100), 32, options(board, run=run, batch=batch))
        assert latency.ratio == pytest.approx((10 * batch + 0.5) / (100 * batch + 0.5))


def test_another_phone_has_a_reference_of_its_own(board):
    BACKEND.device(options(board))
    command._bench.cache_clear()
    slower = SCRIPT.format(folder=board.path).replace("Board", "Phone").replace("size *", "2 * size *")
    (board.path / "measure.sh").write_text(slower)
    assert "Phone" in BACKEND.device(options(board))  # not a board that became slow
    assert BACKEND.measure(nn.Linear(9, 100), 32, options(board)).ratio == pytest.approx(20.5 / 200.5)


@pytest.mark.parametrize(
    ("changed", "value"),
    [
        ({"format": ""}, "format: is missing"),
        ({"format": "onxx"}, "did you mean 'onnx'"),
        ({"format": "yaml"}, "yaml"),
        ({"timeout_s": 0.0}, "timeout_s: found 0"),
        ({"timeout_s": float("nan")}, "timeout_s: found nan"),
        ({"fused": True}, "fused"),
    ],
)
def test_settings_that_cannot_be_measured_are_refused(board, changed, value):
    with pytest.raises(PlanError, match=value):
        BACKEND.device(options(board, **changed))


def test_settings_without_effect_on_a_latency_are_not_stored():
    stored = command_settings(run="./m.sh {file}", devices=("a",), timeout_s=9.0, retries=5)
    assert stored["devices"] == ["a"]
    assert not {"timeout_s", "retries", "exclusive"} & stored.keys()
    assert not {"run", "format", "devices"} & command_settings().keys()  # older studies have none


def command_settings(**settings):
    from mvsearch.profiling.measurements.latency import MEASUREMENT

    return MEASUREMENT.stored_settings(LatencySettings(**settings), 64)


def board_plan(board, trials, settings="", **search):
    text = f"{TOY}latency: {{backend: command, run: '{board.run}', format: onnx, retries: 1{settings}}}\n"
    return toy_plan(board.path, text, **{"objectives": ("params", "latency_ms"), "trials": trials, **search})


def run_study(plan):
    study = Study.join(plan)
    evaluator = Evaluator(plan)
    study.pin_environment(**evaluator.facts())
    study.run(evaluator)
    return study.records()


def test_the_latency_on_one_device_is_an_objective_and_that_on_another_is_limited(board):
    board.run = f"sh {board.path / 'measure.sh'} {{file}} {{device}} {{device}}"
    objectives, settings = ("params", "latency_ms@1"), ", devices: ['1', '3']"
    plan = board_plan(board, 8, settings, objectives=objectives, limits=("latency_ms@3 <= 1000",))
    records = run_study(plan)

    assert {record.state for record in records} == {"complete", "pruned"}
    for record in records:
        one, three = (record.metrics[f"latency_ms@{device}"] for device in (1, 3))
        assert three == pytest.approx(3 * one, rel=0.1) == record.metrics["latency_ms"]
        assert (record.state == "complete") == (0.97 * three <= 1000)
    assert "latency_ms@3 1,3" in next(r.reason for r in records if r.state == "pruned")
    shown = front_table(records, front(records, plan.objectives), plan.objectives)
    heads = [str(column.header) for column in shown.columns]
    assert [head for head in heads if "latency" in head] == ["latency (1)", "latency", "latency (3)"]
    assert choose_axes(plan.objectives, "latency_ms@3", known=known_metrics(records))[0] == "latency_ms@3"


@pytest.mark.parametrize(
    ("settings", "key", "value"),
    [
        (", fused: true", "latency.fused", r"command has no such setting; .* the backend torch_cpu or torch_cuda"),
        (", threads: 2", "latency.run", "has no {threads}"),
    ],
)
def test_a_setting_that_cannot_be_measured_is_refused_with_its_line(board, settings, key, value):
    with pytest.raises(PlanError, match=value) as error:
        measured_devices(board_plan(board, 8, settings))
    assert (error.value.line, error.value.key) == (1 + TOY.count("\n"), key)
    assert str(error.value).count("latency.") == 1


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ("backend: command", "run"),
        ("backend: command, run: './m.sh {file}'", "format"),
        ("backend: command, run: './m.sh {file}', format: tflite", "format"),
        ("backend: command, run: './m.sh {file}', format: onnx, devices: [a, b]", "run"),
        ("backend: command, run: './m.sh {file} {device}', format: onnx, devices: [a, a]", "devices"),
        ("backend: command, run: './m.sh {file}', format: onnx, threads: 4", "run"),
        ("backend: command, run: './m.sh {file}', format: onnx, timeout_s: 0", "timeout_s"),
        ("backend: onnxruntime, run: './m.sh {file}'", "run"),
    ],
)
def test_a_file_whose_latency_cannot_be_measured_is_not_valid(tmp_path, settings, key):
    text = f"{TOY}latency:\n  {{{settings}}}\n"
    with pytest.raises(PlanError) as error:
        toy_plan(tmp_path, text, objectives=("params", "latency_ms"))
    assert (Path(error.value.file).name, error.value.key) == ("toy.yaml", f"latency.{key}")
    assert error.value.line > TOY.count("\n")
    toy_plan(tmp_path, text, objectives=("params", "macs"))  # nothing is timed


@pytest.mark.parametrize(
    ("settings", "objective", "value"),
    [
        (", devices: ['1', '3']", "latency_ms@2", r"found 1, 3.*latency_ms@2"),
        ("", "latency_ms@2", "found none"),
        (", devices: ['1', '3'], predict: 5", "latency_ms@3", "only latency_ms is predicted"),
        (", devices: ['1', '3']", "memory_mib@3", "unknown metric 'memory_mib@3'"),
    ],
)
def test_a_latency_on_a_device_that_does_not_measure_is_refused(board, settings, objective, value):
    with pytest.raises(PlanError, match=value):
        board_plan(board, 8, settings, objectives=("params", objective))


def test_scale_meets_a_latency_that_the_command_measures(board, printed):
    budget = ("--to", "latency_ms=900", "--by", "width", "--run", board.run, "--format", "onnx", "--device", "s25")
    report = json.loads(printed("scale", "mobilevitv3_xxs_l2", "--image-size", "64", *budget, "--json"))
    assert report["after"]["latency_ms"] == pytest.approx(900, rel=0.1)
    assert "Board s25" in report["after"]["latency_device"]


def test_a_study_is_not_resumed_on_another_device_and_nothing_is_timed_before(board):
    run_study(board_plan(board, 2))
    command._bench.cache_clear()
    (board.path / "measure.sh").write_text(SCRIPT.format(folder=board.path).replace("Board", "Phone"))
    plan, before = board_plan(board, 4), len(board.log())
    with pytest.raises(StudyError, match=r"measured with device command: Board .*, this run has command: Phone"):
        search(plan)
    assert len(board.log()) == before + 2  # the reference alone
    search(board_plan(board, 2))  # a finished study needs no device


def test_a_device_that_vanishes_ends_the_study_with_a_sentence_and_the_same_command_resumes(board):
    def run(trials):
        return run_study(board_plan(board, trials))

    assert len(run(2)) == 2
    board.fail("echo 'error: device offline' >&2; exit 1")
    with pytest.raises(DeviceUnavailable, match="device offline"):
        run(4)
    command._bench.cache_clear()
    with pytest.raises(DeviceUnavailable, match="device offline"):  # in another process it is away from the start
        run(4)
    board.heal()
    records = run(4)

    assert [record.state for record in records] == ["complete"] * 4
    assert all(record.metrics["latency_device"].startswith("command: Board") for record in records)
    board.fail('if [ $(wc -c < "$1") -ne 100 ]; then echo "unsupported operator" >&2; exit 1; fi')
    (failed,) = run(5)[4:]
    assert (failed.state, "unsupported operator" in failed.reason) == ("failed", True)
