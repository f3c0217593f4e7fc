"""Weights in files: safetensors that we write, and checkpoints of any training script that are read."""

import hashlib
import json
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvsearch.errors import CheckpointError
from mvsearch.utils.text import printable

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mvsearch.arch.architecture import Architecture
    from mvsearch.data import Preparation

METADATA = "mvsearch"
"""The entry of a safetensors file's metadata that describes the weights, as JSON; older files have `architecture`."""

_KEY = "architecture"


@dataclass(frozen=True)
class Checkpoint:
    """The weights of a file, by name, in float32.

    `origin` says which of the weights in the file these are; `plain` is whether there was no choice: one set of weights
    and no average. `ignored` is what else the file has that was passed over, `converted` what was changed or filled in.
    `metadata` is that of a safetensors file, `arguments` those of the script that a pickle stores beside the weights.
    `checksum` is that of the weights as they were read, whatever a network then keeps of its own.
    """

    weights: "dict[str, Tensor]"
    origin: str
    ignored: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    converted: tuple[str, ...] = ()
    plain: bool = True
    arguments: Mapping[str, Any] = field(default_factory=dict)
    checksum: str = ""

    def describe(self, name: str) -> str:
        """The name of the file, with the origin if there was a choice."""
        return printable(name if self.plain else f"{name} ({self.origin})")

    def facts(self) -> dict[str, Any]:
        """What a report says about the origin of weights."""
        return {
            "weights_origin": printable(self.origin),
            "weights_ignored": [printable(note) for note in self.ignored],
            "weights_converted": [printable(note) for note in self.converted],
        }


def write_weights(
    model: "nn.Module", key: str, path: Path, preparation: "Preparation | None" = None, *, random: str = ""
) -> None:
    """The network's weights as safetensors, with the key of its architecture and how its images are prepared.

    `random` says which of them were never trained: "all", "head" or none.
    """
    from safetensors.torch import save

    from mvsearch.utils.atomic_write import write_whole

    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    # One entry: safetensors writes several in any order, so that equal weights would have different bytes.
    description: dict[str, Any] = {_KEY: key}
    if preparation is not None:
        description["preparation"] = preparation.to_json()
    if random:
        description["random"] = random
    write_whole(path, save(state, {METADATA: json.dumps(description, sort_keys=True)}))


def read_checkpoint(path: Path) -> Checkpoint:
    """The weights of a file: the moving average where it has one, without the wrappers of training scripts.

    No code in the file is executed. Raises EnvironmentFault for a file that cannot be read, CheckpointError for one
    without weights that a network could have: another kind of file, NaN, integers, an incomplete average.
    """
    from mvsearch.nn._checkpoint_file import load_content
    from mvsearch.nn._checkpoint_sets import select_weights
    from mvsearch.nn._checkpoint_values import to_float32

    content, metadata = load_content(path)
    label = ""
    try:
        chosen = select_weights(content, ours=METADATA in metadata or _KEY in metadata)
        plain = not chosen.is_average and not chosen.others
        label = "" if plain else f"{chosen.origin}: "
        weights, converted = to_float32(chosen.weights)
    except CheckpointError as error:
        raise CheckpointError(f"{label}{error}", at=path) from None
    stored = content.get("args") if isinstance(content, dict) else None
    arguments = vars(stored) if isinstance(stored, Namespace) else stored if isinstance(stored, Mapping) else {}
    converted = chosen.converted + converted
    return Checkpoint(weights, chosen.origin, chosen.ignored, metadata, converted, plain, arguments, checksum(weights))


def checksum(weights: "Mapping[str, Tensor]") -> str:
    """The first 32 hexadecimal digits of the SHA-256 of all tensors, by name, shape and bytes."""
    import torch

    total = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        total.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()[:32]


@dataclass(frozen=True)
class LoadedWeights:
    """A checkpoint that was loaded into a network; without `with_head` the network kept its own head."""

    checkpoint: Checkpoint
    with_head: bool


