"""LiteRT (TensorFlow Lite) for one image. Its converter, litert-torch, asks for versions that cannot stand beside ours,
so it lives in a Python of its own: the traced network is handed over as a file, and what comes back is run here."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from mvsearch.errors import EnvironmentFault, VerificationError
from mvsearch.export.formats._tools import traced
from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import Run, quiet, require

SUFFIX = ".tflite"
EXTRA = "litert"
PACKAGES = ("ai_edge_litert",)
RUNTIME = "ai-edge-litert"
BATCHES = (1,)
PYTHON = "MVSEARCH_LITERT_PYTHON"

_CONVERT = """
import sys
try:
    import litert_torch
except ImportError:
    sys.exit(3)
import torch
size = int(sys.argv[3])
network = torch.export.load(sys.argv[1]).module()
litert_torch.convert(network, (torch.zeros(1, 3, size, size),)).export(sys.argv[2])
"""


def export(subject: ExportModel, path: Path) -> None:
    """Write the file, by the Python that MVSEARCH_LITERT_PYTHON names (else by this one)."""
    require(EXTRA, *PACKAGES)
    python = os.environ.get(PYTHON, sys.executable)
    with TemporaryDirectory() as folder:
        program = Path(folder, "network.pt2")
        with quiet():
            torch.export.save(traced(subject, any_batch=False), program)
        command = [python, "-c", _CONVERT, str(program), str(path), str(subject.arch.image_size)]
        try:
            run = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise EnvironmentFault(f"{PYTHON}={python}: cannot be run ({error.strerror}).") from None
    if run.returncode == 3:
        raise EnvironmentFault(
            f"{python} has no litert-torch; install it in a Python of its own, `pip install litert-torch "
            f"torch=={torch.__version__.split('+')[0]}`, and name that one: {PYTHON}=/path/to/bin/python."
        )
    if run.returncode:
        last = (run.stderr.strip() or "no word of why").splitlines()[-1]
        raise VerificationError(f"litert-torch in {python} cannot take this network ({last})")


def load_runtime(path: Path, *, threads: int = 1) -> Run:
    """The file in LiteRT's runtime on the CPU."""
    require(EXTRA, *PACKAGES)
    with quiet():
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(path), num_threads=threads)
        interpreter.allocate_tensors()
    images_at = interpreter.get_input_details()[0]["index"]
    # A signature keeps the order of the model's outputs; the file's own list does not.
    signature = interpreter.get_signature_runner()
    names = sorted(signature.get_output_details(), key=lambda name: int(name.rpartition("_")[2]))
    outputs_at = [signature.get_output_details()[name]["index"] for name in names]

    def run(images: np.ndarray) -> list[np.ndarray]:
        interpreter.set_tensor(images_at, images)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in outputs_at]

    return run


def facts(path: Path) -> dict[str, Any]:
    """How many operators the file holds."""
    require(EXTRA, *PACKAGES)
    with quiet():
        from ai_edge_litert.interpreter import Interpreter

        # Without delegates: with them, the interpreter lists what became of the operators.
        plain = Interpreter(model_path=str(path), experimental_op_resolver_type=_plain())
        return {"operators": len(plain._get_ops_details())}


def _plain() -> Any:
    from ai_edge_litert.interpreter import OpResolverType

    return OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
