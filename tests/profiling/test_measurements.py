import sys
from dataclasses import fields, replace
from pathlib import Path
from subprocess import run

import pytest
from small import PLAIN
from toy import toy_plan

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.published import published
from mvsearch.errors import EnvironmentFault, PlanError, StudyError
from mvsearch.metrics.formatting import pretty
from mvsearch.metrics.record import ConstraintViolated, EvaluationFailed, score_values
from mvsearch.metrics.registry import metric
from mvsearch.profiling.latency import load_backend
from mvsearch.profiling.measurements import _resident, energy, load_measurement, measurements, rss
from mvsearch.profiling.measurements.energy import EnergySettings
from mvsearch.profiling.measurements.latency import LatencySettings
from mvsearch.profiling.measurements.rss import RssSettings
from mvsearch.study.comparison import compare
from mvsearch.study.evaluator import Evaluator
from mvsearch.study.plan import Plan
from mvsearch.study.study import Study
from mvsearch.utils import plugins

SMALL = Architecture.from_dict(PLAIN)
NAMES = plugins.names("measurement")


@pytest.fixture(scope="module")
def resident():
    return load_measurement("rss").measure(SMALL, RssSettings(repeats=2), {"rss_mib"})


# Every file


@pytest.mark.parametrize("name", NAMES)
def test_every_measurement_declares_its_metrics_and_its_settings(name):
    measurement = load_measurement(name)
    for each in measurement.metrics:
        assert metric(each.name) == each
        assert each.kind == "measurement"
    for each in measurement.scores:
        assert metric(each.name) == each
        assert each.kind == "score"
    names = {field.name for field in fields(measurement.settings_type)}
    assert {*measurement.positive} <= names
    assert ("image_size" in names) != measurement.trained  # a trained network has the image size of its training
    if not measurement.trained:
        assert measurement.stored_settings(measurement.settings_type(), 64)["image_size"] == 64


@pytest.mark.parametrize("name", NAMES)
def test_no_measurement_loads_torch_before_it_measures(name):
    code = f"import sys, mvsearch.profiling.measurements.{name}; assert 'torch' not in sys.modules"
    run([sys.executable, "-c", code], check=True)


def test_measurements_that_need_the_machine_come_last():
    exclusive = [measurement.exclusive for measurement in measurements().values()]
    assert exclusive == sorted(exclusive)


def test_a_setting_of_zero_is_refused_with_its_place(tmp_path):
    with pytest.raises(PlanError) as error:
        plan(tmp_path, "rss: {repeats: 0}")
    assert (error.value.line, error.value.key) == (5, "rss.repeats")


# Resident memory


def test_resident_memory_comes_with_its_spread_and_its_device(resident):
    assert resident["rss_runtime_mib"] < resident["rss_min_mib"] <= resident["rss_mib"] <= resident["rss_max_mib"]
    assert (resident["rss_repeats"], resident["rss_batch"], resident["rss_image_size"]) == (2, 1, SMALL.image_size)
    assert resident["rss_device"].startswith("cpu: ")
    assert not score_values(resident)
    assert pretty("rss_mib", resident["rss_mib"]).endswith(" MiB")


def test_a_larger_batch_needs_more_resident_memory(resident):
    many = load_measurement("rss").measure(SMALL.at(image_size=128), RssSettings(batch=64, repeats=1), {"rss_mib"})
    images_mib = 64 * 3 * 128**2 * 4 / 1024**2
    assert many["rss_mib"] > resident["rss_mib"] + images_mib


def test_a_process_that_fails_is_an_evaluation_that_failed(monkeypatch):
    monkeypatch.setattr(rss.sys, "executable", "/bin/false")
    with pytest.raises(EvaluationFailed, match="exit code 1"):
        load_measurement("rss").measure(SMALL, RssSettings(), {"rss_mib"})


def test_a_system_without_process_status_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(rss, "STATUS", tmp_path / "status")
    with pytest.raises(EnvironmentFault, match="status"):
        load_measurement("rss").device(RssSettings())


def test_fields_of_the_process_status_are_read_in_mebibytes(monkeypatch, tmp_path):
    (tmp_path / "status").write_text("Name:\tpython\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n")
    monkeypatch.setattr(_resident, "STATUS", tmp_path / "status")
    assert (_resident.resident_mib("VmRSS"), _resident.resident_mib("VmHWM")) == (1.0, 2.0)


def plan(folder: Path, section: str, *, name: str = "space", search: str = "objectives: [rss_mib, params]") -> Plan:
    path = folder / f"{name}.yaml"
    path.write_text(
        "image_size: 32\nnum_classes: 10\n"
        "blocks: [{name: stem, block: conv, out: {choose: [8, 16]}, stride: 2}]\n"
        f"search: {{{search}}}\n{section}\n"
    )
    return replace(Plan.load(path), studies=folder / "studies")


