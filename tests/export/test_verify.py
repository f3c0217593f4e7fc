"""An exported file stands where it was asked for only if it computes what the network computes."""

import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small import PLAIN, SOFTMAX, broken_format, job, real_images, save, small_model, toy_format
from torch import nn

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import CheckpointError, DataError, EnvironmentFault, VerificationError
from mvsearch.export import comparison, stages
from mvsearch.export.formats import ExportFormat
from mvsearch.export.images import known_images, select_images
from mvsearch.export.job import ExportJob
from mvsearch.export.model import ExportModel
from mvsearch.export.verify import export_unverified, export_verified, verify
from mvsearch.nn.weights_io import write_weights
from mvsearch.training.image_samples import ImageSample
from mvsearch.utils import yaml_document

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def sample() -> ImageSample:
    return real_images()[0]


# A file that computes something else


@pytest.mark.parametrize("wrong", ["stem", "down", "body", "head"])
def test_the_first_stage_that_differs_is_named_and_only_the_report_is_kept(wrong, tmp_path, sample):
    export_job = ExportJob(broken_format(wrong), small_model(), tmp_path / "net.toy")
    with pytest.raises(VerificationError, match=f"stage {wrong}"):
        export_verified(export_job, sample)

    assert [path.name for path in tmp_path.iterdir()] == ["net.toy.report.json"]
    stored = json.loads(export_job.report_path.read_text())
    assert (stored["verified"], stored["first_differing_stage"]) == (False, wrong)


def unsupported_format(wrong: str, *, converts: bool) -> ExportFormat:
    """A format whose converter, or whose runtime, does not support one stage."""

    def export(export_model: ExportModel, path: Path) -> None:
        if not converts and wrong in dict(export_model.model.named_children()):
            raise KeyError("aten::odd\nand twenty lines more")
        save(export_model, path)

    def load_runtime(path: Path, *, threads: int = 1):
        model = torch.load(path, weights_only=False)
        if converts and wrong in dict(model.named_children()):
            raise RuntimeError("no kernel for aten::odd")
        return lambda images: comparison.run_eager(model, images)

    return toy_format(export, load_runtime)


@pytest.mark.parametrize(("converts", "error"), [(False, "KeyError"), (True, "RuntimeError")])
@pytest.mark.parametrize("wrong", ["stem", "body", "head"])
def test_the_stage_that_a_converter_or_a_runtime_does_not_support_is_named_too(
    wrong, converts, error, tmp_path, sample
):
    export_job = ExportJob(unsupported_format(wrong, converts=converts), small_model(), tmp_path / "net.toy")
    with pytest.raises(VerificationError, match=rf"{error}.*aten::odd.* stage {wrong}") as raised:
        export_verified(export_job, sample)
    assert raised.value.file == str(export_job.path)

    assert [path.name for path in tmp_path.iterdir()] == ["net.toy.report.json"]
    assert json.loads(export_job.report_path.read_text())["first_differing_stage"] == wrong


@pytest.mark.parametrize(
    "name", ["onnx", *(pytest.param(name, marks=pytest.mark.slow) for name in ("openvino", "executorch"))]
)
def test_every_part_of_a_backbone_can_be_exported_alone(name, tmp_path, sample):
    export_job = job(name, tmp_path, ExportModel.of(Architecture.from_dict(PLAIN), features=True))
    rows = list(export_job.export_model.model.named_children())
    assert not any(stages.differs(export_job, rows[: i + 1], sample.images[:2]) for i in range(len(rows)))


def test_a_file_that_reads_the_channels_in_another_order_fails_also_on_grey_images(tmp_path, sample):
    def load_runtime(path: Path, *, threads: int = 1):
        model = torch.load(path, weights_only=False)
        return lambda images: comparison.run_eager(model, images[:, ::-1].copy())

    with pytest.raises(VerificationError, match="first at stage stem"):
        export_verified(ExportJob(toy_format(save, load_runtime), small_model(), tmp_path / "net.toy"), sample)


