"""Rows of several kinds, rows that may be left out, and an open image size."""

import pickle
from dataclasses import replace

import moocore
import numpy as np
import pytest

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import ArchitectureError, MvsearchError, SpaceError
from mvsearch.space.exact_front import exact_front
from mvsearch.space.search_space import SearchSpace
from mvsearch.utils.yaml_document import parse

OPEN = """\
image_size: {choose: [64, 96]}
num_classes: 10
vars:
  kind: {choose: [mv2, mobilevit]}
blocks:
  - {name: stem, block: conv, out: {choose: [8, 16]}, stride: 2}
  - name: a
    block: {choose: [mv2, conv]}
    out: {choose: [16, 24]}
    stride: 2
    kernel: {choose: [3, 5]}
    mv2: {expand: {choose: [2, 4]}, repeat: {choose: [1, 2]}}
  - name: b
    block: kind
    out: in_channels
    repeat: {choose: [0, 1, 2]}
    expand: {choose: [2, 3]}
    mobilevit: {dim: {choose: [16, 32]}, depth: {choose: [1, 2]}, ffn: 2*dim}
  - {name: c, block: kind, out: in_channels, expand: b.expand, mobilevit: {dim: 16, depth: 1}}
where:
  - a.block != 'mv2' or a.mv2.expand <= 2 or a.kernel == 3
"""

FIRST = {
    **{"image_size": 64, "kind": "mv2", "stem.out": 8, "a.block": "conv", "a.out": 16, "a.kernel": 3},
    **{"b.expand": 2},
}

# a: conv 2 kernels, mv2 (2 of expand 2, 1 of expand 4) x 2 repeats; b and c: mv2 3 x 2, mobilevit 1 + 2 x 4
SIZE = 2 * 2 * 2 * (2 + 3 * 2) * (3 * 2 + 1 + 2 * 4)


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace.parse(parse(OPEN, "open.yaml"))


@pytest.fixture(scope="module")
def codes(space) -> np.ndarray:
    return space.legal_codes(range(len(space.choices)), 10**6)


def architectures(space: SearchSpace, codes: np.ndarray) -> list[Architecture]:
    return [space.architecture(space.point(row)) for row in codes]


def test_the_size_counts_every_point_once(space, codes):
    assert (space.size, space.size_is_exact, len(codes)) == (SIZE, True, SIZE)
    written = {str(arch.to_dict()) for arch in architectures(space, codes)}
    assert len(written) == SIZE


HEADER = "image_size: 64\nnum_classes: 10\n"
STEM = "blocks:\n  - {name: stem, block: conv, out: 8, stride: 2}\n"
OPTIONAL_MEMBER = """\
  - group: stage
    repeat: {choose: [1, 3]}
    rows:
      - {name: mix, block: conv, out: {choose: [16, 24]}, kernel: {choose: [1, 3]}, repeat: {choose: [0, 1]}}
"""
SEVERAL_MEMBERS = """\
      - {name: ffn, block: {choose: [conv, mv2]}, out: in_channels, repeat: {choose: [0, 1]}}
  - {name: last, block: mv2, out: in_channels, expand: {choose: [2, 4]}}
"""
EFFECTS = {  # the rows, and how many networks they are
    "a group whose only row is left out": (STEM + OPTIONAL_MEMBER, 1 + 2 * 2 * 2),
    "a group of optional rows": (STEM + OPTIONAL_MEMBER + SEVERAL_MEMBERS, 2 * (1 + 2 * (5 * 3 - 1))),
    "the width of a row that is left out": (
        STEM + "  - {name: a, block: conv, out: {choose: [16, 24]}, repeat: {choose: [0, 1]}}\n"
        "  - {name: b, block: conv, out: in_channels}\n",
        1 + 2,
    ),
    "a value that is read in one case": (
        "vars: {dense: {choose: [true, false]}, k: {choose: [3, 5]}}\n"
        + STEM
        + '  - {name: a, block: conv, out: 16, kernel: "k if dense else 1", repeat: {choose: [0, 1]}}\n',
        1 + 1 + 2,
    ),
}


