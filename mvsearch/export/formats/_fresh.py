"""An exported Python file at work in an interpreter of its own, where mvsearch cannot be imported."""

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
path, weights, threads, make = sys.argv[1:]
torch.set_num_threads(int(threads))
spec = importlib.util.spec_from_file_location("exported", path)
module = sys.modules["exported"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
network = eval(make).eval()
network.load_state_dict(load_file(weights))
while True:
    try:
        images = torch.from_numpy(pickle.load(sys.stdin.buffer))
    except EOFError:
        break
    with torch.inference_mode():
        found = network(images)
    pickle.dump([each.numpy() for each in ([found] if isinstance(found, torch.Tensor) else found)], sys.stdout.buffer)
    sys.stdout.buffer.flush()
"""

LAST_CLASS = "[value for value in vars(module).values() if isinstance(value, type)][-1]()"


class IsolatedInterpreter:
    """Called with images (B, 3, H, W), it answers with the outputs; the interpreter ends when nobody holds this.

    `make` is the expression that makes the network of the loaded `module`.
    """

    def __init__(self, path: Path, weights: Path, *, threads: int, make: str = LAST_CLASS) -> None:
        command = [sys.executable, "-c", _CODE, str(path), str(weights), str(threads), make]
        pipe = subprocess.PIPE
        self.path, self.process = path, subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)
        weakref.finalize(self, _end, self.process)

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        """(B, 3, H, W) → [(B, classes)], or maps; raises EnvironmentFault if the file fails, with its last words."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        try:
            pickle.dump(images, self.process.stdin)
            self.process.stdin.flush()
            found: list[np.ndarray] = pickle.load(self.process.stdout)
            return found
        except (OSError, EOFError):
            said = self.process.stderr.read().decode().strip() or "it ended without a word"
            raise EnvironmentFault(f"does not run alone: {said.splitlines()[-1]}", at=self.path) from None


def _end(process: "subprocess.Popen[bytes]") -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        with suppress(OSError):  # what was not sent to one that is gone
            assert pipe is not None
            pipe.close()
    process.wait()
