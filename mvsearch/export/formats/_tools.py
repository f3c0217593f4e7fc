"""What formats share: packages that may be missing, tracing, names of outputs, and silence."""

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
from mvsearch.export.model import Subject

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


def example(subject: Subject, batch: int) -> torch.Tensor:
    """Images to trace a network with: (batch, 3, H, W), zeros."""
    return torch.zeros(batch, 3, subject.arch.image_size, subject.arch.image_size)


def traced(subject: Subject, *, model: torch.nn.Module | None = None, any_batch: bool) -> torch.export.ExportedProgram:
    """The network as a graph of operators, for any batch or for one image at a time."""
    # Traced with two images: torch takes a batch of one for a constant.
    dynamic = ({0: torch.export.Dim("batch")},) if any_batch else None
    images = example(subject, 2 if any_batch else 1)
    with quiet(), torch.no_grad():
        return torch.export.export(model or subject.model, (images,), dynamic_shapes=dynamic)


def output_names(subject: Subject) -> list[str]:
    """How the file's outputs are called: the model's own `outputs`, else logits, else the strides of feature maps."""
    names: tuple[str, ...] | None = getattr(subject.model, "outputs", None)
    if names is None:
        names = tuple(f"stride_{2**i}" for i in range(2, 6)) if subject.features else ("logits",)
    return list(names)


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
