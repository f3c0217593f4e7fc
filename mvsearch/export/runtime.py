"""Running an exported file: outputs as arrays, converters without their output, their errors as one line."""

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch

Runner = Callable[[np.ndarray], list[np.ndarray]]
"""A file in its runtime: (B, 3, H, W) float32 → its outputs, float32."""


def one_line(message: str, error: Exception) -> str:
    """The message, followed by the first line of what a converter or a runtime raised."""
    first_line = (str(error).strip() or "without a message").splitlines()[0]
    return f"{message} ({type(error).__name__}: {first_line})"


def to_arrays(outputs: Any) -> list[np.ndarray]:
    """A tensor, or a sequence of tensors, as arrays."""
    tensors = [outputs] if isinstance(outputs, torch.Tensor) else outputs
    return [tensor.detach().numpy() for tensor in tensors]


@contextmanager
def suppress_output() -> Iterator[None]:
    """Discard what converters and runtimes write to the terminal, from Python or from native code."""
    with Path(os.devnull).open("w", encoding="utf-8") as devnull, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.stdout.flush(), sys.stderr.flush()
        duplicates = [(descriptor, os.dup(descriptor)) for descriptor in (1, 2)]
        try:
            for descriptor, _ in duplicates:
                os.dup2(devnull.fileno(), descriptor)
            with redirect_stdout(devnull), redirect_stderr(devnull):
                yield
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            for descriptor, duplicate in duplicates:
                os.dup2(duplicate, descriptor)
                os.close(duplicate)
