"""ONNX, for any batch, by torch's dynamo exporter; run by onnxruntime."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mvsearch.export.formats._tools import example, output_names
from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import Run, quiet, require

SUFFIX = ".onnx"
EXTRA = "onnx"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
RUNTIME = "onnxruntime"
BATCHES = (1, 3, 8)


def export(subject: ExportModel, path: Path) -> None:
    """Write the file, its weights inside; opset and operators are the exporter's own choice and are told by `facts`."""
    require(EXTRA, *PACKAGES)
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            subject.model,
            (example(subject, 2),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["images"],
            output_names=output_names(subject),
            verbose=False,
        )
        assert program is not None
        program.model.metadata_props.update(key=subject.arch.key, weights=subject.weights)
        program.save(path, external_data=False)


def export_int8(subject: ExportModel, path: Path, images: np.ndarray) -> None:
    """Static quantisation: int8 weights a channel, int8 activations with the ranges seen on the images (QDQ nodes)."""
    from tempfile import TemporaryDirectory

    require(EXTRA, *PACKAGES)
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rest = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.rest, None)
            return None if image is None else {"images": image[None]}

    with TemporaryDirectory() as folder:
        whole, prepared = Path(folder, "whole.onnx"), Path(folder, "prepared.onnx")
        export(subject, whole)
        with quiet():
            quant_pre_process(whole, prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                path,
                Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
            )


def load_runtime(path: Path, *, threads: int = 1) -> Run:
    """The file in onnxruntime on the CPU."""
    require(EXTRA, "onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: list(session.run(None, {"images": images}))


def facts(path: Path) -> dict[str, Any]:
    """The opset, and how many operators the file holds."""
    require(EXTRA, "onnx")
    import onnx

    model = onnx.load(path, load_external_data=False)
    opset = next(entry.version for entry in model.opset_import if not entry.domain)
    return {"opset": opset, "operators": len(model.graph.node)}
