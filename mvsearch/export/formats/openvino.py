"""OpenVINO's own format, for any batch: .xml with the graph, .bin beside it with the weights."""

from pathlib import Path
from typing import Any

from mvsearch.export.formats._tools import output_names, traced
from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import Run, quiet, require

SUFFIX = ".xml"
SIDECAR_SUFFIXES = (".bin",)
EXTRA = "openvino"
PACKAGES = ("openvino",)
RUNTIME = "openvino"
BATCHES = (1, 3, 8)


def export(subject: ExportModel, path: Path) -> None:
    """Write both files, weights in float32."""
    require(EXTRA, *PACKAGES)
    import openvino

    size = subject.arch.image_size
    program = traced(subject, any_batch=True)
    with quiet():
        model = openvino.convert_model(program)
        model.reshape([-1, 3, size, size])
        model.input(0).get_tensor().set_names({"images"})
        for output, name in zip(model.outputs, output_names(subject), strict=True):
            output.get_tensor().set_names({name})
        openvino.save_model(model, path, compress_to_fp16=False)


def load_runtime(path: Path, *, threads: int = 1, precision: str = "f32") -> Run:
    """The file in OpenVINO on the CPU, in float32: its default is bfloat16 where the processor has it."""
    require(EXTRA, *PACKAGES)
    import openvino

    options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
    compiled = openvino.Core().compile_model(path, "CPU", options)
    return lambda images: list(compiled([images]).values())


def facts(path: Path) -> dict[str, Any]:
    """How many operators the file holds."""
    require(EXTRA, *PACKAGES)
    import openvino

    operators = openvino.Core().read_model(path).get_ops()
    return {"operators": sum(op.get_type_name() not in ("Parameter", "Constant", "Result") for op in operators)}
