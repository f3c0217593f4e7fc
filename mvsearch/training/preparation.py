"""How images are prepared for the weights in a file: what the file, or what is beside it, says of them."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.data import Preparation
from mvsearch.errors import CheckpointError, DataError
from mvsearch.nn.weights_io import METADATA, Checkpoint
from mvsearch.training.trained_network import RESULT, WEIGHTS

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

_PACKAGE, _CONFIG, _PROCESSOR = "preparation.json", "config.json", "preprocessor_config.json"
_HUB_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_ARGUMENTS = ("mean", "std", "crop_pct", "interpolation", "crop_mode", "img_size", "input_size")
"""What timm's scripts are told of images, by the names that its configurations have too."""
_WHOLE = 384  # px; from here on ConvNeXt's processor does not crop
_STEPS = ("do_", "include_top")
_KNOWN_STEPS = (
    *(f"do_{step}" for step in ("resize", "center_crop", "rescale", "normalize", "flip_channel_order", "convert_rgb")),
    "do_reduce_labels",  # of masks
)
_RESAMPLE = dict(enumerate(("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")))  # Pillow's numbers


def preparation_of(path: Path, checkpoint: Checkpoint, arch: Architecture) -> Preparation | None:
    """How images are prepared for the weights of a file, a network of `arch`; None if nothing says it.

    The file itself says it (metadata of safetensors), else what is beside it: the result of the training, what our
    packages say, timm's configuration or that of an image processor of transformers. Else the names of its parameters
    do: the authors' code and timm prepare images in one way each, unless the arguments of timm's script, in the file
    too, change it. Raises DataError, naming the file, for a description that cannot be read, and for the result of
    another network or of other weights.
    """
    try:
        return (
            _from_metadata(checkpoint.metadata)
            or _from_result(path.with_name(RESULT), path.name, checkpoint, arch)
            or _from_package(path.with_name(_PACKAGE), path.name)
            or _from_timm_config(path.with_name(_CONFIG), path.name)
            or _from_processor(path.with_name(_PROCESSOR), path.name)
            or _with_arguments(_from_names(checkpoint.weights, arch), checkpoint.arguments, arch)
        )
    except DataError as error:
        raise DataError(f"{error}", at=path) from None
    except (AttributeError, IndexError, TypeError, ValueError, ZeroDivisionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"what is said of its images cannot be read ({reason}).", at=path) from None


def random_part(checkpoint: Checkpoint) -> str:
    """Which of the weights were never trained, as `write_weights` states it: "all", "head", or none."""
    return str(_parse(checkpoint.metadata.get(METADATA, "")).get("random", ""))


def check_trained(path: Path, checkpoint: Checkpoint) -> None:
    """Raises CheckpointError if the file states that some of its weights were never trained."""
    if random := random_part(checkpoint):
        found = "its head has random weights" if random == "head" else "its weights are random"
        raise CheckpointError(f"{found}, so the network predicts nothing; train it first.", at=path)


def _from_metadata(metadata: Mapping[str, str]) -> Preparation | None:
    values = _parse(metadata.get(METADATA, ""))
    return Preparation.from_json(values["preparation"]) if "preparation" in values else None


def _from_result(file: Path, weights: str, checkpoint: Checkpoint, arch: Architecture) -> Preparation | None:
    """What a training's result says, if these are its weights.

    Raises DataError if it is of another network, or of other weights (results of older versions do not tell).
    """
    result = _read(file)
    if "mean" not in result or result.get("weights", WEIGHTS) != weights:
        return None
    own = arch.at(image_size=result.get("image_size"), num_classes=result.get("num_classes"))
    if result.get("key", own.key) not in {own.key, own.deploy().key}:
        raise DataError(
            f"{file.name} beside it is of the training of another network, {result['key']}; use the weights in a "
            "folder of their own, with --normalise."
        )
    if result.get("weights_checksum", checkpoint.checksum) != checkpoint.checksum:
        raise DataError(
            f"{file.name} beside it is of a training with other weights; use the weights in a folder of their own, "
            "with --normalise."
        )
    judged_side = result.get("settings", {}).get("judged_side", 1.0)
    return Preparation.from_json({"crop": 1 / judged_side, **result, "source": f"{RESULT} beside the weights"})


def _from_package(file: Path, weights: str) -> Preparation | None:
    values = _read(file)
    return Preparation.from_json(values) if "mean" in values and weights == WEIGHTS else None


def _from_timm_config(file: Path, weights: str) -> Preparation | None:
    """What a model of timm, saved for a model hub, says in its configuration, if these are its weights."""
    config = _read(file)
    values = config.get("pretrained_cfg") or config  # older files have these values beside the others
    if not isinstance(values, dict) or "mean" not in values or weights not in _HUB_WEIGHTS:
        return None
    usual = {"std": None, "image_size": _SIZE, "interpolation": "bicubic", "classes": values.get("label_names")}
    return Preparation.from_json(usual | timm_values(values, f"timm's {_CONFIG} beside the weights"))


