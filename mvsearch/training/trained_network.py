"""Trained networks: where they are, which architecture they have, and how they expect their images.

A place is a checkpoint, the folder of a training of `mvsearch train`, or a name of timm (`timm:mobilevitv2_050`).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mvsearch.arch.architecture import FILE_NAME, Architecture
from mvsearch.arch.published import all_names
from mvsearch.data import DataSet, Preparation
from mvsearch.errors import CheckpointError, EnvironmentFault
from mvsearch.utils.installation import install_hint

if TYPE_CHECKING:
    from torch import nn

    from mvsearch.nn.weights_io import Checkpoint

WEIGHTS, ARCHITECTURE, RESULT = "weights.safetensors", FILE_NAME, "result.json"
"""Files of a finished training."""

TIMM = "timm:"
"""A place that begins with this is the name of a pretrained model of timm."""


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with the weights of the file `path`.

    Its `preparation` is None where nothing says how it expects its images.
    """

    path: str
    model: "nn.Sequential"
    arch: Architecture
    checkpoint: "Checkpoint"
    preparation: Preparation | None


def read_single(place: str) -> TrainedNetwork:
    """The network in a place; raises CheckpointError if there is none or more than one, EnvironmentFault if timm's
    cannot be downloaded."""
    paths = [] if place.startswith(TIMM) else checkpoints(Path(place))
    if len(paths) > 1:
        raise CheckpointError(f"contains {len(paths)} trainings; give the folder of one.", at=place)
    return read_network(paths[0]) if paths else _identify(_download(place), Path(place), None)


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


def read_network(path: Path, *candidates: Architecture) -> TrainedNetwork:
    """The network of a checkpoint: of the architecture in the file architecture.yaml beside it, else of a candidate or
    the published network that it fits. Raises CheckpointError if it fits none, DataError as `preparation_of` does."""
    from mvsearch.nn.weights_io import read_checkpoint

    return _identify(read_checkpoint(path), path, path.with_name(ARCHITECTURE), *candidates)


def trained_on(place: str, data: DataSet) -> bool:
    """Whether a training of `mvsearch train` had these images; False if nothing beside the weights says it.

    Images decoded at another size have another checksum: they are known by their classes and the images of each.
    """
    path = Path(place)
    try:
        result = _read_result(path / WEIGHTS if path.is_dir() else path)
        if result["settings"]["data"] == data.checksum:
            return True
        counts = result["images_of_class"]
        return bool(counts) and (result["classes"], counts) == ([*data.train.classes], count_classes(data.train.labels))
    except (OSError, ValueError, LookupError, TypeError):
        return False


def count_classes(labels: np.ndarray) -> list[int]:
    """How many images each class has, from the class of each image (N)."""
    return [int(count) for count in np.bincount(labels)]


def split_of(weights: Path) -> dict[str, Any]:
    """How a training of `mvsearch train` split images without a test part: `test_fraction` and `seed`.

    Empty if nothing beside the weights says it.
    """
    try:
        split = _read_result(weights)["split"]
        return {"test_fraction": float(split["test_fraction"]), "seed": int(split["seed"])}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _read_result(weights: Path) -> Any:
    return json.loads(weights.with_name(RESULT).read_text(encoding="utf-8"))


def _identify(
    checkpoint: "Checkpoint", path: Path, description: Path | None, *candidates: Architecture
) -> TrainedNetwork:
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
    return TrainedNetwork(str(path), model, arch, checkpoint, preparation_of(path, checkpoint, arch))


def _download(place: str) -> "Checkpoint":
    """The pretrained weights of a model of timm, with what its configuration says of images."""
    from mvsearch.nn.weights_io import METADATA, Checkpoint
    from mvsearch.training.preparation import timm_values

    name = place.removeprefix(TIMM)
    try:
        import timm
    except Exception as error:  # without torchvision, or with one that does not fit torch
        advice = f"{install_hint('timm')}, or give a file"
        raise EnvironmentFault(f"timm cannot be imported here ({_line(error)}); {advice}.", at=place) from None
    if name not in timm.list_pretrained():
        raise CheckpointError("is not a pretrained model of timm; use a name of timm.list_pretrained().", at=place)
    try:
        model = timm.create_model(name, pretrained=True)
    except Exception as error:  # of the network, of the hub's client or of its cache
        reason = f"the weights cannot be downloaded ({_line(error)})"
        raise EnvironmentFault(f"{reason}; download them elsewhere and give the file.", at=place) from None
    weights = {key: tensor.detach().float() for key, tensor in model.state_dict().items()}
    images = timm_values(getattr(model, "pretrained_cfg", {}), "timm's configuration of these weights")
    known = images.keys() >= {"mean", "std", "image_size"}
    return Checkpoint(weights, place, metadata={METADATA: json.dumps({"preparation": images})} if known else {})


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
