"""Whether weights are of the network that they were loaded into, where all shapes are equal but it may be another one.

Heads of attention, patches, strides and dilations change what a network computes, and no shape of its weights.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mvsearch.arch.architecture import FILE_NAME, Architecture
from mvsearch.errors import CheckpointError

TRAINED_FILES = ("weights.safetensors", "checkpoint.pt")
"""Weights in the folder of a training, which also has the architecture."""

_ONLY_TRAINING = ("dropout", "dropout2d", "aux")


def check_architecture(path: Path, description: str | None, arch: Architecture, *, with_head: bool) -> tuple[str, ...]:
    """Compare `arch` with the architecture that a training wrote beside its weights, or with the key in the file.

    `description` is the JSON in the file's metadata, if it has any. Returns a note if only the keys differ. Raises
    CheckpointError, naming the first difference, if the architectures differ.
    """
    beside = path.with_name(FILE_NAME)
    if path.name in TRAINED_FILES and beside.is_file():
        for place, theirs, ours in _differences(Architecture.load(beside), arch, with_head=with_head):
            raise CheckpointError(
                f"belongs to {beside}, in which {place} is {theirs} and not {ours}; use that architecture."
            )
        return ()
    try:
        stored = json.loads(description or "")
        key, size = str(stored["architecture"]), int(stored["preparation"]["image_size"])
    except (ValueError, KeyError, TypeError):  # a file that does not tell both
        return ()
    if not with_head or key in {same.at(image_size=size).key for same in (arch, arch.deploy())}:
        return ()
    return (f"the file's key {key}, of another architecture of equal shapes: it may compute something else",)


def _differences(stored: Architecture, arch: Architecture, *, with_head: bool) -> Iterator[tuple[str, Any, Any]]:
    for theirs, ours in zip(stored.layers(), arch.layers(), strict=False):
        yield from _unequal(ours.name, theirs.settings, ours.settings)
    for row, own in zip(stored.blocks, arch.blocks, strict=False):
        yield from _unequal(own.name, {"stride": row.stride}, {"stride": own.stride})
    if with_head and type(stored.head) is type(arch.head):
        yield from _unequal("head", vars(stored.head), vars(arch.head))


def _unequal(name: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for field, value in theirs.items():
        if field not in _ONLY_TRAINING and value != ours.get(field):
            yield f"{name}.{field}", value, ours.get(field)
