"""LiteRT (TensorFlow Lite) for one image.

Its converter, litert-torch, requires versions of packages that conflict with ours. It is installed in a Python of its
own, which reads the traced network from a file; the converted file is run here.
"""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from mvsearch.errors import EnvironmentFault, VerificationError
from mvsearch.export.formats import ExportFormat, Runtime
from mvsearch.export.formats._tools import trace
from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import Runner, suppress_output
from mvsearch.utils.installation import install_command

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


def export(export_model: ExportModel, path: Path) -> None:
    """Write the file with the Python that MVSEARCH_LITERT_PYTHON names, by default this one."""
    FORMAT.require_packages()
    python = os.environ.get(PYTHON, sys.executable)
    with TemporaryDirectory() as folder:
        program = Path(folder, "network.pt2")
        with suppress_output():
            torch.export.save(trace(export_model, any_batch=False), program)
        command = [python, "-c", _CONVERT, str(program), str(path), str(export_model.arch.image_size)]
        try:
            run = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
        except OSError as error:
            raise EnvironmentFault(f"cannot be run ({error.strerror}).", at=f"{PYTHON}={python}") from None
    if run.returncode == 3:
        install = install_command("litert-torch", f"torch=={torch.__version__.split('+')[0]}")
        raise EnvironmentFault(
            f"{python} has no litert-torch; install it in a Python of its own, `{install}`, and set "
            f"{PYTHON}=/path/to/bin/python."
        )
    if run.returncode:
        last_line = (run.stderr.strip() or "without a message").splitlines()[-1]
        raise VerificationError(f"litert-torch in {python} cannot convert this network ({last_line})")


def load_runtime(path: Path, *, threads: int = 1) -> Runner:
    """The file in LiteRT's runtime on the CPU."""
    FORMAT.require_packages()
    with suppress_output():
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
    """The number of operators in the file."""
    FORMAT.require_packages()
    with suppress_output():
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        # With delegates the interpreter would list the operators that replace those of the file.
        resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = Interpreter(model_path=str(path), experimental_op_resolver_type=resolver)
        return {"operators": len(interpreter._get_ops_details())}


@cache
def _version(python: str) -> str | None:
    command = [python, "-c", "from importlib.metadata import version; print(version('litert-torch'))"]
    try:
        run = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"litert-torch {run.stdout.strip()}"


def converter() -> str | None:
    """The converter with its version; None if it is not installed."""
    return _version(os.environ.get(PYTHON, sys.executable))


FORMAT = ExportFormat(
    name="litert",
    suffix=".tflite",
    extra="litert",
    packages=("ai_edge_litert",),
    export=export,
    converter=converter,
    runtime=Runtime(package="ai-edge-litert", batch_sizes=(1,), load_runtime=load_runtime, facts=facts),
)