def load_weights(
    model: "nn.Module",
    path: Path,
    arch: "Architecture",
    *,
    any_classes: bool = False,
    other_classes: str = "use --num-classes {0}",
) -> LoadedWeights:
    """Load a checkpoint (.safetensors, or .pt of plain tensors) into a model of `arch`; errors name the file.

    With `any_classes` the model keeps its head if the file has none or one for other classes. Otherwise a file for
    other classes is refused, with the advice `other_classes`, in which {0} stands for the file's number.
    """
    from mvsearch.nn._stored_architecture import check_architecture
    from mvsearch.nn.checkpoints import COUNTER, merge_for, rename_parameters

    checkpoint, own = read_checkpoint(path), model.state_dict()
    try:
        weights, notes = merge_for(model, checkpoint.weights)
        checkpoint = replace(checkpoint, weights=dict(weights), converted=(*checkpoint.converted, *notes))
        names = rename_parameters(model, checkpoint.weights)
        theirs = {name.removeprefix("head."): checkpoint.weights[names[name]] for name in names if _in_head(name)}
        ours = {name.removeprefix("head."): own[name] for name in own if _in_head(name)}
        fits = _same_parameters(ours, theirs)
        if any_classes and not fits:
            rows = {names[name]: checkpoint.weights[names[name]] for name in names if not _in_head(name)}
            head = {name: own[name] for name in own if _in_head(name)}
            checkpoint = replace(checkpoint, weights=rows | head)
        elif all(name in names for name in own if not _in_head(name) and not name.endswith(COUNTER)):
            _check_head(model, names, theirs, other_classes)
        checkpoint = load_into(model, checkpoint)
        notes = check_architecture(path, checkpoint.metadata.get(METADATA), arch, with_head=fits)
    except CheckpointError as error:
        raise CheckpointError(f"{error}", at=path) from None
    return LoadedWeights(replace(checkpoint, ignored=checkpoint.ignored + notes), fits)


def load_into(model: "nn.Module", checkpoint: Checkpoint) -> Checkpoint:
    """Load a checkpoint into a model, and return it with a note if counters of batches were missing and became 0.

    Raises CheckpointError, and changes nothing, if it does not fit.
    """
    from mvsearch.nn._checkpoint_sets import describe_prefixes
    from mvsearch.nn.checkpoints import COUNTER, load_checkpoint, merge_for, rename_parameters

    try:
        weights, notes = merge_for(model, checkpoint.weights)
        checkpoint = replace(checkpoint, weights=dict(weights), converted=(*checkpoint.converted, *notes))
        load_checkpoint(model, checkpoint.weights)
    except CheckpointError as error:
        hint = describe_prefixes(checkpoint.weights, model.state_dict())
        raise CheckpointError(f"{str(error).removesuffix('.')}{hint}.") from None
    names = rename_parameters(model, checkpoint.weights)
    missing = sum(name.endswith(COUNTER) and name not in names for name in model.state_dict())
    note = f"set {missing} missing counters of batches (num_batches_tracked) to 0"
    return replace(checkpoint, converted=(*checkpoint.converted, *([note] if missing else [])))


def _check_head(
    model: "nn.Module", names: Mapping[str, str], theirs: "Mapping[str, Tensor]", other_classes: str
) -> None:
    """Raises CheckpointError if the parameters `theirs` are those of no head, of another one or for other classes."""
    from mvsearch.nn._layer import heads

    module = model.get_submodule("head")
    count_classes, ours = heads()[type(module)].count_classes, module.state_dict()
    classes, found = count_classes(ours), count_classes(theirs)
    if ours and not theirs:
        raise CheckpointError("has no head, only the rows before it; use the weights of a whole network.")
    if classes is not None and found is None:
        example = names[f"head.{next(iter(theirs))}"]
        raise CheckpointError(f"has another head than this network, with {example!r}; choose the head by ARCH+HEAD.")
    if classes is not None and found != classes:
        raise CheckpointError(f"is for {found} classes and the network for {classes}; {other_classes.format(found)}.")


def _in_head(name: str) -> bool:
    return name.startswith("head.")


def _same_parameters(ours: "Mapping[str, Tensor]", theirs: "Mapping[str, Tensor]") -> bool:
    """Whether two heads have equal shapes, but for what `load_checkpoint` can do without."""
    from mvsearch.nn.checkpoints import AUXILIARY, COUNTER

    auxiliary = AUXILIARY.removeprefix("head.")
    skipped = () if any(name.startswith(auxiliary) for name in ours) else (auxiliary,)
    shapes = [
        {n: t.shape for n, t in head.items() if not n.endswith(COUNTER) and not n.startswith(skipped)}
        for head in (ours, theirs)
    ]
    return shapes[0] == shapes[1]
