from dataclasses import replace

import numpy as np
import pytest
from toy import TOY, toy_plan, toy_space

from mvsearch.errors import PlanError
from mvsearch.study.plan import Constraint, Plan
from mvsearch.study.samplers._constrained import find_nearest
from mvsearch.study.study import Study

SETTINGS = """
search: {objectives: [loss, params], trials: 7, sampler: nsga2, seed: 5, limits: [params <= 60k]}
proxy: {steps: 20, seeds: 2}
"""


def test_a_file_says_what_to_do_and_flags_win():
    from_file = Plan.of(toy_space(TOY + SETTINGS))
    assert (from_file.search.trials, from_file.search.sampler, from_file.search.seed) == (7, "nsga2", 5)
    assert from_file.proxy.seeds == 2
    assert from_file.proxy_settings().steps == 20

    silent = Plan.of(toy_space(TOY))
    assert (silent.proxy.seeds, silent.proxy_settings().steps) == (1, 600)
    assert silent.search.objectives == ("loss", "params", "macs")

    flagged = Plan.of(toy_space(TOY + SETTINGS), trials=9, sampler=None, objectives=("params",), seed=0)
    assert (flagged.search.trials, flagged.search.sampler, flagged.search.seed) == (9, "nsga2", 0)
    assert flagged.search.objectives == ("params",)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("params <= 6M", "params", 6e6),
        ("macs<=1.5G", "macs", 1.5e9),
        ("latency_ms <= 12", "latency_ms", 12),
        ("top1 >= 0.8", "top1", 0.8),
    ],
)
def test_limits_read_as_they_are_written(text, name, value):
    limit = Constraint.parse(text)
    assert (limit.name, limit.value) == (name, value)
    assert limit.holds(value)
    assert not limit.holds(value + 1 if limit.at_most else value - 1)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ("search: {trails: 3}", r"toy.yaml:\d+: search.trails: unknown setting 'trails'; did you mean 'trials'"),
        ("search: {trials: many}", "use a value like 40"),
        ("search: {trials: 0}", "use 1 or more"),
        ("data: {size: 4}", r"toy.yaml:\d+: data.size: found 4; use 8"),
        ("data: {test_fraction: 1.0}", r"toy.yaml:\d+: data.test_fraction: found 1"),
        ("latency: {image_size: 0}", r"toy.yaml:\d+: latency.image_size: found 0; use 32"),
        ("search: {sampler: tpee}", "did you mean 'tpe'"),
        ("search: {objectives: [top2]}", r"toy.yaml:\d+: search.objectives.0: .*did you mean 'top1'"),
        ("search: {objectives: [params, params]}", "each once"),
        ("search: {limits: [macs <= 1G, params < 6M]}", r"toy.yaml:\d+: search.limits.1: .*params < 6M"),
        ("search: {limits: [parms <= 6M]}", r"toy.yaml:\d+: search.limits.0: .*did you mean 'params'"),
        ("search: {beat: mobilevitv3_xxl}", r"toy.yaml:\d+: search.beat: .*did you mean 'mobilevitv3_xxs"),
        (
            "search: {limits: [params <= 1]}",
            r"params <= 1; params .* [\d,]+ .*[\d,]+",
        ),
        ("search: []", "use a mapping of settings"),
        ("proxy: {name: trian}", "did you mean 'train'"),
        ("proxy: {stepps: 3}", "did you mean 'steps'"),
        ("proxy: {lr: fast}", "use a value like 0.002"),
        ("proxy: {lr: -1}", "found -1; use a number, 0 or more"),
        ("proxy: {flip: 1}", "use a value like True"),
        ("proxy: {init: 3}", "found 3; use text"),
        ("proxy: {seeds: 0}", "a whole number from 1 to 100"),
        ("data: {source: fashion}", "did you mean 'fashion_mnist'"),
        ("data: {path: 3}", "found 3"),
        ("latency: {backend: torch_cuad}", "did you mean 'torch_cuda'"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_what_would_do(section, says):
    with pytest.raises(PlanError, match=says):
        Plan.of(toy_space(f"{TOY}\n{section}\n"))


def test_images_that_are_too_small_at_one_size_of_the_space_are_refused_before_the_first_trial():
    text = TOY.replace("image_size: 64", "image_size: {choose: [64, 96]}")
    text += "search: {objectives: [naswot, params]}\nproxy: {name: naswot, image_size: SIZE}\n"

    assert Plan.of(toy_space(text.replace("SIZE", "48"))).proxy_settings().image_size == 48
    with pytest.raises(PlanError) as error:
        Plan.of(toy_space(text.replace("SIZE", "32")))
    assert error.value.key == "proxy.image_size"


def test_equal_settings_have_equal_keys_whatever_does_not_change_a_number():
    plan = Plan.of(toy_space(TOY + SETTINGS), objectives=("top1", "params"))
    same = Plan.of(toy_space(TOY + SETTINGS), objectives=("top1", "macs"), trials=99, seed=1, sampler="random")
    assert plan.settings_digest == same.settings_digest

    for change in (("steps: 20", "steps: 21"), ("seeds: 2", "seeds: 3"), ("steps: 20", "steps: 20, lr: 0.1")):
        other = Plan.of(toy_space((TOY + SETTINGS).replace(*change)), objectives=("top1", "params"))
        assert other.settings_digest != plan.settings_digest


def test_limits_are_checked_in_bulk_as_they_are_one_by_one(tmp_path):
    plan = toy_plan(tmp_path, limits=("params <= 40k", "macs >= 1M"))
    codes = plan.space.sample(300, seed=1)
    for row, kept in zip(codes, plan.admissible(codes), strict=True):
        metrics = plan.space.architecture(plan.space.point(row)).metrics()
        assert kept == (metrics["params"] <= 40_000 and metrics["macs"] >= 1_000_000)


def test_points_with_a_value_that_only_conditions_exclude_are_not_admissible(tmp_path):
    mixer = "uib, out: body.out, stride: 2, middle: {choose: [none, 3, 4]}}"
    text = TOY.replace("mv2, out: body.out, stride: 2, expand: 2}", mixer)
    text = text.replace("where: stem.out <= body.out", "where: ['down.middle == 3']")
    plan = toy_plan(tmp_path, text, limits=("params <= 40k",))
    codes = plan.space.enumerate_codes(range(len(plan.space.choices)))
    for row, admissible in zip(codes[::97], plan.admissible(codes)[::97], strict=True):
        point = plan.space.point(row)
        legal = point["down.middle"] == 3
        assert admissible == (legal and plan.space.architecture(point).cost().params <= 40_000)


def test_a_proposal_is_moved_no_farther_than_it_must(tmp_path):
    plan = toy_plan(tmp_path, limits=("params <= 60k",))
    rng = np.random.default_rng(0)
    free = plan.space.sample(400, seed=2)
    for codes in free[plan.admissible(free)][:20]:
        assert find_nearest(plan, codes, set(), rng).tolist() == codes.tolist()
        moved = find_nearest(plan, codes, {codes.tobytes()}, rng)
        assert (moved != codes).sum() == 1
        assert plan.admissible(moved[None])[0]


def test_the_ablation_can_be_walked_whole(tmp_path):
    plan = replace(Plan.load("spaces/fusion.yaml", objectives=("params", "macs")), studies=tmp_path)
    Study.join(plan).run(lambda arch: arch.metrics())

    records = Study.read(plan).records()
    assert len({record.key for record in records}) == plan.space.size == 16
    assert [bool(record.published) for record in records] == [True] * 5 + [False] * 11


def test_limits_that_only_few_points_meet_are_taken_and_those_that_none_meets_refused():
    plan = Plan.load("spaces/v3.yaml", limits=("params <= 0.95M",))
    assert not plan.admissible(plan.space.sample(20_000, 0)).any()

    with pytest.raises(PlanError, match=r"params <= 0.69M; params .* 691,528 "):
        Plan.load("spaces/v3.yaml", limits=("params <= 0.69M",))
    with pytest.raises(PlanError, match="params >= 9M and params <= 6M"):
        Plan.load("spaces/v3.yaml", limits=("params >= 9M", "params <= 6M"))