@pytest.mark.parametrize(("rows", "size"), EFFECTS.values(), ids=EFFECTS)
def test_a_point_is_counted_once_whatever_is_left_out(rows, size):
    space = SearchSpace.parse(parse(HEADER + rows, "effects.yaml"))
    every = space.enumerate_codes(range(len(space.choices)))
    legal = space.legal_codes(range(len(space.choices)), 10**6)
    assert (space.size, len(legal)) == (size, size)
    assert len({str(arch.to_dict()) for arch in architectures(space, legal)}) == size
    assert len(np.unique(space.canonical(every), axis=0)) == size
    for arch in architectures(space, legal):
        assert space.architecture(space.find_point(arch)).key == arch.key


def test_a_network_is_found_by_another_row_where_the_first_that_fits_is_not_it():
    rows = (
        "  - {name: a, block: conv, out: 16, repeat: {choose: [0, 1]}}\n"
        "  - {name: b, block: conv, out: 16, kernel: {choose: [3, 5]}, repeat: {choose: [0, 1]}}\n"
    )
    space = SearchSpace.parse(parse(HEADER + STEM + rows))
    point = {"a.repeat": 0, "b.repeat": 1, "b.kernel": 5}
    assert space.find_point(space.architecture(point)) == point


def test_a_value_that_is_read_under_too_many_tests_is_refused():
    n = 12
    tests = "".join(f"  t{i}: {{choose: [true, false]}}\n  u{i}: {{choose: [true, false]}}\n" for i in range(n))
    layers = "".join(
        f"  {name}{i}: a{i + 1} if {test}{i} else b{i + 1}\n" for i in range(n) for name, test in ("at", "bu")
    )
    text = f"{HEADER}vars:\n{tests}{layers}  a{n}: {{choose: [8, 16]}}\n  b{n}: {{choose: [8, 16]}}\n{STEM}"
    with pytest.raises(SpaceError, match="combinations of tests; use fewer"):
        SearchSpace.parse(parse(text.replace("out: 8", "out: a0"), "tests.yaml"))


def test_costs_in_bulk_are_those_of_each_network(space, codes):
    bulk = space.costs(codes)
    for i, arch in enumerate(architectures(space, codes)):
        cost = arch.cost()
        assert (bulk.params[i], bulk.macs[i], bulk.macs_paper[i]) == (cost.params, cost.macs, cost.macs_paper)


def test_every_network_is_found_again(space, codes):
    for arch in architectures(space, codes[::7]):
        assert space.architecture(space.find_point(arch)).key == arch.key


def test_samples_are_even_over_the_legal_points(space, codes):
    sampled = space.sample(200 * SIZE, 0)
    assert space.is_legal(sampled).all()
    _, counts = np.unique(sampled, axis=0, return_counts=True)
    assert len(counts) == SIZE
    assert counts.min() > 100
    assert counts.max() < 300


def test_a_choice_without_effect_has_its_first_value(space):
    every = space.enumerate_codes(range(len(space.choices)))
    canonical = space.canonical(every)
    for before, after in zip(architectures(space, every[::5]), architectures(space, canonical[::5]), strict=True):
        assert before.key == after.key
    assert (space.canonical(canonical) == canonical).all()
    names = [choice.name for choice in space.choices]
    active = dict(zip(names, space.is_active(np.zeros((1, len(names)), dtype=np.int64))[0], strict=True))
    assert [name for name, has_effect in active.items() if not has_effect] == ["b.mobilevit.dim", "b.mobilevit.depth"]


def test_a_row_that_is_left_out_is_not_in_the_network(space, codes):
    number = [choice.name for choice in space.choices].index("b.repeat")
    for row in codes[::11]:
        names = [block.name for block in space.architecture(space.point(row)).blocks]
        assert names == ["stem", "a", "c"] if row[number] == 0 else ["stem", "a", "b", "c"]