def test_a_study_optimises_resident_memory(tmp_path):
    one = plan(tmp_path, "rss: {repeats: 1}")
    evaluator = Evaluator(one)
    study = Study.join(one)
    study.pin_environment(**evaluator.facts())
    study.run(evaluator, trials=1)

    records = study.records()
    assert [record.state for record in records] == ["complete"]
    assert records[0].metrics["rss_mib"] > 50
    assert evaluator.facts()["code"] == "rss 1"
    assert study.facts.settings["rss"] == {"batch": 1, "threads": 1, "repeats": 1, "image_size": 32}
    assert study.facts.device("rss") == records[0].metrics["rss_device"]


def test_studies_with_other_settings_of_a_measurement_are_not_compared(tmp_path):
    studies = {}
    for repeats in (1, 2):
        one = plan(tmp_path, f"rss: {{repeats: {repeats}}}", name=f"repeats{repeats}")
        Study.join(one).run(lambda arch: {**arch.metrics(), "rss_mib": float(arch.blocks[0].out)}, trials=2)
        studies[one.name] = Study.read(one)
    with pytest.raises(StudyError, match=r"rss.repeats is 1 in repeats1, 2 in repeats2"):
        compare(studies)


def test_a_constraint_on_a_measurement_is_checked(tmp_path):
    one = plan(tmp_path, "rss: {repeats: 1}", search="objectives: [params], limits: ['rss_mib <= 1']")
    with pytest.raises(ConstraintViolated, match="rss_mib"):
        Evaluator(one)(one.space.architecture(one.space.point(one.all_points[0])))


def test_what_is_not_asked_for_is_not_measured(tmp_path):
    assert not toy_plan(tmp_path).required_measurements()


def test_the_time_of_a_latency_follows_from_the_network_that_is_measured(monkeypatch):
    backend, arch, prepared = load_backend("torch_cpu"), published("repvit_m0_9").at(image_size=32), []
    prepare = backend.prepare
    monkeypatch.setattr(backend, "prepare", lambda model, *rest: prepared.append(model) or prepare(model, *rest))
    timing = load_measurement("latency")
    timing.seconds(arch, LatencySettings(repeats=3))
    timing.measure(arch, LatencySettings(repeats=3), {"latency_ms"})

    sizes = [sum(parameter.numel() for parameter in model.parameters()) for model in prepared]
    assert sizes[:2] == sizes[2:]
    assert arch.cost().params in sizes


# Energy


@pytest.fixture
def powercap(tmp_path, monkeypatch):
    """Two packages, of which one has a part, and the machine as a whole, which includes them."""
    names = {"intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:1": "package-1", "intel-rapl:2": "psys"}
    for folder, name in names.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "name").write_text(f"{name}\n")
        (tmp_path / folder / "energy_uj").write_text("999900\n")
        (tmp_path / folder / "max_energy_range_uj").write_text("1000000\n")
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    monkeypatch.setattr(energy, "MIN_ROUND_S", 0.002)
    return tmp_path


def advance(file: Path, microjoules: int) -> None:
    file.write_text(f"{(int(file.read_text(encoding='utf-8')) + microjoules) % 1_000_000}\n", encoding="utf-8")


def test_energy_is_the_sum_over_packages_and_calls_past_the_end_of_a_counter(powercap):
    def call() -> None:
        advance(powercap / "intel-rapl:0" / "energy_uj", 300)
        advance(powercap / "intel-rapl:0:0" / "energy_uj", 300)
        advance(powercap / "intel-rapl:1" / "energy_uj", 200)
        advance(powercap / "intel-rapl:2" / "energy_uj", 900)

    counters = energy.read_counters()
    assert [counter.name for counter in counters] == ["package-0", "package-1"]
    assert energy.millijoules(call, counters) == pytest.approx(0.5)


def test_energy_comes_with_its_spread_and_the_packages_that_are_counted(powercap):
    metrics = load_measurement("energy").measure(SMALL, EnergySettings(repeats=3), {"energy_mj"})
    assert metrics["energy_p10_mj"] <= metrics["energy_mj"] <= metrics["energy_p90_mj"]
    assert metrics["energy_device"].endswith("RAPL of package-0+package-1")
    assert not score_values(metrics)


def test_a_machine_without_counters_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    measurement = load_measurement("energy")
    with pytest.raises(EvaluationFailed, match="RAPL"):
        measurement.measure(SMALL, EnergySettings(), {"energy_mj"})
    with pytest.raises(EnvironmentFault) as error:
        measurement.device(EnergySettings())
    assert error.value.file == str(tmp_path)


def test_a_counter_that_may_not_be_read_is_named(powercap, monkeypatch):
    read_text = Path.read_text

    def refuse(path: Path, encoding: str | None = None) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return read_text(path, encoding=encoding)

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(EnvironmentFault, match="energy_uj"):
        energy.read_counters()
