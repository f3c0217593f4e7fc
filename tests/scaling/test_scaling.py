import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from effort import examples
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from toy import arithmetic, toy_plan, toy_space

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.published import model_names, published
from mvsearch.errors import PlanError, StudyError
from mvsearch.metrics.record import Latency
from mvsearch.report.figures.scaling import Member, fusions, scaling_figure
from mvsearch.report.figures.scaling_plot import plot_scaling
from mvsearch.scaling import METHODS, Budget, Coefficients, Scaling, fit_coefficients, scale_to_cost, scale_to_latency
from mvsearch.scaling.fields import scalable_fields
from mvsearch.study.study import Study

PAPER = ("dim", "stem", "layer1", "layer2")
"""What MobileViTv3 left as it was when it widened its blocks."""

METHOD_AND_COST = [
    (by, name) for by in METHODS for name in ("params", "macs") if (by, name) != ("resolution", "params")
]


def budget(name: str, value: float, *, at_most: bool = False) -> Budget:
    return Budget(name, at_most, float(value), f"{value}")


def costs(arch: Architecture, name: str) -> int:
    return getattr(arch.cost(), name)


@st.composite
def architectures(draw) -> Architecture:
    """A published model, or a small network whose widths and heads are of every kind, legal and odd."""
    if draw(st.booleans()):
        return published(draw(st.sampled_from(model_names())))
    space = toy_space()
    arch = space.architecture(space.point(space.sample(1, draw(st.integers(0, 1000)))[0]))
    stem, down, body = arch.blocks
    heads = draw(st.sampled_from([1, 3, 4, 5]))
    width = draw(st.integers(5, 60))
    body = replace(body, out=width, dim=heads * draw(st.integers(2, 20)), heads=heads, ffn=draw(st.integers(8, 90)))
    return replace(arch, blocks=(replace(stem, out=draw(st.integers(3, 40))), replace(down, out=width), body))


@settings(deadline=None, max_examples=examples(40, 120))
@given(architectures(), st.sampled_from(METHOD_AND_COST), st.floats(0.3, 5), st.booleans())
def test_the_result_is_legal_and_within_one_percent_or_else_nothing_near_the_multiplier_is_closer(
    arch, method, share, at_most
):
    by, name = method
    target = budget(name, round(costs(arch, name) * share), at_most=at_most)
    reachable = Scaling(arch, by).path(8)
    assume(costs(reachable.architecture(reachable.steps[0].indices), name) < target.value)
    assume(costs(reachable.architecture(reachable.steps[-1].indices), name) > target.value)
    result = scale_to_cost(Scaling(arch, by), target)

    assert Architecture.from_dict(result.arch.to_dict()).key == result.arch.key
    assert result.value == costs(result.arch, name)
    assert not (at_most and result.value > target.value)
    if result.met:
        return
    off = abs(result.value - target.value)
    for value in everything_near(arch, by, name, target.value):
        assert abs(value - target.value) >= off or (at_most and value > target.value)


def everything_near(arch: Architecture, by: str, name: str, value: float) -> list[int]:
    """The costs of all multipliers and, by brute force, of the two nearest with up to three fields adjusted by one."""
    path = Scaling(arch, by).path(8)
    priced = path.costs(path.indices, name).tolist()
    high = next(i for i, cost in enumerate(priced) if cost > value)
    values = list(priced)
    for base, changes in itertools.product((high - 1, high), itertools.product((-1, 0, 1), repeat=len(path.fields))):
        indices = [index + change for index, change in zip(path.steps[base].indices, changes, strict=True)]
        own = path.steps[path.identity].indices
        away = (r >= o if high - 1 >= path.identity else r <= o for r, o in zip(indices, own, strict=True))
        legal = all(0 <= index < len(field.allowed) for index, field in zip(indices, path.fields, strict=True))
        if len(path.fields) > 8 or sum(map(abs, changes)) > 3 or not legal or not all(away):
            continue
        cost = costs(path.architecture(indices), name)
        values += [cost] * (priced[high - 1] <= cost <= priced[high])
    return values


