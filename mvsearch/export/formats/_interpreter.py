"""Runs an exported Python file in an interpreter of its own, where mvsearch cannot be imported."""

import pickle
import subprocess
import sys
import weakref
from contextlib import suppress
from pathlib import Path

import numpy as np

from mvsearch.errors import EnvironmentFault

_CODE = """
import importlib.util, pickle, sys
sys.modules["mvsearch"] = None
import torch
from safetensors.torch import load_file
path, weights, threads, expression = sys.argv[1:]
torch.set_num_threads(int(threads))
spec = importlib.util.spec_from_file_location("exported", path)
module = sys.modules["exported"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
network = eval(expression).eval()
network.load_state_dict(load_file(weights))
while True:
    try:
        images = torch.from_numpy(pickle.load(sys.stdin.buffer))
    except EOFError:
        break
    with torch.inference_mode():
        outputs = network(images)
    outputs = [outputs] if isinstance(outputs, torch.Tensor) else outputs
    pickle.dump([output.numpy() for output in outputs], sys.stdout.buffer)
    sys.stdout.buffer.flush()
"""

LAST_CLASS = "[value for value in vars(module).values() if isinstance(value, type)][-1]()"


class IsolatedInterpreter:
    """Called with images (B, 3, H, W), it returns the outputs. The interpreter ends when this object is collected.

    `expression` builds the network; it may use the loaded `module`. Nothing is written beside the file: no bytecode.
    """

    def __init__(self, path: Path, weights: Path, *, threads: int, expression: str = LAST_CLASS) -> None:
        command = [sys.executable, "-B", "-c", _CODE, str(path), str(weights), str(threads), expression]
        pipe = subprocess.PIPE
        self.path, self.process = path, subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)
        weakref.finalize(self, _end, self.process)

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        """(B, 3, H, W) → [(B, classes)], or maps; raises EnvironmentFault with the last line of stderr on failure."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        try:
            pickle.dump(images, self.process.stdin)
            self.process.stdin.flush()
            outputs: list[np.ndarray] = pickle.load(self.process.stdout)
            return outputs
        except (OSError, EOFError):
            stderr = self.process.stderr.read().decode().strip() or "the interpreter ended without a message"
            raise EnvironmentFault(f"cannot be run on its own: {stderr.splitlines()[-1]}.", at=self.path) from None


def _end(process: "subprocess.Popen[bytes]") -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        with suppress(OSError):  # unsent bytes of a process that has ended
            assert pipe is not None
            pipe.close()
    process.wait()
