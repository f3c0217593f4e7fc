"""ONNX for any batch, written by torch's dynamo exporter and run by onnxruntime."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mvsearch.export.formats import ExportFormat, Runtime
from mvsearch.export.formats._tools import example_images, properties
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


def export_int8(export_model: ExportModel, path: Path, images: np.ndarray) -> None:
    """Static quantisation: int8 weights per channel, int8 activations with the ranges of the images (QDQ nodes)."""
    from tempfile import TemporaryDirectory

    FORMAT.require_packages()
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class CalibrationImages(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.remaining = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.remaining, None)
            return None if image is None else {"images": image[None]}

    with TemporaryDirectory() as folder:
        float32, prepared = Path(folder, "float32.onnx"), Path(folder, "prepared.onnx")
        export(export_model, float32)
        with suppress_output():
            quant_pre_process(float32, prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                path,
                CalibrationImages(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
            )


def load_runtime(path: Path, *, threads: int = 1) -> Runner:
    """The file in onnxruntime on the CPU."""
    FORMAT.require_packages()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: list(session.run(None, {"images": images}))


def facts(path: Path) -> dict[str, Any]:
    """The opset, and the number of operators in the file."""
    FORMAT.require_packages()
    import onnx

    model = onnx.load(path, load_external_data=False)
    opset = next(entry.version for entry in model.opset_import if not entry.domain)
    return {"opset": opset, "operators": len(model.graph.node)}


FORMAT = ExportFormat(
    name="onnx",
    suffix=".onnx",
    extra="onnx",
    packages=("onnx", "onnxscript", "onnxruntime"),
    export=export,
    export_int8=export_int8,
    runtime=Runtime(package="onnxruntime", load_runtime=load_runtime, facts=facts),
)
