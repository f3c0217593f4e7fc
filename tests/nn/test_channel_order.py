"""The order of channels: the same function, the most important first, heads as wholes, one order along the network."""

from collections import Counter

import pytest
import torch
from rows import row

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.heads.deeplabv3 import Head as DeepLabV3
from mvsearch.arch.heads.ssdlite import Head as SSDLite
from mvsearch.arch.published import published
from mvsearch.nn import build
from mvsearch.nn.channel_order import sort_channels
from mvsearch.nn.weight_transfer import transfer_weights

STEM, END = row("conv", name="stem", out=8, stride=2), row("conv", name="end", out=12, kernel=1)


def network(*rows, seed=0):
    return with_scales(build(Architecture(blocks=(STEM, *rows, END), image_size=32, num_classes=5), seed=seed))


def with_scales(model):
    """A network in which no two channels have equal norms."""
    generator = torch.Generator().manual_seed(7)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.uniform_(0.2, 2, generator=generator)
        elif name == "head.linear.weight":
            tensor.normal_(0, 1, generator=generator)
    return model.eval()


def outputs(model, size=32):
    with torch.no_grad():
        return model(torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1)))


def changed(model, other):
    """The parameters that are not equal in two networks."""
    pairs = zip(model.named_parameters(), other.parameters(), strict=True)
    return {name for (name, mine), theirs in pairs if not torch.equal(mine, theirs)}


def mobilevit(**fields):
    return row("mobilevit", **{"name": "body", "out": 8, "dim": 16, "depth": 2, "ffn": 24} | fields)


def mobilevitv2(**fields):
    return row("mobilevitv2", **{"name": "body", "out": 8, "dim": 16, "depth": 2, "ffn": 32} | fields)


