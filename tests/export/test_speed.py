"""An int8 file is timed beside the float32 file of its runtime, and the report says in words what int8 changed."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from small import SOFTMAX, real_images, small_model

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import PlanError
from mvsearch.export import comparison
from mvsearch.export.formats import ExportFormat, Runtime
from mvsearch.export.int8 import Int8Scheme
from mvsearch.export.job import ExportJob
from mvsearch.export.speed import Ratio, Speed
from mvsearch.export.verify import export_verified
from mvsearch.metrics.record import Latency
from mvsearch.profiling.benchmark import time_exported
from mvsearch.utils import yaml_document

pytestmark = pytest.mark.usefixtures("one_thread")


def latency(ms: float, precision: str = "int8") -> Latency:
    return Latency(ms, ms, ms, 50, 1, 32, 1, precision, "toy", "cpu: toy")


def speed(low: float, middle: float, high: float) -> Speed:
    return Speed(latency(10 * middle), latency(20.0), latency(10.0, "fp32"), Ratio(low, middle, high))


# Words


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ((2.6, 2.7, 2.8), "slower"),
        ((1.01, 1.04, 1.06), "slower"),
        ((1.005, 1.02, 1.03), "equal"),  # as far as two equal files are from each other
        ((0.98, 1.05, 1.2), "uncertain"),
        ((0.8, 0.95, 1.02), "uncertain"),
        ((0.95, 0.98, 1.02), "equal"),
        ((0.85, 1.16, 1.46), "uncertain"),
        ((0.7, 0.75, 0.8), "faster"),
    ],
)
def test_int8_is_slower_or_faster_only_beyond_the_noise(interval, verdict):
    assert Ratio(*interval).verdict == verdict


@pytest.mark.parametrize(
    ("interval", "sizes", "words"),
    [
        (
            (2.6, 2.7, 2.8),
            (1_400_000, 5_700_000),
            "slower than float32: 27.0 ms against 10.0 ms (ratio 2.70, between 2.60 and 2.80)",
        ),
        ((2.6, 2.7, 2.8), (1_400_000, 5_700_000), "the only gain is the size: 1.40 MB instead of 5.70 MB"),
        ((0.7, 0.75, 0.8), (1_400_000, 5_700_000), "faster than float32: 7.50 ms against 10.0 ms"),
        ((0.85, 1.16, 1.46), (1_400_000, 5_700_000), "neither clearly slower nor clearly faster than float32: 11.6 ms"),
        ((0.99, 1.0, 1.01), (1_400_000, 5_700_000), "as fast as float32"),
        ((2.6, 2.7, 2.8), (120_000, 110_000), "the file is not smaller: 0.120 MB instead of 0.110 MB"),
    ],
)
def test_the_headline_has_the_speed_and_the_size_of_both_files(interval, sizes, words):
    report = speed(*interval).to_dict(file_bytes=sizes[0], float32_bytes=sizes[1])
    assert words in report["headline"]
    assert report["float32"]["latency_ms"] == 10.0
    assert report["float32"]["file_bytes"] == sizes[1]
    assert report["int8_to_float32"]["ratio"] == interval[1]


def test_a_float32_file_is_compared_with_eager_alone():
    report = Speed(latency(1.0, "fp32"), latency(2.0)).to_dict(file_bytes=1, float32_bytes=None)
    assert report["eager"]["latency_ms"] == 2.0
    assert not {"float32", "headline", "int8_to_float32"} & report.keys()


# Reports


def toy_format() -> ExportFormat:
    """Writes int8 files that are larger than float32 ones."""

    def write(export_model, path: Path) -> None:
        torch.save(export_model.model, path)

    def quantiser(export_model, _images, _folder) -> Any:
        def write_int8(path: Path, _scheme: Int8Scheme) -> None:
            write(export_model, path)
            with path.open("ab") as file:
                file.write(bytes(1000))

        return SimpleNamespace(write=write_int8, write_float32=lambda path: write(export_model, path))

    def load_runtime(path: Path, *, threads: int = 1):
        model = torch.load(path, weights_only=False)
        return lambda images: comparison.run_eager(model, images)

    runtime = Runtime(package="torch", batch_sizes=(1,), load_runtime=load_runtime)
    int8 = {"quantiser": quantiser, "int8_schemes": ("fast",)}
    return ExportFormat(name="toy", suffix=".toy", export=write, runtime=runtime, **int8)


@pytest.mark.parametrize("features", [False, True])
def test_every_report_of_int8_has_the_float32_file_of_the_same_runtime_beside_it(tmp_path, features):
    held_out, training = real_images(8, training=4)
    model = replace(small_model(), features=features)
    export_job = ExportJob(toy_format(), model, tmp_path / "net.toy", calibration=training)
    report = export_verified(export_job, held_out, max_drop=1.0, timer=time_exported)

    stored = json.loads(export_job.report_path.read_text(encoding="utf-8"))
    assert report.verified is (None if features else True)
    assert stored["float32"]["latency_precision"] == "fp32"
    assert stored["latency_precision"] == "int8"
    assert stored["latency_backend"] == stored["float32"]["latency_backend"] == "toy"
    assert stored["latency_image_size"] == stored["float32"]["latency_image_size"] == 32
    assert stored["file_bytes"] == export_job.path.stat().st_size == stored["float32"]["file_bytes"] + 1000
    assert stored["calibration"] == {"images": 4, "data": "fashion_mnist, training part", "scheme": "fast"}
    assert "the file is not smaller" in stored["headline"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.toy", "net.toy.report.json"]


@pytest.mark.parametrize("options", [(), ("--no-verify",)])
@pytest.mark.parametrize(("share", "noted"), [(0.0, True), (0.1, False)])
def test_the_command_says_that_nothing_is_computed_in_int8(mvsearch, monkeypatch, share, noted, options):
    toy = toy_format()
    runtime = replace(toy.runtime, facts=lambda _path: {"int8_macs_share": share})
    toy = replace(toy, name="onnx", suffix=".onnx", runtime=runtime)
    monkeypatch.setattr("mvsearch.export.formats.onnx.FORMAT", toy)
    Path("small.yaml").write_text(yaml_document.dump(Architecture.from_dict(SOFTMAX).to_dict()), encoding="utf-8")
    arguments = ("--to", "onnx", "--int8", "--images", "8", "--max-drop", "100", *options)
    finished = mvsearch("export", "small.yaml", *arguments)
    assert finished.code == 0, finished.err
    out = " ".join(finished.out.split())
    assert ("nothing of this network is computed in int8: scheme fast" in out) is noted
    assert ("--scheme channel computes products of any size" in out) is noted


def test_int8_of_a_scene_network_is_compared_on_few_images(mvsearch, monkeypatch):
    def draw(_self, _model, held_out: int, _calibration: int, **_options: str) -> None:
        raise PlanError(f"{held_out} images")

    monkeypatch.setattr("mvsearch.export.formats.onnx.FORMAT", replace(toy_format(), name="onnx", suffix=".onnx"))
    monkeypatch.setattr("mvsearch.cli._export_model.NamedModel.draw", draw)
    command = ("export", "mobilevitv3_xxs+deeplabv3", "--to", "onnx", "--int8", "--image-size", "64")
    assert mvsearch(*command).err.endswith("mvsearch: 4 images\n")


def test_the_command_says_in_words_that_int8_is_slower(tmp_path, mvsearch, monkeypatch):
    def slower(_job, _run, run_float32, _image):
        assert run_float32 is not None
        return speed(2.6, 2.7, 2.8)

    monkeypatch.setattr("mvsearch.profiling.benchmark.time_exported", slower)
    monkeypatch.setattr("mvsearch.export.formats.onnx.FORMAT", replace(toy_format(), name="onnx", suffix=".onnx"))
    Path("small.yaml").write_text(yaml_document.dump(Architecture.from_dict(SOFTMAX).to_dict()), encoding="utf-8")
    finished = mvsearch("export", "small.yaml", "--to", "onnx", "--int8", "--images", "8", "--max-drop", "100")
    assert finished.code == 0, finished.err
    assert "int8 is slower than float32: 27.0 ms against 10.0 ms" in finished.out
    assert "calibrated on 100 images of fashion_mnist, training part" in finished.out

    arguments = ("--to", "onnx", "--int8", "--images", "8", "--max-drop", "100", "--force", "--json")
    report = json.loads(mvsearch("export", "small.yaml", *arguments).out)
    assert report["headline"].startswith("slower than float32")
    assert report["int8_to_float32"]["verdict"] == "slower"
    assert report["float32"]["latency_ms"] == 10.0

    unverified = mvsearch("export", "small.yaml", "--to", "onnx", "--int8", "--force", "--no-verify")
    assert "int8 was not timed; it may be slower than float32." in unverified.out
