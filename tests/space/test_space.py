import math
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.cost import Cost
from mvsearch.arch.published import FOLDER, model_names, published
from mvsearch.errors import ArchitectureError, MvsearchError, SpaceError
from mvsearch.space import bulk_costs, condition_groups
from mvsearch.space.search_space import SearchSpace
from mvsearch.study.plan import Plan
from mvsearch.utils.yaml_document import Document, parse

SPACES = Path(__file__).parents[2] / "spaces"
FILES = sorted(path.stem for path in SPACES.glob("*.yaml"))
V3 = ["mobilevitv3_xxs", "mobilevitv3_xs", "mobilevitv3_s"]
ABLATION = [name for name in model_names() if name.startswith("ablation")]
MUST_CONTAIN = {
    "v3": [*V3, *(f"{name}_l2" for name in V3), *ABLATION, "mobilevitv1_s", "mobilevitv3_s_unscaled"],
    "v2": [f"mobilevitv{version}_{width}" for version in (2, 3) for width in ("0.5", "0.75", "1.0")],
    "fusion": ABLATION,
    "quick": ["mobilevitv3_xxs", "mobilevitv3_xxs_l2"],
    "segmentation": ["mobilevitv3_xxs_deeplabv3"],
    "detection": ["mobilevitv3_xxs_ssdlite"],
    "mixed": ["mobilevitv3_xxs", "mobilevitv2_0.5", "mobilenetv4_conv_s", "repvit_m0_9", "shvit_s1", "starnet_s1"],
    "int8": ["mobilevitv3_xxs"],
    "v3_small": ["mobilevitv3_xxs", "mobilevitv3_xxs_l2"],
}
SCENES = 2 * 3 * 3 * 3 * 2 * 43  # 43: widths of layers 3, 4 and 5 in their order
SIZES = {"v3": 25_229_988_864, "v2": 972, "fusion": 16, "quick": 114, "segmentation": SCENES, "detection": SCENES}
SIZES |= {"mixed": 50_668_136_064_000, "int8": 3 * 3 * 3 * 2**8}
SIZES |= {
    "v3_small": 2304 * 43 * 965 * 1235
}  # words and depths; widths of rows, blocks and transformers in their order

