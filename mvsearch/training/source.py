"""A trained network that the networks of a search start from: read once, its most important channels first."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from torch import nn

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.blocks import PLAIN_BLOCKS
from mvsearch.data import Preparation, class_positions
from mvsearch.errors import CheckpointError, EnvironmentFault
from mvsearch.nn.channel_order import sort_channels
from mvsearch.nn.classification import ClassificationHead
from mvsearch.nn.weight_transfer import WeightTransfer, transfer_weights
from mvsearch.nn.weights_io import Checkpoint, checksum
from mvsearch.training.warm_start import RESULT, TrainedNetwork, checkpoints, identify_network, read_network
from mvsearch.utils.hashing import digest
from mvsearch.utils.installation import install_hint

TIMM = "timm:"
"""A source that begins with this is the name of a pretrained model of timm."""


@dataclass(frozen=True)
class Source:
    """A trained network, sorted by `sort_channels`; `checksum` is that of all that a score depends on: its weights as
    they were read, their preparation of images, the classes.

    Its classifier is that of the images' classes, or empty if it has others; `notes` are sentences about that and about
    what is unknown. `place` is what the user gave.
    """

    place: str
    name: str
    arch: Architecture
    model: nn.Sequential
    checksum: str
    preparation: Preparation | None
    notes: tuple[str, ...] = ()

    @classmethod
    def load(cls, place: str, classes: Sequence[str], task: str = "classification", images: str = "") -> Self:
        """The network in a checkpoint, in the folder of a training or of a name of timm, for images of these classes.

        `images` is the checksum of the images: a source that was trained on them too is told in a note.

        Raises CheckpointError if there is none or more than one, EnvironmentFault if timm's cannot be downloaded.
        """
        network = read_source(place)
        arch, model, total = network.arch, network.model, _digest(network)
        notes: tuple[str, ...] = ()
        if arch.task == task == "classification":
            notes = _match_classifier(model, network.preparation, classes)
        elif arch.task != task:
            notes = (f"The source is a network for {arch.task}: the head starts with random weights.",)
        if network.preparation is None:
            notes += ("Nothing states how the source expects its images: they are normalised by their own statistics.",)
        if images and trained_on(place) == images:
            notes += ("The source was trained on these images, also on those held out: scores on them are too high.",)
        name = arch.name or arch.key
        return cls(place, name, arch, sort_channels(model), total, network.preparation, notes)

    def check_networks(self, archs: Sequence[Architecture]) -> tuple[str, ...]:
        """The notes, and one if some of these networks start worse by their kind of residual alone.

        Raises CheckpointError if the source has none of the blocks that distinguish the family of any of them.
        """
        ours, theirs = (set().union(*map(_family, each)) for each in (archs, [self.arch]))
        if all(_family(arch) and not _family(arch) & theirs for arch in archs):
            raise CheckpointError(
                f"{self.name} has {_listed(theirs)}, and these networks have {_listed(ours)}; use a network of the "
                "same family.",
                at=self.place,
            )
        added = _residuals(self.arch)
        other = sum(bool(added and _residuals(arch) - added) for arch in archs)
        if not other:
            return self.notes
        return (
            *self.notes,
            f"{other} of {len(archs)} networks drawn from the space differ from the source in add_input: they start "
            "and score worse by that alone; compare them only with each other, or fix add_input in the space.",
        )

    def transfer(self, model: nn.Sequential) -> WeightTransfer:
        """Transfer the weights that fit into a network, in place."""
        return transfer_weights(model, self.model, name=self.name)

    @property
    def facts(self) -> str:
        """What scores depend on: the network and its checksum."""
        return f"init {self.name} {self.checksum}"


def _digest(network: TrainedNetwork) -> str:
    preparation = network.preparation.to_json() if network.preparation else {}
    return digest({"weights": checksum(network.model.state_dict()), "preparation": preparation | {"source": ""}})


def trained_on(place: str) -> str | None:
    """The checksum of the images of a training of `mvsearch train`; None if nothing beside the weights says it."""
    path = Path(place)
    try:
        result = json.loads((path / RESULT if path.is_dir() else path.with_name(RESULT)).read_text(encoding="utf-8"))
        return str(result["settings"]["data"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _family(arch: Architecture) -> set[str]:
    return {row.kind() for row in arch.blocks} - PLAIN_BLOCKS


def _residuals(arch: Architecture) -> set[bool]:
    """Whether its transformer blocks add their input."""
    return {vars(row)["add_input"] for row in arch.blocks if "add_input" in vars(row)}


def _listed(blocks: set[str]) -> str:
    return f"{' and '.join(sorted(blocks))} blocks" if blocks else "no transformer blocks"


def read_source(place: str) -> TrainedNetwork:
    """The network in a checkpoint, in the folder of a training, or of a name of timm; raises as `Source.load` does."""
    if place.startswith(TIMM):
        return identify_network(_download(place), Path(place), None)
    paths = checkpoints(Path(place))
    if len(paths) > 1:
        raise CheckpointError(f"contains {len(paths)} trainings; give the folder of one.", at=place)
    return read_network(paths[0])


def _match_classifier(model: nn.Sequential, preparation: Preparation | None, classes: Sequence[str]) -> tuple[str, ...]:
    """Reduce the classifier to the images' classes, or remove it if it has not all of them; sentences about it."""
    head: Any = model.get_submodule("head")
    count, theirs = head.linear.out_features, preparation.classes if preparation else ()
    positions = class_positions(classes, theirs) if theirs else None
    if positions is None and (theirs or count != len(classes)):
        model.head = ClassificationHead(head.linear.in_features, None)
        what = f"{count} classes, and the images have {len(classes)}" if count != len(classes) else "other classes"
        return (f"The source is for {what}: the classifier starts with random weights.",)
    if positions is None:
        return ("The source's classes have no names: its classifier is taken in the order of the images' classes.",)
    if positions == list(range(count)):
        return ()
    linear = nn.Linear(head.linear.in_features, len(classes))
    linear.load_state_dict({name: tensor[positions] for name, tensor in head.linear.state_dict().items()})
    head.linear = linear
    return ("The source has the classes in another order or more of them: its classifier is matched by name.",)


def _download(place: str) -> Checkpoint:
    """The pretrained weights of a model of timm."""
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
    return Checkpoint(weights, place)


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
