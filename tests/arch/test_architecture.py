from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.published import model_names, published
from mvsearch.errors import ArchitectureError, MvsearchError
from mvsearch.utils import plugins
from mvsearch.utils.yaml_document import Document, dump, parse

SMALL = """\
name: small
image_size: 64
num_classes: 10
blocks:
  - {name: stem, block: conv, out: 16, stride: 2}
  - {name: down, block: mv2, out: 32, stride: 2, repeat: 2, expand: 2}
  - {name: body, block: mobilevit, out: 32, dim: 32, depth: 2}
head: {pool: mean, dropout: 0.1, linear: true}
"""


def small(old: str = "", new: str = "") -> Architecture:
    assert old in SMALL
    return Architecture.parse(parse(SMALL.replace(old, new) if old else SMALL, "small.yaml"))


# ---- there and back


@pytest.mark.parametrize("name", model_names())
def test_a_published_model_is_the_same_after_a_dict_and_after_a_file(name):
    arch = published(name)

    assert Architecture.from_dict(arch.to_dict()) == arch
    assert Architecture.parse(parse(dump(arch.to_dict()))) == arch


@pytest.mark.parametrize("name", model_names())
def test_the_key_of_a_published_model_is_that_of_its_layers_whatever_its_rows_are_called(name):
    arch = published(name)
    renamed = replace(arch, name=None, blocks=tuple(replace(b, name=f"row{i}") for i, b in enumerate(arch.blocks)))

    assert renamed.key == arch.key
    assert renamed.cost() == arch.cost()


def test_different_published_networks_have_different_keys():
    same = [{"ablation_1_baseline_v1_s", "mobilevitv1_s"}, {"ablation_5_all_s_unscaled", "mobilevitv3_s_unscaled"}]
    by_key: dict[str, set[str]] = {}
    for name in model_names():
        by_key.setdefault(published(name).key, set()).add(name)

    assert sorted(map(sorted, (names for names in by_key.values() if len(names) > 1))) == sorted(map(sorted, same))


def test_a_row_written_twice_is_the_row_repeated():
    repeated = small("out: 32, stride: 2, repeat: 2, expand: 2}", "out: 32, stride: 2, repeat: 2, expand: 2}")
    twice = small(
        "out: 32, stride: 2, repeat: 2, expand: 2}",
        "out: 32, stride: 2, expand: 2}\n  - {name: again, block: mv2, out: 32, expand: 2}",
    )

    assert twice.key == repeated.key
    assert twice.cost() == repeated.cost()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("dim: 32, depth: 2}", "dim: 32, depth: 2, ffn: 64, heads: 4}"),
        ("stride: 2}", "stride: 2, repeat: 1, kernel: 3}"),
        ("image_size: 64", "image_size: 64 # a comment"),
        ("name: small\n", ""),
    ],
)
def test_what_is_written_though_it_is_the_default_changes_nothing(old, new):
    assert small(old, new).key == small().key


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("depth: 2}", "depth: 3}"),
        ("depth: 2}", "depth: 2, dropout: 0.2}"),
        ("depth: 2}", "depth: 2, concat: input}"),
        ("dropout: 0.1", "dropout: 0.2"),
        ("pool: mean", "pool: max"),
        ("linear: true", "linear: false"),
        ("image_size: 64", "image_size: 96"),
        ("num_classes: 10", "num_classes: 11"),
        ("stride: 2}", "stride: 1}"),
    ],
)
def test_what_changes_the_network_changes_the_key(old, new):
    assert small(old, new).key != small().key


def test_concat_is_moot_where_nothing_is_fused():
    without = [small("depth: 2}", f"depth: 2, fusion: none, concat: {concat}}}") for concat in ("local", "input")]

    assert without[0].key == without[1].key
    assert without[0].cost() == without[1].cost()
    assert without[0].blocks[2].settings()["fusion"] == 0
    assert without[0].to_dict()["blocks"][2]["fusion"] == "none"


def test_a_zero_is_the_same_dropout_whole_or_not():
    assert small("dropout: 0.1", "dropout: 0").key == small("dropout: 0.1", "dropout: 0.0").key
    rows = [small("depth: 2}", f"depth: 2, dropout: {zero}}}") for zero in ("0", "0.0")]
    assert rows[0].key == rows[1].key


