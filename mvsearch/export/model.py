"""What is exported: an architecture, and a network of it with weights."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mvsearch.arch.architecture import Architecture
from mvsearch.data import Preparation
from mvsearch.errors import DataError, PlanError

if TYPE_CHECKING:
    from torch import nn

    from mvsearch.metrics.trial import Trial
    from mvsearch.nn.weights_io import Checkpoint
    from mvsearch.training.image_samples import ImageSample


UNKNOWN_PREPARATION = (
    "How images are prepared for these weights is unknown; RGB from 0 to 1 is assumed to compare the file with eager. "
    "Use --normalise, and --channel-order for BGR."
)


@dataclass(frozen=True)
class ExportModel:
    """What is exported.

    `arch` is without the parts that only training needs, except for a file of its rows. `model` is in eval mode and has
    its weights; `weights` says where they come from ("random, seed 0", or the file's name). With `features` the model
    returns a list of feature maps at strides 4 to 64 instead of logits.
    `output_names` are the names of the tensors that it returns.
    `preparation` is how images are prepared for the weights: None where that is unknown, or where nothing is `trained`;
    `head_trained` says whether the head's weights are from the file too.
    `sample` holds real images, prepared as the network expects them, for formats that describe or store one. `trial` is
    the trial of a study that the architecture comes from, with its metrics. `checkpoint` is what was read from a file.
    """

    arch: Architecture
    model: "nn.Module"
    weights: str
    features: bool = False
    output_names: tuple[str, ...] = ("logits",)
    sample: "ImageSample | None" = None
    trial: "Trial | None" = None
    checkpoint: "Checkpoint | None" = None
    preparation: Preparation | None = None
    trained: bool = False
    head_trained: bool = False

    @classmethod
    def of(
        cls,
        arch: Architecture,
        *,
        weights: Path | None = None,
        seed: int = 0,
        num_classes: int | None = None,
        image_size: int | None = None,
        features: bool = False,
        deploy: bool = True,
    ) -> Self:
        """The network of an architecture with the weights of a checkpoint, or with random ones.

        With `num_classes`, weights for other classes are accepted; those of the classifier are then random. With
        `features` there is no classifier. Without `deploy` the network keeps the parts that only training needs. Raises
        CheckpointError for weights that do not fit, EnvironmentFault for a file that cannot be read, PlanError for
        `num_classes` without a classifier, ArchitectureError for a network that has no map at any of the strides.
        """
        from mvsearch.nn import build
        from mvsearch.nn.weights_io import load_weights
        from mvsearch.training.preparation import preparation_of, random_part

        _check_classes(arch, num_classes, features=features)
        whole = arch.at(num_classes=num_classes, image_size=image_size)
        arch = whole.deploy() if deploy else whole
        model = build(arch, seed=seed).eval()
        if weights is None:
            return cls._wrap(arch, model, f"random, seed {seed}", features=features)
        part = "classifier" if arch.task == "classification" else "head"
        advice = f"use --num-classes {{0}}, or any other number for a {part} with random weights"
        any_classes = features or num_classes is not None
        loaded = load_weights(model, weights, whole, any_classes=any_classes, other_classes=advice)
        source, with_head = loaded.checkpoint.describe(weights.name), loaded.with_head and not features
        if not loaded.with_head and not features:
            source += f"; the {part} for {arch.num_classes} classes is random, seed {seed}"
        preparation, random = preparation_of(weights, loaded.checkpoint, whole), random_part(loaded.checkpoint)
        if preparation and not with_head:
            preparation = replace(preparation, classes=())
        if preparation and preparation.classes and len(preparation.classes) != arch.num_classes:
            raise DataError(
                f"its classifier is for {arch.num_classes} classes, but {preparation.source} names "
                f"{len(preparation.classes)}; correct that, or use the weights in a folder of their own.",
                at=weights,
            )
        wrapped = cls._wrap(arch, model, source, features=features)
        wrapped = replace(wrapped, checkpoint=loaded.checkpoint, preparation=preparation)
        return replace(wrapped, trained=random != "all", head_trained=with_head and not random)

    @classmethod
    def of_trained(cls, arch: Architecture, model: "nn.Module", preparation: Preparation) -> Self:
        """The network that was just trained, without the parts that only training needs."""
        from mvsearch.nn import build
        from mvsearch.nn.checkpoints import merge_for

        deployed = arch.deploy()
        own = build(deployed, seed=0).eval()
        own.load_state_dict(dict(merge_for(own, model.state_dict())[0]))
        wrapped = cls._wrap(deployed, own, "just trained", features=False)
        return replace(wrapped, preparation=preparation, trained=True, head_trained=True)

    @classmethod
    def _wrap(cls, arch: Architecture, model: "nn.Sequential", weights: str, *, features: bool) -> Self:
        from mvsearch.nn.features import Backbone, taps

        if features:
            return cls(arch, Backbone.of(model, arch), weights, features, tuple(tap.name for tap in taps(arch)))
        return cls(arch, model, weights, output_names=arch.head.outputs)

    @property
    def expected(self) -> Preparation:
        """How images are prepared for the exported file; pixels from 0 to 1 are assumed where that is unknown."""
        preparation = self.preparation or Preparation((0.0,), (1.0,), self.arch.image_size, source="an assumption")
        return replace(preparation, image_size=self.arch.image_size)

    @property
    def stored_preparation(self) -> Preparation | None:
        """What is written into the exported file; None where nothing is known."""
        return self.expected if self.preparation else None

    @property
    def random(self) -> str:
        """Which of the weights were never trained: "all", "head" or none."""
        return "all" if not self.trained else "" if self.head_trained or self.features else "head"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user of the file has to know about its images, in sentences."""
        preparation, size = self.preparation, self.arch.image_size
        if preparation is None:
            return (UNKNOWN_PREPARATION,) if self.trained else ()
        notes = []
        if preparation.channel_order == "bgr":
            notes.append("The network expects BGR: reverse the channels of an RGB image.")
        if preparation.image_size != size:
            notes.append(f"The weights are for images of {preparation.image_size} px; this file is for {size} px.")
        return tuple(notes)

    @property
    def class_axis(self) -> int | None:
        """The axis that holds the classes of an image or of its pixels.

        None where the network does not return these alone: of most boxes the class is the background, whatever the
        image, so that it says little about a file.
        """
        return self.arch.head.class_axis if self.arch.head.classifies and not self.returns_several else None

    @property
    def returns_several(self) -> bool:
        """Whether the model returns a sequence of tensors rather than one tensor."""
        return self.features or len(self.output_names) > 1

    def facts(self) -> dict[str, Any]:
        """What a report says about the network: name, weights, and its classes, or its maps with their channels."""
        from mvsearch.nn.features import taps

        arch = self.arch
        facts = {"name": arch.name, "key": arch.key, "weights": self.weights, "image_size": arch.image_size}
        if self.trained or self.preparation:
            facts["preparation"] = self.stored_preparation and self.stored_preparation.to_json()
        if self.trial is not None:
            record = self.trial.record
            facts["trial"] = {"study": self.trial.study, "number": record.number, "metrics": record.metrics}
        if self.checkpoint is not None:
            facts |= self.checkpoint.facts()
        if self.features:
            return facts | {"features": [asdict(tap) for tap in taps(arch)]}
        if arch.task != "classification":
            facts["task"] = arch.task
        return facts | ({"num_classes": arch.num_classes} if arch.head.classifies else {})


def _check_classes(arch: Architecture, num_classes: int | None, *, features: bool) -> None:
    if num_classes is not None and (features or not arch.head.classifies):
        part = "feature maps have" if features else "this architecture's head has"
        raise PlanError(f"{part} no classifier; remove the option.", at=f"num_classes={num_classes}")
