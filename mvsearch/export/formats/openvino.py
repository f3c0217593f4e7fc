"""OpenVINO's own format for any batch: .xml holds the graph, .bin beside it the weights."""

from pathlib import Path
from typing import Any

from mvsearch.export.formats import ExportFormat, Runtime
from mvsearch.export.formats._tools import properties, trace
from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import Runner, suppress_output


def export(export_model: ExportModel, path: Path) -> None:
    """Write both files, with weights in float32."""
    FORMAT.require_packages()
    import openvino

    size = export_model.arch.image_size
    program = trace(export_model, any_batch=True)
    with suppress_output():
        model = openvino.convert_model(program)
        model.reshape([-1, 3, size, size])
        model.input(0).get_tensor().set_names({"images"})
        for output, name in zip(model.outputs, export_model.output_names, strict=True):
            output.get_tensor().set_names({name})
        for name, value in properties(export_model).items():
            model.set_rt_info(value, ["mvsearch", name])
        openvino.save_model(model, path, compress_to_fp16=False)


def load_runtime(path: Path, *, threads: int = 1, precision: str = "f32") -> Runner:
    """The file in OpenVINO on the CPU, in float32: the default is bfloat16 where the processor supports it."""
    FORMAT.require_packages()
    import openvino

    options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
    compiled = openvino.Core().compile_model(path, "CPU", options)
    return lambda images: list(compiled([images]).values())


def facts(path: Path) -> dict[str, Any]:
    """The number of operators in the file."""
    FORMAT.require_packages()
    import openvino

    operators = openvino.Core().read_model(path).get_ops()
    return {"operators": sum(op.get_type_name() not in ("Parameter", "Constant", "Result") for op in operators)}


FORMAT = ExportFormat(
    name="openvino",
    suffix=".xml",
    sidecar_suffixes=(".bin",),
    extra="openvino",
    packages=("openvino",),
    export=export,
    runtime=Runtime(package="openvino", load_runtime=load_runtime, facts=facts),
)
