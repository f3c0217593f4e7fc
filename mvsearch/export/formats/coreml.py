"""Core ML for Apple's devices: an ML program (.mlpackage, a folder) for one image, in float32.

It is written on any system and can be run on macOS only.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from mvsearch.export.formats._tools import output_names, traced
from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import Run, quiet, require

SUFFIX = ".mlpackage"
EXTRA = "coreml"
PACKAGES = ("coremltools",)
RUNTIME = "coremltools"
BATCHES = (1,)


def export(subject: ExportModel, path: Path) -> None:
    """Write the folder."""
    require(EXTRA, *PACKAGES)
    program = traced(subject, any_batch=False)
    with quiet():
        import coremltools

        # Only a decomposed program is converted: tracing by torch.jit fails inside coremltools 9 with NumPy 2.
        model = coremltools.convert(
            program.run_decompositions({}),
            inputs=[coremltools.TensorType(name="images", shape=(1, 3, *[subject.arch.image_size] * 2))],
            outputs=[coremltools.TensorType(name=name) for name in output_names(subject)],
            convert_to="mlprogram",
            compute_precision=coremltools.precision.FLOAT32,
            minimum_deployment_target=coremltools.target.iOS16,
        )
        model.save(str(path))


def unavailable_reason() -> str | None:
    """Core ML's runtime is part of macOS."""
    return None if sys.platform == "darwin" else "Core ML runs on macOS only; export it there to have it verified"


def load_runtime(path: Path, *, threads: int = 1) -> Run:
    """The file in Core ML, which chooses its threads and devices itself. Written by the documentation, not yet run."""
    require(EXTRA, *PACKAGES)
    import coremltools

    model = coremltools.models.MLModel(str(path))
    names = [output.name for output in model.get_spec().description.output]

    def run(images: np.ndarray) -> list[np.ndarray]:
        found = model.predict({"images": images})
        return [found[name] for name in names]

    return run


def facts(path: Path) -> dict[str, Any]:
    """How many operators the program holds."""
    require(EXTRA, *PACKAGES)
    with quiet():
        import coremltools

        spec = coremltools.models.MLModel(str(path), skip_model_load=True).get_spec()
    block = next(iter(spec.mlProgram.functions["main"].block_specializations.values()))
    return {"operators": sum(operation.type != "const" for operation in block.operations)}
