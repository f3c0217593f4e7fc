"""What formats share: tracing, and what a file states about its network."""

import json

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


def properties(export_model: ExportModel) -> dict[str, str]:
    """What a file states: the network, its weights, and how images are prepared, as JSON values under their names.

    Where the weights are trained and nothing is known of their images, `preparation` is "unknown".
    """
    own = {"key": export_model.arch.key, "weights": export_model.weights}
    if export_model.stored_preparation:
        values = export_model.stored_preparation.to_json()
        return own | {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}
    return own | ({"preparation": "unknown"} if export_model.trained else {})