def test_the_exact_front_is_that_of_all_points(space, codes):
    cost = space.costs(codes)
    values = np.column_stack([cost.params, cost.macs]).astype(float)
    best = np.unique(values[moocore.is_nondominated(values, keep_weakly=True)], axis=0)
    front = exact_front(space, ["params", "macs"])
    assert sorted((p.cost.params, p.cost.macs) for p in front) == sorted(map(tuple, best.tolist()))


def test_a_kind_of_a_row_is_a_word_for_the_sampler(space):
    kinds = [choice for choice in space.choices if choice.name in ("kind", "a.block")]
    assert [choice.values for choice in kinds] == [("mv2", "mobilevit"), ("mv2", "conv")]
    assert not any(choice.ordered for choice in kinds)


WRONG = {
    "a misspelt kind": ("[mv2, conv]", "[mv2, conf]", 8, "blocks.a.block", "'conv'"),
    "a kind that is a number": ("[mv2, conv]", "[mv2, 3]", 8, "blocks.a.block", "3"),
    "kinds in a list without choose": ("{choose: [mv2, conv]}", "[mv2, conv]", 8, "blocks.a.block", "{choose: [...]}"),
    "a misspelt field of a kind": ("expand: {choose: [2, 4]}", "expnd: 2", 12, "blocks.a.mv2.expnd", "'expand'"),
    "a field of another kind": (
        "expand: {choose: [2, 4]}",
        "dim: 2",
        12,
        "blocks.a.mv2.dim",
        "mobilevit, mobilevitv2, shsa",
    ),
    "fields of a kind that the row is not": ("    mv2: {", "    mobilevit: {", 12, "blocks.a.mobilevit", "mv2 or conv"),
    "a field that no kind has": ("    kernel:", "    patch:", 11, "blocks.a.patch", "not of mv2 or conv;"),
    "a missing field of one kind": ("dim: {choose: [16, 32]}, ", "", 13, "blocks.b", "`dim`"),
    "an output by row and by kind": ("mv2: {", "mv2: {out: 16, ", 12, "blocks.a.mv2.out", "`out`"),
    "an illegal value of one kind": (
        "expand: {choose: [2, 4]}",
        "expand: {choose: [2, 0]}",
        12,
        "blocks.a.mv2.expand",
        "0",
    ),
    "a row that another needs": ("out: in_channels\n    repeat", "out: 24\n    repeat", 15, "blocks.b.out", "24"),
    "an activation that there is not": (
        "stride: 2}\n  - name: a",
        "act: tanh}\n  - name: a",
        6,
        "blocks.stem.act",
        "silu, relu,",
    ),
    "an activation that might be a value": ("expand: {choose: [2, 3]}", "act: knd", 17, "blocks.b.act", "'kind'"),
    "a row that is never there": ("choose: [0, 1, 2]", "choose: [0]", 16, "blocks.b.repeat", "left out"),
    "a negative repeat": ("choose: [0, 1, 2]", "choose: [-1, 1]", 16, "blocks.b.repeat", "-1"),
    "no row at all": ("stride: 2}\n  - name: a\n", "stride: 2, repeat: 0}\n  - name: a\n", 6, "blocks.stem.repeat", ""),
    "an image that is too small": ("[64, 96]", "[64, 16]", 1, "image_size", "16"),
    "an image size that is a word": ("[64, 96]", "[64, large]", 1, "image_size", "'large'"),
    "an image size that strides do not divide": ("[64, 96]", "[64, 97]", 1, "image_size", "96 or 100"),
    "a condition on the output of a row that is left out": (
        "a.block != 'mv2' or a.mv2.expand <= 2 or a.kernel == 3",
        "b.out <= 16",
        21,
        "where.0",
        "not (b.repeat >= 1) or b.out <= 16",
    ),
    "a condition on a field without effect": (
        "a.block != 'mv2' or ",
        "",
        21,
        "where.0",
        "not (a.block == 'mv2') or",
    ),
    "an image size that is a fraction": ("[64, 96]", "[64, 96.5]", 1, "image_size", "96.5"),
    "a kind misspelt in a condition": ("a.block != 'mv2'", "a.block != 'mv3'", 21, "where.0", "'mv2'"),
    "an activation misspelt in a field": (
        "ffn: 2*dim",
        "ffn: \"2*dim if act == 'sillu' else dim\"",
        18,
        "blocks.b.mobilevit.ffn",
        "'silu'",
    ),
    "a field of the row that every kind has for itself": (
        "mobilevit: {dim: {choose: [16, 32]},",
        "depth: 3\n    mobilevit: {dim: {choose: [16, 32]},",
        18,
        "blocks.b.depth",
        "mobilevit",
    ),
    "a condition on a kind that is not offered": (
        "a.kernel == 3",
        "a.conv.expand == 3",
        21,
        "where.0",
        "did you mean a.mv2.expand?",
    ),
    "a condition on a field of a kind": (
        "a.mv2.expand <=",
        "a.expand <=",
        21,
        "where.0",
        "a.mv2.expand?",
    ),
    "a condition on a field of no kind of the row": ("a.mv2.expand <=", "a.mv2.dim <=", 21, "where.0", "a.mv2.repeat."),
    "a kind without quotes in a condition": ("a.block != 'mv2'", "a.block != mv2", 21, "where.0", "quotes: 'mv2'"),
    "a misspelt field of the same row": ("ffn: 2*dim", "ffn: 2*dimm", 18, "blocks.b.mobilevit.ffn", "'dim'"),
}


