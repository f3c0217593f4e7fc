"""Families of other authors: timm's networks with the same weights have the same logits, maps, parameters and MACs.

`tests/fixtures/timm_networks.json.gz` was computed with timm, by `tests/timm_fixture.py`.
"""

import gzip
import json
from functools import cache

import pytest
import torch
from authors import made_up
from timm_fixture import FILE, images

from mvsearch.arch.published import model, model_names, published
from mvsearch.nn import build, load_checkpoint
from mvsearch.nn.features import Backbone, taps
from mvsearch.nn.weight_transfer import identify_architecture

pytestmark = pytest.mark.usefixtures("one_thread")

TIMM = json.loads(gzip.decompress(FILE.read_bytes()))["networks"]
NAMES = [name for name in TIMM if name in model_names()]
RELATIVE = 1e-4


@cache
def checkpoint(name: str) -> dict[str, torch.Tensor]:
    return {key: made_up(key, shape) for key, shape in TIMM[name]["shapes"].items()}


@pytest.mark.parametrize("name", NAMES)
def test_timms_weights_give_timms_logits_and_maps(name):
    arch, theirs = published(name), TIMM[name]
    network = build(arch).eval()
    load_checkpoint(network, checkpoint(name))
    with torch.no_grad():
        logits, maps = network(images()), Backbone.of(network, arch)(images())

    expected = torch.tensor(theirs["logits"]["first"])
    assert float((logits[:, :8] - expected).abs().max() / logits.abs().max()) < RELATIVE
    assert float(logits.norm()) == pytest.approx(theirs["logits"]["norm"], rel=RELATIVE)
    for tap, map_ in zip(taps(arch), maps, strict=True):
        channels, norm = theirs["maps"][str(tap.reduction)]
        assert map_.shape[1] == channels
        assert float(map_.norm()) == pytest.approx(norm, rel=RELATIVE)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_macs_are_timms_to_the_integer(name):
    arch, theirs = published(name), TIMM[name]
    with torch.device("meta"):
        built = sum(parameter.numel() for parameter in build(arch).parameters())

    assert arch.image_size == theirs["image_size"]
    assert built == theirs["params"]
    assert built == arch.cost().params + arch.training_cost().params
    assert arch.cost().macs == theirs["macs_merged"]


@pytest.mark.parametrize("name", NAMES)
def test_weights_with_timms_names_are_recognised(name):
    weights = {key: torch.empty(shape, device="meta") for key, shape in TIMM[name]["shapes"].items()}

    assert identify_architecture(weights) == published(name)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_paper_prints_is_near_the_exact_cost(name):
    arch, figures = published(name), model(name).figures

    assert figures["source"].startswith("arXiv ")
    assert figures["params_m"] == pytest.approx(arch.cost().params / 1e6, rel=0.06)
    assert figures["flops_m"] == pytest.approx(arch.cost().macs / 1e6, rel=0.08)
