"""How images are prepared for the weights in a file: what the file, or what is beside it, says of them."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.data import Preparation
from mvsearch.errors import DataError
from mvsearch.nn.weights_io import METADATA, Checkpoint
from mvsearch.training.warm_start import RESULT, WEIGHTS

_SIZE, _SIDE = 256, 288  # of the authors' evaluation: the shorter side is resized, then the centre is cut out
_FINE_TUNED = "_384"  # published networks that were trained on at 384 px, and are evaluated on the whole square
_AUTHORS, _TIMM = r"^(encoder\.)?conv_1\.block\.", r"^stem\.conv\."
_AUTHORS_SOURCE = "the names of the parameters, those of the authors' code: its {} networks read {} from 0 to 1"
_TIMM_SOURCE = "the names of the parameters, those of timm: its MobileViTs read RGB from 0 to 1"
_CONVENTIONS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (
        _AUTHORS,
        ".local_rep.conv_3x3.",
        {"crop": _SIZE / _SIDE, "channel_order": "bgr", "source": _AUTHORS_SOURCE.format("v1", "BGR")},
    ),
    (_AUTHORS, ".local_rep.0.", {"crop": _SIZE / _SIDE, "source": _AUTHORS_SOURCE.format("v2", "RGB")}),
    (_TIMM, ".attn.qkv.", {"crop": 0.9, "interpolation": "bicubic", "source": _TIMM_SOURCE}),
    (_TIMM, ".attn.qkv_proj.", {"crop": 0.888, "interpolation": "bicubic", "source": _TIMM_SOURCE}),
)
"""How the first parameter's name begins, what another contains, and how the code with these names prepares images.

timm's v1 weights are the authors' with the channels of the first convolution reversed.
"""

_CONFIG, _HUB_WEIGHTS = "config.json", ("model.safetensors", "pytorch_model.bin")
_ARGUMENTS = {"mean": "mean", "std": "std", "image_size": "img_size", "crop": "crop_pct"}  # of timm's train.py


def preparation_of(path: Path, checkpoint: Checkpoint, arch: Architecture) -> Preparation | None:
    """How images are prepared for the weights of a file, a network of `arch`; None if nothing says it.

    The file itself says it (metadata of safetensors), else the result of the training or timm's configuration beside
    it, else the names of its parameters: the authors' code and timm prepare images in one way each, unless the
    arguments of timm's script, in the file too, change it. Raises DataError, naming the file, for a description that
    cannot be read.
    """
    try:
        return (
            _from_metadata(checkpoint.metadata)
            or _from_result(path.with_name(RESULT), path.name)
            or _from_timm_config(path.with_name(_CONFIG), path.name)
            or _with_arguments(_from_names(checkpoint.weights, arch), checkpoint.arguments, arch)
        )
    except DataError as error:
        raise DataError(f"{error}", at=path) from None


def random_part(checkpoint: Checkpoint) -> str:
    """Which of the weights were never trained, as `write_weights` states it: "all", "head", or none."""
    return str(_parse(checkpoint.metadata.get(METADATA, "")).get("random", ""))


def _from_metadata(metadata: Mapping[str, str]) -> Preparation | None:
    values = _parse(metadata.get(METADATA, ""))
    return Preparation.from_json(values["preparation"]) if "preparation" in values else None


def _from_result(file: Path, weights: str) -> Preparation | None:
    """What a training's result says, if these are its weights."""
    result = _read(file)
    if "mean" not in result or result.get("weights", WEIGHTS) != weights:
        return None
    judged_side = result.get("settings", {}).get("judged_side", 1.0)
    return Preparation.from_json({"crop": 1 / judged_side, **result, "source": f"{RESULT} beside the weights"})


def _from_timm_config(file: Path, weights: str) -> Preparation | None:
    """What a model of timm, saved for a model hub, says in its configuration, if these are its weights."""
    values = _read(file).get("pretrained_cfg")
    if not isinstance(values, dict) or "mean" not in values or weights not in _HUB_WEIGHTS:
        return None
    return Preparation.from_json(
        {
            "mean": values["mean"],
            "std": values.get("std"),
            "image_size": values.get("input_size", [3, _SIZE, _SIZE])[-1],
            "crop": values.get("crop_pct", 1.0),
            "interpolation": values.get("interpolation", "bicubic"),
            "fit": "stretch" if values.get("crop_mode") == "squash" else "crop",
            "classes": values.get("label_names"),
            "source": f"timm's {_CONFIG} beside the weights",
        }
    )


def _with_arguments(usual: Preparation | None, arguments: Mapping[str, Any], arch: Architecture) -> Preparation | None:
    """What timm's script was told otherwise than is usual for the network, on its command line."""
    told = {name: arguments[key] for name, key in _ARGUMENTS.items() if arguments.get(key) is not None}
    if size := arguments.get("input_size"):
        told["image_size"] = size[-1]
    if not told or (usual is None and not told.keys() >= {"mean", "std"}):
        return usual
    values = usual.to_json() if usual else {"image_size": arch.image_size}
    return Preparation.from_json(values | told | {"source": "the arguments of the training script in the file"})


def _from_names(names: Iterable[str], arch: Architecture) -> Preparation | None:
    """What the code does with images whose names of parameters these are."""
    text = "\n".join(names)
    for first, inside, values in _CONVENTIONS:
        if re.search(first, text, re.MULTILINE) and inside in text:
            if arch.task != "classification":
                return Preparation((0.0,), (1.0,), arch.image_size, **{**values, "crop": 1.0}, fit="stretch")
            if str(arch.name).endswith(_FINE_TUNED):
                return Preparation((0.0,), (1.0,), 384, **{**values, "crop": 1.0})
            return Preparation((0.0,), (1.0,), _SIZE, **values)
    return None


def _read(file: Path) -> dict[str, Any]:
    """A JSON file; empty if there is none."""
    try:
        return _parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return {}


def _parse(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text or "{}")
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
