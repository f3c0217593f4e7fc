import json
import math
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from command import assert_refused
from effort import examples
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from toy import TOY, toy_space

from mvsearch.arch.cost import Cost
from mvsearch.errors import PlanError, SpaceError
from mvsearch.metrics.constraints import Constraint
from mvsearch.metrics.registry import STATIC_COSTS
from mvsearch.space import cost_factors
from mvsearch.space import exact_front as exact_module
from mvsearch.space.cost_query import InfeasibleError
from mvsearch.space.exact_front import exact_front
from mvsearch.space.expressions import Expression
from mvsearch.space.search_space import SearchSpace
from mvsearch.study.plan import Plan

SPACES = Path(__file__).parents[2] / "spaces"


def columns_of(space: SearchSpace, codes: np.ndarray) -> dict[str, np.ndarray]:
    costs = space.costs(codes)
    return {name: np.array(getattr(costs, name)) for name in STATIC_COSTS}


def enumerated(space: SearchSpace) -> dict[str, np.ndarray]:
    """The costs of all legal points; none is left out."""
    codes = np.array(list(product(*(range(len(choice.values)) for choice in space.choices))), dtype=np.int64)
    return columns_of(space, codes[space.is_legal(codes)])


def by_enumeration(
    costs: dict[str, np.ndarray], objectives: tuple[str, ...], limits: list[Constraint]
) -> dict[tuple[int, ...], int]:
    """The vectors on the front of points, and how many points have each."""
    feasible = np.all([costs["params"] >= 0, *(limit.holds(costs[limit.name]) for limit in limits)], axis=0)
    vectors, counts = np.unique(
        np.column_stack([costs[name][feasible] for name in objectives]), axis=0, return_counts=True
    )
    front = {}
    while len(vectors):  # the first in order is on the front of those that are left
        front[tuple(vectors[0].tolist())] = int(counts[0])
        left = ~(vectors >= vectors[0]).all(axis=1)
        vectors, counts = vectors[left], counts[left]
    return front


def assert_is_the_front(
    space: SearchSpace,
    objectives: tuple[str, ...],
    limits: list[Constraint],
    costs: dict[str, np.ndarray] | None = None,
) -> None:
    """Compare with enumeration; `costs` of all points where they are known already."""
    expected = by_enumeration(costs or enumerated(space), objectives, limits)
    if not expected:
        with pytest.raises(PlanError, match=r"no point satisfies|contradict"):
            exact_front(space, objectives, limits)
        return
    members = exact_front(space, objectives, limits)
    vectors = [tuple(getattr(member.cost, name) for name in objectives) for member in members]

    assert vectors == sorted(expected)
    assert [member.ties for member in members] == [expected[vector] for vector in vectors]
    for member in members:
        assert space.is_legal(space.codes(member.point)[None])[0]
        assert space.architecture(member.point).cost() == member.cost
        assert all(limit.holds(getattr(member.cost, limit.name)) for limit in limits)


OBJECTIVES = [c for n in (1, 2, 3) for c in (STATIC_COSTS[:n], STATIC_COSTS[::-1][:n])]


@pytest.fixture(scope="module")
def files() -> dict[str, SearchSpace]:
    return {name: SearchSpace.load(SPACES / f"{name}.yaml") for name in ("quick", "v2", "fusion", "v3")}


# ---- against enumeration


@pytest.fixture(scope="module")
def costs_of(files) -> Callable[[str], dict[str, np.ndarray]]:
    """The costs of all points of a file."""
    return cache(lambda name: enumerated(files[name]))


@pytest.mark.parametrize("name", ["quick", pytest.param("v2", marks=pytest.mark.slow), "fusion"])
@pytest.mark.parametrize("objectives", OBJECTIVES, ids="-".join)
def test_it_is_what_enumeration_finds_with_and_without_limits(files, costs_of, name, objectives):
    costs = costs_of(name)
    assert_is_the_front(files[name], objectives, [], costs)
    for cost in STATIC_COSTS:
        low, middle, high = (int(np.quantile(costs[cost], share)) for share in (0.2, 0.5, 0.8))
        for limits in ([f"{cost} <= {middle}"], [f"{cost} >= {middle}"], [f"{cost} >= {low}", f"{cost} <= {high}"]):
            assert_is_the_front(files[name], objectives, [Constraint.parse(limit) for limit in limits], costs)


WIDTHS = st.lists(st.sampled_from([8, 12, 16, 24, 32]), min_size=1, max_size=3, unique=True)
FEW = st.lists(st.integers(1, 3), min_size=1, max_size=3, unique=True)
CONDITIONS = [
    "stem.out <= down.out <= body.out",
    "down.expand == e or body.depth > 1",
    "body.dim <= body.out and e <= body.depth",
    "stem.stride == 2 if e == 1 else body.depth < 3",
    "down.out % stem.out == 0",
    "not (local == 'dense' and e == 2)",
]


