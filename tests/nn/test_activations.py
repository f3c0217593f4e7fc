"""Activations of rows, and MobileNetV2's block as a setting of `uib`: in eval mode, fused, and in training."""

import copy

import pytest
import torch
from rows import row
from test_fuse import images, relative_error, with_random_norms
from torch import nn

from mvsearch.arch.architecture import Architecture, Head
from mvsearch.arch.blocks import ACTIVATIONS
from mvsearch.arch.cost import Shape
from mvsearch.export.model import ExportModel
from mvsearch.nn.accelerate import accelerate
from mvsearch.nn.conv import Conv
from mvsearch.nn.fuse import fuse
from mvsearch.nn.weights_io import write_weights

FUNCTIONS = {
    "silu": nn.functional.silu,
    "relu": nn.functional.relu,
    "relu6": nn.functional.relu6,
    "hard_swish": nn.functional.hardswish,
    "gelu": nn.functional.gelu,
    "none": lambda x: x,
}


def network(act: str) -> Architecture:
    blocks = (
        row("conv", name="stem", out=8, stride=2, act=act, bias=True),
        row("mv2", name="a", out=8, expand=2, act=act if act != "none" else "relu"),
        row("uib", name="b", out=16, start=3, middle=3, stride=2, act=act if act != "none" else "relu"),
        row("uib", name="c", out=16, start=5, middle=0),
    )
    return Architecture(blocks, Head(norm="map", hidden=24, act="gelu"), image_size=32, num_classes=5)


@pytest.mark.parametrize("act", FUNCTIONS)
def test_a_convolution_ends_with_its_activation(act):
    stem = with_random_norms(network(act)).get_submodule("stem")
    x = images(2, 8, 8)
    with torch.no_grad():
        assert torch.allclose(stem(x), FUNCTIONS[act](stem.norm(stem.conv(x))))


def transformer(kind: str, **fields) -> Architecture:
    stem, body = row("conv", name="stem", out=8, stride=2), row(kind, name="body", out=8, dim=16, depth=2, **fields)
    return Architecture((stem, body), image_size=32, num_classes=5)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("mobilevit", {"act": "relu", "norm": "batch"}),
        ("mobilevit", {"act": "gelu", "norm": "batch", "local": "dense", "fusion": 3, "concat": "input"}),
        ("mobilevit", {"act": "hard_swish", "fusion": 0}),
        ("mobilevitv2", {"act": "relu6", "norm": "batch"}),
        ("mobilevitv2", {"act": "relu", "norm": "batch", "fusion": 0}),
        ("mobilevitv2", {"act": "gelu"}),
    ],
)
def test_a_transformer_of_other_activations_and_norms_is_merged_fused_and_read_back(kind, fields, tmp_path):
    arch = transformer(kind, **fields)
    model = with_random_norms(arch)
    write_weights(model, arch.key, tmp_path / "weights.safetensors")
    exported = ExportModel.of(arch, weights=tmp_path / "weights.safetensors")
    batch = fields.get("norm") == "batch"

    assert any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in model.body.layers.modules()) is batch
    assert sum(parameter.numel() for parameter in exported.model.parameters()) == arch.cost().params
    assert arch.training_cost().params == batch * 5 * 2 * 16
    assert any("merged the norms of 1 block" in note for note in exported.checkpoint.converted) is batch
    assert not batch or not any("Norm" in type(module).__name__ for module in exported.model.body.layers.modules())
    for other in (exported.model, fuse(model), fuse(exported.model)):
        assert relative_error(model, other, images(2, 36, 22)) < 1e-5  # maps that the patch does not divide


@pytest.mark.parametrize("kind", ["mobilevit", "mobilevitv2"])
def test_the_defaults_of_later_fields_leave_the_key_and_others_change_it(kind):
    plain = transformer(kind)
    keys = {transformer(kind, **fields).key for fields in ({"act": "relu"}, {"norm": "batch"})}

    assert transformer(kind, act="silu", norm="layer", merged=True).key == plain.key
    assert len(keys | {plain.key}) == 3


@pytest.mark.parametrize("act", FUNCTIONS)
def test_a_fused_network_has_the_same_outputs_whatever_its_activations(act):
    model = with_random_norms(network(act))

    assert relative_error(model, fuse(model), images(2, 32, 24)) < 1e-5


@pytest.mark.parametrize("side", [8, 32])
@pytest.mark.parametrize("act", FUNCTIONS)
def test_an_accelerated_network_trains_as_the_plain_one_whatever_its_activations(act, side):
    model = with_random_norms(network(act)).train()
    other = copy.deepcopy(model)
    x = images(4, side, side)
    accelerate(other)(x).square().sum().backward()
    for conv in (module for module in model.modules() if isinstance(module, Conv)):
        conv.convolve = conv.conv.forward  # the plain operators, also where the map is small
    model(x).square().sum().backward()

    for (name, one), two in zip(model.named_parameters(), other.parameters(), strict=True):
        scale = max(1e-2, float(one.grad.abs().max()))
        assert float((one.grad - two.grad).abs().max()) < 1e-3 * scale, name


@pytest.mark.parametrize(("out", "stride", "repeat"), [(8, 1, 2), (12, 2, 3)])
@pytest.mark.parametrize("act", ACTIVATIONS)
def test_mobilenet_v2s_block_is_a_setting_of_uib(act, out, stride, repeat):
    shared = {"name": "x", "out": out, "stride": stride, "repeat": repeat, "expand": 3, "act": act}
    theirs, ours = row("mv2", **shared, kernel=5), row("uib", **shared, start=0, middle=5)
    assert ours.cost(Shape(8, 17, 20)) == theirs.cost(Shape(8, 17, 20))

    stem = row("conv", name="stem", out=8)
    models = [with_random_norms(Architecture((stem, one), image_size=32, num_classes=5)) for one in (theirs, ours)]
    weights = {name.replace("depthwise", "middle"): tensor for name, tensor in models[0].state_dict().items()}
    models[1].load_state_dict(weights)
    assert torch.equal(models[0](images(2, 17, 20)), models[1](images(2, 17, 20)))
