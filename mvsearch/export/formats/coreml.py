"""Core ML for Apple's devices: an ML program (.mlpackage, a folder) for one image, in float32.

It is written on any system and can be run on macOS only.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from mvsearch.export.formats import ExportFormat, Runtime
from mvsearch.export.formats._tools import properties, trace
from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import Runner, suppress_output


def export(export_model: ExportModel, path: Path) -> None:
    """Write the folder."""
    FORMAT.require_packages()
    program = trace(export_model, any_batch=False)
    with suppress_output():
        import coremltools

        # Only a decomposed program is converted: tracing by torch.jit fails inside coremltools 9 with NumPy 2.
        model = coremltools.convert(
            program.run_decompositions({}),
            inputs=[coremltools.TensorType(name="images", shape=(1, 3, *[export_model.arch.image_size] * 2))],
            outputs=[coremltools.TensorType(name=name) for name in export_model.output_names],
            convert_to="mlprogram",
            compute_precision=coremltools.precision.FLOAT32,
            minimum_deployment_target=coremltools.target.iOS16,
        )
        model.user_defined_metadata.update(properties(export_model))
        model.save(str(path))


def unavailable_reason() -> str | None:
    """Core ML's runtime is part of macOS."""
    return None if sys.platform == "darwin" else "Core ML runs on macOS only; export there to have the file verified"


def load_runtime(path: Path, *, threads: int = 1) -> Runner:
    """The file in Core ML, which chooses threads and devices itself. Written after the documentation, never run."""
    FORMAT.require_packages()
    import coremltools

    model = coremltools.models.MLModel(str(path))
    names = [output.name for output in model.get_spec().description.output]

    def run(images: np.ndarray) -> list[np.ndarray]:
        outputs = model.predict({"images": images})
        return [outputs[name] for name in names]

    return run


def facts(path: Path) -> dict[str, Any]:
    """The number of operators in the program."""
    FORMAT.require_packages()
    with suppress_output():
        import coremltools

        spec = coremltools.models.MLModel(str(path), skip_model_load=True).get_spec()
    block = next(iter(spec.mlProgram.functions["main"].block_specializations.values()))
    return {"operators": sum(operation.type != "const" for operation in block.operations)}


FORMAT = ExportFormat(
    name="coreml",
    suffix=".mlpackage",
    extra="coreml",
    packages=("coremltools",),
    export=export,
    runtime=Runtime(
        package="coremltools",
        batch_sizes=(1,),
        load_runtime=load_runtime,
        facts=facts,
        unavailable_reason=unavailable_reason,
    ),
)
