"""A file in every format, read back by its own runtime, is the network that it was made of."""

import json
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from small import DENSE, NEEDS, PLAIN, SEPARABLE, SOFTMAX, job, real_images, silent, subject
from torch import nn

from mvsearch.errors import EnvironmentFault
from mvsearch.export import formats, verify
from mvsearch.export.formats import _tools
from mvsearch.export.formats._unfused import Unfused, unfused
from mvsearch.profiling.benchmark import time_beside_eager
from mvsearch.training.sample import Sample

pytestmark = pytest.mark.usefixtures("one_thread")

TOLD = {
    "onnx": lambda facts: facts["opset"] >= 18 and facts["operators"] > 20,
    "openvino": lambda facts: facts["operators"] > 20,
    "executorch": lambda facts: 0.5 < facts["delegated_share"] < 1,
    "litert": lambda facts: facts["operators"] > 20,
}
"""What files say of themselves."""


@pytest.fixture(scope="module")
def sample() -> Sample:
    return real_images()[0]


@pytest.mark.parametrize("document", [SOFTMAX, DENSE, SEPARABLE], ids=lambda document: document["name"])
@pytest.mark.parametrize("kind", [kind for kind in NEEDS if kind != "coreml"])
def test_a_file_read_back_by_its_runtime_gives_the_network_s_logits_on_real_images(kind, document, tmp_path, sample):
    done = job(kind, tmp_path, subject(document))
    report = verify.export_verified(done, sample, say=silent, timer=time_beside_eager)

    assert report.verified
    assert [each.batch for each in report.comparisons] == list(done.module.BATCHES)
    assert all(each.top1_agreement == 1 and each.ratio < 1e-4 for each in report.comparisons)
    assert all(holds(report.facts) for name, holds in TOLD.items() if name == kind)
    assert report.latency.median_ms > 0
    assert report.eager_latency.backend == "torch_cpu"
    assert done.path.is_file()
    stored = json.loads(done.report_path.read_text())
    assert stored["verified"] is True
    assert stored["takes"] == ("one image at a time" if done.module.BATCHES == (1,) else "any number of images")
    assert stored["key"] == done.subject.arch.key
    assert stored["data"] == "fashion_mnist, test part"
    assert {path.suffix for path in tmp_path.iterdir()} == {
        done.path.suffix,
        ".json",
        *getattr(done.module, "SIDECAR_SUFFIXES", ()),
    }


@pytest.mark.parametrize("kind", ["onnx", "openvino", "executorch", "litert"])
def test_a_model_of_several_outputs_keeps_their_number_and_order(kind, tmp_path):
    class Both(nn.Module):
        outputs = ("logits", "stem")

        def __init__(self, whole: nn.Sequential) -> None:
            super().__init__()
            self.first, self.rest = whole[0], whole[1:]

        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            stem = self.first(x)
            return [self.rest(stem), stem]

    made = replace(subject(), model=Both(subject().model).eval())
    done = job(kind, tmp_path, made)
    done.write(done.path)
    images = np.random.default_rng(0).standard_normal((1, 3, 32, 32), dtype=np.float32)

    found = done.module.load_runtime(done.path)(images)
    for ours, theirs in zip(verify.eager(made.model, images), found, strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-4)


@pytest.mark.parametrize("kind", sorted(formats.formats()))
def test_a_missing_package_is_named_with_the_extra_that_brings_it(kind, tmp_path, monkeypatch):
    module = formats.load_format(kind)
    if module.EXTRA is None:
        pytest.skip("needs no package")
    monkeypatch.setattr(_tools, "find_spec", lambda _: None)
    with pytest.raises(EnvironmentFault, match=rf"pip install 'mvsearch\[{module.EXTRA}\]'"):
        module.export(subject(), tmp_path / "net")


def test_core_ml_says_where_it_can_be_verified(tmp_path, sample):
    done = job("coreml", tmp_path)
    if sys.platform == "darwin":
        pytest.skip("Core ML can be run here")
    report = verify.export_verified(done, sample, say=silent)
    assert report.verified is None
    assert "macOS only" in report.reason
    assert report.facts["operators"] > 20
    assert done.path.is_dir()


@pytest.mark.parametrize("kind", ["onnx", "executorch"])
def test_int8_is_smaller_and_its_report_tells_what_it_costs(kind, tmp_path):
    held, training = real_images(100, training=8)
    done = replace(job(kind, tmp_path, subject(PLAIN)), calibration=training.images)
    found = verify.export_verified(done, held, max_drop=1.0, say=silent, timer=time_beside_eager)

    assert found.precision == "int8"
    assert found.top1.eager == pytest.approx(0.1, abs=0.15)
    assert 1e-4 < found.comparisons[0].ratio < 10
    assert found.latency.precision == "int8"


def test_attention_spelt_out_is_the_same_attention_in_a_copy():
    model = subject().model
    copy = unfused(model)
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert sum(type(module) is Unfused for module in copy.modules()) == 1
    assert not any(type(module) is Unfused for module in model.modules())
    with torch.no_grad():
        torch.testing.assert_close(copy(images), model(images))


def test_openvino_in_half_precision_would_not_pass(tmp_path, sample):
    done = job("openvino", tmp_path)
    done.write(done.path)
    half = partial(done.module.load_runtime, precision="bf16")
    found = verify.outputs(half(done.path), sample.images, 8)
    expected = verify.eager(done.subject.model, sample.images)
    ratio = verify.compare(expected, found, 8, classes=1).ratio
    if ratio < 1e-5:
        pytest.skip("this processor computes in float32 whatever it is asked for")
    assert ratio > verify.TOLERANCE
