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
from mvsearch.nn.accelerate import accelerate
from mvsearch.nn.conv import Conv
from mvsearch.nn.fuse import fuse

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