@pytest.mark.parametrize(("by", "name"), METHOD_AND_COST)
@pytest.mark.parametrize("model", model_names())
def test_scaling_to_its_own_cost_leaves_an_architecture_as_it_is(model, by, name):
    arch = published(model)
    result = scale_to_cost(Scaling(arch, by), budget(name, costs(arch, name)))

    assert result.arch == arch
    assert result.scale == (0 if by == "compound" else 1)


@settings(deadline=None, max_examples=examples(20, 60))
@given(
    architectures(),
    st.sampled_from(METHOD_AND_COST),
    st.lists(st.floats(0.5, 4), min_size=2, max_size=6),
    st.booleans(),
)
def test_a_larger_budget_never_gives_a_cheaper_architecture(arch, method, shares, at_most):
    by, name = method
    own = costs(arch, name)
    reachable = Scaling(arch, by).path(8)
    assume(costs(reachable.architecture(reachable.steps[0].indices), name) < own * min(shares))
    assume(costs(reachable.architecture(reachable.steps[-1].indices), name) > own * max(shares))
    values = [scale_to_cost(Scaling(arch, by), budget(name, own * s, at_most=at_most)).value for s in sorted(shares)]

    assert values == sorted(values)


@pytest.mark.parametrize("version", ["v2", "v3"])
@pytest.mark.parametrize(("one", "other", "times"), [("1.0", "0.5", 0.5), ("0.5", "0.75", 1.5), ("0.5", "1.0", 2)])
def test_the_v2_family_is_one_of_its_members_at_other_widths(version, one, other, times):
    arch, target = published(f"mobilevit{version}_{one}"), published(f"mobilevit{version}_{other}")

    assert Scaling(arch, "width").at(times).key == target.key
    for name in ("params", "macs"):
        result = scale_to_cost(Scaling(arch, "width"), budget(name, costs(target, name)))
        assert result.arch.key == target.key
        assert result.scale == pytest.approx(times, rel=0.02)


def test_the_384_models_are_the_others_with_larger_images():
    arch, target = published("mobilevitv2_1.0"), published("mobilevitv2_1.0_384")

    assert scale_to_cost(Scaling(arch, "resolution"), budget("macs", costs(target, "macs"))).arch.key == target.key


@pytest.mark.parametrize("size", ["xxs", "xs", "s"])
def test_widening_the_v3_block_until_it_costs_what_v1_costs_lies_among_the_papers_multipliers(size):
    v1, v3 = published(f"mobilevitv1_{size}"), published(f"mobilevitv3_{size}")
    unscaled = fusions(v1)["v3: 1x1 fusion"]
    result = scale_to_cost(Scaling(unscaled, "width", PAPER), budget("params", v1.cost().params))
    papers = [b.out / a.out for a, b in zip(v1.blocks, v3.blocks, strict=True) if b.out != a.out]

    assert result.met
    assert min(papers) < result.scale < max(papers)
    assert [row.dim for row in result.arch.blocks if row.attention_width] == [
        row.dim for row in v3.blocks if row.attention_width
    ]
    assert [row.out for row in result.arch.blocks[:3]] == [row.out for row in v3.blocks[:3]]


@settings(deadline=None, max_examples=40)
@given(architectures(), st.sampled_from(["width", "depth", "resolution"]), st.floats(0.2, 6))
def test_every_number_is_the_nearest_legal_one_or_at_least_nine_tenths_of_what_the_multiplier_asks(arch, by, times):
    path = Scaling(arch, by).path(8)
    step = path.steps[path.step_at(times)]
    for field, index in zip(path.fields, step.indices, strict=True):
        asked, value = field.value * times, field.allowed[index]
        nearest = min(abs(asked - other) for other in field.allowed)
        assert value >= 0.9 * asked - 1e-9 or value == field.allowed[-1]
        assert abs(asked - value) <= nearest + 1e-9 or value > asked