BASE = """\
name: base
image_size: 64
num_classes: 10
vars:
  width: {choose: [16, 32]}
blocks:
  - {name: stem, block: conv, out: {range: [8, 24, 8]}, stride: 2}
  - {name: down, block: mv2, out: body.out, stride: 2, expand: 2}
  - {name: body, block: mobilevit, out: width, dim: {choose: [16, 24, 32]}, depth: {range: [1, 2]}, ffn: 2*dim}
where:
  - stem.out <= body.out
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, SearchSpace]:
    return {name: SearchSpace.load(SPACES / f"{name}.yaml") for name in FILES}


def space_of(text: str) -> SearchSpace:
    return SearchSpace.parse(parse(text, "base.yaml"))


def changed(old: str, new: str) -> SearchSpace:
    assert BASE.count(old) == 1, old
    return space_of(BASE.replace(old, new))


def all_codes(space: SearchSpace) -> np.ndarray:
    return np.array(list(product(*(range(len(choice.values)) for choice in space.choices))), dtype=np.int64)


# ---- the files in spaces/


def test_every_file_has_its_line_in_this_test():
    assert set(FILES) == set(MUST_CONTAIN) == set(SIZES)


@pytest.mark.parametrize("name", FILES)
def test_a_file_holds_as_many_networks_as_it_should(loaded, name):
    assert loaded[name].size == SIZES[name]
    assert loaded[name].size_is_exact


@pytest.mark.parametrize("name", FILES)
def test_a_file_contains_what_it_says_and_the_published_points_come_back(loaded, name):
    space = loaded[name]
    assert set(space.contains) >= set(MUST_CONTAIN[name])

    for published_name in space.contains:
        arch = space.adapt(published(published_name))
        assert space.architecture(space.find_point(arch)).key == arch.key
        assert name == "mixed" or arch.key == published(published_name).key  # six families, one head
    assert len(space.published_points()) == len({published(name).key for name in space.contains})


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_a_plan_that_can_be_run(name):
    plan = Plan.load(SPACES / f"{name}.yaml")

    assert plan.name == name
    for _, point in plan.space.published_points():
        assert plan.admissible(plan.space.codes(point)[None])[0], "a limit refuses a network that the file contains"


@pytest.mark.parametrize("name", FILES)
def test_a_hundred_thousand_candidates_cost_exactly_what_each_costs_alone(loaded, name):
    space = loaded[name]
    codes = space.sample(100_000, 7)
    bulk = space.costs(codes)

    assert len(bulk.params) == len(bulk.macs) == len(bulk.macs_paper) == 100_000
    for i in np.random.default_rng(0).integers(100_000, size=300):
        alone = space.architecture(space.point(codes[i])).cost()
        assert (bulk.params[i], bulk.macs[i], bulk.macs_paper[i]) == (alone.params, alone.macs, alone.macs_paper)


@pytest.mark.parametrize("name", FILES)
def test_costs_that_are_looked_up_are_those_that_are_computed(name, monkeypatch):
    space = SearchSpace.load(SPACES / f"{name}.yaml")
    legal, rng = space.sample(2000, 1), np.random.default_rng(0)
    anywhere = rng.integers([len(choice.values) for choice in space.choices], size=legal.shape)
    computed = [space.costs(codes) for codes in (anywhere, legal)]
    space.costs(100_000)

    assert_same_costs(space.costs(anywhere), computed[0])  # also of points that violate conditions
    monkeypatch.setattr(SearchSpace, "cost_of", None)
    assert_same_costs(space.costs(legal), computed[1])


def test_costs_that_are_looked_up_are_those_that_are_computed_where_a_choice_has_no_effect():
    text = BASE.replace("vars:", "vars:\n  wide: {choose: [false, true]}")
    space = space_of(text.replace("out: width", "out: width if wide else 16"))
    codes = all_codes(space)
    computed = space.costs(codes)
    space.costs(100_000)

    for one, alone in zip(codes, np.column_stack([computed.params, computed.macs]).tolist(), strict=True):
        looked_up = space.costs(one[None])
        assert [looked_up.params[0], looked_up.macs[0]] == alone


def test_values_that_conditions_exclude_are_not_looked_up_either():
    uib = "block: uib, out: body.out, stride: 2, middle: {choose: [none, 3, 4]}}"
    text = BASE.replace("block: mv2, out: body.out, stride: 2, expand: 2}", uib)
    space = space_of(text + "  - down.middle == 3\n")
    computed = space.costs(1000)
    space.costs(100_000)

    assert_same_costs(space.costs(1000), computed)


@pytest.mark.parametrize("most", [1, 20])
def test_costs_are_computed_where_a_row_has_too_many_choices_to_be_looked_up(most, monkeypatch):
    monkeypatch.setattr(bulk_costs, "_MAX_ENTRIES", most)
    space = SearchSpace.load(SPACES / "quick.yaml")
    codes = space.sample(1000, 0)
    computed = space.costs(codes)
    space.costs(100_000)

    assert_same_costs(space.costs(codes), computed)


def assert_same_costs(one: Cost, other: Cost) -> None:
    for name, values in vars(one).items():
        assert np.array_equal(values, getattr(other, name)), name


@pytest.mark.parametrize("name", FILES)
def test_samples_are_legal_and_repeat_with_their_seed(loaded, name):
    space = loaded[name]
    codes = space.sample(5000, 3)

    assert space.is_legal(codes).all()
    assert (codes == space.sample(5000, 3)).all()
    assert not (codes == space.sample(5000, 4)).all()
    for i, choice in enumerate(space.choices):
        assert set(codes[:, i]) == set(range(len(choice.values))), f"{choice.name} is not sampled whole"


def test_the_ablation_is_walked_whole(loaded):
    space = loaded["fusion"]
    keys = {space.architecture(space.point(codes)).key for codes in all_codes(space)}

    assert len(keys) == 16
    assert keys >= {published(name).key for name in ABLATION}


def test_a_width_of_the_v2_family_sets_all_others_by_the_published_rules(loaded):
    space = loaded["v2"]
    for sixteenths in range(8, 17):
        point = {**space.point(space.sample(1, 0)[0]), "w": sixteenths}
        rows = {block.name: block for block in space.architecture(point).blocks}
        w = sixteenths / 16
        assert rows["stem"].out == divisible(min(max(32 * w, 16), 64), 8)
        assert rows["layer1"].out == divisible(64 * w, 16)
        for layer, base in (("layer2", 128), ("layer3", 256), ("layer4", 384), ("layer5", 512)):
            assert rows[layer].out == divisible(base * w, 8)
        for layer, base in (("layer3", 128), ("layer4", 192), ("layer5", 256)):
            assert rows[layer].dim == divisible(base * w, 8)
            assert rows[layer].ffn == 2 * rows[layer].dim // 16 * 16


def divisible(value: float, divisor: int) -> int:
    near = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return near + divisor if near < 0.9 * value else near


# ---- size and samples


@pytest.mark.parametrize(
    "where",
    [
        "  - stem.out <= body.out",
        "  - stem.out < body.out\n  - body.dim <= body.out",
        "  - stem.out + body.dim > 40 or body.depth == 1",
        "  - not (body.dim == 24 and width == 16)",
        "  - body.depth == 2\n  - body.depth <= 2",
        "  - min(stem.out, width) == 16",
        "  - width % stem.out == 0",
        "  - 1 <= 2",
        "  - body.heads == 4",
        "  - body.depth == (1 if width == 16 else 2)",
        "  - down.out == width",
    ],
)
def test_the_size_is_the_number_of_points_that_meet_all_conditions(where):
    space = changed("  - stem.out <= body.out", where)
    everything = all_codes(space)
    legal = everything[[meets(space, codes) for codes in everything]]

    assert space.size_is_exact
    assert space.size == len(legal)
    assert (space.is_legal(everything).nonzero()[0] == [i for i, c in enumerate(everything) if meets(space, c)]).all()
    samples = {tuple(codes) for codes in space.sample(60 * len(legal), 0)}
    assert samples == {tuple(codes) for codes in legal}


def meets(space: SearchSpace, codes: np.ndarray) -> bool:
    """The conditions at one point, worked out with Python's own numbers."""
    arch = {block.name: block for block in space.architecture(space.point(codes)).blocks}
    names = {f"{row}.{field}": getattr(block, field) for row, block in arch.items() for field in block.domains()}
    return all(bool(line.evaluate({**names, "width": arch["body"].out}.__getitem__)) for line in space.conditions)


