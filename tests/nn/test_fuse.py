"""A fused network has the outputs of the network it was made from, which is not changed."""

import runpy

import pytest
import torch
from effort import wider_are_slow
from torch import nn

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.published import model_names, published
from mvsearch.export.formats import load_format
from mvsearch.export.model import ExportModel
from mvsearch.nn import build
from mvsearch.nn import fuse as fusing
from mvsearch.nn.features import Backbone
from mvsearch.nn.fuse import fuse
from mvsearch.nn.mobilevit import FusedMobileViT


def with_random_norms(arch: Architecture) -> nn.Sequential:
    """A network whose norms and biases have other values than fresh ones, with which folding would prove nothing."""
    model = build(arch, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.ndim == 1 and not name.endswith("num_batches_tracked"):
                positive = name.endswith(("weight", "running_var"))
                value.copy_(torch.rand(value.shape, generator=generator) + (0.5 if positive else -0.5))
    return model.eval()


def relative_error(model: nn.Module, other: nn.Module, images: torch.Tensor) -> float:
    with torch.inference_mode():
        expected, output = model(images), other(images)
    assert output.shape == expected.shape
    return float((output - expected).norm() / expected.norm())


def images(count: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("name", wider_are_slow(model_names()))
def test_every_published_model_has_the_same_outputs_when_fused(name):
    model, dtype, error = with_random_norms(published(name)), torch.float32, 1e-5
    if name.startswith("repvit"):  # with random norms even its own single and double precision differ by up to 7e-3
        model, dtype, error = model.double(), torch.float64, 1e-9
    fused = fuse(model)

    one, other = (images(*shape).to(dtype) for shape in ((2, 64, 64), (1, 96, 80)))
    assert relative_error(model, fused, one) < error  # one token per position in the last stage
    assert relative_error(model, fused, other) < error  # maps that the patch does not divide


@pytest.mark.parametrize("name", ["mobilevitv1_xxs", "mobilevitv3_xxs", "mobilevitv3_0.5"])
def test_no_norm_is_left_as_a_layer(name):
    kinds = {type(module) for module in fuse(build(published(name))).modules()}

    assert not kinds & {nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm}


def test_the_model_is_not_changed():
    model = with_random_norms(published("mobilevitv3_xxs")).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    strides = [value.stride() for value in model.state_dict().values()]
    fuse(model)(images(1, 64, 64))

    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert [value.stride() for value in model.state_dict().values()] == strides
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_images_are_not_changed():
    batch = images(2, 64, 64).to(memory_format=torch.channels_last)
    before = batch.clone()
    fuse(build(published("mobilevitv3_xxs")))(batch)

    assert torch.equal(batch, before)


def test_a_batch_runs_in_groups_and_keeps_its_order(monkeypatch):
    model = with_random_norms(published("mobilevitv3_xxs"))
    fused = fuse(model)
    sizes = []
    fused.network.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    monkeypatch.setattr(fusing, "GROUP_PIXELS", 2 * 64 * 64)

    assert relative_error(model, fused, images(5, 64, 64)) < 1e-5
    assert sizes == [2, 2, 1]


def test_groups_are_joined_map_by_map(monkeypatch):
    monkeypatch.setattr(fusing, "GROUP_PIXELS", 64 * 64)
    arch = published("mobilevitv3_xxs")
    backbone = Backbone.of(with_random_norms(arch), arch).eval()
    batch = images(3, 64, 64)
    with torch.inference_mode():
        expected, maps = backbone(batch), fuse(backbone)(batch)

    assert len(maps) == len(expected) == 4
    for map_, other in zip(expected, maps, strict=True):
        torch.testing.assert_close(other, map_, rtol=1e-4, atol=1e-5)


def test_products_without_onednn_are_the_same(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    model = with_random_norms(published("mobilevitv3_xxs"))

    assert relative_error(model, fuse(model), images(1, 64, 64)) < 1e-5


def test_double_precision_is_kept():
    model = with_random_norms(published("mobilevitv3_0.5")).double()

    assert relative_error(model, fuse(model), images(1, 64, 64).double()) < 1e-13


def test_the_classes_of_an_exported_file_are_fused_too(tmp_path):
    arch = published("mobilevitv3_xxs")
    model = with_random_norms(arch)
    load_format("torch").export(ExportModel(arch, model, "as given"), tmp_path / "net.py")
    theirs = runpy.run_path(str(tmp_path / "net.py"))["MobileViTv3_XXS"]().eval()
    theirs.load_state_dict(model.state_dict())
    fused = fuse(theirs)

    assert sum(isinstance(module, FusedMobileViT) for module in fused.modules()) == 3
    assert relative_error(model, fused, images(1, 64, 64)) < 1e-5


def test_other_modules_are_kept():
    theirs = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Hardswish()).eval()

    assert relative_error(theirs, fuse(theirs), images(2, 32, 32)) < 1e-6
