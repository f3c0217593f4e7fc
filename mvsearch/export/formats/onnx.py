"""ONNX for any batch, written by torch's dynamo exporter and run by onnxruntime."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mvsearch.export.formats import ExportFormat, Runtime
from mvsearch.export.formats._tools import example_images, properties
from mvsearch.export.int8 import FORMAT_SCHEMES, Quantiser
from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import Runner, suppress_output


def export(export_model: ExportModel, path: Path) -> None:
    """Write the file with its weights inside. The exporter chooses opset and operators; `facts` reports them."""
    FORMAT.require_packages()
    with suppress_output(), torch.no_grad():
        program = torch.onnx.export(
            export_model.model,
            (example_images(export_model, 2),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["images"],
            output_names=list(export_model.output_names),
            verbose=False,
        )
        assert program is not None
        program.model.metadata_props.update(properties(export_model))
        program.save(path, external_data=False)


def quantiser(export_model: ExportModel, images: np.ndarray, folder: Path) -> Quantiser:
    """Static quantisation with ranges of the images."""
    from mvsearch.export.formats._onnx_quantiser import OnnxQuantiser

    FORMAT.require_packages()
    export(export_model, folder / "float32.onnx")
    return OnnxQuantiser(folder / "float32.onnx", folder, images)


def load_runtime(path: Path, *, threads: int = 1) -> Runner:
    """The file in onnxruntime on the CPU."""
    FORMAT.require_packages()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: list(session.run(None, {"images": images}))


def facts(path: Path) -> dict[str, Any]:
    """The opset, the number of operators in the file, and for int8 the share of MACs that is computed in int8."""
    FORMAT.require_packages()
    import onnx

    from mvsearch.export.formats._onnx_int8 import MACS_SHARE

    model = onnx.load(path, load_external_data=False)
    opset = next(entry.version for entry in model.opset_import if not entry.domain)
    shares = {entry.key: float(entry.value) for entry in model.metadata_props if entry.key == MACS_SHARE}
    return {"opset": opset, "operators": len(model.graph.node), **shares}


FORMAT = ExportFormat(
    name="onnx",
    suffix=".onnx",
    extra="onnx",
    packages=("onnx", "onnxscript", "onnxruntime"),
    export=export,
    quantiser=quantiser,
    int8_schemes=FORMAT_SCHEMES["onnx"],
    runtime=Runtime(package="onnxruntime", load_runtime=load_runtime, facts=facts),
)