def test_the_narrowest_mobilevitv2_still_has_a_feed_forward():
    arch = small("block: mobilevit, out: 32, dim: 32, depth: 2}", "block: mobilevitv2, out: 32, dim: 4, depth: 1}")

    assert arch.blocks[2].ffn == 16
    assert [replace_dim(arch, dim).blocks[2].ffn for dim in (8, 12, 16, 20)] == [16, 16, 32, 32]


def replace_dim(arch: Architecture, dim: int) -> Architecture:
    data = arch.to_dict()
    data["blocks"][2] = {"name": "body", "block": "mobilevitv2", "out": 32, "dim": dim, "depth": 1}
    return Architecture.from_dict(data)


# ---- what a file can get wrong

WRONG = {
    "misspelt field": ("depth: 2}", "dpeth: 2}", 7, "blocks.body.dpeth: no such field; did you mean 'depth'?"),
    "field of another block": ("expand: 2}", "expand: 2, dim: 8}", 6, "blocks.down.dim: no such field;"),
    "misspelt key": ("num_classes", "num_clases", 3, "num_clases: no such field; did you mean 'num_classes'?"),
    "misspelt head": ("dropout: 0.1", "droput: 0.1", 8, "head.droput: no such field; did you mean 'dropout'?"),
    "unknown block": ("block: mobilevit,", "block: mobilvit,", 7, "no block 'mobilvit'; did you mean 'mobilevit'?"),
    "a path for a block": ("block: mv2", "block: ../mv2", 6, "there is no block '../mv2'; did you mean 'mv2'?"),
    "no block": ("block: mv2, ", "", 6, "the row has no `block`; give it one."),
    "no name": ("name: down, ", "", 6, "the row has no `name`; give it one."),
    "a name that is none": ("name: down", "name: 'a b'", 6, "'a b' cannot name a row; use letters, digits and _"),
    "the head's name": ("name: down", "name: head", 6, "'head' cannot name a row; use letters, digits and _"),
    "two rows of one name": ("name: down", "name: stem", 6, "'stem' names two rows; rename one."),
    "missing field": ("dim: 32, ", "", 7, "blocks.body: `dim` is missing; mobilevit needs it."),
    "nothing for a value": ("dim: 32", "dim: ", 7, "blocks.body.dim: found None; use a whole number from 1."),
    "a bool for a number": ("out: 16", "out: true", 5, "blocks.stem.out: found True; use a whole number from 1."),
    "a fraction for a number": ("out: 16", "out: 16.0", 5, "found 16.0; use a whole number from 1."),
    "a word for a number": ("out: 16", "out: wide", 5, "found 'wide'; use a whole number from 1."),
    "a list for a number": ("out: 16", "out: [16]", 5, "found [16]; use a whole number from 1."),
    "nought": ("out: 16", "out: 0", 5, "found 0; use a whole number from 1."),
    "below nought": ("depth: 2}", "depth: -1}", 7, "found -1; use a whole number from 1 to 1,000."),
    "endless repeats": ("repeat: 2", "repeat: 999999999", 6, "found 999999999; use a whole number from 1 to 1,000."),
    "endless layers": ("depth: 2}", "depth: 999999999}", 7, "found 999999999; use a whole number from 1 to 1,000."),
    "a long stride": ("stride: 2}", "stride: 3}", 5, "blocks.stem.stride: found 3; use one of 1, 2."),
    "a true stride": ("stride: 2}", "stride: true}", 5, "found True; use one of 1, 2."),
    "an even kernel": ("stride: 2}", "stride: 2, kernel: 2}", 5, "found 2; use an odd number: 1, 3, 5, 7"),
    "a word that is none": ("depth: 2}", "depth: 2, local: dens}", 7, "found 'dens'; use one of depthwise, dense."),
    "a kernel that is none": ("depth: 2}", "depth: 2, fusion: 2}", 7, "found 2; use one of 1, 3, none."),
    "nought for none": ("depth: 2}", "depth: 2, fusion: 0}", 7, "found 0; use one of 1, 3, none."),
    "a number for a bool": ("depth: 2}", "depth: 2, add_input: 1}", 7, "found 1; use one of true, false."),
    "all dropped": ("depth: 2}", "depth: 2, dropout: 1}", 7, "found 1; use a number from 0 to below 1."),
    "no number at all": ("depth: 2}", "depth: 2, dropout: .nan}", 7, "found nan; use a number from 0 to below 1."),
    "an open value": ("dim: 32", "dim: {choose: [32, 64]}", 7, "(an open value: this file is a search space"),
    "arithmetic": ("depth: 2}", "depth: 2, ffn: 2*dim}", 7, "found '2*dim'; use a whole number from 1."),
    "heads": ("dim: 32", "dim: 30", 7, "blocks.body.dim: dim=30 does not split over heads=4; use a multiple of 4."),
    "heads given": ("dim: 32, depth: 2}", "dim: 32, depth: 2, heads: 5}", 7, "dim=32 does not split over heads=5"),
    "a block that strides": ("dim: 32", "dim: 32, stride: 2", 7, "stride=2, but a mobilevit block keeps the size"),
    "a block that widens": ("body, block: mobilevit, out: 32", "body, block: mobilevit, out: 48", 7, "use out: 32."),
    "a row that is no row": ("- {name: down", "- down\n  - {name: down", 6, "a row is {name, block, out, ...}"),
    "a small image": ("image_size: 64", "image_size: 16", 2, "image_size: found 16; use a whole number from 32."),
    "a fraction of a class": ("num_classes: 10", "num_classes: 1.5", 3, "found 1.5; use a whole number from 1."),
    "a pool that is none": ("pool: mean", "pool: average", 8, "head.pool: found 'average'; use one of mean, max."),
    "a head all dropped": (
        "dropout: 0.1",
        "dropout: 1.0",
        8,
        "head.dropout: found 1.0; use a number from 0 to below 1.",
    ),
    "a head of words": ("linear: true", "linear: sure", 8, "head.linear: found 'sure'; use one of true, false."),
    "a head that is none": ("head: {pool: mean, dropout: 0.1, linear: true}", "head: mean", 8, "found 'mean' where a"),
    "a path for a name": ("name: small", "name: ../small", 1, "name: found '../small'; use letters, digits, _ . and -"),
    "a number for a name": ("name: small", "name: 3", 1, "name: found 3; use letters, digits, _ . and -."),
}


