from dataclasses import fields, replace

import pytest

import mvsearch.study  # noqa: F401  registers every plug-in's metrics
from mvsearch.arch.cost import Cost
from mvsearch.metrics.formatting import pretty, scale, with_error
from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import score_values
from mvsearch.metrics.registry import STATIC_COSTS, TOP1, declare, is_score, measurements, metric, scores, searchable


def test_the_static_costs_are_the_fields_of_a_cost():
    assert tuple(field.name for field in fields(Cost)) == STATIC_COSTS
    assert {metric(name).kind for name in STATIC_COSTS} == {"static cost"}


def test_scores_measurements_and_static_costs_are_all_metrics():
    assert {*searchable()} <= {*scores(), *measurements(), *STATIC_COSTS}
    assert not {*scores()} & {*measurements(), *STATIC_COSTS}


@pytest.mark.parametrize("name", searchable())
def test_every_metric_can_be_an_objective_and_has_a_label(name):
    objective = Objective.named(name)
    assert (objective.maximise, objective.ideal) == (metric(name).maximise, metric(name).ideal)
    assert metric(name).label
    assert metric(name).description
    assert metric(name).tasks


def test_throughput_is_reported_and_is_no_objective():
    assert "throughput_images_s" in measurements()
    assert "throughput_images_s" not in searchable()


def test_a_name_belongs_to_one_metric():
    declare(TOP1)
    with pytest.raises(ValueError, match="top1"):
        declare(replace(TOP1, maximise=False))
    assert metric("top1") is TOP1


def test_details_of_a_measurement_are_not_scores():
    assert not is_score("latency_ms")
    assert not is_score("latency_p90_ms")
    assert not is_score("throughput_batch")
    assert is_score("train_loss"), "what a proxy stores beside its declared scores"
    numbers = {"params": 5, "latency_ms": 2.0, "latency_batch": 1, "top1": 0.5, "top1_sem": 0.1, "latency_device": "x"}
    assert score_values(numbers) == {"top1": 0.5}


def test_a_metric_is_written_in_its_declared_unit():
    assert pretty("latency_ms", 12.345) == "12.3 ms"
    assert pretty("undeclared", 12.345) == "12.3"
    assert with_error("top1", {"top1": 0.8571, "top1_sem": 0.0039}) == "85.7 ± 0.39 %"
    assert scale("params", [1e6, 2e6]) == ("parameters (M)", 1e6)
