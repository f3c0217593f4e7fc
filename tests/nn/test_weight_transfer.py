"""Weight transfer: equal parts are copied, new parts do no harm at first, and shares are counted."""

from dataclasses import replace

import pytest
import torch
from rich.console import Console
from rows import row

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.heads.classification import Head
from mvsearch.arch.heads.deeplabv3 import Head as DeepLabV3
from mvsearch.arch.published import published
from mvsearch.errors import CheckpointError
from mvsearch.nn import build
from mvsearch.nn.weight_transfer import identify_architecture, transfer_weights
from mvsearch.nn.weights_io import checksum
from mvsearch.report.weight_transfer_table import weight_transfer_table

STEM = row("conv", name="stem", out=8, stride=2)


def network(*rows, classes=5, seed=0):
    arch = Architecture(blocks=(STEM, *rows), image_size=32, num_classes=classes)
    return with_statistics(build(arch, seed=seed))


def with_statistics(model):
    """A network whose norms have other statistics than fresh ones."""
    generator = torch.Generator().manual_seed(7)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return model.eval()


def outputs(model):
    with torch.no_grad():
        return model(torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1)))


def assert_same_outputs(one, other):
    assert torch.allclose(outputs(one), outputs(other), atol=1e-5)


def mobilevit(**fields):
    return row("mobilevit", **{"name": "body", "out": 8, "dim": 16, "depth": 2, "ffn": 24} | fields)


def mobilevitv2(**fields):
    return row("mobilevitv2", **{"name": "body", "out": 8, "dim": 16, "depth": 2, "ffn": 32} | fields)


