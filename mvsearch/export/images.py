"""The images that an exported file is verified on."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mvsearch.data import (
    DataSettings,
    Preparation,
    class_positions,
    decoded_size,
    describe_parts,
    find_source,
    load,
    tasks,
)
from mvsearch.errors import DataError
from mvsearch.export.model import ExportModel
from mvsearch.metrics.trial import Trial
from mvsearch.training.image_samples import ImageSample, sample_images
from mvsearch.training.trained_network import split_of

PIXELS = Preparation((0.0,), (1.0,), 32, source="pixels from 0 to 1")


def select_images(name: str | None, path: Path | None = None, *, known: DataSettings | None = None) -> DataSettings:
    """The data source or folder of a name, else the images that are `known`, or else fashion_mnist.

    Images without a test part of their own are split as those that are known, so that none that a network was trained
    or selected on is tested on. `path` is the folder of a source.
    """
    if name is None:
        images = known or DataSettings()
    else:
        images = find_source(name)
        if path and images.source == "folder":
            raise DataError("is a folder of images already; remove --path.", at=f"--data {name}")
        images = replace(images, test_fraction=known.test_fraction, seed=known.seed) if known else images
    return replace(images, path=str(path)) if path else images


def known_images(trial: Trial | None, weights: Path | None) -> DataSettings | None:
    """The images of a trial's study, split as by the training of the weights; None if neither is known."""
    images = DataSettings(**trial.settings.get("data", {})) if trial else None
    split = split_of(weights) if weights else {}
    return replace(images or DataSettings(), **split) if split else images


def draw_samples(
    settings: DataSettings,
    size: int,
    held_out: int,
    training: int,
    preparation: Preparation = PIXELS,
    task: str = "classification",
) -> tuple[ImageSample, ImageSample]:
    """As many images of the test part and of the training part as asked for, at `size` pixels, prepared for a network.

    Those in files are decoded at the size that the preparation resizes them to, or more. They are those for the `task`
    of the network, if the source has any. The notes of the first say what was left out of the images and what was
    assumed.
    """
    path = Path(settings.path) if settings.path else None
    decoded = decoded_size(settings, round(size / preparation.crop) if path else 0)
    part, seed = settings.test_fraction, settings.seed
    own = task if task in tasks(settings.source) else None
    data = load(settings.source, path=path, size=decoded, test_fraction=part, seed=seed, task=own)
    sample, others = sample_images(data, size, held_out=held_out, training=training, preparation=preparation)
    return replace(sample, notes=describe_parts(data.name, data.skipped, data.assumptions)), others


def match_labels(sample: ImageSample, export_model: ExportModel) -> ImageSample:
    """The sample with labels that count the network's outputs, matched by the names of the classes.

    Without classes, so that no accuracy is computed, where it would say nothing about the weights. `notes` explain also
    what was assumed, or why there is no accuracy.
    """
    preparation, outputs = export_model.preparation, export_model.facts().get("num_classes")
    unlabelled, notes = replace(sample, classes=()), sample.notes
    if export_model.arch.task != "classification" or outputs is None or not export_model.head_trained:
        return unlabelled
    if preparation is None:
        return replace(unlabelled, notes=(*notes, "Without a known preparation of images there is no top-1."))
    if preparation.fit == "stretch":
        notes += ("Images are cut to squares, while the weights expect both sides to be resized.",)
    if not preparation.classes:
        if len(sample.classes) != outputs:
            return unlabelled
        first = ", ".join(sample.classes[:2])
        note = f"The weights do not name their classes; top-1 assumes the order of the images: {first}, ..."
        return replace(sample, notes=(*notes, note))
    positions = class_positions(sample.classes, preparation.classes)
    if positions is None:
        note = "The images have other classes than the weights, so there is no top-1"
        names = _compare_names(sample.classes, preparation.classes)
        return replace(unlabelled, notes=(*notes, f"{note}: {names}."))
    labels = np.asarray(positions, dtype=np.int64)[sample.labels]
    return replace(sample, labels=labels, classes=preparation.classes, notes=notes)


def has_other_classes(sample: ImageSample, export_model: ExportModel) -> bool:
    """Whether the weights name their classes and those of the images are others."""
    outputs = export_model.preparation.classes if export_model.preparation else ()
    return bool(outputs) and class_positions(sample.classes, outputs) is None


def _compare_names(images: Sequence[str], weights: Sequence[str]) -> str:
    theirs = ", ".join([name for name in images if name not in weights][:3] or images[:3])
    ours = ", ".join([name for name in weights if name not in images][:3] or weights[:3])
    return f"the images {theirs}; the weights {ours}"