def test_samples_are_even_over_the_points_that_meet_the_conditions():
    space = space_of(BASE + "  - body.dim <= width\n")
    n = 20_000
    seen = Counter(tuple(codes) for codes in space.sample(n, 1))

    assert len(seen) == space.size
    expected = n / space.size
    chi_square = sum((count - expected) ** 2 / expected for count in seen.values())
    spread = math.sqrt(2 * (space.size - 1))
    assert abs(chi_square - (space.size - 1)) < 4 * spread


def test_a_group_too_large_to_list_is_estimated_and_says_so(monkeypatch):
    text = BASE + "  - body.dim <= width\n"
    counted = space_of(text)
    monkeypatch.setattr(condition_groups, "MAX_ENUMERATED", 5)
    estimated = space_of(text)

    assert counted.size_is_exact
    assert not estimated.size_is_exact
    assert abs(estimated.size - counted.size) <= 0.1 * counted.size
    samples = Counter(tuple(codes) for codes in estimated.sample(20_000, 1))
    assert set(samples) == {tuple(codes) for codes in counted.sample(20_000, 1)}
    assert min(samples.values()) > 0.8 * 20_000 / counted.size


def test_conditions_that_hardly_anything_meets_are_refused_even_where_points_cannot_be_listed():
    rows = "".join(f"  - {{name: r{i}, block: conv, out: {{range: [1, 400]}}}}\n" for i in range(4))
    where = "where: r0.out == r1.out == r2.out == r3.out\n"

    with pytest.raises(SpaceError, match="hardly any point"):
        space_of(f"image_size: 32\nblocks:\n{rows}{where}")


def test_a_space_with_nothing_open_is_one_network():
    arch = published("mobilevitv3_xxs")
    space = SearchSpace.parse(parse((FOLDER / "mobilevitv3_xxs.yaml").read_text()))

    assert space.size == 1
    assert space.architecture({}).key == arch.key
    assert space.costs(3).macs.tolist() == [arch.cost().macs] * 3


def test_a_hundred_of_a_space_is_a_hundred_and_none_is_none():
    space = space_of(BASE)

    assert [len(space.costs(n).params) for n in (0, 1, 100)] == [0, 1, 100]


