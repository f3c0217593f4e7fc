"""int8 ONNX: what is computed in int8, what is stored in it, and the accuracy that is left."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from small import MIXED, require_format, small_model
from torch import nn

from mvsearch.export.comparison import run_batches, run_eager
from mvsearch.export.formats import load_format
from mvsearch.export.formats._onnx_int8 import Limits, plan_int8, quantise
from mvsearch.export.formats._onnx_quantiser import OnnxQuantiser
from mvsearch.export.int8 import SCHEMES
from mvsearch.export.model import ExportModel
from mvsearch.profiling.timing import fixed_threads

pytestmark = pytest.mark.usefixtures("one_thread")

ALL, MATRICES, NONE = Limits(0, 0, 0), Limits(0, 0, float("inf")), Limits(*[float("inf")] * 3)


@pytest.fixture(scope="module")
def onnx():
    return pytest.importorskip("onnx")


@dataclass(frozen=True)
class Trained:
    """A network with both kinds of attention that tells dark images from light ones, and its float32 file."""

    export_model: ExportModel
    float32: Path
    images: np.ndarray
    labels: np.ndarray


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    require_format("onnx")
    export_model = small_model({**MIXED, "num_classes": 2})
    labels = torch.arange(64) % 2
    noise = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    images = 0.5 * noise + (labels.view(-1, 1, 1, 1) - 0.5)
    with fixed_threads(1):
        _fit(export_model.model, images, labels)
    path = tmp_path_factory.mktemp("float32") / "net.onnx"
    load_format("onnx").export(export_model, path)
    return Trained(export_model, path, images.numpy(), labels.numpy())


def kernels(onnx, path: Path, folder: Path) -> Counter:
    """The operators that onnxruntime runs for a file, by type, before it chooses layouts."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node)


INT8 = re.compile("QLinear|MatMulInteger|QGemm|Quantize|Dequantize|Cast")


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (NONE, set()),
        (MATRICES, {"QuantizeLinear", "MatMulIntegerToFloat", "QGemm"}),
        (
            ALL,
            {"QuantizeLinear", "DequantizeLinear", "MatMulIntegerToFloat", "QGemm"}
            | {"QLinearConv", "QLinearSigmoid", "QLinearMul", "QLinearAdd"},
        ),
    ],
)
def test_onnxruntime_has_kernels_for_all_that_is_quantised_and_runs_the_rest_as_in_float32(
    onnx, trained, tmp_path, limits, expected
):
    quantise(trained.float32, tmp_path / "net.onnx", trained.images[:32], limits)
    found, before = kernels(onnx, tmp_path / "net.onnx", tmp_path), kernels(onnx, trained.float32, tmp_path)
    assert {name for name in found if INT8.search(name)} - {"QLinearConcat"} == expected
    assert found["Softmax"] == before["Softmax"] > 0
    assert found["LayerNormalization"] == before["LayerNormalization"] > 0
    if limits is NONE:
        assert found == before


@pytest.mark.parametrize("limits", [NONE, MATRICES, ALL])
def test_all_large_weights_are_stored_in_int8(onnx, trained, tmp_path, limits):
    quantise(trained.float32, tmp_path / "net.onnx", trained.images[:32], limits)
    tensors = onnx.load(tmp_path / "net.onnx").graph.initializer
    assert not [each.name for each in tensors if each.data_type == onnx.TensorProto.FLOAT and np.prod(each.dims) >= 128]


def test_the_convolution_that_reads_the_image_and_products_of_two_activations_are_never_quantised(onnx, trained):
    model = onnx.load(trained.float32)
    plan = plan_int8(model, ALL)
    chosen = [node for node in model.graph.node if node.name in plan.nodes]
    constants = {tensor.name for tensor in model.graph.initializer}
    assert not any("images" in node.input for node in chosen)
    assert all(node.input[1] in constants for node in chosen if node.op_type in ("MatMul", "Gemm", "Conv"))
    assert 0.5 < plan.macs_share < 1
    assert plan_int8(model, NONE).macs_share == 0


def test_the_small_products_of_a_small_network_stay_float32(onnx, trained):
    assert plan_int8(onnx.load(trained.float32)).nodes == ()


@pytest.mark.parametrize("limits", [NONE, MATRICES, ALL])
def test_a_network_keeps_its_accuracy_and_an_image_its_outputs_in_any_batch(trained, tmp_path, limits):
    expected = run_eager(trained.export_model.model, trained.images)[0]
    assert (expected.argmax(1) == trained.labels).mean() > 0.95
    quantise(trained.float32, tmp_path / "net.onnx", trained.images[:32], limits)
    run = load_format("onnx").runtime.load_runtime(tmp_path / "net.onnx")
    [one], [eight] = (run_batches(run, trained.images, batch) for batch in (1, 8))
    np.testing.assert_allclose(one, eight, atol=1e-4)
    assert (one.argmax(1) == trained.labels).mean() > 0.95
    assert np.abs(one - expected).max() < 0.5 * expected.std()


