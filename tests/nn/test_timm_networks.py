"""Families of other authors: timm's networks with the same weights have the same logits, maps, parameters and MACs.

`tests/fixtures/timm_networks.json.gz` was computed with timm, by `tests/timm_fixture.py`.
"""

import gzip
import json
import math
import re
from functools import cache

import pytest
import torch
from effort import wider_are_slow
from rows import row
from test_fuse import relative_error, with_random_norms
from timm_fixture import FILE, images, weights

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.published import model, published
from mvsearch.baselines import baseline
from mvsearch.export.model import ExportModel
from mvsearch.nn import build, load_checkpoint
from mvsearch.nn.features import Backbone, taps
from mvsearch.nn.fuse import fuse
from mvsearch.nn.weight_transfer import identify_architecture
from mvsearch.nn.weights_io import write_weights

pytestmark = pytest.mark.usefixtures("one_thread")

TIMM = json.loads(gzip.decompress(FILE.read_bytes()))["networks"]
NAMES = list(TIMM)
RELATIVE = 1e-4
DISTILLED = r"head_dist\..*(weight|bias)$"  # a classifier that learned from the teacher: evaluation takes the mean


@cache
def checkpoint(name: str) -> dict[str, torch.Tensor]:
    return weights(TIMM[name]["shapes"])


@pytest.mark.parametrize("name", wider_are_slow(NAMES))
def test_timms_weights_give_timms_logits_and_maps(name):
    arch, theirs = published(name), TIMM[name]
    network = build(arch).eval()
    load_checkpoint(network, checkpoint(name))
    with torch.no_grad():
        logits, maps = network(images()), Backbone.of(network, arch)(images())

    expected = torch.tensor(theirs["logits"]["first"])
    assert float((logits[:, :8] - expected).abs().max() / logits.abs().max()) < RELATIVE
    assert float(logits.norm()) == pytest.approx(theirs["logits"]["norm"], rel=RELATIVE)
    ours = {str(tap.reduction): map_ for tap, map_ in zip(taps(arch), maps, strict=True)}
    assert ours.keys() >= theirs["maps"].keys() - {"2"}  # which backbones leave out
    for stride in ours.keys() & theirs["maps"].keys():
        channels, norm = theirs["maps"][stride]
        assert ours[stride].shape[1] == channels
        assert float(ours[stride].norm()) == pytest.approx(norm, rel=RELATIVE)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_macs_are_timms_to_the_integer(name):
    arch, theirs = published(name), TIMM[name]
    with torch.device("meta"):
        built = sum(parameter.numel() for parameter in build(arch).parameters())

    only_training = [shape for name, shape in theirs["shapes"].items() if re.search(DISTILLED, name)]
    assert arch.image_size == theirs["image_size"]
    assert built == theirs["params"] - sum(map(math.prod, only_training))
    assert built == arch.cost().params + arch.training_cost().params
    assert arch.cost().macs == theirs["macs_merged"]


@pytest.mark.parametrize("name", NAMES)
def test_weights_with_timms_names_are_recognised(name):
    theirs = {key: torch.empty(shape, device="meta") for key, shape in TIMM[name]["shapes"].items()}

    assert identify_architecture(theirs) == published(name)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_paper_prints_is_near_the_exact_cost(name):
    arch, figures = published(name), model(name).figures

    assert figures["source"].startswith("arXiv ")
    assert figures["params_m"] == pytest.approx(arch.cost().params / 1e6, rel=0.06)
    assert figures["flops_m"] == pytest.approx(arch.cost().macs / 1e6, rel=0.08)


REPVITS = [name for name in NAMES if name.startswith("repvit")]


@pytest.mark.parametrize("name", REPVITS[:1])
def test_merged_and_fused_networks_compute_the_same_with_as_many_parameters_as_timms(name, tmp_path):
    arch = published(name)
    network, merged = build(arch).eval(), build(arch.deploy()).eval()
    for model_ in (network, merged):
        load_checkpoint(model_, checkpoint(name))
    fused = fuse(network)
    with torch.no_grad():
        logits = network(images())
        for other in (merged, fused, fuse(merged)):
            assert float((other(images()) - logits).abs().max() / logits.abs().max()) < RELATIVE

    assert sum(parameter.numel() for parameter in merged.parameters()) == arch.cost().params
    # timm also makes one layer of the classifier and its norm.
    assert sum(parameter.numel() for parameter in fused.parameters()) == baseline(name).params + 2 * arch.features
    assert not any(hasattr(module, "point") for module in (*merged.modules(), *fused.modules()))


def test_weights_of_a_training_are_merged_for_an_exported_file_and_said(tmp_path):
    arch = Architecture((row("conv", name="stem", out=8), row("repvit", name="a", out=8, repeat=2)), image_size=32)
    network = with_random_norms(arch.at(num_classes=3))
    write_weights(network, arch.key, tmp_path / "weights.safetensors")
    exported = ExportModel.of(arch.at(num_classes=3), weights=tmp_path / "weights.safetensors")

    assert relative_error(network, exported.model, images()) < RELATIVE
    assert exported.arch == arch.at(num_classes=3).deploy()
    assert "merged the branches of 2 blocks" in exported.checkpoint.converted