def test_every_kind_of_field_may_be_open_and_is_priced_in_bulk_as_alone():
    space = space_of("""
image_size: 70
vars:
  wide: {choose: [true, false]}
  zero: {choose: [0, 0.25]}
blocks:
  - {name: stem, block: conv, out: {choose: [8, 12]}, kernel: {choose: [1, 5]}, stride: {choose: [1, 2]}}
  - name: down
    block: mv2
    out: 16
    stride: {range: [1, 2]}
    repeat: {choose: [1, 3]}
    expand: {choose: [1, 3]}
    kernel: {range: [3, 7, 2]}
  - name: one
    block: mobilevit
    out: 16
    dim: {range: [8, 24, 8]}
    depth: {range: [1, 3]}
    ffn: {choose: [7, 32]}
    heads: {choose: [1, 2, 8]}
    patch: {choose: [1, 2, 3]}
    dropout: zero
    local: "'dense' if wide else 'depthwise'"
    fusion: {choose: [none, 1, 3]}
    concat: {choose: [local, input]}
    add_input: not wide
  - name: two
    block: mobilevitv2
    out: 16
    dim: {choose: [4, 20]}
    depth: {choose: [1, 2]}
    patch: {choose: [2, 3]}
    fusion: 1 if wide else none
    add_input: {choose: [true, false]}
""")
    codes = space.sample(400, 0)
    bulk = space.costs(codes)

    for i, row in enumerate(codes):
        point = space.point(row)
        arch = space.architecture(point)
        alone = arch.cost()
        assert (bulk.params[i], bulk.macs[i], bulk.macs_paper[i]) == (alone.params, alone.macs, alone.macs_paper)
        assert space.find_point(arch) == point


# ---- names


def test_rows_and_vars_may_use_each_other():
    space = changed(
        "  width: {choose: [16, 32]}\n",
        "  width: twice if deep else 16\n  twice: 2*half\n  half: {choose: [16, 24]}\n  deep: body.depth > 1\n",
    )
    widths = {
        tuple(block.out for block in space.architecture(space.point(codes)).blocks)
        for codes in all_codes(space)
        if space.is_legal(codes[None])[0]
    }

    assert {body for *_, body in widths} == {16, 32, 48}
    assert all(down == body for _, down, body in widths)


def test_a_bare_name_in_a_row_is_the_rows_own_field_before_it_is_a_var():
    space = changed("  width: {choose: [16, 32]}\n", "  width: 2*dim\n  dim: {choose: [8, 16]}\n")
    body = space.architecture({"dim": 8, "stem.out": 8, "body.dim": 24, "body.depth": 1}).blocks[2]

    assert (body.out, body.ffn) == (16, 48)


def test_a_field_named_like_a_var_takes_the_var():
    space = space_of("image_size: 32\nvars: {out: {choose: [8, 16]}}\nblocks: [{name: stem, block: conv, out: out}]")

    assert [choice.name for choice in space.choices] == ["out"]
    assert space.architecture({"out": 16}).blocks[0].out == 16


# ---- locating


@pytest.mark.parametrize("name", FILES)
def test_every_sampled_network_lies_where_it_was_drawn(loaded, name):
    space = loaded[name]
    for codes in space.sample(50, 5):
        point = space.point(codes)
        assert space.find_point(space.architecture(point)) == point


@pytest.mark.parametrize(
    ("file", "name", "difference"),
    [
        ("v3", "mobilevitv1_xxs", r"layer3_down\.out .*48.* 64, 80"),
        ("v3", "mobilevitv3_0.5", "conv, mv2, mv2, mv2, mobilevitv2"),
        ("v2", "mobilevitv2_0.5_384", "image_size"),
        ("fusion", "mobilevitv3_s", r"layer3_down\.out .*128.* 96"),
        ("quick", "mobilevitv3_xs", r"layer1\.out .*32.* 16"),
    ],
)
def test_the_error_for_a_network_outside_the_space_names_the_field_that_differs(loaded, file, name, difference):
    with pytest.raises(SpaceError, match=difference):
        loaded[file].find_point(published(name))


@pytest.mark.parametrize(
    ("field", "difference"),
    [
        ({"row": 2, "dim": 20}, r"body\.dim .*20.* 16, 24, 32"),
        ({"row": 2, "ffn": 60}, r"body\.ffn .*60.* 64"),
        ({"row": 1, "out": 16}, "where:"),
        ({"row": 1, "expand": 3}, r"down\.expand .*3.* 2"),
        ({"row": 1, "kernel": 5}, "does not set"),
    ],
)
def test_a_field_that_does_not_match_is_named(field, difference):
    space = space_of(BASE)
    data = space.architecture({"width": 32, "stem.out": 8, "body.dim": 32, "body.depth": 1}).to_dict()
    row = field.pop("row")
    data["blocks"][row].update(field)
    if row == 1 and "out" in field:
        data["blocks"][2]["out"] = 16
        data["blocks"][1]["out"] = 16
        data["blocks"][0]["out"] = 24

    with pytest.raises(SpaceError, match=difference):
        space.find_point(Architecture.from_dict(data))


