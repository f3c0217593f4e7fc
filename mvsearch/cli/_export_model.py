"""The network that a command exports or quantises, with its weights and the images that belong to it."""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mvsearch.cli._weights import given_weights, training_weights, validated_weights_of

if TYPE_CHECKING:
    from mvsearch.arch.architecture import Architecture
    from mvsearch.data import DataSettings
    from mvsearch.export.model import ExportModel
    from mvsearch.metrics.trial import Trial
    from mvsearch.training.image_samples import ImageSample


@dataclass(frozen=True)
class NamedModel:
    """What ARCH and `--weights` name, before anything is built.

    `weights` is None for random ones. `data` are the images: those that are `given` on the command line, those of a
    study, or the default ones.
    """

    architecture: "Architecture"
    trial: "Trial | None"
    weights: Path | None
    data: "DataSettings"
    given: bool

    @classmethod
    def find(
        cls,
        arch: str,
        *,
        weights: Path | None,
        data: str | None,
        path: Path | None,
        storage: str | None,
        has_weights: bool = True,
    ) -> Self:
        """The network and the weights of a trial, a training or a file; none for a format without weights."""
        from mvsearch.export.images import known_images, select_images
        from mvsearch.study.resolve import find_architecture, find_trial

        trial = find_trial(arch, storage=storage)
        architecture = trial.architecture if trial else find_architecture(arch, storage=storage)
        validated = validated_weights_of(arch, trial, weights, storage=storage) if has_weights else None
        if validated:
            weights = validated.path
            architecture = architecture.at(num_classes=validated.classes, image_size=validated.image_size)
        weights = given_weights(weights or (training_weights(arch, weights) if has_weights else None))
        known = validated.images if validated else known_images(trial, weights)
        return cls(architecture, trial, weights, select_images(data, path, known=known), bool(data or path))

    def load(
        self,
        *,
        normalise: str | None,
        channel_order: str | None,
        seed: int = 0,
        num_classes: int | None = None,
        image_size: int | None = None,
        features: bool = False,
        deploy: bool = True,
    ) -> "ExportModel":
        """The network with its weights, and how its images are prepared."""
        from mvsearch.data import state_preparation
        from mvsearch.export.model import ExportModel

        model = ExportModel.of(
            self.architecture,
            weights=self.weights,
            seed=seed,
            num_classes=num_classes,
            image_size=image_size,
            features=features,
            deploy=deploy,
        )
        preparation = state_preparation(
            model.preparation, image_size=model.arch.image_size, normalise=normalise, channel_order=channel_order
        )
        return replace(model, trial=self.trial, preparation=preparation)

    def check_int8(self, model: "ExportModel") -> None:
        """Raises PlanError where the images that int8 is calibrated on are not known."""
        from mvsearch.errors import PlanError

        if model.trained and model.preparation is None:
            reason = "int8: the preparation of images for these weights is unknown; use --normalise."
            raise PlanError(reason, at=self.weights)
        if model.trained and not (self.given or self.trial):
            raise PlanError(
                "int8 is calibrated on images, and those of the training are unknown; use --data with images like "
                "them.",
                at=self.weights,
            )

    def draw(
        self, model: "ExportModel", held_out: int, calibration: int, *, instead: str = ""
    ) -> "tuple[ImageSample, ImageSample | None]":
        """Test images, with labels that count the network's outputs, and training images to calibrate int8 on.

        `instead` is what would do without images, for the error where those that were not given cannot be read.
        """
        from mvsearch.data import name_other_images
        from mvsearch.errors import PlanError
        from mvsearch.export.images import draw_samples, has_other_classes, match_labels

        expected = model.expected
        with nullcontext() if self.given else name_other_images(instead):
            sample, training = draw_samples(
                self.data, expected.image_size, held_out, calibration, expected, self.architecture.task
            )
        if calibration and not self.given and has_other_classes(training, model):
            raise PlanError(
                f"int8 would be calibrated on {training.source}, and the weights are for other classes; use --data "
                "with images like those of the training.",
                at=self.weights,
            )
        return match_labels(sample, model), training if calibration else None