KINDS = {
    "conv": row("conv", name="body", out=12, kernel=3),
    "mv2": row("mv2", name="body", out=8, expand=3, repeat=2),
    "uib": row("uib", name="body", out=8, start=5, repeat=2),
    "repvit": row("repvit", name="body", out=12, stride=2, repeat=2),
    "shsa": row("shsa", name="body", out=12, stride=2, repeat=2, dim=5),
    "star": row("star", name="body", out=8, repeat=2),
    "mobilevit": mobilevit(),
    "mobilevit as v1": mobilevit(local="dense", fusion=3, concat="input", add_input=False),
    "mobilevit unfused": mobilevit(fusion=0),
    "mobilevitv2": mobilevitv2(),
    "mobilevitv2 as v2": mobilevitv2(fusion=0, add_input=False),
    "mobilevit with batch norms": mobilevit(act="relu", norm="batch"),
    "mobilevitv2 with batch norms": mobilevitv2(act="hard_swish", norm="batch"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_equal_network_gets_everything(kind):
    source, model = network(KINDS[kind], seed=1), network(KINDS[kind], seed=2)
    transfer = transfer_weights(model, source, name="source")
    assert torch.equal(outputs(model), outputs(source))
    assert transfer.transferred == transfer.params == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", ["mobilevitv3_xxs", "mobilevitv1_xxs", "mobilevitv3_0.5"])
def test_a_published_network_gets_all_of_its_own_weights(name):
    arch = published(name).at(image_size=32, num_classes=10)
    source, model = with_statistics(build(arch, seed=1)), with_statistics(build(arch, seed=2))
    transfer_weights(model, source, name=name)
    assert torch.equal(outputs(model), outputs(source))


@pytest.mark.parametrize(
    ("count", "available", "kept"), [(1, 4, [0]), (2, 4, [0, 2]), (3, 4, [0, 1, 2]), (2, 3, [0, 1])]
)
@pytest.mark.parametrize("body", [mobilevit, mobilevitv2])
def test_fewer_layers_are_spread_evenly_over_those_of_the_source(body, count, available, kept):
    source, model = network(body(depth=available), seed=1), network(body(depth=count), seed=2)
    transfer = transfer_weights(model, source, name="source")
    for layer, i in zip(model.body.layers, kept, strict=True):
        mine, theirs = layer.state_dict(), source.body.layers[i].state_dict()
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    assert transfer.transferred == transfer.params


def test_fewer_blocks_of_a_row_are_spread_evenly_too():
    rows = [row("mv2", name="body", out=16, stride=2, expand=2, repeat=repeat) for repeat in (2, 4)]
    model, source = (network(each, seed=seed) for seed, each in enumerate(rows))
    transfer_weights(model, source, name="source")
    for block, i in zip(model.body, (0, 2), strict=True):
        assert all(
            torch.equal(one, two) for one, two in zip(block.parameters(), source.body[i].parameters(), strict=True)
        )


GROWN = {
    "mobilevit deeper": (mobilevit(), mobilevit(depth=4)),
    "mobilevit with a wider ffn": (mobilevit(), mobilevit(ffn=40)),
    "mobilevit repeated": (mobilevit(), mobilevit(repeat=3)),
    "mobilevit from depthwise to dense": (mobilevit(), mobilevit(local="dense")),
    "mobilevit fused by 3x3 after 1x1": (mobilevit(), mobilevit(fusion=3)),
    "mobilevitv2 deeper": (mobilevitv2(), mobilevitv2(depth=4)),
    "mobilevitv2 with a wider ffn": (mobilevitv2(), mobilevitv2(ffn=64)),
    "mobilevitv2 fused": (mobilevitv2(fusion=0), mobilevitv2()),
    "mv2 repeated": (row("mv2", name="body", out=8), row("mv2", name="body", out=8, repeat=3)),
    "mv2 expanded": (row("mv2", name="body", out=8, expand=2), row("mv2", name="body", out=8, expand=5)),
    "mv2 with a larger kernel": (row("mv2", name="body", out=8), row("mv2", name="body", out=8, kernel=7)),
    "shsa repeated": (row("shsa", name="body", out=8, dim=4), row("shsa", name="body", out=8, dim=4, repeat=3)),
    "shsa with attention": (row("shsa", name="body", out=8), row("shsa", name="body", out=8, dim=4)),
    "shsa expanded": (row("shsa", name="body", out=8, dim=4), row("shsa", name="body", out=8, dim=4, expand=5)),
    "star repeated": (row("star", name="body", out=8), row("star", name="body", out=8, repeat=3)),
    "star expanded": (row("star", name="body", out=8, expand=2), row("star", name="body", out=8, expand=5)),
    "uib repeated": (row("uib", name="body", out=8, start=3), row("uib", name="body", out=8, start=3, repeat=3)),
    "uib expanded": (row("uib", name="body", out=8, expand=2), row("uib", name="body", out=8, expand=5)),
    "conv wider": (row("conv", name="body", out=8), row("conv", name="body", out=20)),
    "conv with a larger kernel": (row("conv", name="body", out=8, kernel=1), row("conv", name="body", out=8, kernel=5)),
}


@pytest.mark.parametrize("case", GROWN)
def test_a_grown_network_has_the_outputs_of_its_source(case):
    small, large = GROWN[case]
    source, model = network(small, seed=1), network(large, seed=2)
    transfer_weights(model, source, name="source")
    assert_same_outputs(model, source)
    assert sum(p.numel() for p in model.parameters()) >= sum(p.numel() for p in source.parameters())


@pytest.mark.parametrize("kind", [mobilevit, mobilevitv2, lambda name: row("mv2", name=name, out=8)])
def test_a_new_row_adds_nothing_at_first_and_learns(kind):
    source, model = network(mobilevit(), seed=1), network(mobilevit(), kind(name="extra"), seed=2)
    transfer = transfer_weights(model, source, name="source")
    assert_same_outputs(model, source)
    assert [(row.name, row.source) for row in transfer.rows if not row.transferred] == [("extra", None)]
    model(torch.randn(2, 3, 32, 32)).square().sum().backward()
    last = [module for module in model.extra.modules() if isinstance(module, torch.nn.BatchNorm2d)][-1]
    assert last.weight.grad.abs().max() > 0


def test_heads_queries_keys_and_values_are_sliced_each_in_its_own_range():
    source, model = network(mobilevit(dim=16, heads=4), seed=1), network(mobilevit(dim=8, heads=2), seed=2)
    transfer_weights(model, source, name="source")
    theirs = source.body.layers[0].attention.qkv.weight.view(3, 4, 4, 16)
    assert torch.equal(model.body.layers[0].attention.qkv.weight.view(3, 2, 4, 8), theirs[:, :2, :, :8])
    thin = network(mobilevit(dim=8, heads=4), seed=3)
    transfer_weights(thin, source, name="source")
    assert torch.equal(thin.body.layers[0].attention.qkv.weight.view(3, 4, 2, 8), theirs[:, :, :2, :8])
    out = source.body.layers[0].attention.out.weight.view(16, 4, 4)[:8, :, :2]
    assert torch.equal(thin.body.layers[0].attention.out.weight.view(8, 4, 2), out)


def test_separable_queries_keys_and_values_are_sliced_each_in_its_own_range():
    source, model = network(mobilevitv2(dim=16), seed=1), network(mobilevitv2(dim=8), seed=2)
    transfer_weights(model, source, name="source")
    query, key, value = source.body.layers[0].attention.qkv.weight.split((1, 16, 16))
    expected = torch.cat([query, key[:8], value[:8]])[:, :8]
    assert torch.equal(model.body.layers[0].attention.qkv.weight, expected)


def test_queries_keys_and_values_of_a_single_head_are_sliced_each_in_its_own_range():
    source, model = (network(row("shsa", name="body", out=8, dim=dim, qk=qk), seed=dim) for dim, qk in ((6, 4), (5, 3)))
    transfer_weights(model, source, name="source")
    query, key, value = source.body.attention[0].qkv.conv.weight.split((4, 4, 6))
    assert torch.equal(model.body.attention[0].qkv.conv.weight, torch.cat([query[:3], key[:3], value[:5]])[:, :5])


@pytest.mark.parametrize(("block", "last"), [("repvit", "channel"), ("shsa", "ffn.0")])
def test_a_block_that_downsamples_inherits_from_one_that_does_not(block, last):
    source, model = (network(row(block, name="body", out=out), seed=out) for out in (8, 12))
    transfer_weights(model, source, name="source")
    wide, thin = (each.body.get_submodule(f"{last}.widen.conv").weight for each in (model, source))
    assert torch.equal(wide[:16, :8], thin)
    assert not wide[:16, 8:].any()


@pytest.mark.parametrize("body", [mobilevit, mobilevitv2])
def test_norms_of_another_kind_are_not_transferred_and_everything_else_is(body):
    source, model = network(body(norm="layer"), seed=1), network(body(norm="batch"), seed=2)
    torch.nn.init.constant_(source.body.norm.weight, 3.0)
    transfer = transfer_weights(model, source, name="source")
    norms = [
        module for name, module in model.body.named_modules() if name == "norm" or name.endswith(("norm1", "norm2"))
    ]
    assert len(norms) == 5
    assert all(torch.equal(norm.weight, torch.ones(16)) for norm in norms)
    assert transfer.params - transfer.transferred == 5 * 2 * 16


@pytest.mark.parametrize("concat", ["local", "input"])
def test_what_a_fusion_reads_is_sliced_each_in_its_own_range(concat):
    source = network(mobilevit(concat=concat, dim=16), seed=1)
    model = network(mobilevit(concat=concat, dim=8), seed=2)
    transfer_weights(model, source, name="source")
    beside, width = (16, 8) if concat == "local" else (8, 8)
    theirs = source.body.fuse.conv.weight
    assert torch.equal(model.body.fuse.conv.weight, torch.cat([theirs[:, :width], theirs[:, beside:]], dim=1))


def test_a_separable_fusion_too():
    source, model = network(mobilevitv2(dim=16), seed=1), network(mobilevitv2(dim=8), seed=2)
    transfer_weights(model, source, name="source")
    theirs = source.body.project.conv.weight
    assert torch.equal(model.body.project.conv.weight, torch.cat([theirs[:, :8], theirs[:, 16:24]], dim=1))


def test_a_depthwise_convolution_is_the_diagonal_of_a_dense_one():
    source, model = network(mobilevit(local="dense"), seed=1), network(mobilevit(), seed=2)
    transfer_weights(model, source, name="source")
    theirs = source.body.local.conv.weight
    assert all(torch.equal(model.body.local.conv.weight[i, 0], theirs[i, i]) for i in range(8))


def test_kernels_are_inherited_from_their_centres():
    source = network(row("conv", name="body", out=8, kernel=5), seed=1)
    model = network(row("conv", name="body", out=8, kernel=3), seed=2)
    transfer_weights(model, source, name="source")
    assert torch.equal(model.body.conv.weight, source.body.conv.weight[:, :, 1:4, 1:4])


def test_shares_are_those_of_the_closed_form():
    def conv(n_in, out, kernel=1):
        return n_in * out * kernel * kernel + 2 * out

    source = network(row("conv", name="body", out=12, kernel=5), classes=5)
    model = network(row("conv", name="body", out=20, kernel=3), classes=5, seed=2)
    transfer = {
        row_transfer.name: (row_transfer.transferred, row_transfer.params)
        for row_transfer in transfer_weights(model, source, name="source").rows
    }
    assert transfer == {
        "stem": (conv(3, 8, 3), conv(3, 8, 3)),
        "body": (conv(8, 12, 3), conv(8, 20, 3)),
        "head": (12 * 5 + 5, 20 * 5 + 5),
    }


def test_a_classifier_of_other_classes_starts_afresh():
    source, model = network(mobilevit(), classes=5, seed=1), network(mobilevit(), classes=7, seed=2)
    before = model.head.linear.weight.clone()
    transfer = transfer_weights(model, source, name="source")
    assert torch.equal(model.head.linear.weight, before)
    assert (transfer.rows[-1].name, transfer.rows[-1].transferred, transfer.rows[-1].source) == ("head", 0, None)


@pytest.mark.parametrize("head", [Head(norm="map"), Head(norm="pooled"), Head(hidden=6), Head(norm="map", hidden=6)])
def test_a_classifier_is_cut_with_its_norm_to_the_width_of_its_input(head):
    arch = Architecture(blocks=(STEM,), head=head, image_size=32, num_classes=5)
    wide = replace(arch, blocks=(replace(STEM, out=12),))
    source, model = with_statistics(build(wide, seed=1)), build(arch, seed=2)
    transfer = transfer_weights(model, source, name="source").rows[-1]

    assert (transfer.name, transfer.transferred) == ("head", transfer.params)
    first = {name: tensor[:8] for name, tensor in source.head.norm.state_dict().items() if tensor.ndim}
    assert all(torch.equal(tensor, first[name]) for name, tensor in model.head.norm.state_dict().items() if tensor.ndim)


def test_a_backbone_is_transferred_under_another_head():
    classifier = published("mobilevitv3_xxs").at(num_classes=10)
    source = with_statistics(build(classifier, seed=1))
    model = build(classifier.with_head(DeepLabV3()), seed=2)
    transfer = transfer_weights(model, source, name="source")
    assert torch.equal(model.layer5.layers[2].ffn_in.weight, source.layer5.layers[2].ffn_in.weight)
    assert {row_transfer.name for row_transfer in transfer.rows if row_transfer.transferred} == {
        n for n, _ in model.named_children()
    } - {"head"}


def test_rows_of_unknown_names_are_paired_by_position():
    source = network(mobilevit(), seed=1)
    model = network(replace(mobilevit(), name="middle"), seed=2)
    transfer = transfer_weights(model, source, name="source")
    assert torch.equal(outputs(model), outputs(source))
    assert [row.source for row in transfer.rows] == ["stem", "body", "head"]


def test_networks_without_a_common_row_are_refused():
    one = build(Architecture(blocks=(row("conv", name="a", out=8),), image_size=32, num_classes=3))
    other = build(Architecture(blocks=(row("mv2", name="a", out=8),), image_size=32, num_classes=4))
    with pytest.raises(CheckpointError, match="same family"):
        transfer_weights(other, one, name="one")


def test_the_source_is_left_alone_and_named_by_its_content():
    source, model = network(mobilevit(dim=8), seed=1), network(mobilevit(), seed=2)
    before = checksum(source.state_dict())
    transfer = transfer_weights(model, source, name="studies/v3:17")
    assert transfer.checksum == checksum(source.state_dict()) == before != checksum(model.state_dict())
    facts = transfer.to_dict()
    assert (facts["source"], facts["checksum"]) == ("studies/v3:17", before)
    assert facts["share"] == transfer.transferred / transfer.params


@pytest.mark.parametrize("name", ["mobilevitv1_xs", "mobilevitv3_xxs_l2", "mobilevitv2_0.5"])
def test_weights_of_a_published_network_are_identified(name):
    arch = published(name).at(num_classes=7)
    assert identify_architecture(build(arch).state_dict()).key == arch.key


def test_weights_of_no_published_network_are_refused():
    with pytest.raises(CheckpointError, match=r"architecture\.yaml"):
        identify_architecture(network(mobilevit()).state_dict())


def test_the_table_says_where_each_row_comes_from():
    source, model = network(mobilevit(), seed=1), network(mobilevit(), mobilevitv2(name="extra"), seed=2)
    console = Console(width=100)
    with console.capture() as text:
        console.print(weight_transfer_table(transfer_weights(model, source, name="mobilevitv3_xxs")))
    lines = [line.strip() for line in text.get().splitlines()]
    assert "inherited from mobilevitv3_xxs" in lines[0]
    assert next(line for line in lines if line.startswith("extra")).split()[1] == "-"
    assert next(line for line in lines if line.startswith("body")).split()[-1] == "100.0%"
