"""Networks small enough to be converted in seconds, and jobs that export them."""

import os
from pathlib import Path

import pytest
import torch

from mvsearch.arch.architecture import Architecture
from mvsearch.export.comparison import run_eager
from mvsearch.export.formats import ExportFormat, Runtime, format_names, litert, load_format
from mvsearch.export.images import draw_samples, select_images
from mvsearch.export.job import ExportJob
from mvsearch.export.model import ExportModel
from mvsearch.nn import build
from mvsearch.training.image_samples import ImageSample

WITH_WEIGHTS = ("torch", "onnx", "openvino", "executorch", "coreml", "litert")

SOFTMAX = {
    "name": "small_softmax",
    "image_size": 32,
    "num_classes": 10,
    "blocks": [
        {"name": "stem", "block": "conv", "out": 16, "stride": 2},
        {"name": "down", "block": "mv2", "out": 16, "stride": 2, "expand": 2},
        {"name": "body", "block": "mobilevit", "out": 16, "dim": 16, "depth": 1},
    ],
}
PLAIN = {**SOFTMAX, "name": "small_plain", "blocks": SOFTMAX["blocks"][:2]}
DENSE = {
    **SOFTMAX,
    "name": "small_v1",
    "blocks": [
        *SOFTMAX["blocks"][:2],
        {
            **{"name": "body", "block": "mobilevit", "out": 16, "dim": 16, "depth": 1, "local": "dense"},
            **{"fusion": 3, "concat": "input", "add_input": False},
        },
    ],
}
SEPARABLE = {
    **SOFTMAX,
    "name": "small_separable",
    "blocks": [*SOFTMAX["blocks"][:2], {"name": "body", "block": "mobilevitv2", "out": 16, "dim": 16, "depth": 1}],
}


MIXED = {
    **SOFTMAX,
    "name": "small_mixed",
    "blocks": [
        SOFTMAX["blocks"][0],
        DENSE["blocks"][2],
        {"name": "tail", "block": "mobilevitv2", "out": 16, "dim": 16, "depth": 1},
    ],
}
"""Both kinds of attention, dense and depthwise convolutions: an expensive format is exported once."""


def real_images(count: int = 24, training: int = 0) -> tuple[ImageSample, ImageSample]:
    return draw_samples(select_images(None), 32, count, training)


def small_model(document=SOFTMAX, seed: int = 0) -> ExportModel:
    arch = Architecture.from_dict(document)
    return ExportModel(arch, build(arch, seed=seed).eval(), f"random, seed {seed}")


def require_format(name: str) -> None:
    """Skip the test where files of the format cannot be written."""
    assert name in format_names()
    if missing := load_format(name).missing_packages():
        pytest.skip(f"{missing[0]} is not installed")
    if name == "litert" and litert.PYTHON not in os.environ:
        pytest.skip(f"{litert.PYTHON} names no Python with litert-torch")


def job(name: str, folder: Path, export_model: ExportModel | None = None) -> ExportJob:
    require_format(name)
    export_format = load_format(name)
    return ExportJob(export_format, export_model or small_model(), folder / f"net{export_format.suffix}")


def toy_format(export, load_runtime) -> ExportFormat:
    runtime = Runtime(package="torch", batch_sizes=(1, 2), load_runtime=load_runtime)
    return ExportFormat(name="toy", suffix=".toy", export=export, runtime=runtime)


def save(export_model: ExportModel, path: Path) -> None:
    torch.save(export_model.model, path)


def broken_format(wrong: str) -> ExportFormat:
    """A format whose runtime computes one stage wrongly."""

    def load_runtime(path: Path, *, threads: int = 1):
        model = torch.load(path, weights_only=False)
        if wrong in dict(model.named_children()):
            model.get_submodule(wrong).register_forward_hook(lambda *args: args[2] * 1.1)
        return lambda images: run_eager(model, images)

    return toy_format(save, load_runtime)