def timm_values(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """What timm's configurations and arguments say of images, by our names; empty if they say nothing."""
    given = {name: values[name] for name in _ARGUMENTS if values.get(name) not in (None, "")}
    size = _side(*given["input_size"][-2:]) if "input_size" in given else given.get("img_size")
    told: dict[str, Any] = {name: given[name] for name in ("mean", "std", "interpolation") if name in given}
    told |= {"crop": given["crop_pct"]} if "crop_pct" in given else {}
    told |= {"fit": "stretch" if given["crop_mode"] == "squash" else "crop"} if "crop_mode" in given else {}
    told |= {"image_size": size} if size else {}
    padded = given.get("crop_mode") == "border"
    source += ", but for its crop_mode border: the centre is cut out" if padded else ""
    return told | {"source": source} if told else {}


def _side(height: int, width: int) -> int:
    """The side of a square in pixels; raises DataError for another rectangle."""
    if height != width:
        raise DataError(f"is for images of {width} x {height} px; only squares are supported.")
    return int(height)


def _from_processor(file: Path, weights: str) -> Preparation | None:
    """What an image processor of transformers says, if these are its weights.

    It multiplies pixels from 0 to 255 by its factor, subtracts 1 with `rescale_offset`, and normalises; the order of
    the channels is changed last. Raises DataError for a step that is unknown here.
    """
    values = _read(file)
    kind = str(values.get("image_processor_type") or values.get("feature_extractor_type") or "")
    reverses = values.get("do_flip_channel_order", kind.startswith("MobileViT"))
    if weights not in _HUB_WEIGHTS or not (reverses or values.keys() & {"do_normalize", "image_mean", "do_rescale"}):
        return None
    if unknown := [name for name in values if name.startswith(_STEPS) and values[name] and name not in _KNOWN_STEPS]:
        found, advice = " and ".join(unknown), "use the weights in a folder of their own, with --normalise"
        raise DataError(f"{file.name} beside it has {found}, which is not supported; {advice}.")
    normalises, rescales = values.get("do_normalize", "image_mean" in values), values.get("do_rescale", True)
    try:
        factor = 255 * values.get("rescale_factor", 1 / 255) if rescales else 255.0
        offset = 1.0 if rescales and values.get("rescale_offset") else 0.0
        mean, std = (values["image_mean"], values["image_std"]) if normalises else ([0.0], [1.0])
        scaled = {"mean": [(value + offset) / factor for value in mean], "std": [value / factor for value in std]}
        framing = _processor_framing(values)
        labels = _read(file.with_name(_CONFIG)).get("id2label") or {}
        names = [name for _, name in sorted(labels.items(), key=lambda label: int(label[0]))]
    except (AttributeError, TypeError, KeyError, ValueError, ZeroDivisionError) as error:
        raise DataError(f"{file.name} beside it cannot be read ({type(error).__name__}: {error}).") from None
    source = f"{file.name} beside the weights{framing.pop('note')}"
    named = {"classes": names} if any(name != f"LABEL_{i}" for i, name in enumerate(names)) else {}
    return Preparation.from_json(scaled | framing | named | {"source": source}).in_order("bgr" if reverses else "rgb")


def _processor_framing(values: Mapping[str, Any]) -> dict[str, Any]:
    """How an image processor of transformers makes a square; `note` says what cannot be kept of it."""
    size, centre = values.get("size", _SIZE), values.get("crop_size")
    crops = bool(values.get("do_center_crop", centre is not None)) and centre is not None
    squares = "height" in size if isinstance(size, dict) else not crops
    side, cut = _shorter_side(size), _shorter_side(centre) if crops else _shorter_side(size)
    share = cut / side
    if not squares and not crops and (share := values.get("crop_pct", 1.0)) and side >= _WHOLE:
        squares = "crop_pct" in values  # ConvNeXt resizes both sides of large images
    stretched, whole = squares and cut == side, not squares and not crops and share == 1
    note = ", which resizes both sides before the crop (here only the shorter)" if squares and not stretched else ""
    return {
        "image_size": cut,
        "crop": 1.0 if stretched else share,
        "fit": "stretch" if stretched else "crop",
        "interpolation": _RESAMPLE.get(values.get("resample", 2), "bilinear"),
        "note": note or (", which keeps the longer side (here the centre is cut out)" if whole else ""),
    }


def _shorter_side(size: Any) -> int:
    if not isinstance(size, dict):
        return int(size)
    if "shortest_edge" in size:
        return int(size["shortest_edge"])
    return _side(size["height"], size.get("width") or size["height"])


def _with_arguments(usual: Preparation | None, arguments: Mapping[str, Any], arch: Architecture) -> Preparation | None:
    """What timm's script was told otherwise than is usual for the network, on its command line."""
    told = timm_values(arguments, "the arguments of the training script in the file")
    if not told or (usual is None and not told.keys() >= {"mean", "std"}):
        return usual
    values = usual.to_json() if usual else {"image_size": arch.image_size}
    return Preparation.from_json(values | told)


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
