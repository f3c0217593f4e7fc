"""Weights beside an exported file, as safetensors."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvsearch.errors import CheckpointError, EnvironmentFault

if TYPE_CHECKING:
    from torch import Tensor, nn

_STATE_KEYS = ("state_dict", "model_state_dict", "model")  # where training scripts, such as timm's, store weights
_WRAPPERS = ("module.", "_orig_mod.")  # DistributedDataParallel, torch.compile


@dataclass(frozen=True)
class Checkpoint:
    """The weights of a file, by name.

    `origin` says which of the weights in the file these are; `ignored` what else the file has that was passed over.
    `metadata` is that of a safetensors file.
    """

    weights: "dict[str, Tensor]"
    origin: str
    ignored: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


def write_weights(model: "nn.Module", key: str, path: Path) -> None:
    """The network's weights as safetensors, with the key of its architecture."""
    from safetensors.torch import save

    from mvsearch.utils.atomic_write import write_whole

    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    # One entry: safetensors writes several in any order, so that equal weights would have different bytes.
    write_whole(path, save(state, {"architecture": key}))


def load_weights(model: "nn.Module", path: Path, *, any_classes: bool = False) -> bool:
    """Load a checkpoint (.safetensors, or .pt of plain tensors) into a model; errors name the file.

    With `any_classes` the model keeps its classifier if the file has none or one for other classes. Returns whether the
    classifier comes from the file.
    """
    from mvsearch.nn import load_checkpoint
    from mvsearch.nn.checkpoints import rename_parameters

    weights, own = read_checkpoint(path).weights, model.state_dict()
    try:
        names = rename_parameters(model, weights)
        head = {name for name in (*own, *names) if name.startswith("head.")}
        fits = all(name in own and name in names and own[name].shape == weights[names[name]].shape for name in head)
        if any_classes and not fits:
            weights = {theirs: weights[theirs] for ours, theirs in names.items() if ours not in head}
            weights |= {name: own[name] for name in head if name in own}
        elif "head.linear.weight" in names and "head.linear.weight" in own:
            theirs, ours = weights[names["head.linear.weight"]].shape, own["head.linear.weight"].shape
            if theirs[0] != ours[0] and theirs[1:] == ours[1:]:
                raise CheckpointError(
                    f"is for {theirs[0]} classes and the network for {ours[0]}; use --num-classes {theirs[0]}, or any "
                    "other number for a fresh classifier."
                )
        load_checkpoint(model, weights)
    except CheckpointError as error:
        raise CheckpointError(f"{error}", at=path) from None
    return fits


def read_checkpoint(path: Path) -> Checkpoint:
    """The tensors of a file, by name, without the wrappers of training scripts; no code in the file is executed."""
    from argparse import Namespace

    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file

    if not path.is_file():
        raise EnvironmentFault("there is no such file; use a .safetensors or .pt checkpoint.", at=path)
    try:
        # timm's script stores its arguments beside the weights; a Namespace holds only attributes.
        with torch.serialization.safe_globals([Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that torch did not write
            state: Any
            if path.suffix == ".safetensors":
                state = load_file(path)
                with safe_open(path, framework="pt") as file:
                    metadata = file.metadata() or {}
            else:
                state, metadata = torch.load(path, "cpu", weights_only=True), {}
    except OSError as error:
        raise EnvironmentFault(f"cannot be read ({error.strerror}); use a file that you may read.", at=path) from None
    except Exception:  # a damaged pickle raises any type; torch's message advises to run the code in it
        raise CheckpointError("is not a checkpoint of plain tensors; save `model.state_dict()`.", at=path) from None
    origin = "the whole file"
    if isinstance(state, dict):
        key = next((name for name in _STATE_KEYS if isinstance(state.get(name), dict)), None)
        state, origin = (state, origin) if key is None else (state[key], key)
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise CheckpointError("has no state_dict, a mapping of names to tensors.", at=path)
    for wrapper in _WRAPPERS * 2:  # in either order
        if all(name.startswith(wrapper) for name in state):
            state = {name.removeprefix(wrapper): value for name, value in state.items()}
    return Checkpoint(state, origin, metadata=metadata)