def test_two_rows_with_different_values_of_a_shared_variable_lie_outside():
    text = BASE.replace("depth: {range: [1, 2]}", "depth: 1").replace("out: {range: [8, 24, 8]}", "out: width")
    space = space_of(text)
    data = space.architecture({"width": 32, "body.dim": 32}).to_dict()
    data["blocks"][0]["out"] = 16

    with pytest.raises(SpaceError, match=r"32.*width.*16"):
        space.find_point(Architecture.from_dict(data))


def test_hidden_choices_are_found_from_what_follows_from_them():
    space = changed("  width: {choose: [16, 32]}\n", "  width: 4*a + b\n  a: {range: [2, 8]}\n  b: {choose: [0, 8]}\n")
    arch = space.architecture({"a": 6, "b": 8, "stem.out": 8, "body.dim": 32, "body.depth": 1})

    assert space.architecture(space.find_point(arch)).key == arch.key


def test_of_hidden_choices_with_the_same_result_those_are_found_that_satisfy_the_conditions():
    hidden = "  width: 4*a + b\n  a: {range: [2, 8]}\n  b: {choose: [0, 8]}\n"
    space = space_of(BASE.replace("  width: {choose: [16, 32]}\n", hidden) + "  - a > 6\n")
    point = {"a": 8, "b": 0, "stem.out": 8, "body.dim": 32, "body.depth": 1}

    assert space.find_point(space.architecture(point)) == point
    with pytest.raises(SpaceError, match="where:"):
        space.find_point(space.architecture(point | {"a": 4, "b": 8}))


# ---- what a file can get wrong

