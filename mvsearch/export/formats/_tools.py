"""What formats share: tracing, and the names of outputs."""

import torch

from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import suppress_output


def example_images(export_model: ExportModel, batch: int) -> torch.Tensor:
    """Images to trace a network with: (batch, 3, H, W), zeros."""
    return torch.zeros(batch, 3, export_model.arch.image_size, export_model.arch.image_size)


def trace(
    export_model: ExportModel, *, model: torch.nn.Module | None = None, any_batch: bool
) -> torch.export.ExportedProgram:
    """The network as a graph of operators, for any batch or for one image at a time."""
    # Traced with two images: torch takes a batch of one for a constant.
    dynamic = ({0: torch.export.Dim("batch")},) if any_batch else None
    images = example_images(export_model, 2 if any_batch else 1)
    with suppress_output(), torch.no_grad():
        return torch.export.export(model or export_model.model, (images,), dynamic_shapes=dynamic)
