"""A file of every format, loaded by its own runtime, is the network that was exported."""

import json
import sys
from dataclasses import replace
from functools import partial
from importlib import util

import numpy as np
import pytest
import torch
from small import (
    DENSE,
    MIXED,
    PLAIN,
    SEPARABLE,
    SOFTMAX,
    WITH_WEIGHTS,
    job,
    real_images,
    require_format,
    small_model,
)
from torch import nn

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import EnvironmentFault, PlanError
from mvsearch.export.comparison import TOLERANCE, compare, run_batches, run_eager
from mvsearch.export.formats import ExportFormat, Runtime, format_names, litert, load_format
from mvsearch.export.formats._plain_attention import PlainAttention, with_plain_attention
from mvsearch.export.model import ExportModel
from mvsearch.export.verify import export_verified
from mvsearch.profiling.benchmark import time_exported
from mvsearch.training.image_samples import ImageSample
from mvsearch.utils.installation import install_hint

pytestmark = pytest.mark.usefixtures("one_thread")

FACTS = {
    "onnx": lambda facts: facts["opset"] >= 18 and facts["operators"] > 20,
    "openvino": lambda facts: facts["operators"] > 20,
    "executorch": lambda facts: 0.5 < facts["delegated_share"] < 1,
    "litert": lambda facts: facts["operators"] > 20,
}
"""What files state about themselves."""

slow = pytest.mark.slow
EXPENSIVE = ("openvino", "executorch", "litert")


def networks_by_format():
    """The network with rows of all kinds in every format, but a smaller one in ExecuTorch, which takes half a minute.

    All others are in the slow set.
    """
    for name in WITH_WEIGHTS:
        for document in (MIXED, DENSE, SOFTMAX, SEPARABLE) if name != "coreml" else ():
            marks = () if document is (SOFTMAX if name == "executorch" else MIXED) else slow
            yield pytest.param(name, document, id=f"{name}-{document['name']}", marks=marks)


def formats_with_marks():
    return [pytest.param(name, marks=slow if name in EXPENSIVE else ()) for name in ("onnx", *EXPENSIVE)]


@pytest.fixture(scope="module")
def sample() -> ImageSample:
    return real_images()[0]


# The contract of every format


@pytest.mark.parametrize("name", format_names())
def test_every_format_keeps_the_contract(name):
    export_format = load_format(name)
    assert isinstance(export_format, ExportFormat)
    assert export_format.name == name
    assert bool(export_format.packages) == (export_format.extra is not None)
    assert all(suffix.startswith(".") for suffix in (*export_format.sidecar_suffixes, export_format.suffix or ".x"))
    assert isinstance(export_format.file_stem("net"), str)
    if export_format.runtime is not None:
        assert isinstance(export_format.runtime, Runtime)
        assert 1 in export_format.runtime.batch_sizes
        assert export_format.runtime.takes_one_image == ("one image" in export_format.runtime.batch_support)


def test_litert_names_its_converter_with_the_version_where_it_is_installed(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 0.10.0\n", encoding="utf-8")
    python.chmod(0o755)
    monkeypatch.setenv(litert.PYTHON, str(python))
    assert load_format("litert").written_by == f"{load_format('litert').packages_used}, litert-torch 0.10.0"
    monkeypatch.setenv(litert.PYTHON, str(tmp_path / "missing"))
    assert load_format("litert").written_by == load_format("litert").packages_used


def test_a_runtime_from_a_package_of_another_name_has_no_version():
    """As onnxruntime of onnxruntime-gpu."""
    assert Runtime(package="not-installed", load_runtime=lambda *_: None).version == "not-installed"


def test_an_unknown_format_is_refused_with_a_suggestion():
    with pytest.raises(PlanError, match="'executorch'"):
        load_format("executorh")


@pytest.mark.parametrize("name", format_names())
def test_a_missing_package_is_named_with_the_extra_that_brings_it(name, tmp_path, monkeypatch):
    export_format = load_format(name)
    if export_format.extra is None:
        pytest.skip("needs no package")
    monkeypatch.setattr("mvsearch.export.formats.find_spec", lambda _: None)
    with pytest.raises(EnvironmentFault, match=export_format.packages[0]) as refused:
        export_format.export(small_model(), tmp_path / "net")
    assert install_hint(export_format.extra) in str(refused.value)


# Files read back


@pytest.mark.parametrize(("name", "document"), list(networks_by_format()))
def test_a_file_loaded_by_its_runtime_gives_the_network_s_logits_on_real_images(name, document, tmp_path, sample):
    export_job = job(name, tmp_path, small_model(document))
    report = export_verified(export_job, sample, timer=time_exported)

    assert report.verified
    assert [comparison.batch for comparison in report.comparisons] == list(export_job.runtime.batch_sizes)
    assert all(comparison.top1_agreement == 1 and comparison.ratio < 1e-4 for comparison in report.comparisons)
    assert FACTS.get(name, lambda _: True)(report.facts)
    assert report.speed.file.median_ms > 0
    assert report.speed.eager.backend == "torch_cpu"
    assert export_job.path.is_file()
    stored = json.loads(export_job.report_path.read_text())
    assert stored["verified"] is True
    assert stored["takes"] == (
        "one image at a time" if export_job.runtime.batch_sizes == (1,) else "any number of images"
    )
    assert stored["key"] == export_job.export_model.arch.key
    assert stored["data"] == "fashion_mnist, test part"
    assert {path.suffix for path in tmp_path.iterdir()} == {
        export_job.path.suffix,
        ".json",
        *export_job.format.sidecar_suffixes,
    }


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "executorch")) for name in WITH_WEIGHTS[:4]]
)
def test_every_format_gives_feature_maps_in_order_on_real_images(name, tmp_path, sample):
    rows = [*SOFTMAX["blocks"], {"name": "last", "block": "conv", "out": 24, "stride": 2}]
    model = ExportModel.of(Architecture.from_dict({**SOFTMAX, "blocks": rows}), features=True)
    report = export_verified(job(name, tmp_path, model), sample)
    assert report.verified
    assert report.comparisons[0].top1_agreement is None