KINDS = {
    "conv": row("conv", name="body", out=12),
    "mv2": row("mv2", name="body", out=16, expand=3, repeat=3),
    "uib": row("uib", name="body", out=8, start=3, repeat=2),
    "uib that strides": row("uib", name="body", out=12, start=3, middle=0, stride=2),
    "repvit": row("repvit", name="body", out=8, repeat=3),
    "shsa": row("shsa", name="body", out=8, repeat=2),
    "shsa that strides": row("shsa", name="body", out=12, stride=2, repeat=2),
    "star": row("star", name="body", out=8, repeat=2),
    "repvit that strides": row("repvit", name="body", out=12, stride=2, repeat=2),
    "mobilevit": mobilevit(),
    "mobilevit as v1": mobilevit(local="dense", fusion=3, concat="input", add_input=False),
    "mobilevit of one head, repeated": mobilevit(heads=1, repeat=2),
    "mobilevit unfused": mobilevit(fusion=0),
    "mobilevit unfused, nothing added": mobilevit(fusion=0, add_input=False),
    "mobilevitv2": mobilevitv2(),
    "mobilevitv2 as v2": mobilevitv2(fusion=0, add_input=False),
    "mobilevit with batch norms": mobilevit(act="relu", norm="batch"),
    "mobilevitv2 with batch norms": mobilevitv2(act="hard_swish", norm="batch"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_another_order_is_the_same_function(kind):
    model = network(KINDS[kind])
    ordered = sort_channels(model)
    assert torch.allclose(outputs(model), outputs(ordered), rtol=1e-4, atol=1e-5)
    same = {name for name, _ in model.named_parameters()} - changed(model, ordered)
    assert same == {"head.linear.bias"}


@pytest.mark.parametrize(
    "name", ["mobilevitv1_xxs", "mobilevitv2_0.5", "mobilevitv3_xxs", "mobilevitv3_0.5", "shvit_s1"]
)
def test_published_networks_stay_the_same_functions(name):
    model = with_scales(build(published(name).at(image_size=32, num_classes=4), seed=1))
    assert torch.allclose(outputs(model), outputs(sort_channels(model)), rtol=1e-3, atol=1e-4)


def test_channels_of_which_a_part_attends_keep_their_order():
    model = network(row("shsa", name="body", out=12, stride=2, repeat=2, dim=5, qk=4))
    ordered = sort_channels(model)
    assert torch.allclose(outputs(model), outputs(ordered), rtol=1e-4, atol=1e-5)
    assert torch.equal(model.body[1].local[0].conv.weight, ordered.body[1].local[0].conv.weight)
    query, key, value = model.body[1].attention[0].qkv.norm.weight.split((4, 4, 5))
    new_query, new_key, new_value = ordered.body[1].attention[0].qkv.norm.weight.split((4, 4, 5))
    order = [query.tolist().index(scale) for scale in new_query.tolist()]
    assert order != [0, 1, 2, 3]
    assert torch.equal(key[order], new_key)
    assert torch.equal(value, new_value)


@pytest.mark.parametrize("head", [DeepLabV3(), SSDLite()])
def test_the_maps_that_other_heads_read_keep_their_order(head):
    arch = published("mobilevitv3_xxs").at(num_classes=3).with_head(head)
    model = with_scales(build(arch, seed=1))
    ordered = sort_channels(model)
    for mine, theirs in zip(*(flat(outputs(each, 64)) for each in (model, ordered)), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-3, atol=1e-3 * float(mine.abs().max()))
    assert not {name for name in changed(model, ordered) if name.startswith("head.")}
    assert "layer5.layers.0.ffn_in.weight" in changed(model, ordered)


def flat(outputs):
    return [outputs] if isinstance(outputs, torch.Tensor) else outputs


def test_the_network_itself_is_left_alone():
    model = network(mobilevit())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    sort_channels(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_strongest_channel_comes_first_wherever_it_occurs():
    model = network(row("mv2", name="body", out=8, expand=4))  # added to its input: one order from the stem to the end
    with torch.no_grad():
        model.stem.norm.weight[5] = model.body.narrow.norm.weight[5] = 100
        model.body.widen.norm.weight[9] = 100
    ordered = sort_channels(model)
    assert [ordered.stem.norm.weight[0], ordered.body.narrow.norm.weight[0], ordered.body.widen.norm.weight[0]] == [
        100
    ] * 3
    assert torch.equal(ordered.end.conv.weight[:, 0].sort(dim=0).values, model.end.conv.weight[:, 5].sort(dim=0).values)


def test_a_channel_that_nothing_reads_comes_last():
    model = network(row("conv", name="body", out=8))
    with torch.no_grad():
        model.end.conv.weight[:, 2] = 0
    assert not sort_channels(model).end.conv.weight[:, -1].any()


def test_heads_are_moved_as_wholes():
    model = network(mobilevit(dim=16, heads=4, depth=1))
    with torch.no_grad():
        model.body.layers[0].attention.qkv.weight.view(3, 4, 4, 16)[:, 2] *= 1000  # the third head returns most
    attention = sort_channels(model).body.layers[0].attention
    mine, theirs = model.body.layers[0].attention.qkv.bias.view(3, 4, 4), attention.qkv.bias.view(3, 4, 4)
    assert [sorted(theirs[part, 0].tolist()) for part in range(3)] == [
        sorted(mine[part, 2].tolist()) for part in range(3)
    ]
    heads = [Counter(head.tolist()) for head in mine[0]]
    assert all(Counter(head.tolist()) in heads for head in theirs[0])
    order = [mine[0, 2].tolist().index(value) for value in theirs[0, 0].tolist()]
    assert torch.equal(mine[1, 2][order], theirs[1, 0])  # keys have the order of their queries


def test_a_cut_of_a_sorted_network_takes_the_important_channels():
    model, thin = network(row("mv2", name="body", out=8, expand=4)), network(row("mv2", name="body", out=8, expand=2))
    with torch.no_grad():
        model.body.widen.norm.weight[1::2] = 0  # every second channel contributes nothing
        model.body.widen.norm.bias[1::2] = 0
        for tensor in (model.body.depthwise.norm.weight, model.body.depthwise.norm.bias):
            tensor[1::2] = 0
    transfer_weights(thin, sort_channels(model), name="sorted")
    assert torch.allclose(outputs(thin), outputs(model), rtol=1e-4, atol=1e-4)
