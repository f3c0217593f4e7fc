"""What is exported: an architecture, and a network of it with weights."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import PlanError

if TYPE_CHECKING:
    from torch import nn

    from mvsearch.metrics.trial import Trial
    from mvsearch.nn.weights_io import Checkpoint
    from mvsearch.training.image_samples import ImageSample


@dataclass(frozen=True)
class ExportModel:
    """What is exported.

    `arch` is without the parts that only training needs. `model` is in eval mode and has its weights; `weights` says
    where they come from ("fresh, seed 0", or the file's name). With `features` the model returns a list of feature maps
    at strides 4, 8, 16, 32 instead of logits.
    `output_names` are the names of the tensors that it returns.
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
    ) -> Self:
        """The network of an architecture with the weights of a checkpoint, or with fresh ones.

        With `num_classes`, weights for other classes are accepted; the classifier is then fresh. With `features` there
        is no classifier. Raises CheckpointError for weights that do not fit, EnvironmentFault for a file that cannot be
        read, PlanError for `num_classes` without a classifier, ArchitectureError for a network that has no map at any
        of the strides.
        """
        from mvsearch.nn import build
        from mvsearch.nn.features import Backbone, taps
        from mvsearch.nn.weights_io import load_weights

        if num_classes is not None and (features or not arch.head.classifies):
            part = "feature maps have" if features else "this architecture's head has"
            raise PlanError(f"{part} no classifier; remove the option.", at=f"num_classes={num_classes}")
        arch = arch.deploy().at(num_classes=num_classes, image_size=image_size)
        model = build(arch, seed=seed).eval()
        source, checkpoint = f"fresh, seed {seed}", None
        if weights is not None:
            part = "classifier" if arch.task == "classification" else "head"
            advice = f"use --num-classes {{0}}, or any other number for a fresh {part}"
            any_classes = features or num_classes is not None
            loaded = load_weights(model, weights, any_classes=any_classes, other_classes=advice)
            checkpoint = loaded.checkpoint
            origin = "" if checkpoint.plain else f" ({checkpoint.origin})"
            fresh = f"; the {part} for {arch.num_classes} classes is {source}"
            source = weights.name + origin + fresh * (not loaded.with_head and not features)
        if features:
            names = tuple(tap.name for tap in taps(arch))
            return cls(arch, Backbone.of(model, arch), source, features, names, checkpoint=checkpoint)
        return cls(arch, model, source, output_names=arch.head.outputs, checkpoint=checkpoint)

    @property
    def class_axis(self) -> int | None:
        """The axis of the first output that holds the classes, or None."""
        return None if self.features else self.arch.head.class_axis

    @property
    def returns_several(self) -> bool:
        """Whether the model returns a sequence of tensors rather than one tensor."""
        return self.features or len(self.output_names) > 1

    def facts(self) -> dict[str, Any]:
        """What a report says about the network: name, weights, and its classes, or its maps with their channels."""
        from mvsearch.nn.features import taps

        arch = self.arch
        facts = {"name": arch.name, "key": arch.key, "weights": self.weights, "image_size": arch.image_size}
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