def test_an_earlier_file_stays_where_the_new_one_fails(tmp_path, sample):
    export_job = ExportJob(broken_format("down"), small_model(), tmp_path / "net.toy")
    export_job.path.write_text("earlier")
    with pytest.raises(VerificationError, match="an earlier one"):
        export_verified(export_job, sample)
    assert export_job.path.read_text() == "earlier"


def test_weights_that_produce_nan_are_not_a_fault_of_the_file(tmp_path, sample):
    model = small_model()
    with torch.no_grad():
        model.model.stem.conv.weight[0, 0, 0, 0] = math.nan
    export_job = ExportJob(broken_format("none"), model, tmp_path / "net.toy")
    with pytest.raises(CheckpointError, match="NaN"):
        export_verified(export_job, sample)
    assert not list(tmp_path.iterdir())


def test_a_batch_is_not_larger_than_the_sample(tmp_path):
    report = export_verified(job("torch", tmp_path), real_images(4)[0])
    assert [compared.batch for compared in report.comparisons] == [1, 3, 4]


def test_a_difference_is_a_share_of_outputs_that_are_tiny():
    """As those of a deep network with random weights, of which norms have seen no images."""
    ours = [np.array([1e-26, 3e-26], dtype=np.float32)]
    assert comparison.compare(ours, [ours[0] * np.float32(1.5)], 1, classes=None).ratio == pytest.approx(1.5)


def test_a_file_without_numbers_or_of_another_shape_is_infinitely_far():
    ours = [np.ones((2, 3), dtype=np.float32)]
    assert comparison.compare(ours, [np.full((2, 3), np.nan)], 1, classes=1).ratio == math.inf
    assert comparison.compare(ours, [np.ones((2, 4))], 1, classes=1).ratio == math.inf
    assert comparison.compare(ours, [*ours, *ours], 1, classes=1).ratio == math.inf


def test_force_replaces_an_earlier_export_but_never_a_folder_of_yours(tmp_path):
    def folder(_export_model, path: Path) -> None:
        path.mkdir()
        (path / "model.py").write_text("new")

    export_job = ExportJob(
        ExportFormat(name="toy", suffix="", export=folder, runtime=None), small_model(), tmp_path / "net"
    )
    export_unverified(export_job)
    (export_job.path / "model.py").write_text("old")
    export_unverified(export_job)
    assert (export_job.path / "model.py").read_text() == "new"

    (export_job.path / "photo.jpg").touch()
    with pytest.raises(EnvironmentFault, match=r"photo\.jpg") as raised:
        export_unverified(export_job)
    assert raised.value.file == str(export_job.path)
    assert (export_job.path / "photo.jpg").exists()