@st.composite
def small_spaces(draw) -> SearchSpace:
    """Rows whose fields are shared, computed, open strides and patches; conditions across rows."""
    body = draw(st.sampled_from(["mobilevit", "mobilevitv2"]))
    fusion = f"local: local, fusion: {{choose: {draw(st.sampled_from(['[1, 3]', '[none, 1]', '[3]']))}}}"
    patch = draw(st.sampled_from(["2", "{choose: [2, 3]}", "e + 1"]))
    where = draw(st.lists(st.sampled_from(CONDITIONS), max_size=3, unique=True))
    text = f"""
image_size: {draw(st.sampled_from([32, 45]))}
num_classes: {draw(st.sampled_from([10, 300]))}
vars:
  e: {{choose: {draw(FEW)}}}
  local: {{choose: [dense, depthwise]}}
  twice: 2*body.dim
blocks:
  - {{name: stem, block: conv, out: {{choose: {draw(WIDTHS)}}}, stride: {{choose: [1, 2]}}}}
  - {{name: down, block: mv2, out: body.out, stride: {draw(st.sampled_from(["1", "2", "stem.stride"]))}, expand: {{choose: {draw(FEW)}}}, repeat: e}}
  - {{name: body, block: {body}, out: {{choose: {draw(WIDTHS)}}}, dim: {{choose: {draw(WIDTHS)}}}, depth: {{choose: {draw(FEW)}}}, ffn: twice, patch: {patch}{", " + fusion if body == "mobilevit" else ""}}}
  - {{name: last, block: conv, out: {draw(st.sampled_from(["'min(4*body.out, 90)'", "64", "{choose: [16, 64]}"]))}, kernel: {{choose: [1, 3]}}}}
  - {{name: end, block: mv2, out: 16, kernel: "3 if local == 'dense' else 5"}}
head: {{linear: {draw(st.sampled_from(["true", "false"]))}}}
where: {json.dumps(where)}
"""  # noqa: E501
    try:
        space = toy_space(text)
    except SpaceError as error:  # nothing meets the conditions
        assume("no combination of values" not in str(error))
        raise
    assume(math.prod(len(choice.values) for choice in space.choices) <= 20_000)
    return space


@settings(max_examples=examples(30, 60), deadline=None, suppress_health_check=list(HealthCheck))
@given(space=small_spaces(), objectives=st.sampled_from(OBJECTIVES), data=st.data())
def test_in_any_small_space_it_is_what_enumeration_finds(space, objectives, data):
    costs = columns_of(space, space.sample(500, 0))
    limits = []
    for name in data.draw(st.lists(st.sampled_from(STATIC_COSTS), max_size=3)):
        value = int(np.quantile(costs[name], data.draw(st.floats(0, 1))))
        limits.append(Constraint.parse(f"{name} {data.draw(st.sampled_from(['<=', '>=']))} {value}"))
    with patch.object(exact_module, "_AT_ONCE", data.draw(st.sampled_from([0, 100_000]))):  # in strips, or at once
        assert_is_the_front(space, objectives, limits)


@pytest.mark.parametrize("limit", ["params >= 20k", "params >= 20001", "macs >= 3M", "macs_paper >= 3M"])
def test_in_strips_it_is_the_same(monkeypatch, limit):
    monkeypatch.setattr(exact_module, "_AT_ONCE", 0)
    for objectives in (("params", "macs"), ("macs", "params")):
        assert_is_the_front(toy_space(), objectives, [Constraint.parse(limit)])


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_it_does_not_depend_on_how_many_sums_are_made_at_once(monkeypatch, at_once):
    monkeypatch.setattr(exact_module, "_CHUNK", at_once)
    space = toy_space()
    for limit in ([], [Constraint.parse("params >= 30k")]):
        assert_is_the_front(space, ("params", "macs"), limit)


def test_a_map_whose_size_follows_from_open_strides_is_priced_at_that_size():
    text = TOY.replace("stride: 2}", "stride: {choose: [1, 2]}}", 1)
    assert_is_the_front(toy_space(text), ("macs",), [])
    assert_is_the_front(toy_space(text), ("params", "macs"), [Constraint.parse("macs >= 5M")])


def test_a_division_that_a_condition_keeps_from_zero_is_never_tried():
    text = TOY.replace("depth: {choose: [1, 2, 3]}", "depth: 6//off, ffn: {choose: [16, 32]}")
    text = text.replace("vars:", "vars:\n  off: {range: [0, 3]}").replace("where: ", "where: off > 0 and ")
    assert_is_the_front(toy_space(text), ("params", "macs"), [])