WRONG = {
    "a misspelt key": ("where:", "wehre:", 10, "wehre", "'where'"),
    "a misspelt field": ("depth: {range", "dept: {range", 9, "blocks.body.dept", "'depth'"),
    "a misspelt name": ("out: width", "out: widht", 9, "blocks.body.out", "'width'"),
    "a misspelt field in a name": ("out: body.out", "out: body.outt", 8, "blocks.down.out", "'body.out'"),
    "a misspelt condition": ("stem.out <= body.out", "stem.out <= bdy.out", 11, "where.0", "'body.out'"),
    "a row's block in a condition": ("stem.out <= body.out", "stem.block == 'mv2'", 10, "where", "stem.block == 'mv2'"),
    "an unknown block": ("block: mv2", "block: mv3", 8, "blocks.down.block", "'mv2'"),
    "a step of nought": ("[8, 24, 8]", "[8, 24, 0]", 7, "blocks.stem.out", "0"),
    "a step back": ("[8, 24, 8]", "[8, 24, -8]", 7, "blocks.stem.out", "-8"),
    "a range backwards": ("[8, 24, 8]", "[24, 8, 8]", 7, "blocks.stem.out", "8"),
    "a step that misses": ("[8, 24, 8]", "[8, 23, 8]", 7, "blocks.stem.out", "16 or 24"),
    "a range of fractions": ("[8, 24, 8]", "[0.5, 2]", 7, "blocks.stem.out", "0.5"),
    "a range of bools": ("[8, 24, 8]", "[false, true]", 7, "blocks.stem.out", "True"),
    "half a range": ("[8, 24, 8]", "[8]", 7, "blocks.stem.out", "[8]"),
    "an endless range": ("[8, 24, 8]", "[1, 2000000000]", 7, "blocks.stem.out", "2000000000"),
    "numbers beyond counting": ("[16, 32]", "[16, 99999999999999999999]", 5, "vars.width", "99999999999999999999"),
    "no number": ("[16, 32]", "[16, .nan]", 5, "vars.width", "nan"),
    "nothing to choose": ("[16, 24, 32]", "[]", 9, "blocks.body.dim", "[]"),
    "one twice": ("[16, 24, 32]", "[16, 24, 16]", 9, "blocks.body.dim", "[16, 24, 16]"),
    "one twice, whole and not": ("[16, 24, 32]", "[16, 16.0]", 9, "blocks.body.dim", "[16, 16.0]"),
    "a bool among numbers": ("[16, 24, 32]", "[16, true]", 9, "blocks.body.dim", "[16, True]"),
    "lists to choose": ("[16, 24, 32]", "[[16], 24]", 9, "blocks.body.dim", "[[16], 24]"),
    "choose without a list": ("choose: [16, 24, 32]", "choose: 16", 9, "blocks.body.dim", "choose"),
    "neither choose nor range": ("choose: [16, 24, 32]", "pick: [16]", 9, "blocks.body.dim", "'pick'"),
    "both": ("{choose: [16, 24, 32]}", "{choose: [16], range: [1, 2]}", 9, "blocks.body.dim", "'choose'"),
    "nothing": ("{choose: [16, 24, 32]}", "", 9, "blocks.body.dim", ""),
    "a choice that is illegal": ("[16, 24, 32]", "[16, 0]", 9, "blocks.body.dim", "0"),
    "a choice that heads do not divide": ("[16, 24, 32]", "[16, 30]", 9, "blocks.body.dim", "30"),
    "arithmetic that is illegal": ("ffn: 2*dim", "ffn: 16-dim", 9, "blocks.body.ffn", "-8"),
    "arithmetic that is no whole number": ("ffn: 2*dim", "ffn: dim/2", 9, "blocks.body.ffn", "12"),
    "arithmetic by nought": ("ffn: 2*dim", "ffn: 2*dim//(dim-24)", 9, "blocks.body.ffn", "'2*dim//(dim-24)'"),
    "arithmetic with words": ("ffn: 2*dim", "ffn: dim + local", 9, "blocks.body.ffn", "'dim + local'"),
    "arithmetic that grows": ("ffn: 2*dim", f"ffn: {'*'.join(['dim'] * 20)}", 9, "blocks.body.ffn", "2,147,483,648"),
    "more than arithmetic": ("ffn: 2*dim", "ffn: dim**9", 9, "blocks.body.ffn", "'dim**9'"),
    "a call": ("ffn: 2*dim", "ffn: \"__import__('os')\"", 9, "blocks.body.ffn", "'os'"),
    "no expression": ("ffn: 2*dim", "ffn: 2*", 9, "blocks.body.ffn", "'2*'"),
    "a condition that is none": ("stem.out <= body.out", "stem.out <=", 11, "where.0", "'stem.out <='"),
    "a condition that is a number": ("- stem.out <= body.out", "- 3", 10, "where", "'a <= b'"),
    "a condition that nothing meets": ("stem.out <= body.out", "stem.out > 24", 10, "where", "stem.out > 24"),
    "conditions that nothing meets": (
        "- stem.out <= body.out",
        "- stem.out > 8\n  - body.depth > 1\n  - stem.out < 16 or body.depth < 2",
        10,
        "where",
        "stem.out > 8 and body.depth > 1 and stem.out < 16 or body.depth < 2",
    ),
    "a condition that is false": ("stem.out <= body.out", "1 > 2", 10, "where", "1 > 2"),
    "a var that is no name": ("  width:", "  a b: 3\n  width:", 5, "vars.a b", "'a b'"),
    "vars that are a list": ("vars:\n  width: {choose: [16, 32]}", "vars: [16]", 4, "vars", "16"),
    "an open var that nothing uses": ("  width:", "  idle: {choose: [1, 2]}\n  width:", 5, "vars.idle", ""),
    "a var only a condition uses": (
        "  width: {choose: [16, 32]}",
        "  width: {choose: [16, 32]}\n  idle: {choose: [1, 2]}",
        6,
        "vars.idle",
        "",
    ),
    "a circle": (
        "  width: {choose: [16, 32]}",
        "  width: down.out",
        5,
        "vars.width",
        "width → down.out → body.out → width",
    ),
    "a circle of one": ("ffn: 2*dim", "ffn: 2*body.ffn", 9, "blocks.body.ffn", "body.ffn → body.ffn"),
    "two rows of one name": ("name: down", "name: stem", 8, "blocks.stem.name", "'stem'"),
    "a first row that does not fit": (
        "{name: stem, block: conv, out: {range: [8, 24, 8]}, stride: 2}",
        "{name: stem, block: mobilevit, out: {choose: [3, 8]}, dim: 16, depth: 1}",
        7,
        "blocks.stem.out",
        "8",
    ),
    "a row that does not fit": ("out: body.out", "out: {choose: [16, 32]}", 9, "blocks.body.out", "16"),
    "a block that may stride": (
        "depth: {range",
        "stride: {range: [1, 2]}, depth: {range",
        9,
        "blocks.body.stride",
        "2",
    ),
    "a row that seldom misfits": (
        "[16, 24, 32]",
        f"[{', '.join(map(str, range(16, 400, 4)))}, 402]",
        9,
        "blocks.body.dim",
        "402",
    ),
    "an open image that is too small": ("image_size: 64", "image_size: {choose: [64, 24]}", 2, "image_size", "24"),
    "a head that is none": ("num_classes: 10", "num_classes: 10\nhead: {pool: sum}", 4, "head.pool", "'sum'"),
    "networks beyond counting": (
        "width: {choose: [16, 32]}",
        "width: 1000000000",
        6,
        "blocks",
        "256,000,039,178,008,245,248",
    ),
    "contains that is no list": ("name: base", "contains: mobilevitv3_xxs", 1, "contains", "'mobilevitv3_xxs'"),
    "contains what is no model": (
        "name: base",
        "contains: [mobilevitv3_xxs_12]",
        1,
        "contains.0",
        "'mobilevitv3_xxs_l2'",
    ),
    "contains a number": ("name: base", "contains: [3]", 1, "contains.0", "3"),
    "contains a mapping": ("name: base", "contains: [{a: 1}]", 1, "contains.0", "a"),
    "contains what it does not": ("name: base", "contains: [mobilevitv3_xxs]", 1, "contains.0", "mobilevitv3_xxs"),
}