@settings(deadline=None, max_examples=30)
@given(architectures(), st.sampled_from(METHODS), st.sampled_from(["params", "macs", "macs_paper"]))
def test_costs_in_bulk_are_the_costs_of_the_architectures_and_rise_along_the_path(arch, by, name):
    path = Scaling(arch, by).path()
    bulk = path.costs(path.indices, name)

    assert (np.diff(bulk) >= 0).all()
    for i in range(0, len(bulk), max(1, len(bulk) // 7)):
        assert bulk[i] == costs(path.architecture(path.steps[i].indices), name)


def test_rows_that_keep_their_width_are_scaled_together_so_that_residuals_fit():
    fields = scalable_fields(published("mobilevitv3_xxs"), ["width"])

    assert [field.name for field in fields][:2] == ["layer1.out", "layer2.out"]
    assert fields[0].places == ((0, "out"), (1, "out"))


def test_attention_stays_divisible_by_its_heads_and_its_hidden_width_in_proportion():
    arch = published("mobilevitv3_s")
    odd = replace(
        arch, blocks=tuple(replace(r, heads=6, ffn=3 * r.dim) if r.attention_width else r for r in arch.blocks)
    )
    scaled = Scaling(odd, "width").at(1.37)

    assert [(row.dim % 24, row.ffn - 3 * row.dim) for row in scaled.blocks if row.attention_width] == [(0, 0)] * 3


@pytest.mark.parametrize(
    ("name", "unchanged"),
    [
        ("layer3", ["layer3_down.out", "layer3.out", "layer3.dim"]),
        ("dim", ["layer3.dim", "layer4.dim", "layer5.dim"]),
        ("layer4.out", ["layer4_down.out", "layer4.out"]),
        ("layer3_down.out", ["layer3_down.out", "layer3.out"]),
    ],
)
def test_kept_fields_are_unchanged_and_the_rest_grows(name, unchanged):
    arch = published("mobilevitv3_s")
    result = scale_to_cost(Scaling(arch, "width", (name,)), budget("params", 9_000_000))
    same = [
        f"{after.name}.{field}"
        for before, after in zip(arch.blocks, result.arch.blocks, strict=True)
        for field in ("out", "dim")
        if hasattr(after, field) and getattr(after, field) == getattr(before, field)
    ]

    assert same == unchanged
    assert result.met


# ---- compound


def test_a_unit_of_compound_scaling_about_doubles_the_macs():
    arch = published("mobilevitv3_s")
    ratios = [
        costs(Scaling(arch, "compound").at(n + 1), "macs") / costs(Scaling(arch, "compound").at(n), "macs")
        for n in range(4)
    ]

    assert np.prod(ratios) ** (1 / 4) == pytest.approx(1.2 * 1.1**2 * 1.15**2, rel=0.15)


@pytest.mark.parametrize(
    "given_", [Coefficients(1.3, 1.24, 1.0), Coefficients(1.2, 1.1, 1.17), Coefficients(1, 1.2, 1.18)]
)
def test_coefficients_are_recovered_from_the_family_that_they_produced(given_):
    members = [Scaling(published("mobilevitv3_s"), "compound", (), given_).at(n) for n in range(-3, 7)]
    doubled = given_.depth * given_.width**2 * given_.resolution**2
    coefficients = fit_coefficients(members)

    for dimension in ("depth", "width", "resolution"):
        expected = getattr(given_, dimension) ** (np.log(2) / np.log(doubled))
        assert getattr(coefficients, dimension) == pytest.approx(expected, abs=0.04)
    assert coefficients.depth * coefficients.width**2 * coefficients.resolution**2 == pytest.approx(2)


def test_a_front_of_two_sizes_or_without_growth_has_no_coefficients():
    arch = published("mobilevitv3_s")
    with pytest.raises(StudyError, match="2 different sizes"):
        fit_coefficients([arch, arch, Scaling(arch, "width").at(2)])
    with pytest.raises(StudyError, match="neither"):
        fit_coefficients(list(fusions(published("mobilevitv1_s")).values()))


@pytest.mark.parametrize("values", [(1, 1, 1), (0.9, 1.2, 1.1), (float("nan"), 1.2, 1.1), (float("inf"), 1, 1)])
def test_coefficients_that_scale_nothing_up_are_refused(values):
    with pytest.raises(PlanError, match=r"1\.2,1\.1,1\.15"):
        Coefficients(*values)


# ---- latency


def timed(median_ms: float) -> Latency:
    return Latency(median_ms, 0.9 * median_ms, 1.2 * median_ms, 50, 1, 256, 1, "fp32", "made_up", "a device")


@pytest.mark.parametrize("by", METHODS)
@pytest.mark.parametrize("target", [3.0, 17.0, 90.0])
def test_a_latency_is_found_in_few_timings(by, target):
    asked: list[Architecture] = []

    def measure(arch: Architecture) -> Latency:
        asked.append(arch)
        return timed(2 + costs(arch, "macs") / 1e8 if by != "depth" else target * costs(arch, "macs") / 2.4e9)

    result = scale_to_latency(Scaling(published("mobilevitv3_s"), by), budget("latency_ms", target), measure)

    assert len(asked) <= 12
    assert len({arch.key for arch in asked}) == len(asked)
    assert result.value == result.latency.median_ms
    assert result.met or (result.smaller < target < result.larger)
    if by == "width" and target > 10:
        assert result.met


def test_the_error_for_a_latency_out_of_reach_has_the_least():
    with pytest.raises(PlanError, match=r"latency_ms=1 .* 5 at the least"):
        scale_to_latency(Scaling(published("mobilevitv3_s"), "width"), budget("latency_ms", 1), lambda _: timed(5.0))


def test_a_latency_that_may_not_be_exceeded_is_not():
    arch = published("mobilevitv3_s")
    result = scale_to_latency(
        Scaling(arch, "resolution"), budget("latency_ms", 7.001, at_most=True), lambda a: timed(costs(a, "macs") / 2e8)
    )

    assert result.value <= 7.001


# ---- the family and its plot


@pytest.mark.parametrize("keep", [(), PAPER])
def test_a_3x3_fusion_costs_more_at_every_width_and_ever_more_where_attention_stays_as_wide(keep):
    arch = published("mobilevitv3_s_unscaled")
    members = [Member(name, s, Scaling(arch, "width", keep).at(s)) for name, s in (("XXS", 0.5), ("S", 1), ("L", 2))]
    lines = {line.words: line for line in scaling_figure(Scaling(arch, "width", keep), members).lines}
    v1, between, v3 = (lines[words] for words in ("v1: 3x3 fusion", "v1 with 1x1 fusion", "v3: 1x1 fusion"))

    for name in ("params", "macs"):
        one, other = (np.interp([0.5, 1, 1.5, 2], line.scales, line.costs[name]) for line in (v1, v3))
        assert (np.diff(one - other) > 0).all()
        assert (np.array(v1.costs[name]) > between.costs[name]).all()
        if keep:
            assert (np.diff(one / other) > 0.1).all()


def test_the_members_lie_on_their_line():
    arch = published("mobilevitv3_s_unscaled")
    members = [Member("XXS", 0.61, Scaling(arch, "width").at(0.61)), Member("XS", 1.5, Scaling(arch, "width").at(1.5))]
    line = scaling_figure(Scaling(arch), members).lines[-1]
    for member in members:
        step = np.searchsorted(line.scales, member.scale, side="right") - 1
        assert line.costs["params"][step] == costs(member.arch, "params")


@pytest.mark.parametrize("model", ["mobilevitv3_xs", "mobilevitv2_0.5"])
@pytest.mark.parametrize("kind", ["png", "svg", "html"])
def test_the_plot_is_drawn_the_same_each_time(tmp_path, kind, model):
    arch = published(model)
    picture = scaling_figure(
        Scaling(arch), [Member("XXS", 0.5, Scaling(arch, "width").at(0.5)), Member("XS", 1.0, arch)]
    )
    for name in ("a", "b"):
        plot_scaling(picture, tmp_path / f"{name}.{kind}")

    assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    if kind == "html":
        assert "<script src" not in (tmp_path / "a.html").read_text(encoding="utf-8")


# ---- the command


def test_the_file_that_is_written_costs_what_was_said(printed):
    report = json.loads(printed("scale", "mobilevitv3_s_unscaled", "--to", "params=5.6M", "-o", "s.yaml", "--json"))
    profile = json.loads(printed("profile", "s.yaml", "--json"))

    assert {key: report["after"][key] for key in ("key", "params", "macs")} == {
        key: profile[key] for key in ("key", "params", "macs")
    }
    assert report["met"]
    assert abs(report["off"]) <= 0.01
    assert sum(part["params"][1] for part in report["parts"]) == profile["params"]


def test_the_sentence_says_how_near_it_is_and_what_the_next_one_is(printed):
    near = printed("scale", "mobilevitv3_s_unscaled", "--to", "params=5.6M")
    far = " ".join(printed("scale", "mobilevitv3_s_unscaled", "--to", "macs=1G", "--by", "resolution").split())

    assert "5.60 M parameters, 0.02 % over 5.6M." in near
    heads = next(line for line in near.splitlines() if "stage" in line)
    assert heads.split() == ["stage", "differs", "new", "params", "change", "new", "MACs", "change"]
    total = next(line for line in near.splitlines() if "total" in line)
    assert total.split()[:5] == ["total", "5.60", "M", "+1.27", "M"]
    assert "closest allowed: 872 M MACs, 12.8 % under 1G; the next larger is 1.24 G." in far
    assert "The number of parameters does not depend on the size of the images." in far


def test_a_family_is_written_as_files_that_can_be_profiled_and_nothing_is_lost_without_force(printed):
    arguments = ("scale", "mobilevitv3_s", "--grid", "params=1.25M,2.5M,5.8M", "-o", "family", "--json")
    report = json.loads(printed(*arguments))

    assert [member["size"] for member in report["members"]] == ["XXS", "XS", "S"]
    for member in report["members"]:
        file = f"family/mobilevitv3_s_{member['size'].lower()}.yaml"
        assert json.loads(printed("profile", file, "--json"))["params"] == member["params"]
    assert "--force" in printed(*arguments, code=1)
    printed(*arguments, "--force")


WRONG = {
    "too small": (("--to", "params=1k"), "19,248 at the least"),
    "too large": (("--to", "params=100G"), "2,963,330,024 at the most"),
    "far too large": (("--to", "params=1e30"), "10^14"),
    "nothing": (("--to", "params=0"), "params=0"),
    "params by resolution": (("--to", "params=1M", "--by", "resolution"), "macs=..."),
    "a misspelt cost": (("--to", "prams=1M"), "'params'"),
    "a score": (("--to", "top1=80"), "'top1'"),
    "a cost that scaling keeps": (("--to", "operators=100"), "choose one of: params, macs, macs_paper, latency_ms"),
    "no number": (("--to", "params=many"), "'params=many'"),
    "a misspelt method": (("--to", "params=1M", "--by", "widht"), "'width'"),
    "nothing left": (("--to", "params=1M", "--keep", "out,dim"), "width"),
    "keeps what is not": (("--to", "params=1M", "--keep", "layer9"), "'layer9'"),
    "no folder": (("--to", "params=1M", "-o", "nowhere/a.yaml"), "nowhere"),
    "a folder": (("--to", "params=1M", "-o", "."), "folder"),
    "a file that exists": (("--to", "params=1M", "-o", "here.yaml"), "--force"),
    "no such backend": (("--to", "latency_ms=5", "--backend", "torch_cpo"), "'torch_cpu'"),
    "one size": (("--grid", "0.5"), "2 to 7"),
    "one size twice": (("--grid", "macs=1G,1G"), "2 to 7"),
    "no multiplier": (("--grid", "0,1"), "up to 64"),
    "no number among them": (("--grid", "1,x"), "1,x"),
    "a picture of no kind": (("--grid", "0.5,1", "--plot", "a.jpg", "-o", "family"), ".png, .svg or .html"),
    "two coefficients": (("--to", "macs=1G", "--by", "compound", "--coefficients", "1,2"), "1,2"),
    "no study": (("--to", "macs=1G", "--by", "compound", "--fit", "nothing"), "'nothing'"),
    "a family in a file": (("--grid", "0.5,1", "-o", "here.yaml"), "here.yaml"),
}


@pytest.mark.parametrize(
    ("budgets", "meets", "within"),
    [
        (("params=3M", "macs=500M"), "macs", "params"),
        (("params=3M", "macs=4G"), "params", "macs"),
        (("macs<=500M", "params=3M"), "macs", "params"),
    ],
)
def test_of_several_budgets_the_first_that_is_reached_is_met(printed, budgets, meets, within):
    options = [word for budget in budgets for word in ("--to", budget)]
    report = json.loads(printed("scale", "mobilevitv3_s", *options, "--image-size", "224", "--json"))
    after, (other,) = report["after"], report["other_budgets"]
    assert after["image_size"] == 224
    assert (report["budget"]["name"], report["met"], other["name"]) == (meets, True, within)
    assert after[meets] == pytest.approx(report["budget"]["value"], rel=0.01)
    assert after[within] == other["reached"] < other["value"]


def test_two_budgets_of_one_cost_are_refused(printed):
    assert "one budget for each cost" in printed(
        "scale", "mobilevitv3_s", "--to", "params=3M", "--to", "params=4M", code=1
    )


@pytest.mark.parametrize(("arguments", "value"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_one_sentence_with_the_value_and_nothing_is_written(printed, arguments, value):
    Path("here.yaml").write_text("mine", encoding="utf-8")
    before = sorted(Path().iterdir())
    err = printed("scale", "mobilevitv3_xxs", *arguments, code=1)

    assert value in err
    assert len(err.splitlines()) == 1
    assert err.startswith("mvsearch: ")
    assert sorted(Path().iterdir()) == before
    assert Path("here.yaml").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--to", "macs=1G", "--grid", "1,2"),
        ("--to", "macs=1G", "--plot", "a.png"),
        ("--to", "macs=1G", "--fit", "v3"),
    ],
)
def test_flags_that_do_not_belong_together_are_a_matter_of_usage(printed, arguments):
    printed("scale", "mobilevitv3_xxs", *arguments, code=2)


@pytest.mark.slow
def test_a_latency_is_measured_on_this_machine_and_reported_with_its_spread(printed):
    Path("small.yaml").write_text(
        "image_size: 32\nnum_classes: 10\nblocks:\n"
        "  - {name: stem, block: conv, out: 16, stride: 2}\n"
        "  - {name: body, block: mobilevit, out: 16, dim: 16, depth: 1}\n",
        encoding="utf-8",
    )
    own = json.loads(printed("profile", "small.yaml", "--latency", "--json"))["latency_ms"]
    report = json.loads(printed("scale", "small.yaml", "--to", f"latency_ms={1.5 * own:.3f}", "--json"))

    assert report["after"]["latency_ms"] > 0
    assert {"latency_p10_ms", "latency_p90_ms"} <= set(report["after"])


def test_scaling_by_arithmetic_loads_no_torch(tmp_path):
    code = (
        "import sys\nfrom mvsearch.cli.main import cli\n"
        "cli(['scale', 'mobilevitv3_s', '--grid', '0.5,1', '--plot', 'a.html', '-o', 'here'], standalone_mode=False)\n"
        "cli(['scale', 'mobilevitv3_s', '--to', 'params=3M', '-o', 'a.yaml'], standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path).returncode == 0


def test_a_study_without_a_front_has_no_coefficients_and_says_why(printed, tmp_path):
    Study.join(toy_plan(tmp_path / "studies", trials=8))
    report = printed("scale", "mobilevitv3_xxs", "--to", "macs=1G", "--by", "compound", "--fit", "toy", code=1)

    assert "'toy'" in report


def test_coefficients_are_fitted_to_networks_of_different_rows():
    front = [published(name) for name in ("starnet_s1", "mobilenetv4_conv_s", "shvit_s3", "repvit_m1_1")]
    coefficients = fit_coefficients(front)

    assert coefficients.width > 1
    assert coefficients.depth * coefficients.width**2 * coefficients.resolution**2 == pytest.approx(2)


def test_coefficients_are_fitted_to_the_widths_of_networks_with_rows_without_attention():
    arch = published("shvit_s1")
    assert 0 in [getattr(row, "dim", None) for row in arch.blocks]
    wider = [Scaling(arch, "width").at(scale) for scale in (0.5, 1, 1.5, 2)]
    coefficients = fit_coefficients(wider)

    assert (coefficients.depth, coefficients.resolution) == (1, 1)
    assert coefficients.width**2 == pytest.approx(2)


def test_coefficients_are_fitted_to_the_front_of_a_study_and_said(printed, tmp_path):
    Study.join(toy_plan(tmp_path / "studies")).run(arithmetic, trials=30)
    report = json.loads(
        printed("scale", "mobilevitv3_s", "--to", "macs=3G", "--by", "compound", "--fit", "toy", "--json")
    )
    coefficients = report["coefficients"]

    assert coefficients["resolution"] == 1
    assert coefficients["depth"] * coefficients["width"] ** 2 == pytest.approx(2)
    assert report["after"]["image_size"] == 256
    assert report["met"]
