"""The weights that networks start from: those of a trained network, its most important channels first.

The proxy, `mvsearch validate` and `mvsearch train --init` take them in the same way.
"""

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

from torch import nn

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.blocks import PLAIN_BLOCKS
from mvsearch.data import Preparation, class_positions
from mvsearch.errors import CheckpointError
from mvsearch.nn.channel_order import sort_channels
from mvsearch.nn.classification import ClassificationHead
from mvsearch.nn.weight_transfer import WeightTransfer, transfer_weights
from mvsearch.nn.weights_io import checksum
from mvsearch.training.trained_network import TIMM, TrainedNetwork, checkpoints, read_network, read_single
from mvsearch.utils.hashing import digest

_FUSION = ("add_input", "concat")
"""Fields that decide what a transformer block computes of the same weights."""

_TRANSFER_VERSION = 2
"""Another number says that equal sources start networks with other weights, so that scores are computed anew."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A trained network. `checksum` is that of all that a score depends on: its weights as they were read, their
    preparation of images, the rules of the transfer.

    Its classifier is that of the images' classes, or empty if it has others; `notes` are sentences about that and about
    what is unknown. `place` is what the user gave, `origin` the file, `file_facts` what a report says about it.
    """

    place: str
    name: str
    arch: Architecture
    model: nn.Sequential
    checksum: str
    preparation: Preparation | None
    origin: str
    file_facts: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, network: TrainedNetwork, place: str, classes: Sequence[str], task: str = "classification") -> Self:
        """The source for images of these classes. The network belongs to it from then on."""
        arch, model, total = network.arch, network.model, _digest(network)
        notes: tuple[str, ...] = ()
        if arch.task == task == "classification":
            notes = _match_classifier(model, network.preparation, classes)
        elif arch.task != task:
            notes = (f"The source is a network for {arch.task}: the head starts with random weights.",)
        return cls(
            place=place,
            name=arch.name or arch.key,
            arch=arch,
            model=model,
            checksum=total,
            preparation=network.preparation,
            origin=network.checkpoint.describe(network.path),
            file_facts=network.checkpoint.facts(),
            notes=notes,
        )

    @classmethod
    def load(cls, place: str, classes: Sequence[str], task: str = "classification") -> Self:
        """The network in a checkpoint, in the folder of a training or of a name of timm, for images of these classes.

        Raises what `read_single` does.
        """
        source = cls.of(read_single(place), place, classes, task)
        notes = source.notes
        if source.preparation is None:
            notes += ("Nothing states how the source expects its images: they are normalised by their own statistics.",)
        return replace(source, notes=notes)

    def check_family(self, archs: Sequence[Architecture]) -> None:
        """Raises CheckpointError if the source has none of the blocks that distinguish the family of any of these."""
        ours, theirs = (set().union(*map(_family, each)) for each in (archs, [self.arch]))
        if all(_family(arch) and not _family(arch) & theirs for arch in archs):
            raise CheckpointError(
                f"{self.name} has {_listed(theirs)}, and these networks have {_listed(ours)}; use a network of the "
                "same family.",
                at=self.place,
            )

    def check_networks(self, archs: Sequence[Architecture], *, drawn: bool = False) -> tuple[str, ...]:
        """The notes, and one if some of these networks have kinds of blocks that it lacks, or work in another way.

        `drawn` says that they are drawn from a search space, in which these fields can be fixed.

        Raises what `check_family` does.
        """
        self.check_family(archs)
        theirs = _family(self.arch)
        own = {field: _values(self.arch, field) for field in _FUSION}
        differing = [
            ["block"] * bool(_family(arch) - theirs) + [f for f in _FUSION if own[f] and _values(arch, f) - own[f]]
            for arch in archs
        ]
        count, fields = sum(map(bool, differing)), [f for f in ("block", *_FUSION) if any(f in d for d in differing)]
        if not count:
            return self.notes
        networks, remedy = "networks", ""
        if drawn:
            networks, remedy = "networks drawn from the space", f", or fix {' and '.join(fields)} in the space"
        return (
            *self.notes,
            f"{count} of {len(archs)} {networks} differ from the source in {' or '.join(fields)}: "
            f"they start and score worse by that alone; compare them only with each other{remedy}.",
        )

    def transfer(self, model: nn.Sequential) -> WeightTransfer:
        """Transfer the weights that fit into a network, in place: of a wider source the most important channels.

        Raises CheckpointError if the networks have no row in common.
        """
        equal = _shapes(model) == _shapes(self.model)
        transfer = transfer_weights(model, self.model if equal else self.sorted_model, name=self._title)
        return replace(
            transfer,
            checksum=self.checksum,
            channels="all" if equal else "most important first",
            facts=self.file_facts,
            preparation=self.preparation,
            notes=self.notes,
        )

    @cached_property
    def sorted_model(self) -> nn.Sequential:
        """The same network with its channels in the order in which they are taken."""
        return sort_channels(self.model)

    @property
    def _title(self) -> str:
        return f"{self.name} in {self.origin}"

    @property
    def facts(self) -> str:
        """What scores depend on: the network and its checksum."""
        return f"init {self.name} {self.checksum}"


def warm_start(
    place: Path | str, model: nn.Sequential, arch: Architecture, classes: Sequence[str] = ()
) -> WeightTransfer:
    """Transfer matching weights into a network of `arch`, in place; returns what was transferred, and from where.

    `place` is what `Source.load` takes; a checkpoint may also be one of `arch` without a description. Of a folder of
    several trainings the one is used that most weights can be taken from. `classes` are those of the images, by default
    as many without names. Raises what `read_single` does, and CheckpointError if no weights match or the source is of
    another family.
    """
    classes = classes or tuple(map(str, range(arch.num_classes)))
    best, best_state, errors = None, model.state_dict(), []
    for read in _readers(str(place), arch):
        target = copy.deepcopy(model)
        try:
            source = Source.of(read(), str(place), classes, arch.task)
            source.check_family([arch])
            transfer = source.transfer(target)
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


def _readers(place: str, arch: Architecture) -> list[Callable[[], TrainedNetwork]]:
    if place.startswith(TIMM):
        return [partial(read_single, place)]
    return [partial(read_network, path, arch) for path in checkpoints(Path(place))]


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _digest(network: TrainedNetwork) -> str:
    preparation = network.preparation.to_json() if network.preparation else {}
    facts = {"weights": checksum(network.model.state_dict()), "preparation": preparation | {"source": ""}}
    arch = network.arch
    changed = getattr(arch.head, "norm", "none") != "none" or any(row.kind() == "shsa" for row in arch.blocks)
    return digest(facts | {"transfer": _TRANSFER_VERSION + changed})  # of others the transfer is what it was


def _family(arch: Architecture) -> set[str]:
    return {row.kind() for row in arch.blocks} - PLAIN_BLOCKS


def _values(arch: Architecture, field: str) -> set[object]:
    """The values of a field in the rows that have it."""
    return {vars(row)[field] for row in arch.blocks if field in vars(row)}


def _listed(blocks: set[str]) -> str:
    return f"{' and '.join(sorted(blocks))} blocks" if blocks else "no transformer blocks"


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
