"""timm's models as an independent oracle for v1 and v2: same weights, same logits."""

import pytest
import torch

from mvsearch.arch.published import published
from mvsearch.export.model import ExportModel
from mvsearch.nn import build, load_checkpoint
from mvsearch.nn.features import taps

pytestmark = pytest.mark.usefixtures("one_thread")

PAIRS = {
    "mobilevitv1_xxs": "mobilevit_xxs",
    "mobilevitv1_xs": "mobilevit_xs",
    "mobilevitv1_s": "mobilevit_s",
    "mobilevitv2_0.5": "mobilevitv2_050",
    "mobilevitv2_0.75": "mobilevitv2_075",
    "mobilevitv2_1.0": "mobilevitv2_100",
}


@pytest.fixture(scope="module")
def timm():
    """timm needs torchvision to import, and torchvision two operators that the CPU build of torch does not declare."""
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import timm as package

    yield package
    library._destroy()


@pytest.mark.parametrize("name", PAIRS)
def test_timms_weights_give_timms_logits_also_where_the_patch_does_not_divide(timm, name):
    theirs = timm.create_model(PAIRS[name]).eval()
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    ours = build(published(name)).eval()
    load_checkpoint(ours, theirs.state_dict())

    for size in (256, 160, 200):
        images = torch.randn(1, 3, size, size)
        with torch.no_grad():
            want, got = theirs(images), ours(images)
        assert float((want - got).abs().max()) < 1e-4 * float(want.abs().max())


@pytest.mark.parametrize("name", PAIRS)
def test_feature_maps_are_timms_with_timms_weights(timm, name, tmp_path):
    theirs = timm.create_model(PAIRS[name], features_only=True, out_indices=(1, 2, 3, 4)).eval()
    torch.save(theirs.state_dict(), tmp_path / "theirs.pt")
    ours = ExportModel.of(published(name), weights=tmp_path / "theirs.pt", features=True)

    expected_taps = taps(ours.arch)
    assert [tap.channels for tap in expected_taps] == theirs.feature_info.channels()
    assert [tap.reduction for tap in expected_taps] == theirs.feature_info.reduction()
    images = torch.randn(2, 3, 128, 160)
    with torch.no_grad():
        for want, got in zip(theirs(images), ours.model(images), strict=True):
            assert got.shape == want.shape
            assert float((want - got).abs().max()) < 1e-4 * float(want.abs().max())


@pytest.mark.parametrize("name", ["mobilevitv1_xxs", "mobilevitv2_0.5"])
def test_a_backbone_takes_timms_weights_of_the_whole_network(timm, name, tmp_path):
    whole = timm.create_model(PAIRS[name], num_classes=7).eval()
    torch.save(whole.state_dict(), tmp_path / "whole.pt")
    ours = ExportModel.of(published(name), weights=tmp_path / "whole.pt", features=True)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours.model(images)[-1], whole.forward_features(images), rtol=1e-4, atol=1e-4)