@pytest.mark.parametrize(("old", "new", "line", "key", "value"), WRONG.values(), ids=WRONG)
def test_an_error_has_the_file_the_line_the_key_and_the_value(old, new, line, key, value):
    assert old in OPEN
    with pytest.raises((SpaceError, ArchitectureError)) as error:
        SearchSpace.parse(parse(OPEN.replace(old, new), "open.yaml"))
    assert (error.value.file, error.value.line, error.value.key) == ("open.yaml", line, key)
    assert value in str(error.value)


def test_the_row_is_named_without_which_the_width_is_another():
    text = OPEN.replace("out: in_channels\n    repeat", "out: 32\n    repeat").replace("mobilevit]", "conv]")
    text = text.replace("mobilevit: {dim: {choose: [16, 32]}, depth: {choose: [1, 2]}, ffn: 2*dim}", "mv2: {kernel: 3}")
    text = text.replace(
        "block: kind, out: in_channels, expand: b.expand, mobilevit: {dim: 16, depth: 1}", "block: star, out: 32"
    )
    with pytest.raises(SpaceError, match=r"for points without the row b, out=32, .*\(16\); use out: in_channels"):
        SearchSpace.parse(parse(text))


@pytest.mark.parametrize("condition", ["b.repeat == 0 or b.out <= 16", "a.out + (b.out if b.repeat else 0) <= 40"])
def test_a_condition_may_read_a_field_where_its_row_is_there(condition):
    old = "a.block != 'mv2' or a.mv2.expand <= 2 or a.kernel == 3"
    assert SearchSpace.parse(parse(OPEN.replace(old, condition))).size < SIZE * 2


def test_the_image_size_that_a_contained_model_is_published_at_need_not_be_divided(tmp_path):
    text = OPEN.replace("[64, 96]", "[64, 97]")
    arch = SearchSpace.parse(parse(OPEN)).architecture({"b.repeat": 0, **FIRST})
    replace(arch, image_size=97).save(tmp_path / "own.yaml")
    space = SearchSpace.parse(parse(f"{text}contains: [own.yaml]\n", str(tmp_path / "open.yaml")))
    assert (space.image_sizes, space.contains) == ((64, 97), ("own",))


