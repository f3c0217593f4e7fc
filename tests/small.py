"""Networks small enough to be converted in seconds, and jobs that export them."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from mvsearch.arch.architecture import Architecture
from mvsearch.export import formats, verify
from mvsearch.export.formats import litert
from mvsearch.export.model import ExportModel
from mvsearch.nn import build
from mvsearch.training.sample import Sample

NEEDS = {
    kind: getattr(formats.load_format(kind), "PACKAGES", ())
    for kind in ("torch", "onnx", "openvino", "executorch", "coreml", "litert")
}

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


def real_images(count: int = 24, training: int = 0) -> tuple[Sample, Sample]:
    return verify.draw(verify.images_for(None), 32, count, training)


def subject(document=SOFTMAX, seed: int = 0) -> ExportModel:
    arch = Architecture.from_dict(document)
    return ExportModel(arch, build(arch, seed=seed).eval(), f"fresh, seed {seed}")


def job(kind: str, path: Path, made: ExportModel | None = None) -> verify.Job:
    missing = [package for package in NEEDS.get(kind, ()) if find_spec(package) is None]
    if missing:
        pytest.skip(f"{missing[0]} is not installed")
    if kind == "litert" and litert.PYTHON not in os.environ:
        pytest.skip(f"{litert.PYTHON} names no Python with litert-torch")
    module = formats.load_format(kind)
    return verify.Job(kind, module, made or subject(), path / f"net{module.SUFFIX}")


def silent(_doing: str) -> None:
    pass
