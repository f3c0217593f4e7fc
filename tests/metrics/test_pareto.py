import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvsearch.errors import PlanError, StudyError
from mvsearch.metrics.pareto import (
    Objective,
    attainment,
    coverage,
    epsilon,
    front,
    hypervolume,
    reference_point,
    running_hypervolume,
    spans,
)
from mvsearch.metrics.record import Record

TOP1, PARAMS, MACS = (Objective.named(name) for name in ("top1", "params", "macs"))
ALL = (TOP1, PARAMS, MACS)


def record(number: int, top1: float | None, params: float, macs: float = 1.0, **changes) -> Record:
    metrics = {"top1": top1, "params": params, "macs": macs}
    base = Record(number, f"key{number}", "complete", None, metrics, {}, {}, None, 1.0)
    return replace(base, **changes)


def dominates(a: Record, b: Record) -> bool:
    costs = [(o.cost(a.metrics[o.name]), o.cost(b.metrics[o.name])) for o in ALL]
    return all(x <= y for x, y in costs) and any(x < y for x, y in costs)


def numbers(records) -> list[int]:
    return [found.number for found in records]


@st.composite
def studies(draw) -> list[Record]:
    """Few distinct values, so that ties, equals and repeats of one architecture all happen."""
    rows = draw(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 5), st.integers(1, 4), st.integers(0, 9))))
    return [record(i, t / 5, p * 1e6, m * 1e8, key=f"key{key}") for i, (t, p, m, key) in enumerate(rows)]


@given(studies())
def test_no_member_of_the_front_is_dominated(records):
    assert not any(dominates(other, member) for member in front(records, ALL) for other in records)


@given(studies())
def test_every_other_record_is_dominated_by_a_member_or_repeats_one(records):
    members = front(records, ALL)
    for other in records:
        repeats = any((m.key, m.metrics) == (other.key, other.metrics) for m in members)
        assert repeats or any(dominates(member, other) for member in members)


@given(studies(), st.randoms())
def test_the_order_of_the_records_changes_nothing(records, random):
    shuffled = random.sample(records, len(records))

    assert front(shuffled, ALL) == front(records, ALL)


@given(studies())
def test_the_front_runs_from_cheap_to_dear(records):
    params = [member.metrics["params"] for member in front(records, ALL)]
    assert params == sorted(params)


def test_of_one_architecture_met_twice_the_first_trial_stays_and_equal_strangers_both_do():
    again = record(7, 0.8, 1e6, key="key2")
    assert numbers(front([again, record(2, 0.8, 1e6), record(3, 0.8, 1e6)], ALL)) == [2, 3]


def test_what_is_unfinished_or_unmeasured_is_not_compared():
    records = [
        record(0, 0.7, 2e6),
        record(1, 0.9, 1e6, state="pruned"),
        record(2, None, 1e6),
        record(3, math.nan, 1e6),
        record(4, math.inf, 1e6),
    ]
    assert numbers(front(records, ALL)) == [0]
    assert front([], ALL) == []


def test_a_single_objective_leaves_the_best():
    assert numbers(front([record(0, 0.7, 1.0), record(1, 0.9, 2.0), record(2, 0.8, 3.0)], [TOP1])) == [1]


def test_a_misspelt_objective_gets_a_suggestion():
    with pytest.raises(PlanError, match=r"'latency'.*'latency_ms'"):
        Objective.named("latency")


def test_the_reference_point_is_the_worst_moved_away_by_a_tenth_of_the_range():
    point = reference_point([record(0, 0.6, 1e6), record(1, 0.8, 3e6)], [TOP1, PARAMS])
    assert point == pytest.approx({"top1": 0.58, "params": 3.2e6})


def test_where_all_are_equal_the_reference_point_moves_by_a_tenth_of_the_value():
    assert reference_point([record(0, 0.6, 1e6)], [TOP1, PARAMS]) == pytest.approx({"top1": 0.54, "params": 1.1e6})


def test_a_reference_point_of_nothing_names_what_is_missing():
    with pytest.raises(StudyError, match="latency_ms"):
        reference_point([record(0, 0.6, 1e6)], [TOP1, Objective.named("latency_ms")])


def test_the_hypervolume_is_the_area_of_the_steps_in_two_dimensions():
    reference = {"top1": 0.0, "params": 10.0}
    records = [record(0, 0.5, 2.0), record(1, 0.8, 6.0), record(2, 0.4, 4.0)]

    assert hypervolume(records, [TOP1, PARAMS], reference) == pytest.approx((0.5 * 8 + 0.3 * 4) / 10)


def grid_hypervolume(costs: np.ndarray) -> float:
    """The volume below (1, 1, 1) that some row dominates, cell by cell of the grid that the rows span."""
    edges = [np.unique(np.append(column, 1.0)) for column in costs.T]
    lower = np.stack(np.meshgrid(*(edge[:-1] for edge in edges), indexing="ij"), axis=-1)
    sizes = np.stack(np.meshgrid(*(np.diff(edge) for edge in edges), indexing="ij"), axis=-1)
    dominated = (costs[:, None, None, None] <= lower).all(-1).any(0)
    return float((dominated * sizes.prod(-1)).sum())