def test_a_published_model_takes_part_under_the_classes_the_size_and_the_head_of_the_space():
    text = (SPACES / "quick.yaml").read_text().replace("image_size: 256", "image_size: 224")
    text = text.replace("num_classes: 1000", "num_classes: 12").replace("dropout: 0.1", "dropout: 0.2")
    space = space_of(text)

    points = dict(space.published_points())

    assert points.keys() == {"mobilevitv3_xxs", "mobilevitv3_xxs_l2"}
    arch, model = space.architecture(points["mobilevitv3_xxs"]), published("mobilevitv3_xxs")
    assert (arch.image_size, arch.num_classes, arch.head.settings()["dropout"]) == (224, 12, 0.2)
    assert arch.blocks == model.blocks
    assert model.cost().params - arch.cost().params == (1000 - 12) * (model.features + 1)


def test_a_classifier_takes_part_as_the_backbone_of_a_detector():
    text = (SPACES / "detection.yaml").read_text().replace("- mobilevitv3_xxs_ssdlite", "- mobilevitv3_xxs")
    space = space_of(text)

    assert [name for name, _ in space.published_points()] == ["mobilevitv3_xxs"]


def test_what_the_space_does_not_set_is_named_with_both_values():
    arch = published("mobilevitv3_xxs")
    document = arch.to_dict() | {"contains": [arch.name]}
    document["blocks"] = [
        {k: v for k, v in row.items() if (row["name"], k) != ("layer4", "dropout")} for row in document["blocks"]
    ]

    with pytest.raises(SpaceError, match=r"layer4\.dropout is 0\.05, .*does not set it, which makes it 0\.1"):
        SearchSpace.parse(Document(document))


@pytest.mark.parametrize(("old", "new", "line", "key", "value"), WRONG.values(), ids=WRONG)
def test_an_error_has_the_file_the_line_the_key_and_one_sentence_with_the_value(old, new, line, key, value):
    with pytest.raises((SpaceError, ArchitectureError)) as raised:
        changed(old, new)

    error = raised.value
    assert (error.file, error.line, error.key) == ("base.yaml", line, key)
    assert value in str(error)
    assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize("blocks", ["", "blocks:", "blocks: []", "blocks: conv", "blocks: {choose: [1]}"])
def test_a_space_without_rows_is_told_what_rows_are(blocks):
    with pytest.raises(SpaceError) as raised:
        space_of(f"image_size: 64\n{blocks}\n")

    assert raised.value.key == "blocks"


def test_a_row_that_is_first_and_last_is_still_held_to_the_image():
    with pytest.raises(ArchitectureError, match="out: 3"):
        space_of("blocks: [{name: a, block: mobilevit, out: 8, dim: 8, depth: 1}]")
    with pytest.raises(MvsearchError, match="out: 3"):
        space_of("blocks: [{name: a, block: mobilevit, out: {range: [3, 300]}, dim: 8, depth: 1}]")


def test_names_that_follow_from_one_another_without_end_are_refused():
    chain = "".join(f"  v{i}: v{i + 1}\n" for i in range(900))
    with pytest.raises(SpaceError, match="20"):
        changed("  width: {choose: [16, 32]}\n", f"  width: v0\n{chain}  v900: 16\n")


