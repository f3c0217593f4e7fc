"""What int8 costs a network, by scheme and by stage: the analysis, and what the command refuses."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small import SOFTMAX, require_format, small_model

from mvsearch.errors import PlanError, VerificationError
from mvsearch.export.formats import ExportFormat, Runtime
from mvsearch.export.int8 import SCHEMES, find_scheme
from mvsearch.export.int8_analysis import Int8Analyser
from mvsearch.export.job import ExportJob
from mvsearch.nn.weights_io import write_weights
from mvsearch.report.figures.int8_plot import plot_int8
from mvsearch.training.image_samples import ImageSample
from mvsearch.utils import yaml_document

STAGES = ("stem", "down", "body", "head")


class ShiftedStages:
    """Adds to the logits for every stage in int8: 1 for the stem, 10 for the body, 0.1 for others; per tensor twice."""

    stages = STAGES

    def __init__(self, logits) -> None:
        self.logits = logits

    def write_float32(self, path) -> None:
        path.write_bytes(self.logits.tobytes())

    def write(self, path, scheme) -> None:
        costs = {"stem": 1.0, "body": 10.0}
        shift = sum(costs.get(name, 0.1) for name in STAGES if name not in scheme.float_stages)
        shifted = self.logits.copy()
        shifted[:, 0] += shift if scheme.per_channel else 2 * shift
        path.write_bytes(shifted.tobytes())


LOGITS = np.random.default_rng(0).standard_normal((16, 10))


def load_logits(path: Path, *, threads: int = 1):
    return lambda images: [np.frombuffer(path.read_bytes()).reshape(LOGITS.shape)[: len(images)]]


SHIFTED = ExportFormat(
    name="shifted",
    suffix=".logits",
    export=lambda *_: None,
    runtime=Runtime(package="numpy", load_runtime=load_logits),
    quantiser=lambda _model, _images, _folder: ShiftedStages(LOGITS),
    int8_schemes=("channel", "tensor"),
)
"""A file holds the logits of all images."""


@pytest.fixture
def analyser(tmp_path):
    """Ten classes; all images are of the class that float32 predicts, and class 0 is the one that int8 prefers."""
    images = np.zeros((16, 3, 4, 4), np.float32)
    sample = ImageSample(images, LOGITS.argmax(1), tuple("abcdefghij"), "images, test part")
    job = ExportJob(SHIFTED, small_model(), tmp_path / "net.logits", calibration=sample)
    return Int8Analyser(job, sample, tmp_path)


def test_each_stage_is_charged_with_what_it_alone_costs_and_what_is_left_without_it(analyser, tmp_path):
    found = analyser.analyse([SCHEMES["channel"], SCHEMES["tensor"]], SCHEMES["channel"])
    alone = {stage.stage: stage.alone.error for stage in found.stages}
    others = {stage.stage: stage.others.error for stage in found.stages}
    unit = alone["down"] / 0.1  # of the error of outputs where one of ten logits is larger by 1
    assert alone == pytest.approx({"stem": unit, "down": 0.1 * unit, "body": 10 * unit, "head": 0.1 * unit}, rel=1e-3)
    assert others == pytest.approx({name: 11.2 * unit - error for name, error in alone.items()}, rel=1e-3)
    assert [scheme.loss.error for scheme in found.schemes] == pytest.approx([11.2 * unit, 22.4 * unit], rel=1e-3)

    assert found.top1_float32 == 1.0
    whole = found.schemes[0].loss
    assert whole.change == pytest.approx(whole.same_top1 - 1.0) == pytest.approx(whole.top1 - 1.0)
    assert whole.change_sem == pytest.approx(np.sqrt(whole.top1 * (1 - whole.top1) / 16))

    plot_int8(found, "small", tmp_path / "stages.png")
    assert (tmp_path / "stages.png").stat().st_size > 10_000


def test_a_file_that_cannot_be_run_costs_its_own_row_only(analyser, tmp_path, monkeypatch):
    write = ShiftedStages.write

    def write_not_all(self, path, scheme):
        if not scheme.per_channel or scheme.float_stages == ("body",):
            raise RuntimeError("no kernel")
        write(self, path, scheme)

    monkeypatch.setattr(ShiftedStages, "write", write_not_all)
    found = analyser.analyse([SCHEMES["channel"], SCHEMES["tensor"]], SCHEMES["channel"])
    assert [bool(scheme.loss) for scheme in found.schemes] == [True, False]
    assert [stage.others is None for stage in found.stages] == [False, False, True, False]
    assert all(stage.alone for stage in found.stages)
    assert [sentence.split(":")[0] for sentence in found.failed] == ["tensor", "all but body in int8"]
    plot_int8(found, "small", tmp_path / "stages.png")

    with pytest.raises(VerificationError, match="no kernel"):
        analyser.analyse([SCHEMES["tensor"]], SCHEMES["channel"])


def test_a_stage_that_the_scheme_leaves_in_float_is_not_analysed(analyser):
    by_stage = SCHEMES["channel"].with_float(["body"], STAGES)
    found = analyser.analyse([by_stage], by_stage)
    assert [stage.stage for stage in found.stages] == ["stem", "down", "head"]
    assert found.schemes[0].scheme == found.stages_scheme == "channel, float: body"
    assert found.schemes[0].loss.error == pytest.approx(1.2 * found.stages[0].alone.error, rel=1e-3)


def test_images_of_other_classes_give_no_accuracy_but_the_error_of_the_outputs(analyser):
    analyser._sample = replace(analyser._sample, classes=())
    found = analyser.analyse([SCHEMES["channel"]], SCHEMES["channel"])
    assert found.top1_float32 is None
    assert (found.schemes[0].loss.top1, found.schemes[0].loss.change) == (None, None)
    assert found.schemes[0].loss.error > 0


def test_stages_that_do_not_exist_and_int8_without_any_stage_are_refused():
    with pytest.raises(PlanError, match="unknown stage 'bodi'; did you mean 'body'"):
        SCHEMES["channel"].with_float(["bodi"], STAGES)
    with pytest.raises(PlanError, match="nothing is in int8"):
        SCHEMES["channel"].with_float(STAGES, STAGES)
    with pytest.raises(PlanError, match="torch supports float32 only"):
        find_scheme("channel", "torch")


# The command


@pytest.fixture
def mvsearch(tmp_path, mvsearch):
    require_format("onnx")
    export_model = small_model(SOFTMAX)
    (tmp_path / "small.yaml").write_text(yaml_document.dump(export_model.arch.to_dict()), encoding="utf-8")
    write_weights(export_model.model, export_model.arch.key, tmp_path / "small.safetensors")
    (tmp_path / "features.yaml").write_text(yaml_document.dump({**SOFTMAX, "head": {"linear": False}}), "utf-8")
    return mvsearch


_TRAINED = ("small.yaml", "--weights", "small.safetensors", "--normalise", "none")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("small.yaml",), "has random weights"),
        (("features.yaml",), "returns features and no classes; int8 is compared for classification only"),
        (("mobilevitv3_xxs+deeplabv3",), "is for segmentation; int8 is compared for classification only"),
        (("small.yaml", "--scheme", "chanel"), "did you mean 'channel'"),
        (("small.yaml", "--to", "executorch", "--scheme", "entropy"), "it has channel, tensor"),
        (("small.yaml", "--to", "torch"), "torch supports float32 only"),
        (("small.yaml", "--plot", "stages.gif"), "use .png or .svg"),
        (_TRAINED, "use --data"),
        (
            (*_TRAINED, "--data", "fashion_mnist", "--float", "bdoy"),
            "did you mean 'body'",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_has_no_loss_in_int8_is_refused_in_one_sentence(mvsearch, args, message):
    done = mvsearch("quantize", *args)
    assert done.code == 1
    assert message in done.err
    assert len(done.err.splitlines()) == 1


def test_a_missing_runtime_is_named_with_the_command_that_installs_it(mvsearch, monkeypatch):
    monkeypatch.setattr(
        "mvsearch.export.formats.find_spec", lambda name: None if name == "onnxruntime" else find_spec(name)
    )
    done = mvsearch("quantize", "small.yaml")
    assert done.code == 1
    assert "onnxruntime is missing; install it with" in done.err


def draw_images(folder: Path, *parts: str) -> None:
    for part in parts:
        for name, brightness in (("dark", 50), ("light", 200)):
            (folder / part / name).mkdir(parents=True)
            for i in range(4):
                Image.fromarray(np.full((32, 32, 3), brightness + i, np.uint8)).save(folder / part / name / f"{i}.png")


def test_without_training_images_nothing_is_quantised(mvsearch, tmp_path):
    draw_images(tmp_path / "set", "test")
    (tmp_path / "set" / "train").mkdir()
    done = mvsearch("quantize", *_TRAINED, "--data", "set", "-o", "net.onnx")
    assert done.code == 1
    assert "set: has test, but no train" in done.err
    assert not list(tmp_path.glob("net*"))


def test_the_file_replaces_the_report_of_an_earlier_one(mvsearch, tmp_path, monkeypatch):
    monkeypatch.setattr("mvsearch.export.formats.onnx.FORMAT", replace(SHIFTED, name="onnx", suffix=".onnx"))
    draw_images(tmp_path / "set", "train", "test")
    report = tmp_path / "net.onnx.report.json"
    for name in ("net.onnx", report.name):
        (tmp_path / name).write_text('{"verified": true}', encoding="utf-8")
    done = mvsearch("quantize", *_TRAINED, "--data", "set", "-o", "net.onnx", "--force", "--json")
    assert done.code == 0, done.err
    stored = json.loads(report.read_text(encoding="utf-8"))
    assert (stored["verified"], stored["calibration"]["scheme"]) == (None, "channel")
    assert stored["preparation"]["mean"] == [0, 0, 0]
    [note] = done.json["notes"]
    assert "8 of 8 test images are also in train" in note
    assert stored["notes"][0] == note


def test_a_chosen_file_that_fails_is_not_written_and_the_table_is_printed(mvsearch, tmp_path, monkeypatch):
    def write(self, path, scheme):
        if scheme.float_stages == ("body",):
            raise RuntimeError("no kernel")
        path.write_bytes(self.logits.tobytes())

    monkeypatch.setattr(ShiftedStages, "write", write)
    monkeypatch.setattr("mvsearch.export.formats.onnx.FORMAT", replace(SHIFTED, name="onnx", suffix=".onnx"))
    draw_images(tmp_path / "set", "train", "test")
    chosen = ("--scheme", "channel", "--float", "body", "-o", "net.onnx", "--plot", "stages.png")
    done = mvsearch("quantize", *_TRAINED, "--data", "set", *chosen)
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith("mvsearch: net.onnx: channel, float: body failed")
    assert "no kernel" in done.out
    assert [path.name for path in tmp_path.glob("net*")] == []
    assert (tmp_path / "stages.png").exists()


@pytest.mark.slow
def test_the_chosen_file_is_written_beside_the_figure_and_the_numbers(mvsearch, tmp_path):
    draw_images(tmp_path / "set", "train", "test")
    chosen = ("--scheme", "tensor", "--float", "body", "-o", "net.onnx", "--plot", "stages.png", "--json")
    done = mvsearch("quantize", *_TRAINED, "--data", "set", *chosen)
    assert done.code == 0, done.err
    assert [scheme["scheme"] for scheme in done.json["schemes"]] == [*SCHEMES, "tensor, float: body"]
    assert [stage["stage"] for stage in done.json["stages"]] == ["stem", "down", "head"]
    assert (done.json["images"], done.json["calibration_images"], done.json["top1_float32"]) == (8, 8, None)
    assert {path.name for path in tmp_path.iterdir()} >= {"net.onnx", "stages.png"}
    assert (tmp_path / "net.onnx").stat().st_size == done.json["schemes"][-1]["file_bytes"]
