"""Distillation: a network learns from the outputs of a trained one, its teacher, as well as from the labels.

The loss is (1 - w) * cross-entropy + w * T² * KL(teacher || student), where both sides of the divergence are softmaxes
at the temperature T (Hinton et al. 2015, arXiv 1503.02531). The teacher sees the images of each batch after all
augmentation, mixtures included, prepared as its own weights expect them and resized to the size it was trained at.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mvsearch.data import Preparation, class_positions, load_or_compute
from mvsearch.errors import CheckpointError, DataError
from mvsearch.nn.fuse import fuse
from mvsearch.nn.weights_io import checksum
from mvsearch.training.in_memory import InMemorySet
from mvsearch.training.loop import LabelledBatch, autocast, precision_name
from mvsearch.training.recipe import Distillation
from mvsearch.training.trained_network import read_single
from mvsearch.training.trainer import Evaluation, Position, TrainingSet
from mvsearch.training.transforms import normalise

_CHECKED = 250  # images that a teacher is tried on before a training

CACHE = "teacher_logits"
_CACHE_VERSION = 1  # another number computes all logits anew

Logits = Callable[[int, Tensor], Tensor]
"""The number of a step and its images (B, 3, H, W) → the teacher's logits (B, classes)."""


@dataclass(frozen=True)
class Teacher:
    """A trained classifier in eval mode. `outputs` are those of the images' classes, in the order of the classes.

    `notes` are sentences about what was matched or assumed.
    """

    name: str
    model: nn.Module
    checksum: str
    preparation: Preparation
    outputs: tuple[int, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def load(cls, source: str, classes: Sequence[str], device: str = "cpu") -> Self:
        """The teacher in a checkpoint, in the folder of a training, or of a name of timm, for images of these classes.

        Raises what `read_single` does, CheckpointError for a network that is no classifier; DataError if it is for
        other classes, or if nothing says how it expects its images.
        """
        network = read_single(source)
        if network.arch.task != "classification":
            raise CheckpointError(f"is a network for {network.arch.task}; a teacher is a classifier.", at=source)
        if network.preparation is None:
            raise DataError(
                "nothing states how this teacher expects its images; use weights of `mvsearch train`, or with the "
                "names of the authors' or timm's code.",
                at=source,
            )
        preparation = network.preparation
        outputs, notes = _match_classes(source, preparation.classes, network.arch.num_classes, classes)
        model = network.model.to(device, memory_format=torch.channels_last).requires_grad_(False).eval()  # type: ignore[call-overload]
        name, fast = network.arch.name or network.arch.key, fuse(model) if device == "cpu" else model
        return cls(name, fast, checksum(model.state_dict()), preparation, outputs, notes)

    def facts(self) -> dict[str, Any]:
        """What a result says about it."""
        return {"name": self.name, "checksum": self.checksum, "notes": list(self.notes)}

    def accuracy(self, pixels: Tensor, labels: Tensor, device: str = "cpu") -> str:
        """A sentence on the share of images, uint8 (B, C, H, W), that it classifies correctly.

        A share near that of chance is the sign of classes in another order, which nothing else shows where the
        teacher's classes have no names.
        """
        black, white = torch.zeros(()), torch.ones(())
        x, plain = normalise(pixels.to(device), black, white), Preparation((0.0,), (1.0,), pixels.shape[2])
        right = (self.logits(x, plain).argmax(1).cpu() == labels.cpu()).float().mean().item()
        return (
            f"The teacher {self.name} is right on {right:.0%} of {len(labels):,} training images (chance: "
            f"{1 / len(self.outputs):.0%})."
        )

    @torch.no_grad()
    def logits(self, x: Tensor, preparation: Preparation) -> Tensor:
        """The logits (B, classes) in float32 of images (B, 3, H, W) that were prepared in a given way.

        Raises CheckpointError if one is not finite.
        """
        with autocast(str(x.device)):
            logits: Tensor = self.model(_prepare_anew(x, preparation, self.preparation))
        logits = logits.float()[:, list(self.outputs)]
        if not logits.isfinite().all():
            raise CheckpointError(f"the teacher {self.name} produces NaN or inf; use another one.")
        return logits


def distillation_loss(loss: Tensor, outputs: Tensor, teacher: Tensor, settings: Distillation) -> Tensor:
    """Combine the cross-entropy of a batch with the divergence of logits (B, classes) from the teacher's."""
    t = settings.temperature
    student, target = (F.log_softmax(logits.float() / t, dim=1) for logits in (outputs, teacher))
    divergence = F.kl_div(student, target, reduction="batchmean", log_target=True)
    return loss.lerp(t**2 * divergence, settings.weight)


@dataclass(frozen=True)
class DistilledSet:
    """A training set of classes whose batches also have a teacher's logits, and the loss that learns from both.

    The labels of a batch are (B, 2, classes): the shares of the classes, and the logits.
    """

    data: TrainingSet
    logits: Logits
    settings: Distillation

    @property
    def metric(self) -> str:
        """That of the images."""
        return self.data.metric

    @property
    def classes(self) -> int:
        """The number of classes."""
        return self.data.classes

    @property
    def steps(self) -> int:
        """The steps of all epochs."""
        return self.data.steps

    def batches(self, position: Position) -> Iterator[list[LabelledBatch]]:
        """The same batches with the logits beside the labels."""
        for step, parts in enumerate(self.data.batches(position), position.step):
            yield [(x, torch.stack((self._shares(labels), self.logits(step, x)), 1)) for x, labels in parts]

    def loss(self, outputs: Any, labels: Tensor) -> Tensor:
        """The loss of distillation; label smoothing is applied to its cross-entropy alone."""
        shares, teacher = labels.unbind(1)
        return distillation_loss(self.data.loss(outputs, shares), outputs, teacher, self.settings)

    def evaluate(self, model: nn.Module) -> Evaluation:
        """The scores on the held-out images, without the teacher."""
        return self.data.evaluate(model)

    def _shares(self, labels: Tensor) -> Tensor:
        return labels if labels.is_floating_point() else F.one_hot(labels, self.classes).float()


def some_images(count: int) -> np.ndarray:
    """The indices of some of so many images, evenly spread, to try a teacher on."""
    return np.arange(0, count, max(1, count // _CHECKED))[:_CHECKED]


def online_logits(teacher: Teacher, preparation: Preparation) -> Logits:
    """Logits that are computed for each batch, of images that are prepared in a given way."""
    return lambda _step, x: teacher.logits(x, preparation)


def cached_logits(teacher: Teacher, data: InMemorySet, checksum: str) -> Logits:
    """Logits of all steps, computed once for all networks: batches of an `InMemorySet` depend on its plan alone.

    `checksum` is that of the data set. They are stored as float16 in the cache of decoded images.
    """
    plan = data.plan
    identity = {
        "version": _CACHE_VERSION,
        "teacher": [teacher.checksum, teacher.preparation.to_json() | {"source": "", "classes": []}, teacher.outputs],
        "data": checksum,
        "images": [len(data.train_labels), len(data.held_labels)],
        "plan": [plan.seed, plan.steps, plan.recipe.batch, plan.recipe.image_size, plan.crop_padding, plan.recipe.flip],
        "precision": precision_name(data.device),
    }

    def compute() -> np.ndarray:
        logits = (teacher.logits(x, data.preparation) for ((x, _),) in data.batches())
        return np.stack([each.cpu().numpy().astype(np.float16) for each in logits])

    array = load_or_compute(CACHE, identity, compute)
    return lambda step, x: torch.from_numpy(np.array(array[step], np.float32)).to(x.device)


def _match_classes(
    source: str, theirs: Sequence[str], count: int, classes: Sequence[str]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The output of each class, and sentences about it; raises DataError for a teacher of other classes."""
    if count != len(classes):
        raise DataError(
            f"this teacher is for {count} classes and the images are of {len(classes)}; use one for these classes.",
            at=source,
        )
    if not theirs:
        return tuple(range(count)), (
            "The teacher's classes have no names: its outputs are taken in the order of the images' classes.",
        )
    positions = class_positions(classes, theirs)
    if positions is None:
        missing = next((name for name in classes if class_positions([name], theirs) is None), classes[0])
        raise DataError(
            f"this teacher is for other classes ({', '.join(theirs[:3])}, ...), without {missing!r} of the images; use "
            "one for these classes.",
            at=source,
        )
    if positions == list(range(count)):
        return tuple(positions), ()
    return tuple(positions), ("The teacher has the classes in another order: its outputs are matched by name.",)


def _prepare_anew(x: Tensor, own: Preparation, other: Preparation) -> Tensor:
    """Images (B, 3, H, W) that were prepared in one way, prepared in another way."""
    mean, std, new_mean, new_std = (
        torch.tensor(each, device=x.device).view(1, -1, 1, 1) for each in (own.mean, own.std, other.mean, other.std)
    )
    pixels = x * std + mean  # from 0 to 1
    if own.channel_order != other.channel_order:
        pixels = pixels.flip(1)
    if pixels.shape[2:] != (other.image_size, other.image_size):
        pixels = F.interpolate(pixels, (other.image_size, other.image_size), mode="bilinear", antialias=True)
    return ((pixels - new_mean) / new_std).contiguous(memory_format=torch.channels_last)
