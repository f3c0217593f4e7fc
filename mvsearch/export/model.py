"""What is exported: an architecture, and the model that goes by it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import PlanError

if TYPE_CHECKING:
    from torch import nn

    from mvsearch.metrics.trial import Trial
    from mvsearch.training.sample import Sample


@dataclass(frozen=True)
class ExportModel:
    """What is exported.

    `arch` is without what only training needs. `model` is in eval mode with its weights in; `weights` says in words
    where they come from ("fresh, seed 0", or the file's name). With `features` the model returns a list of feature maps
    at strides 4, 8, 16, 32 instead of logits.
    `sample` holds real images, prepared as the network wants them, for formats that say how or keep one. `trial` is
    the candidate of a study that the architecture was, with what the search measured of it.
    """

    arch: Architecture
    model: "nn.Module"
    weights: str
    features: bool = False
    sample: "Sample | None" = None
    trial: "Trial | None" = None

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
        """The network of an architecture, for other classes or images if asked, with a checkpoint's weights or fresh.

        With `num_classes`, weights for other classes are taken too, all but the classifier, which is fresh then; and
        with `features` there is none. Raises CheckpointError for weights that do not fit, EnvironmentFault for a file
        that cannot be read, PlanError for `num_classes` without a classifier, ArchitectureError for a network without
        a map at any of the strides.
        """
        from mvsearch.nn import build
        from mvsearch.nn.features import Features
        from mvsearch.nn.weights_io import load_weights

        if num_classes is not None and (features or not arch.head.classifies):
            what = "feature maps have" if features else "this architecture's head has"
            raise PlanError(f"num_classes={num_classes}: {what} no classifier; leave the classes out.")
        arch = arch.deploy().at(num_classes=num_classes, image_size=image_size)
        model = build(arch, seed=seed).eval()
        words = f"fresh, seed {seed}"
        if weights is not None:
            whole = load_weights(model, weights, any_classes=features or num_classes is not None)
            part = "classifier" if arch.task == "classification" else "head"
            fresh = "" if whole or features else f"; the {part} for {arch.num_classes} classes is {words}"
            words = weights.name + fresh
        return cls(arch, Features.of(model, arch) if features else model, words, features)

    @property
    def classes_along(self) -> int | None:
        """The axis of the first output along which classes are told apart, or None."""
        return None if self.features else -1 if self.arch.task == "detection" else 1

    def facts(self) -> dict[str, Any]:
        """What a file of this is of: the network, its weights, and its classes or its maps with their channels."""
        from mvsearch.nn.features import taps

        arch = self.arch
        facts = {"name": arch.name, "key": arch.key, "weights": self.weights, "image_size": arch.image_size}
        if self.trial is not None:
            record = self.trial.record
            facts["trial"] = {"study": self.trial.study, "number": record.number, "metrics": record.metrics}
        if self.features:
            return facts | {"features": [asdict(tap) for tap in taps(arch)]}
        if arch.task != "classification":
            facts["task"] = arch.task
        return facts | ({"num_classes": arch.num_classes} if arch.head.classifies else {})