@pytest.mark.parametrize("name", formats_with_marks())
def test_a_model_of_several_outputs_keeps_their_number_and_order(name, tmp_path):
    class LogitsAndStem(nn.Module):
        def __init__(self, network: nn.Sequential) -> None:
            super().__init__()
            self.first, self.rest = network[0], network[1:]

        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            stem = self.first(x)
            return [self.rest(stem), stem]

    plain = small_model(PLAIN)
    model = replace(plain, model=LogitsAndStem(plain.model).eval(), output_names=("logits", "stem"))
    export_job = job(name, tmp_path, model)
    export_job.write(export_job.path)
    images = np.random.default_rng(0).standard_normal((1, 3, 32, 32), dtype=np.float32)

    outputs = export_job.runtime.load_runtime(export_job.path)(images)
    for ours, theirs in zip(run_eager(model.model, images), outputs, strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-4)


def test_core_ml_states_where_it_can_be_verified(tmp_path, sample):
    export_job = job("coreml", tmp_path)
    if sys.platform == "darwin":
        pytest.skip("Core ML can be run here")
    report = export_verified(export_job, sample)
    assert report.verified is None
    assert "macOS" in report.reason
    assert report.facts["operators"] > 20
    assert export_job.path.is_dir()


@pytest.mark.parametrize("name", ["onnx", pytest.param("executorch", marks=slow)])
def test_the_report_of_int8_has_its_accuracy(name, tmp_path):
    held_out, training = real_images(100, training=8)
    export_job = replace(job(name, tmp_path, small_model(PLAIN)), calibration=training)
    report = export_verified(export_job, held_out, max_drop=1.0, timer=time_exported)

    assert report.precision == "int8"
    assert report.top1.eager == pytest.approx(0.1, abs=0.15)
    assert 1e-4 < report.comparisons[0].ratio < 10
    assert report.speed.file.precision == "int8"


def test_int8_is_refused_by_a_format_without_it(tmp_path):
    export_job = replace(job("torch", tmp_path), calibration=real_images(1, training=1)[1])
    with pytest.raises(PlanError, match="--int8: torch"):
        export_job.write(export_job.path)


def test_plain_attention_is_the_same_attention_in_a_copy():
    model = small_model().model
    copy = with_plain_attention(model)
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert sum(type(module) is PlainAttention for module in copy.modules()) == 1
    assert not any(type(module) is PlainAttention for module in model.modules())
    with torch.no_grad():
        torch.testing.assert_close(copy(images), model(images))


@slow
def test_openvino_in_half_precision_does_not_pass(tmp_path, sample):
    from mvsearch.export.formats import openvino

    export_job = job("openvino", tmp_path)
    export_job.write(export_job.path)
    half = partial(openvino.load_runtime, precision="bf16")
    outputs = run_batches(half(export_job.path), sample.images, 8)
    ratio = compare(run_eager(export_job.export_model.model, sample.images), outputs, 8, classes=1).ratio
    if ratio < 1e-5:
        pytest.skip("this processor computes in float32 whatever it is asked for")
    assert ratio > TOLERANCE


@pytest.mark.skipif(util.find_spec("torchao") is None, reason="torchao is not installed")
def test_a_package_that_only_int8_needs_is_named_too(tmp_path, monkeypatch):
    require_format("executorch")
    find_spec = util.find_spec
    monkeypatch.setattr(
        "mvsearch.export.formats.find_spec", lambda name: None if name == "torchao" else find_spec(name)
    )
    export_job = replace(job("executorch", tmp_path), calibration=real_images(1, training=1)[1])
    with pytest.raises(EnvironmentFault, match="torchao") as refused:
        export_job.write(export_job.path)
    assert install_hint("executorch") in str(refused.value)
