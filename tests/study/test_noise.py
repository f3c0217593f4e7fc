"""No candidate is pruned within the noise of its measurement: constraints, the evaluation, and what is counted."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from toy import TOY, toy_plan

from mvsearch.metrics.constraints import Constraint, noise_interval, undecided_limits
from mvsearch.metrics.latency_text import busy_note, conditions
from mvsearch.metrics.record import ConstraintViolated, Latency
from mvsearch.metrics.registry import LATENCY_MS
from mvsearch.profiling.measurements import Measurement
from mvsearch.profiling.measurements.latency import LatencySettings
from mvsearch.report.findings import compute_findings
from mvsearch.study.evaluator import MAX_REPETITIONS, Evaluator
from mvsearch.study.study import Study
from mvsearch.study.target import Target

LIMIT = Constraint.parse("latency_ms <= 12")


def measured(ms: float, low: float, high: float, **more: Any) -> dict[str, Any]:
    return {"latency_ms": ms, "latency_low_ms": low, "latency_high_ms": high, **more}


@pytest.mark.parametrize(
    ("metrics", "violated", "undecided"),
    [
        (measured(8.5, 8.2, 8.8), False, False),
        (measured(12.7, 8.5, 13.0), False, True),  # MobileViTv3-XXS on a busy machine
        (measured(11.9, 11.0, 12.5), False, True),
        (measured(21.0, 7.0, 24.0), False, True),
        (measured(12.7, 12.4, 13.0), True, False),
        (measured(12.0, 12.0, 12.0), False, False),
        ({"latency_ms": 12.7}, True, False),  # of an older study
        ({"latency_ms": 11.9}, False, False),
        ({"latency_ms": 12.7, "latency_low_ms": None, "latency_high_ms": float("nan")}, True, False),
        ({"params": 1}, False, False),
    ],
)
def test_a_limit_is_violated_only_beyond_the_noise(metrics, violated, undecided):
    assert LIMIT.violated(metrics) is violated
    assert LIMIT.undecided(metrics) is undecided
    assert undecided_limits([LIMIT], metrics) == ((LIMIT,) if undecided else ())


def test_lower_limits_have_noise_as_well_and_static_costs_have_none():
    above = Constraint.parse("latency_ms >= 12")
    assert above.undecided(measured(11.5, 10, 13))
    assert above.violated(measured(11.5, 10, 11.9))
    assert noise_interval("params", {"params": 7, "params_low_": 1}) == (7, 7)
    assert noise_interval("energy_mj", {"energy_mj": 5.0, "energy_low_mj": 4.0, "energy_high_mj": 6.0}) == (4.0, 6.0)


def ratio(low: float, high: float, reference: str = "x at 128 px") -> dict[str, Any]:
    return {"latency_ratio_low": low, "latency_ratio_high": high, "latency_reference": reference}


@pytest.mark.parametrize(
    ("target", "metrics", "violated", "undecided"),
    [
        (measured(8.5, 8.2, 8.8), measured(9.3, 9.0, 9.6), True, False),
        (measured(8.5, 8.2, 8.8), measured(9.0, 8.7, 9.3), False, True),  # above, but the intervals overlap
        (measured(8.5, 8.2, 8.8), measured(8.3, 8.0, 8.6), False, True),
        (measured(8.5, 8.2, 8.8), measured(8.0, 7.8, 8.2), False, False),
        # The time of the reference was unknown, so that milliseconds say little; the ratios are known well.
        (measured(8.5, 3.3, 8.8, **ratio(0.97, 1.03)), measured(9.3, 3.6, 9.6, **ratio(1.06, 1.12)), True, False),
        (measured(8.5, 8.2, 8.8, **ratio(0.97, 1.03)), measured(9.3, 9.0, 9.6, **ratio(1.0, 1.1)), False, True),
        (measured(8.5, 8.2, 8.8, **ratio(0.9, 1.1)), measured(9.3, 9.0, 9.6, **ratio(0.9, 1.1, "y")), True, False),
        ({}, measured(9.3, 9.0, 9.6), False, False),  # the network is not measured yet
        (measured(8.5, 8.2, 8.8), {"params": 1}, False, False),
    ],
)
def test_a_limit_that_was_measured_itself_has_noise_too(target, metrics, violated, undecided):
    limit = Constraint.no_more_than("middle", "latency_ms", target)
    assert limit.violated(metrics) is violated
    assert limit.undecided(metrics) is undecided
    assert "middle" in limit.text


# The evaluation


@dataclass(frozen=True)
class Settings:
    image_size: int | None = None


class Scripted(Measurement):
    """Gives the next of these measurements at each call."""

    metrics = (LATENCY_MS,)
    settings_type = Settings

    def __init__(self, *results: dict[str, Any]) -> None:
        self.results, self.calls = results, 0

    def measure(self, arch: Any, settings: Any, wanted: Any) -> dict[str, Any]:
        result = self.results[min(self.calls, len(self.results) - 1)]
        self.calls += 1
        return dict(result)


@pytest.fixture
def evaluator(tmp_path, monkeypatch):
    """An evaluator for `latency_ms <= 12`, whose latency is scripted."""

    def make(*results: dict[str, Any]) -> tuple[Evaluator, Scripted]:
        plan = toy_plan(tmp_path, objectives=("latency_ms", "params"), limits=("latency_ms <= 12",))
        evaluate, scripted = Evaluator(plan), Scripted(*results)
        monkeypatch.setattr(evaluate, "_measurements", {"latency": scripted})
        return evaluate, scripted

    return make


def any_architecture(evaluate: Evaluator):
    points = evaluate.plan.all_points
    return evaluate.plan.space.architecture(evaluate.plan.space.point(points[0]))


@pytest.mark.parametrize(
    ("results", "calls", "kept"),
    [
        ([measured(8.5, 8.2, 8.8)], 1, 8.5),
        ([measured(12.7, 8.5, 13.0), measured(8.6, 8.3, 8.9)], 2, 8.6),  # a busy moment, then a quiet one
        ([measured(12.7, 8.5, 13.0)], MAX_REPETITIONS, 12.7),  # always busy: kept, though its value is above the limit
        ([measured(12.7, 8.5, 13.0), measured(12.5, 11.5, 12.9), measured(12.6, 9.0, 13.0)], 3, 12.5),
    ],
)
def test_within_the_noise_it_is_measured_again_and_kept(results, calls, kept, evaluator):
    evaluate, scripted = evaluator(*results)
    assert evaluate(any_architecture(evaluate))["latency_ms"] == kept
    assert scripted.calls == calls


@pytest.mark.parametrize(
    ("results", "calls"),
    [([measured(12.7, 12.4, 13.0)], 1), ([measured(12.7, 8.5, 13.0), measured(12.8, 12.5, 13.0)], 2)],
)
def test_beyond_the_noise_it_is_pruned_with_its_interval(results, calls, evaluator):
    evaluate, scripted = evaluator(*results)
    with pytest.raises(ConstraintViolated, match=r"between 12\.\d and 13\) breaks the limit latency_ms <= 12"):
        evaluate(any_architecture(evaluate))
    assert scripted.calls == calls


@pytest.mark.parametrize(("limit", "keeps"), [("latency_ms <= 1000000", True), ("latency_ms >= 1000000", False)])
def test_a_real_measurement_is_kept_or_pruned_where_its_noise_does_not_matter(limit, keeps, tmp_path):
    plan = toy_plan(tmp_path, objectives=("latency_ms", "params"), limits=(limit,))
    evaluate = Evaluator(replace(plan, measurements={**plan.measurements, "latency": LatencySettings(repeats=3)}))
    arch = any_architecture(evaluate)
    if keeps:
        metrics = evaluate(arch)
        assert metrics["latency_low_ms"] <= metrics["latency_ms"] <= metrics["latency_high_ms"]
    else:
        with pytest.raises(ConstraintViolated, match="between"):
            evaluate(arch)


def test_a_candidate_over_the_latency_of_the_network_to_beat_ends_before_its_training(evaluator):
    evaluate, scripted = evaluator(measured(9.3, 9.0, 9.6))
    arch = any_architecture(evaluate)
    target = Target("middle", replace(arch, image_size=96), {}, ("params", "macs", "latency_ms"))
    evaluate.plan = replace(evaluate.plan, target=target)
    assert evaluate(arch)["latency_ms"] == 9.3
    evaluate._measured = ("", {})
    with pytest.raises(
        ConstraintViolated, match=r"9\.3 \(between 9 and 9\.6\) .* 8\.5 of middle \(between 8\.2 and 8\.8"
    ):
        evaluate(arch, target=measured(8.5, 8.2, 8.8))
    assert scripted.calls == 2


# What is counted


def test_kept_candidates_are_counted_and_a_busy_machine_is_named(tmp_path):
    plan = toy_plan(tmp_path, TOY, objectives=("latency_ms", "params"), limits=("latency_ms <= 12",), trials=4)
    busy = {"latency_busy": True, "latency_cpu_share": 0.31, "latency_load": 8.44, "latency_reference": "x at 128 px"}
    results = [
        measured(8.5, 8.2, 8.8),
        measured(12.7, 8.5, 13.0, **busy, latency_reference_ms=2.5, latency_reference_quiet=True),
        measured(12.7, 12.4, 13.0),
        {"latency_ms": 9.0},
    ]

    def evaluate(arch: Any) -> dict[str, Any]:
        metrics = {**arch.metrics(), **results.pop(0)}
        plan.check_constraints(metrics)
        return metrics

    study = Study.join(plan)
    study.run(evaluate, trials=4)
    findings = compute_findings(Study.read(plan))

    assert [record.state for record in findings.records] == ["complete", "complete", "pruned", "complete"]
    assert findings.to_json()["undecided"] == [1]
    assert findings.tally == (
        f"front: {len(findings.front)} of 3 complete trials within latency_ms <= 12, 1 of these to within the noise of "
        "the measurement; 1 pruned"
    )
    note = busy_note([record.metrics for record in findings.records])
    assert all(text in note for text in ("1 of 4", "31%", "8.4", "x at 128 px", "2.5"))


def test_a_quiet_machine_and_older_records_have_no_note():
    assert busy_note([]) == busy_note([{"params": 3}]) == busy_note([{"latency_ms": 3.0}]) == ""
    assert busy_note([measured(8, 7, 9, latency_busy=False)]) == ""
    busy, predicted = measured(8, 7, 9, latency_busy=True), measured(8, 7, 9) | {"latency_predicted": True}
    assert busy_note([busy, busy, predicted]).startswith("2 of 2 latencies were measured while")
    int8 = {"latency_int8_ms": 2.0, "latency_int8_busy": True, "latency_int8_load": 10.0}
    assert busy_note([measured(8, 7, 9, latency_busy=False) | int8]).startswith("1 of 2 latencies were measured while")


def test_records_without_the_new_numbers_still_make_a_front(tmp_path):
    plan = toy_plan(tmp_path, objectives=("latency_ms", "params"), limits=("latency_ms <= 12",), trials=2)
    times = [13.0, 5.0]
    study = Study.join(replace(plan, search=replace(plan.search, limits=())))
    study.run(lambda arch: {**arch.metrics(), "latency_ms": times.pop(0)}, trials=2)
    findings = compute_findings(Study.read(plan), limits=["latency_ms <= 12"])

    assert [record.metrics["latency_ms"] for record in findings.front] == [5.0]
    assert findings.to_json()["undecided"] == []


def test_a_latency_is_stored_without_what_was_not_measured():
    plain = Latency(1.0, 0.9, 1.1, 5, 2, 224, 1, "fp32", "torch_cpu", "cpu: x")
    stored = plain.metrics()
    assert "latency_ratio" not in stored
    assert conditions(stored) == "2 images of 224 px, torch_cpu, fp32, 1 thread"
    assert replace(plain, ratio=3.4).metrics()["latency_ratio"] == 3.4
