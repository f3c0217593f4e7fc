"""Where the weights come from that a training begins with: a checkpoint, or the nearest of finished trainings."""

import copy
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.published import all_names
from mvsearch.errors import CheckpointError

if TYPE_CHECKING:
    from torch import nn

    from mvsearch.nn.weight_transfer import Inheritance

WEIGHTS, ARCHITECTURE, RESULT = "weights.safetensors", "architecture.yaml", "result.json"
"""What a training leaves in its folder."""

_LOG = logging.getLogger(__name__)


def inherit_from(place: Path, model: "nn.Sequential", arch: Architecture) -> "Inheritance":
    """Put what fits of other weights into a network of `arch`, in place; what was taken, and from where.

    `place` is a checkpoint, of the architecture in the file architecture.yaml beside it, else of `arch`, else of the
    published network that it fits; or a folder of trainings (`mvsearch train`), of which the one is taken that gives
    most. Raises CheckpointError if it is neither, or if nothing of it fits.
    """
    found, best, misfits = None, model.state_dict(), []
    for path in _checkpoints(place):
        heir = copy.deepcopy(model)
        try:
            taken = _inherited(path, heir, arch)
        except CheckpointError as error:
            misfits.append(error)
            continue
        if found is None or taken.inherited > found.inherited:
            found, best = taken, heir.state_dict()
    if found is None:
        raise misfits[0]
    for misfit in misfits:
        _LOG.warning("passed over %s", misfit)
    model.load_state_dict(best)
    return found


def normalisation(weights: Path) -> tuple[list[float], list[float]]:
    """Mean and deviation that pixels from 0 to 1 were normalised with when these weights were trained, a channel each:
    as the training's result beside them says, else 0 and 1, as the authors have it."""
    try:
        result = json.loads(weights.with_name(RESULT).read_text())
        return [float(each) for each in result["mean"]], [float(each) for each in result["std"]]
    except (OSError, ValueError, KeyError, TypeError):
        return [0.0], [1.0]


def _checkpoints(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    here = [place / WEIGHTS] if (place / WEIGHTS).is_file() else sorted(place.glob(f"*/{WEIGHTS}"))
    if here:
        return here
    if place.is_dir():
        raise CheckpointError(
            f"holds no {WEIGHTS}, nor does a folder in it; give a checkpoint or a training.", at=place
        )
    if str(place) in all_names() or ":" in str(place):
        raise CheckpointError(
            "names an architecture, and weights of it are not at hand; give a checkpoint of it, or the "
            "folder of a training.",
            at=place,
        )
    raise CheckpointError("there is no such file or folder; give a checkpoint or the folder of a training.", at=place)


def _inherited(path: Path, heir: "nn.Sequential", arch: Architecture) -> "Inheritance":
    from mvsearch.nn import build, load_checkpoint
    from mvsearch.nn.weight_transfer import inherit, recognise
    from mvsearch.nn.weights_io import read_checkpoint

    weights, beside = read_checkpoint(path), path.with_name(ARCHITECTURE)
    try:
        known = Architecture.load(beside) if beside.is_file() else recognise(weights, arch)
        source = build(known, seed=0)
        load_checkpoint(source, weights)
    except CheckpointError as error:
        raise CheckpointError(f"{error}", at=path) from None
    return inherit(heir, source, name=f"{known.name or known.key} in {path}")
