"""Running a file: packages that may be missing, outputs as arrays, and silence."""

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mvsearch.errors import EnvironmentFault

Run = Callable[[np.ndarray], list[np.ndarray]]
"""A file in its runtime: (B, 3, H, W) float32 → its outputs."""


def require(extra: str, *packages: str) -> None:
    """Raises EnvironmentFault, naming the extra, if a package is not installed."""
    for package in packages:
        if find_spec(package) is None:
            raise EnvironmentFault(f"the package {package} is missing; pip install 'mvsearch[{extra}]' brings it.")


def in_a_line(said: str, error: Exception) -> str:
    """What a converter or a runtime raised, behind what is said of it."""
    words = (str(error).strip() or "no word of why").splitlines()[0]
    return f"{said} ({type(error).__name__}: {words})"


def as_list(outputs: Any) -> list[np.ndarray]:
    """A tensor, or a sequence of them, as arrays."""
    tensors = [outputs] if isinstance(outputs, torch.Tensor) else outputs
    return [tensor.detach().numpy() for tensor in tensors]


@contextmanager
def quiet() -> Iterator[None]:
    """Without what converters and runtimes write to the terminal on the way, from Python or from below it."""
    with Path(os.devnull).open("w") as nowhere, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.stdout.flush(), sys.stderr.flush()
        kept = [(descriptor, os.dup(descriptor)) for descriptor in (1, 2)]
        try:
            for descriptor, _ in kept:
                os.dup2(nowhere.fileno(), descriptor)
            with redirect_stdout(nowhere), redirect_stderr(nowhere):
                yield
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            for descriptor, before in kept:
                os.dup2(before, descriptor)
                os.close(before)