def test_ties_are_counted_beyond_64_bits():
    extra = "".join(f"  d{i}: {{range: [0, 9999]}}\n" for i in range(6))
    rows = "".join(f"  - {{name: x{i}, block: conv, out: 8, kernel: 1 + 0*d{i}}}\n" for i in range(6))
    text = TOY.replace("blocks:\n", f"{extra}blocks:\n").replace("where:", f"{rows}where:")
    (member,) = exact_front(toy_space(text), ("params",))
    assert member.ties == 10_000**6


# ---- the large space


@pytest.fixture(scope="module")
def v3_costs(files) -> dict[str, np.ndarray]:
    return columns_of(files["v3"], files["v3"].sample(200_000, 11))


@pytest.mark.parametrize(
    ("objectives", "limits"),
    [
        (("params", "macs"), ()),
        (STATIC_COSTS, ("params <= 6M", "macs <= 2.1G")),
        pytest.param(("macs", "macs_paper"), ("params >= 800k",), marks=pytest.mark.slow),
    ],
)
def test_no_sampled_point_of_v3_dominates_or_is_missing(files, v3_costs, objectives, limits):
    space, limits = files["v3"], [Constraint.parse(limit) for limit in limits]
    members = exact_front(space, objectives, limits)
    sampled = np.array([*by_enumeration(v3_costs, objectives, limits)])  # what dominates the other samples
    front = np.array([[getattr(member.cost, name) for name in objectives] for member in members])

    assert len({tuple(row) for row in front.tolist()}) == len(front)
    no_worse = (front[:, None] <= sampled[None]).all(axis=2)
    assert no_worse.any(axis=0).all(), "a sampled point is not covered by the front"
    for i, row in enumerate(front):
        assert not ((sampled <= row).all(axis=1) & (sampled < row).any(axis=1)).any()
        assert not ((front <= row).all(axis=1) & (front < row).any(axis=1)).any()
        assert space.architecture(members[i].point).cost() == members[i].cost
        assert space.is_legal(space.codes(members[i].point)[None])[0]


def test_the_least_of_v3_ties_where_a_choice_costs_nothing(files):
    (member,) = exact_front(files["v3"], ("params", "macs"))
    twin = {**member.point, "add_input": not member.point["add_input"]}
    added = 3 if twin["add_input"] else -3  # a sum in each of three rows
    assert files["v3"].architecture(twin).cost() == member.cost + Cost(operators=added)
    assert member.ties >= 2


# ---- what it says


def test_of_points_that_tie_the_published_one_is_named(files):
    cost = files["v2"].architecture(dict(files["v2"].published_points())["mobilevitv2_0.5"]).cost()
    at = [Constraint.parse(f"params {sign} {cost.params}") for sign in ("<=", ">=")]
    (member,) = exact_front(files["v2"], ("params", "macs"), at)

    assert (member.published, member.cost) == ("mobilevitv2_0.5", cost)
    assert member.ties == 2


def test_progress_is_told_and_ends_with_every_choice(files):
    calls = []
    exact_front(files["quick"], ("params",), progress=lambda done, total, _step="": calls.append((done, total)))
    assert calls == sorted(calls)
    assert calls[-1] == (5, 5)


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("a <= b <= c", [("a", "b"), ("b", "c")]),
        ("a and (b < c and d)", [("a",), ("b", "c"), ("d",)]),
        ("a or b < c < d", [("a", "b", "c", "d")]),
        ("a < b", [("a", "b")]),
    ],
)
def test_a_condition_falls_into_parts_that_hold_together(source, parts):
    whole = Expression.parse(source)
    assert [part.names for part in whole.conjuncts] == parts
    for values in product((0, 1, 2), repeat=4):
        names = dict(zip("abcd", values, strict=True))
        together = all(bool(part.evaluate(names.__getitem__)) for part in whole.conjuncts)
        assert together == bool(whole.evaluate(names.__getitem__))


# ---- what cannot be had


def test_too_many_sums_are_refused_before_they_are_made(files, monkeypatch):
    monkeypatch.setattr(exact_module, "_MAX_SUMS", 200_000)
    with pytest.raises(PlanError, match=r"params >= 3M.* it would add up [\d,]+ \(limit 200,000"):
        exact_front(files["v3"], ("params", "macs"), [Constraint.parse("params >= 3M")])
    monkeypatch.setattr(exact_module, "_MAX_COMBINATIONS", 60_000)
    with pytest.raises(SpaceError, match="60,000"):
        exact_front(files["v3"], ("params", "macs"))


@pytest.mark.parametrize(
    ("objective", "limit", "least"),
    [("macs", "params >= 1M", 199_205_888), ("macs", "params >= 3M", 305_393_152), ("params", "macs >= 1G", 1_112_664)],
)
def test_a_lower_limit_deep_inside_a_large_space_is_a_matter_of_few_sums(files, monkeypatch, objective, limit, least):
    monkeypatch.setattr(exact_module, "_MAX_SUMS", 300_000)  # 14 million without the points that are known already
    (member,) = exact_front(files["v3"], (objective,), [Constraint.parse(limit)])
    assert getattr(member.cost, objective) == least