@pytest.mark.parametrize(("old", "new", "line", "says"), WRONG.values(), ids=WRONG)
def test_an_error_names_the_line_what_was_found_and_what_would_do(old, new, line, says):
    assert SMALL.count(old) >= 1
    with pytest.raises(ArchitectureError) as raised:
        Architecture.parse(parse(SMALL.replace(old, new, 1), "small.yaml"))

    message = str(raised.value)
    assert message.startswith(f"small.yaml:{line}: "), message
    assert says in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("blocks", ["", "blocks:", "blocks: []", "blocks: conv", "blocks: {name: stem}"])
def test_a_file_without_rows_is_told_what_rows_are(blocks):
    with pytest.raises(ArchitectureError, match="found no rows; `blocks:` is a list with one or more"):
        Architecture.parse(parse(f"image_size: 64\n{blocks}\n", "small.yaml"))


def test_an_architecture_without_a_file_is_refused_by_the_place_alone():
    data = small().to_dict()
    data["blocks"][2]["dim"] = 30

    with pytest.raises(ArchitectureError, match=r"^blocks\.body\.heads: dim=30 does not split"):
        Architecture.from_dict(data)


def test_a_name_that_no_model_has_gets_the_nearest():
    with pytest.raises(ArchitectureError, match="did you mean 'mobilevitv3_xxs'"):
        published("mobilevit_v3_xxs")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
FIELDS = sorted({key for name in plugins.names("block") for key in plugins.load("block", name).Row.domains()})


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2), st.sampled_from(["name", "block", *FIELDS]), values)
def test_any_value_in_any_field_is_taken_or_refused_in_one_line(row, field, value):
    data = small().to_dict()
    data["blocks"][row][field] = value
    said = refusal(Document(data, "small.yaml"))
    assert len(said.splitlines()) <= 1


def refusal(document: Document) -> str:
    """What is said of a document that is no network; for one that is, nothing, and it comes back the same."""
    try:
        arch = Architecture.parse(document)
    except MvsearchError as error:
        return str(error)
    assert Architecture.from_dict(arch.to_dict()).key == arch.key
    assert arch.cost().params > 0
    return ""