def test_a_model_that_follows_from_too_many_choices_is_not_searched_for_ever():
    rows = "  - {name: r, block: conv, out: a + b + c + d}\n"
    names = "".join(f"  {name}: {{range: [1, 99]}}\n" for name in "abcd")
    space = space_of(f"image_size: 32\nvars:\n{names}blocks:\n{rows}")
    with pytest.raises(SpaceError, match=r"r\.out.*a, b, c, d"):
        space.find_point(space.architecture({"a": 1, "b": 2, "c": 3, "d": 4}))


# ---- any text at all

QUICK = (SPACES / "quick.yaml").read_text().splitlines()
SLIPS = """{ } [ ] , : - choose range out dim 0 -1 3.5 true none null ~ 99999999999 1e999 .nan .inf ! !!int
    !!python/name:os.system &a *a << | > % @ ` " ' # layer3.out ratio 2*dim // min(1,2) if else (( )) ? [1,[2]] {a:1}
    2020-01-01 0x1F 1_000 é \x00 \\"""
words = st.sampled_from(SLIPS.split())


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """The quick space after a slip or three of the keyboard."""
    lines = list(QUICK)
    for _ in range(draw(st.integers(1, 3))):
        i = draw(st.integers(0, len(lines) - 1))
        line = lines[i]
        at = draw(st.integers(0, len(line)))
        until = draw(st.integers(at, len(line)))
        kind = draw(st.sampled_from(["cut", "word", "copy", "drop", "swap", "indent"]))
        lines[i] = {
            "cut": line[:at] + line[until:],
            "word": line[:at] + draw(words) + line[until:],
            "copy": line + "\n" + line,
            "drop": "",
            "swap": lines[draw(st.integers(0, len(lines) - 1))],
            "indent": " " * draw(st.integers(1, 3)) + line,
        }[kind]
    return "\n".join(lines)


def refusal(text: str) -> str:
    """What is said of a text that is no space; for one that is, nothing, and its costs are right."""
    try:
        space = SearchSpace.parse(parse(text, "quick.yaml"))
        codes = space.sample(20, 0)
        bulk = space.costs(codes)
        alone = [space.architecture(space.point(row)).cost().macs for row in codes[:2]]
    except MvsearchError as error:
        return str(error)
    assert bulk.macs[:2].tolist() == alone
    return ""


@settings(
    max_examples=examples(150, 300),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(damaged())
def test_a_damaged_file_is_loaded_or_refused_in_one_line(text):
    message = refusal(text)
    assert not message or message.startswith("quick.yaml")
    assert len(message.splitlines()) <= 1


@settings(max_examples=200, deadline=None)
@given(st.text("abn:-{}[],&*!|>'\"%@` \n\t#?~<=.0129\\é\x00\ud7ff", max_size=80) | st.text(max_size=40))
def test_any_text_is_loaded_or_refused_in_one_line(text):
    message = refusal(text)
    assert not message or message.startswith("quick.yaml")
    assert len(message.splitlines()) <= 1


@pytest.mark.parametrize(
    "text",
    [
        "blocks: " + "[" * 3000 + "]" * 3000,
        "blocks: " + "{a: " * 3000 + "1" + "}" * 3000,
        "blocks: !!int abc",
        "blocks: !!bool abc",
        "blocks: !!float abc",
        "blocks: !!null abc",
        "blocks: !!map abc",
        'blocks: "\\UFFFFFFFF"',
        'blocks: "\\xZZ"',
        "%YAML 9.9\n---\nblocks: 1",
        "%TAG ! tag:example.com,2000:\n--- !x\nblocks: 1",
        "a: &a [*a]",
        "blocks: *nowhere",
        "1: 2\nblocks: []",
        "? [a]\n: b",
        '"a\\nb": 1',
        "<<: {blocks: []}",
        "---\nblocks: []\n---\nblocks: []",
        "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
        + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(9)),
        "blocks: !!python/object/apply:os.system ['echo x']",
        "blocks: !!python/name:os.system",
        "blocks: 2020-01-01",
        "\ufeffblocks: []",
        "[]",
        "word",
        "~",
        "# nothing",
        " ",
    ],
)
def test_yaml_that_is_a_trap_is_refused_in_one_line(text):
    message = refusal(text)
    assert message.startswith("quick.yaml")
    assert len(message.splitlines()) == 1
