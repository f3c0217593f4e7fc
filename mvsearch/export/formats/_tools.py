"""What formats share: tracing and the names of outputs."""

import torch

from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import quiet


def example(subject: ExportModel, batch: int) -> torch.Tensor:
    """Images to trace a network with: (batch, 3, H, W), zeros."""
    return torch.zeros(batch, 3, subject.arch.image_size, subject.arch.image_size)


def traced(
    subject: ExportModel, *, model: torch.nn.Module | None = None, any_batch: bool
) -> torch.export.ExportedProgram:
    """The network as a graph of operators, for any batch or for one image at a time."""
    # Traced with two images: torch takes a batch of one for a constant.
    dynamic = ({0: torch.export.Dim("batch")},) if any_batch else None
    images = example(subject, 2 if any_batch else 1)
    with quiet(), torch.no_grad():
        return torch.export.export(model or subject.model, (images,), dynamic_shapes=dynamic)


def output_names(subject: ExportModel) -> list[str]:
    """How the file's outputs are called: the model's own `outputs`, else logits, else the strides of feature maps."""
    names: tuple[str, ...] | None = getattr(subject.model, "outputs", None)
    if names is None:
        names = tuple(f"stride_{2**i}" for i in range(2, 6)) if subject.features else ("logits",)
    return list(names)
