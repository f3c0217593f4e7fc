"""Weights beside an exported file, as safetensors."""

from pathlib import Path
from typing import TYPE_CHECKING

from mvsearch.errors import CheckpointError, EnvironmentFault
from mvsearch.exporters.subject import Subject

if TYPE_CHECKING:
    from torch import Tensor, nn


def write_weights(subject: Subject, path: Path) -> None:
    """The network's weights as safetensors, with the key and the name of the architecture."""
    from safetensors.torch import save

    from mvsearch.files import write_whole

    state = {name: tensor.contiguous() for name, tensor in subject.model.state_dict().items()}
    write_whole(path, save(state, {"architecture": subject.arch.key, "name": str(subject.arch.name or "")}))


def load_weights(model: "nn.Module", path: Path) -> None:
    """Put a checkpoint (.safetensors, or .pt of plain tensors) into a model; errors name the file."""
    from mvsearch.nn import load_checkpoint

    weights = read_checkpoint(path)
    try:
        load_checkpoint(model, weights)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None


def read_checkpoint(path: Path) -> "dict[str, Tensor]":
    """The tensors in a file, by name; nothing in it is executed."""
    import torch
    from safetensors.torch import load_file

    if not path.is_file():
        raise EnvironmentFault(f"{path}: there is no such file; give a .safetensors or .pt checkpoint.")
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be read ({error.strerror}); give a file that you may read.") from None
    except Exception:  # a damaged pickle can raise anything; torch's own words advise to run the code in it
        raise CheckpointError(f"{path}: no checkpoint of plain tensors; save `model.state_dict()`.") from None
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(f"{path}: holds no state_dict, a mapping of names to tensors.")
    return state
