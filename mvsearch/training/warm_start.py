"""Warm start: the initial weights of a training from a checkpoint, or from the most similar of finished trainings."""

import copy
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.published import all_names
from mvsearch.data import Preparation
from mvsearch.errors import CheckpointError

if TYPE_CHECKING:
    from torch import nn

    from mvsearch.nn.weight_transfer import WeightTransfer
    from mvsearch.nn.weights_io import Checkpoint

WEIGHTS, ARCHITECTURE, RESULT = "weights.safetensors", "architecture.yaml", "result.json"
"""Files of a finished training."""

_LOG = logging.getLogger(__name__)


def warm_start(place: Path, model: "nn.Sequential", arch: Architecture) -> "WeightTransfer":
    """Transfer matching weights into a network of `arch`, in place; returns what was transferred, and from where.

    `place` is a checkpoint, of the architecture in the file architecture.yaml beside it, else of `arch`, else of the
    published network that it fits; or a folder of trainings (`mvsearch train`), of which the one is used that most
    weights can be taken from. Raises CheckpointError if it is neither, or if no weights match.
    """
    best, best_state, errors = None, model.state_dict(), []
    for path in checkpoints(place):
        target = copy.deepcopy(model)
        try:
            transfer = _transfer(path, target, arch)
        except CheckpointError as error:
            errors.append(error)
            continue
        if best is None or transfer.transferred > best.transferred:
            best, best_state = transfer, target.state_dict()
    if best is None:
        raise errors[0]
    for skipped in errors:
        _LOG.warning("skipped %s", skipped)
    model.load_state_dict(best_state)
    return best


def checkpoints(place: Path) -> list[Path]:
    """The file, or the weights of the finished trainings in a folder; raises CheckpointError if there are none."""
    if place.is_file():
        return [place]
    paths = [place / WEIGHTS] if (place / WEIGHTS).is_file() else sorted(place.glob(f"*/{WEIGHTS}"))
    if paths:
        return paths
    if place.is_dir():
        raise CheckpointError(
            f"contains no {WEIGHTS}, nor does a folder in it; give a checkpoint or a training.", at=place
        )
    if str(place) in all_names() or ":" in str(place):
        raise CheckpointError(
            "is an architecture without weights; give a checkpoint of it, or the folder of a training.", at=place
        )
    raise CheckpointError("no such file or folder; give a checkpoint or the folder of a training.", at=place)


def _transfer(path: Path, target: "nn.Sequential", arch: Architecture) -> "WeightTransfer":
    from mvsearch.nn.weight_transfer import transfer_weights

    source = read_network(path, arch)
    name = f"{source.arch.name or source.arch.key} in {source.checkpoint.describe(str(path))}"
    transfer = transfer_weights(target, source.model, name=name)
    return replace(transfer, facts=source.checkpoint.facts(), preparation=source.preparation)


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with the weights of a file. Its `preparation` is None where nothing says how it expects its images."""

    model: "nn.Sequential"
    arch: Architecture
    checkpoint: "Checkpoint"
    preparation: Preparation | None


def read_network(path: Path, *candidates: Architecture) -> TrainedNetwork:
    """The network of a checkpoint: of the architecture in the file architecture.yaml beside it, else of a candidate or
    the published network that it fits. Raises CheckpointError if it fits none, DataError as `preparation_of` does."""
    from mvsearch.nn.weights_io import read_checkpoint

    return identify_network(read_checkpoint(path), path, path.with_name(ARCHITECTURE), *candidates)


def identify_network(
    checkpoint: "Checkpoint", path: Path, description: Path | None, *candidates: Architecture
) -> TrainedNetwork:
    """The network of weights that were read from `path`, as `read_network` does, with a description if it is a file."""
    from mvsearch.nn import build
    from mvsearch.nn.weight_transfer import identify_architecture
    from mvsearch.nn.weights_io import load_into
    from mvsearch.training.preparation import preparation_of

    try:
        if description is not None and description.is_file():
            arch = Architecture.load(description)
        else:
            arch = identify_architecture(checkpoint.weights, *candidates)
        model = build(arch, seed=0)
        checkpoint = load_into(model, checkpoint)
    except CheckpointError as error:
        raise CheckpointError(f"{error}", at=path) from None
    return TrainedNetwork(model, arch, checkpoint, preparation_of(path, checkpoint, arch))