def test_facts_have_the_share_that_is_computed_in_int8(trained, tmp_path):
    facts = load_format("onnx").runtime.facts
    quantise(trained.float32, tmp_path / "net.onnx", trained.images[:8], MATRICES)
    assert 0 < facts(tmp_path / "net.onnx")["int8_macs_share"] < 1
    assert "int8_macs_share" not in facts(trained.float32)


@pytest.fixture(scope="module")
def quantiser(trained, tmp_path_factory):
    return OnnxQuantiser(trained.float32, tmp_path_factory.mktemp("quantiser"), trained.images[:32])


@pytest.mark.parametrize("name", ["channel", "tensor", "percentile", pytest.param("entropy", marks=pytest.mark.slow)])
def test_a_network_in_which_everything_is_int8_keeps_its_accuracy_by_every_scheme(quantiser, trained, tmp_path, name):
    quantiser.write(tmp_path / "net.onnx", SCHEMES[name])
    format_ = load_format("onnx")
    [logits] = run_batches(format_.runtime.load_runtime(tmp_path / "net.onnx"), trained.images, 8)
    expected = run_eager(trained.export_model.model, trained.images)[0]
    assert (logits.argmax(1) == trained.labels).mean() > 0.95
    assert 1e-4 < np.abs(logits - expected).max() < 0.5 * expected.std()
    assert format_.runtime.facts(tmp_path / "net.onnx")["int8_macs_share"] == 1.0


def test_a_stage_stays_in_float32_with_its_weights(quantiser, onnx, tmp_path):
    assert quantiser.stages == ("stem", "body", "tail", "head")
    quantiser.write(tmp_path / "net.onnx", SCHEMES["channel"].with_float(["body"], quantiser.stages))
    tensors = onnx.load(tmp_path / "net.onnx").graph.initializer
    stages = {
        kind: {tensor.name.split(".")[0] for tensor in tensors if tensor.data_type == kind and ".weight" in tensor.name}
        for kind in (onnx.TensorProto.FLOAT, onnx.TensorProto.INT8)
    }
    assert "body" in stages[onnx.TensorProto.FLOAT]
    assert "body" not in stages[onnx.TensorProto.INT8]
    assert {"stem", "head"} <= stages[onnx.TensorProto.INT8]
    assert 0 < load_format("onnx").runtime.facts(tmp_path / "net.onnx")["int8_macs_share"] < 1


def test_a_stage_that_stays_in_float32_in_executorch_leaves_the_others_in_int8(tmp_path, monkeypatch):
    require_format("executorch")
    pytest.importorskip("torchao")
    from mvsearch.export.formats import executorch

    programs = []
    monkeypatch.setattr(executorch, "_lower", lambda program, _path: programs.append(program))
    quantiser = executorch.XnnpackQuantiser(small_model(), np.zeros((1, 3, 32, 32), np.float32))
    quantiser.write(tmp_path, SCHEMES["channel"].with_float(["body"], quantiser.stages))
    in_int8: dict[str, set[bool]] = {}
    for node in programs[0].graph.nodes:
        if str(node.target) in ("aten.conv2d.default", "aten.linear.default"):
            stage = next(name for name, _ in node.meta["nn_module_stack"].values() if name in quantiser.stages)
            in_int8.setdefault(stage, set()).add("dequantize" in str(node.args[1]))  # the weights
    assert in_int8 == {"stem": {True}, "down": {True}, "body": {False}, "head": {True}}


@pytest.mark.slow
@pytest.mark.parametrize("stages", [("body",), ("stem", "body", "head")])
def test_executorch_runs_a_file_with_stages_in_float32(stages, tmp_path):
    require_format("executorch")
    pytest.importorskip("torchao")
    from mvsearch.export.formats import executorch

    images = np.random.default_rng(0).random((4, 3, 32, 32), dtype=np.float32)
    quantiser, model = executorch.XnnpackQuantiser(small_model(), images), small_model().model
    quantiser.write(tmp_path / "net.pte", SCHEMES["channel"].with_float(stages, quantiser.stages))
    [logits] = executorch.load_runtime(tmp_path / "net.pte")(images[:1])
    expected = model(torch.from_numpy(images[:1])).detach().numpy()
    assert np.abs(logits - expected).max() < 0.3 * expected.std()


def _fit(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> None:
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    with torch.no_grad():
        for _ in range(20):  # the statistics of the norms follow the last weights
            model(images)
    model.eval()