@settings(deadline=None)
@given(studies().filter(bool))
def test_the_hypervolume_is_that_of_the_cells_of_a_grid_that_some_record_dominates(records):
    reference = reference_point(records, ALL)
    ideal = np.array([objective.cost(objective.ideal) for objective in ALL])
    corner = np.array([objective.cost(reference[objective.name]) for objective in ALL])
    costs = np.array([[objective.cost(r.metrics[objective.name]) for objective in ALL] for r in records])
    expected = grid_hypervolume((costs - ideal) / (corner - ideal))

    assert hypervolume(records, ALL, reference) == pytest.approx(expected, abs=1e-12)


@given(studies().filter(bool), studies())
def test_more_trials_never_lose_hypervolume(records, later):
    reference = reference_point([*records, *later], ALL)
    assert hypervolume([*records, *later], ALL, reference) >= hypervolume(records, ALL, reference) - 1e-12


def test_records_beyond_the_reference_point_add_nothing():
    reference = {"top1": 0.5, "params": 2e6}
    near, far = record(0, 0.7, 1e6), record(1, 0.9, 3e6)

    assert hypervolume([near, far], [TOP1, PARAMS], reference) == hypervolume([near], [TOP1, PARAMS], reference)
    assert hypervolume([], [TOP1, PARAMS], reference) == 0.0


def test_a_reference_point_no_worse_than_the_ideal_is_refused():
    with pytest.raises(PlanError, match="must be worse"):
        hypervolume([record(0, 0.7, 1e6)], [TOP1, PARAMS], {"top1": 1.0, "params": 2e6})


# ---- one front over another

PAIR = (TOP1, PARAMS)


def test_coverage_is_the_share_that_is_equalled_or_beaten_and_differs_each_way():
    one = [record(0, 0.8, 1e6)]
    three = [record(0, 0.8, 1e6), record(1, 0.7, 2e6), record(2, 0.9, 3e6)]

    assert coverage(one, three, PAIR) == pytest.approx(2 / 3)
    assert coverage(three, one, PAIR) == 1.0
    assert coverage([record(0, 0.8, 2e6)], one, PAIR) == 0.0


def test_epsilon_is_what_the_nearest_member_lacks_in_spans_of_the_objectives():
    ends = [record(0, 0.7, 1e6), record(1, 0.9, 3e6)]
    scales = spans(ends, PAIR)
    assert scales == {"top1": (0.7, 0.9), "params": (1e6, 3e6)}

    # Top-1 of .75 at 1.5 M is a quarter of the span above the one end, and three quarters cheaper than the other.
    assert epsilon(ends, [record(2, 0.75, 1.5e6)], PAIR, scales) == pytest.approx(0.25)
    assert epsilon([record(2, 0.75, 1.5e6)], ends, PAIR, scales) == pytest.approx(0.75)
    assert epsilon(ends, ends, PAIR, scales) == 0.0
    assert epsilon([record(2, 0.9, 2e6)], [record(0, 0.7, 3e6)], PAIR, scales) == pytest.approx(-0.5)


def test_where_all_are_alike_epsilon_is_counted_in_the_objectives_own_unit():
    same = [record(0, 0.7, 1e6)]
    assert epsilon(same, same, PAIR, spans(same, PAIR)) == 0.0


@given(studies().filter(bool), studies().filter(bool))
def test_all_is_covered_exactly_where_epsilon_is_nought_or_less(one, other):
    scales = spans([*one, *other], ALL)
    assert (coverage(one, other, ALL) == 1.0) == (epsilon(one, other, ALL, scales) <= 0)


def test_attainment_is_what_one_two_and_all_of_three_fronts_reach():
    reached = ([(0.7, 1e6), (0.9, 3e6)], [(0.8, 2e6)], [(0.6, 1e6), (0.9, 4e6)])
    fronts = [[record(i, *values) for i, values in enumerate(rows)] for rows in reached]

    def surface(times: int) -> list[tuple[float, float]]:
        return sorted((row["params"], row["top1"]) for row in attainment(fronts, PAIR, times))

    assert surface(1) == [(1e6, 0.7), (2e6, 0.8), (3e6, 0.9)]
    assert surface(2) == [(1e6, 0.6), (2e6, 0.7), (3e6, 0.8), (4e6, 0.9)]
    assert surface(3) == [(2e6, 0.6), (4e6, 0.8)]


@given(studies().filter(bool))
def test_the_attainment_of_a_single_front_is_that_front(records):
    best = front(records, ALL)
    expected = {tuple(member.metrics[o.name] for o in ALL) for member in best}
    assert {tuple(row[o.name] for o in ALL) for row in attainment([best], ALL, 1)} == expected


@settings(deadline=None)
@given(studies().filter(bool))
def test_the_running_hypervolume_is_that_of_all_so_far(records):
    reference = reference_point(records, ALL)
    expected = [hypervolume(records[: n + 1], ALL, reference) for n in range(len(records))]

    assert running_hypervolume(records, ALL, reference) == pytest.approx(expected, abs=1e-12)


def test_a_refused_candidate_counts_as_an_evaluation_and_adds_no_hypervolume():
    reference = {"top1": 0.0, "params": 10.0}
    records = [record(0, 0.9, 1.0, state="failed"), record(1, 0.5, 2.0), record(2, None, 1.0)]

    assert running_hypervolume(records, PAIR, reference) == pytest.approx([0.0, 0.4, 0.4])