def test_the_front_of_two_costs_above_a_lower_limit_is_a_matter_of_few_sums(files, monkeypatch):
    monkeypatch.setattr(exact_module, "_MAX_SUMS", 500_000)  # 14 million if it is not computed in strips
    members = exact_front(files["v3"], ("params", "macs"), [Constraint.parse("params >= 2M")])
    assert [(m.cost.params, m.cost.macs) for m in members] == [
        (2_000_000, 268_889_600),
        (2_000_008, 251_744_768),
        (2_000_072, 242_278_912),
        (2_000_120, 239_600_128),
        (2_004_344, 239_567_360),
    ]


def test_sums_that_bounds_do_not_exclude_are_limited_too(files, monkeypatch):
    monkeypatch.setattr(exact_module, "_MAX_COMPARED", 1000)
    with pytest.raises(PlanError, match=r"it would compare [\d,]+ \(limit 1,000"):
        exact_front(files["v3"], ("params", "macs"))


def test_too_many_lines_are_refused(files, monkeypatch):
    monkeypatch.setattr(exact_module, "_MAX_ENTRIES", 1000)
    with pytest.raises(PlanError, match="intractable"):
        exact_front(files["v3"], ("params", "macs"))


def test_a_row_of_too_many_choices_is_refused(files, monkeypatch):
    monkeypatch.setattr(cost_factors, "_MAX_COMBINATIONS", 1000)
    with pytest.raises(SpaceError, match=r"row layer3 .* \d+ choices .*limit 1,000"):
        exact_front(files["v3"], ("params", "macs"))


def test_nothing_within_the_limits_is_said_so():
    for limit in ("params <= 1", "params >= 1e300", "macs >= 1e400"):
        with pytest.raises(InfeasibleError):
            exact_front(toy_space(), ("params",), [Constraint.parse(limit)])


# ---- the command


def test_the_command_prints_raw_numbers(mvsearch):
    result = mvsearch("space", "quick.yaml", "--front", "--limit", "params >= 1M", "--json")
    facts = json.loads(result.out)
    plan = Plan.load("quick.yaml")
    members = exact_front(plan.space, ("params", "macs"), [*plan.limits, Constraint.parse("params >= 1M")])

    assert (result.code, result.err) == (0, "")
    assert facts.pop("seconds") >= 0
    assert facts == {
        "space": "quick",
        "objectives": ["params", "macs"],
        "objectives_left_out": ["scaled_loss"],
        "limits": ["params <= 1.4M", "params >= 1M"],
        "limits_not_checked": [],
        "front": [{**vars(m.cost), "ties": m.ties, "published": m.published, "choices": m.point} for m in members],
    }


def test_the_command_shows_costs_whole_and_the_choices_that_differ(mvsearch):
    result = mvsearch(
        "space", "quick.yaml", "--front", "--objective", "macs", "--objective", "params", "--limit", "params >= 1M"
    )
    members = exact_front(Plan.load("quick.yaml").space, ("macs", "params"), [Constraint.parse("params >= 1M")])

    assert result.code == 0
    for member in members:
        assert f"{member.cost.params:,}" in result.out
        assert f"{member.cost.macs:,}" in result.out
    assert "exactly 114" in result.out
    assert "params <= 1.4M and params >= 1M" in result.out


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--objective", "parms"), "did you mean 'params'"),
        (("--objective", "top1"), "'top1'"),
        (("--objective", "params", "--objective", "params"), "name each once"),
        (("--limit", "latency_ms <= 3"), "'latency_ms'"),
        (("--limit", "params < 3"), "params < 3"),
        (("--limit", "params >= 5M"), "params <= 1.4M and params >= 5M"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(mvsearch, flags, says):
    assert says in assert_refused(mvsearch, "space", "quick.yaml", "--front", *flags)


def test_a_file_that_seeks_no_cost_is_told_to_name_one(mvsearch):
    text = Path("quick.yaml").read_text(encoding="utf-8")
    Path("quick.yaml").write_text(text.replace("[scaled_loss, params, macs]", "[top1]"), encoding="utf-8")
    assert "params, macs" in assert_refused(mvsearch, "space", "quick.yaml", "--front")


def test_points_that_have_nothing_in_common_print_no_unfinished_sentence(mvsearch):
    lines = mvsearch("space", "quick.yaml", "--front", "--limit", "macs >= 300M").out.splitlines()
    assert not [line for line in lines if line.strip() == "all of them have"]


def test_limits_without_front_are_a_slip_of_usage(mvsearch):
    assert mvsearch("space", "quick.yaml", "--limit", "params <= 1M").code == 2