def test_a_dense_head_needs_fixed_strides_and_one_image_size():
    head = "head: {kind: deeplabv3}\n"
    for text in (OPEN, OPEN.replace("{choose: [64, 96]}", "64").replace("stride: 2\n", "stride: {choose: [1, 2]}\n")):
        with pytest.raises(MvsearchError):
            SearchSpace.parse(parse(head + text, "open.yaml"))


GROUP = """\
image_size: 64
num_classes: 10
blocks:
  - {name: stem, block: conv, out: 8, stride: 2}
  - group: stage
    repeat: {choose: [1, 3]}
    rows:
      - {name: mix, block: {choose: [mv2, conv]}, out: {choose: [16, 24]}, stride: 2, mv2: {expand: {choose: [2, 4]}}}
      - {name: ffn, block: conv, out: in_channels, kernel: {choose: [1, 3]}, repeat: {choose: [0, 1]}}
  - {name: last, block: conv, out: 32}
"""


def test_a_group_repeats_its_rows_with_the_same_choices():
    space = SearchSpace.parse(parse(GROUP, "group.yaml"))
    names = {choice.name for choice in space.choices}
    assert names == {"stage", "mix.block", "mix.out", "mix.mv2.expand", "ffn.kernel", "ffn.repeat"}
    assert space.size == 2 * 2 * (2 + 1) * (2 + 1)
    point = {"stage": 3, "mix.block": "mv2", "mix.out": 24, "mix.mv2.expand": 4, "ffn.kernel": 3, "ffn.repeat": 1}
    arch = space.architecture(point)
    assert [block.name for block in arch.blocks] == ["stem", "mix", "ffn", "mix_2", "ffn_2", "mix_3", "ffn_3", "last"]
    assert [block.stride for block in arch.blocks] == [2, 2, 1, 1, 1, 1, 1, 1]
    assert {(block.kind(), block.out) for block in arch.blocks[1:-1]} == {("mv2", 24), ("conv", 24)}
    assert space.find_point(arch) == point
    codes = space.legal_codes(range(len(space.choices)), 1000)
    assert (space.costs(codes).macs == [arch.cost().macs for arch in architectures(space, codes)]).all()


@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        ("[1, 3]", "[0, 3]", 6, "blocks.1.repeat"),
        ("[1, 3]", "[1, 3000]", 6, "blocks.1.repeat"),
        ("group: stage", "group: a b", 5, "blocks.1.group"),
        ("    rows:", "    rowz:", 5, "blocks.1.group"),
        ("kernel: {choose: [1, 3]}", "kernel: {choose: [1, 4]}", 9, "blocks.ffn.kernel"),
        ("out: in_channels", "oud: in_channels", 9, "blocks.ffn.oud"),
        ("block: conv, out: in", "out: in", 9, "blocks.ffn"),
        ("{name: ffn, ", "{", 9, "blocks.1.rows.1"),
        ("blocks:", "where: [stage <= 2]\nblocks:", 7, "vars.stage"),
    ],
)
def test_an_error_in_a_group_has_its_line(old, new, line, key):
    with pytest.raises((SpaceError, ArchitectureError)) as error:
        SearchSpace.parse(parse(GROUP.replace(old, new), "group.yaml"))
    assert (error.value.file, error.value.line, error.value.key) == ("group.yaml", line, key)


def test_a_space_travels_to_other_processes(space):
    again = pickle.loads(pickle.dumps(space))
    assert (again.size, again.sample(5, 0).tolist()) == (space.size, space.sample(5, 0).tolist())


def test_the_choices_of_a_trial_are_those_with_an_effect(space, codes):
    for row in codes[::13]:
        point = space.effective(space.point(row))
        assert (space.codes(point) == row).all()
        if point["b.repeat"] == 0:
            assert "b.mobilevit.dim" not in point
