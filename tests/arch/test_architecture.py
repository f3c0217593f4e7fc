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
    "misspelt field": ("depth: 2}", "dpeth: 2}", 7, "blocks.body.dpeth", "'depth'"),
    "field of another block": ("expand: 2}", "expand: 2, dim: 8}", 6, "blocks.down.dim", "'dim'"),
    "misspelt key": ("num_classes", "num_clases", 3, "num_clases", "'num_classes'"),
    "misspelt head": ("dropout: 0.1", "droput: 0.1", 8, "head.droput", "'dropout'"),
    "unknown block": ("block: mobilevit,", "block: mobilvit,", 7, "blocks.body.block", "'mobilevit'"),
    "a path for a block": ("block: mv2", "block: ../mv2", 6, "blocks.down.block", "'mv2'"),
    "no block": ("block: mv2, ", "", 6, "blocks.down", "`block`"),
    "no name": ("name: down, ", "", 6, "blocks.1", "`name`"),
    "a name that is none": ("name: down", "name: 'a b'", 6, "blocks.a b.name", "'a b'"),
    "the head's name": ("name: down", "name: head", 6, "blocks.head.name", "'head'"),
    "two rows of one name": ("name: down", "name: stem", 6, "blocks.stem.name", "'stem'"),
    "missing field": ("dim: 32, ", "", 7, "blocks.body", "`dim`"),
    "nothing for a value": ("dim: 32", "dim: ", 7, "blocks.body.dim", "None"),
    "a bool for a number": ("out: 16", "out: true", 5, "blocks.stem.out", "True"),
    "a fraction for a number": ("out: 16", "out: 16.0", 5, "blocks.stem.out", "16.0"),
    "a word for a number": ("out: 16", "out: wide", 5, "blocks.stem.out", "'wide'"),
    "a list for a number": ("out: 16", "out: [16]", 5, "blocks.stem.out", "16"),
    "nought": ("out: 16", "out: 0", 5, "blocks.stem.out", "0"),
    "below nought": ("depth: 2}", "depth: -1}", 7, "blocks.body.depth", "-1"),
    "endless repeats": ("repeat: 2", "repeat: 999999999", 6, "blocks.down.repeat", "999999999"),
    "endless layers": ("depth: 2}", "depth: 999999999}", 7, "blocks.body.depth", "999999999"),
    "a long stride": ("stride: 2}", "stride: 3}", 5, "blocks.stem.stride", "3"),
    "a true stride": ("stride: 2}", "stride: true}", 5, "blocks.stem.stride", "True"),
    "an even kernel": ("stride: 2}", "stride: 2, kernel: 2}", 5, "blocks.stem.kernel", "2"),
    "a word that is none": ("depth: 2}", "depth: 2, local: dens}", 7, "blocks.body.local", "'dens'"),
    "a misspelt word": ("stride: 2}", "stride: 2, act: hardswish}", 5, "blocks.stem.act", "did you mean 'hard_swish'?"),
    "a kernel that is none": ("depth: 2}", "depth: 2, fusion: 2}", 7, "blocks.body.fusion", "2"),
    "nought for none": ("depth: 2}", "depth: 2, fusion: 0}", 7, "blocks.body.fusion", "0"),
    "a number for a bool": ("depth: 2}", "depth: 2, add_input: 1}", 7, "blocks.body.add_input", "1"),
    "all dropped": ("depth: 2}", "depth: 2, dropout: 1}", 7, "blocks.body.dropout", "1"),
    "no number at all": ("depth: 2}", "depth: 2, dropout: .nan}", 7, "blocks.body.dropout", "nan"),
    "an open value": ("dim: 32", "dim: {choose: [32, 64]}", 7, "blocks.body.dim", "'choose'"),
    "arithmetic": ("depth: 2}", "depth: 2, ffn: 2*dim}", 7, "blocks.body.ffn", "'2*dim'"),
    "heads": ("dim: 32", "dim: 30", 7, "blocks.body.dim", "30"),
    "heads given": ("dim: 32, depth: 2}", "dim: 32, depth: 2, heads: 5}", 7, "blocks.body.heads", "32"),
    "a block that strides": ("dim: 32", "dim: 32, stride: 2", 7, "blocks.body.stride", "2"),
    "a block that widens": (
        "body, block: mobilevit, out: 32",
        "body, block: mobilevit, out: 48",
        7,
        "blocks.body.out",
        "48",
    ),
    "a row that is no row": ("- {name: down", "- down\n  - {name: down", 6, "blocks.1", "'down'"),
    "a small image": ("image_size: 64", "image_size: 16", 2, "image_size", "16"),
    "a fraction of a class": ("num_classes: 10", "num_classes: 1.5", 3, "num_classes", "1.5"),
    "a pool that is none": ("pool: mean", "pool: average", 8, "head.pool", "'average'"),
    "a head all dropped": ("dropout: 0.1", "dropout: 1.0", 8, "head.dropout", "1.0"),
    "a head of words": ("linear: true", "linear: sure", 8, "head.linear", "'sure'"),
    "a head that is none": ("head: {pool: mean, dropout: 0.1, linear: true}", "head: mean", 8, "head", "'mean'"),
    "a path for a name": ("name: small", "name: ../small", 1, "name", "'../small'"),
    "a number for a name": ("name: small", "name: 3", 1, "name", "3"),
}


@pytest.mark.parametrize(("old", "new", "line", "key", "value"), WRONG.values(), ids=WRONG)
def test_an_error_has_the_file_the_line_the_key_and_one_sentence_with_the_value(old, new, line, key, value):
    assert SMALL.count(old) >= 1
    with pytest.raises(ArchitectureError) as raised:
        Architecture.parse(parse(SMALL.replace(old, new, 1), "small.yaml"))

    error = raised.value
    assert (error.file, error.line, error.key) == ("small.yaml", line, key)
    assert value in str(error)
    assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize("blocks", ["", "blocks:", "blocks: []", "blocks: conv", "blocks: {name: stem}"])
def test_a_file_without_rows_is_told_what_rows_are(blocks):
    with pytest.raises(ArchitectureError) as raised:
        Architecture.parse(parse(f"image_size: 64\n{blocks}\n", "small.yaml"))

    assert raised.value.key == "blocks"


def test_an_architecture_without_a_file_is_refused_by_the_place_alone():
    data = small().to_dict()
    data["blocks"][2]["dim"] = 30

    with pytest.raises(ArchitectureError, match="30") as raised:
        Architecture.from_dict(data)

    assert (raised.value.file, raised.value.line, raised.value.key) == (None, None, "blocks.body.heads")


def test_a_name_that_no_model_has_gets_the_nearest():
    with pytest.raises(ArchitectureError, match="mobilevitv3_xxs"):
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
    message = refusal(Document(data, "small.yaml"))
    assert len(message.splitlines()) <= 1


def refusal(document: Document) -> str:
    """The error for a document that describes no network; empty for one that does, which is read back unchanged."""
    try:
        arch = Architecture.parse(document)
    except MvsearchError as error:
        return str(error)
    assert Architecture.from_dict(arch.to_dict()).key == arch.key
    assert arch.cost().params > 0
    return ""