def test_whatever_a_converter_raises_becomes_a_sentence(tmp_path):
    def fail(*_args):
        raise KeyError("aten::odd\nand twenty lines more")

    export_job = ExportJob(
        ExportFormat(name="toy", suffix=".toy", export=fail, runtime=None), small_model(), tmp_path / "net.toy"
    )
    with pytest.raises(VerificationError, match=r"KeyError: .*odd") as raised:
        export_unverified(export_job)
    assert raised.value.file == str(export_job.path)
    assert len(str(raised.value).splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_network_that_leaves_its_module_out_of_order_fails_in_a_fresh_interpreter(tmp_path):
    export_job = job("torch", tmp_path)
    export_job.write(export_job.path)
    export_job.path.write_text("import mvsearch\n" + export_job.path.read_text())
    with pytest.raises(EnvironmentFault, match=r"net\.py: .*mvsearch"):
        export_job.runtime.load_runtime(export_job.path)(np.zeros((1, 3, 32, 32), dtype=np.float32))


def test_an_interpreter_that_ends_without_a_message_is_one_sentence_too(tmp_path):
    export_job = job("torch", tmp_path)
    export_job.write(export_job.path)
    export_job.path.write_text("import os\nos._exit(9)\n")
    with pytest.raises(EnvironmentFault, match=r"net\.py: .*without a message"):
        export_job.runtime.load_runtime(export_job.path)(np.zeros((1, 3, 32, 32), dtype=np.float32))


# int8

DETECTION = {
    **{"name": "small_detection", "image_size": 32, "num_classes": 4, "head": {"kind": "ssdlite"}},
    "blocks": [{"name": f"layer{i}", "block": "conv", "out": 8, "stride": 2} for i in range(1, 6)],
}
FEATURES = {**PLAIN, "head": {"linear": False}}


class Untouched:
    """Writes an empty int8 file."""

    stages = ()

    def write(self, path: Path, _scheme) -> None:
        path.touch()


def test_int8_is_assessed_by_the_accuracy_that_it_costs_where_the_network_knows_the_classes():
    compared = [comparison.OutputComparison(1, 0.2, 0.5, 0.97)]
    assess = partial(comparison.assess_int8, compared, num_classes=10)
    trained = comparison.Accuracy(0.8, 0.76, -0.04, 0.01)
    assert assess(trained, max_drop=0.05) == (True, "int8 changes top-1 by -4.0 ± 1.0 points (5 points may be lost)")
    assert assess(trained, max_drop=0.03)[0] is False
    chance = comparison.Accuracy(0.1, 0.1, 0.0, 0.01)
    assert assess(chance, max_drop=0.05) == (True, "int8 keeps eager's prediction on 97.0% (5 points may be lost)")
    assert assess(chance, max_drop=0.02)[0] is False
    assert assess(None, max_drop=0.02)[0] is False


@pytest.mark.parametrize("document", [DETECTION, FEATURES], ids=["detection", "features"])
def test_int8_of_a_network_without_predicted_classes_alone_is_not_assessed(document, tmp_path, sample):
    """A file that finds no object at all keeps the background, which is the class of nearly all boxes."""
    model = ExportModel.of(Architecture.from_dict(document))
    with torch.no_grad():
        for name, bias in model.model.named_parameters():
            if "pointwise.bias" in name:
                bias.view(-1, 4 + model.arch.num_classes)[:, 4] += 1

    def load_runtime(_path: Path, *, threads: int = 1):
        def run(images: np.ndarray) -> list[np.ndarray]:
            first, *others = comparison.run_eager(model.model, images)
            constant = np.zeros_like(first)
            constant[..., 0] = 1
            return [constant, *others]

        return run

    toy = replace(toy_format(save, load_runtime), quantiser=lambda *_: Untouched(), int8_schemes=("channel",))
    report, _ = verify(ExportJob(toy, model, tmp_path / "net.toy", calibration=sample), tmp_path / "net.toy", sample)
    assert report.verified is None
    assert "int8 is not assessed" in report.reason


def test_int8_of_feature_maps_is_not_assessed_and_nan_never_passes():
    features = [comparison.OutputComparison(1, 0.2, 0.5, None)]
    assert comparison.assess_int8(features, None, num_classes=None, max_drop=0.05)[0] is None
    nan = [comparison.OutputComparison(1, math.inf, math.inf, None)]
    assert comparison.assess_int8(nan, None, num_classes=None, max_drop=0.05)[0] is False
    assert comparison.assess_float32(nan)[0] is False


def test_the_change_of_accuracy_has_its_standard_error():
    labels = np.arange(4)
    sample = ImageSample(np.empty(0), labels, ("a", "b", "c", "d"), "toy")
    right, half = np.eye(4), np.eye(4)[[0, 1, 3, 2]]
    model = ExportModel(Architecture.from_dict(SOFTMAX).at(num_classes=4), nn.Identity(), "random")
    accuracy = comparison.compare_accuracy(right, half, sample, model)
    assert (accuracy.eager, accuracy.file, accuracy.change, accuracy.change_sem) == (1, 0.5, -0.5, 0.25)
    assert comparison.compare_accuracy(np.eye(5), np.eye(5), sample, model) is None


# The command


@pytest.fixture
def run(mvsearch):
    """The command `export small.yaml`, in a folder with that file."""
    Path("small.yaml").write_text(yaml_document.dump(Architecture.from_dict(SOFTMAX).to_dict()), encoding="utf-8")
    return lambda *args: mvsearch("export", "small.yaml", *args)


def test_the_command_verifies_reports_and_keeps_what_is_there(tmp_path, run):
    first = run("--to", "torch", "-o", "net.py", "--images", "8", "--json")
    assert first.code == 0, first.err
    assert json.loads(first.out)["verified"] is True
    assert "comparing 8 images, 3 at a time" in first.err

    again = run("--to", "torch", "-o", "net.py")
    assert again.code == 1
    assert "net.py" in again.err
    assert "--force" in again.err

    forced = run("--to", "torch", "-o", "net.py", "--force", "--no-verify")
    assert forced.code == 0
    assert forced.out == (
        "wrote net.py\nweights: random, seed 0\nbatch: any number of images\nnot verified: --no-verify\n"
    )
    assert not (tmp_path / "net.py.report.json").exists()


def test_what_cannot_be_is_told_in_one_sentence_and_nothing_is_written(tmp_path, run):
    for args, message in {
        ("--to", "onxn"): "did you mean 'onnx'?",
        ("--to", "subject"): "unknown export format",
        ("--to", "torch", "--int8"): "--to executorch",
        ("--to", "torch", "-o", "no/net.py"): "no/net.py",
        ("--to", "torch", "-o", "net.onnx"): "net.onnx: files of this format end with .py",
        ("--to", "torch", "--data", "fashion"): "did you mean 'fashion_mnist'?",
        ("--to", "torch", "--weights", "none.pt"): "there is no such file",
    }.items():
        finished = run(*args)
        assert finished.code == 1
        assert message in finished.err
        assert len(finished.err.splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"quick.yaml", "small.yaml"}


def test_the_images_are_those_chosen_else_the_study_s_own(tmp_path):
    (tmp_path / "mine").mkdir()
    assert select_images(str(tmp_path / "mine")).source == "folder"
    assert select_images("cifar10").source == "cifar10"
    for name in ("nothing", "folder", "/no/images"):
        with pytest.raises(DataError, match=name):
            select_images(name)

    data = {"source": "photos", "path": None, "size": None, "test_fraction": 0.2, "seed": 1}
    study = known_images(SimpleNamespace(settings={"data": data}), None)
    settings = select_images(None, known=study)
    assert (settings.source, settings.test_fraction) == ("photos", 0.2)
    named = select_images(str(tmp_path / "mine"), known=study)
    assert (named.source, named.test_fraction, named.seed) == ("folder", 0.2, 1)
    with pytest.raises(DataError, match="remove --path"):
        select_images(str(tmp_path / "mine"), tmp_path)


def test_ctrl_c_during_the_timing_keeps_the_file_and_its_report(tmp_path, sample):
    def interrupted(*args):
        raise KeyboardInterrupt

    export_job = ExportJob(broken_format("none"), small_model(), tmp_path / "net.toy")
    with pytest.raises(KeyboardInterrupt):
        export_verified(export_job, sample, timer=interrupted)

    assert export_job.path.exists()
    stored = json.loads(export_job.report_path.read_text())
    assert stored["verified"]
    assert "latency" not in stored


def test_the_same_weights_are_the_same_bytes(tmp_path):
    model = small_model()
    for n in range(8):  # safetensors would keep several entries beside the tensors in any order
        write_weights(model.model, model.arch.key, tmp_path / str(n))
    assert len({(tmp_path / str(n)).read_bytes() for n in range(8)}) == 1
