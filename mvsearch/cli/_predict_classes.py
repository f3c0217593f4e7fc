"""`mvsearch predict` of a classifier: names and probabilities; with labels confusions and the worst mistakes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from mvsearch.cli._output import console, print_data_notes, print_json, print_weights_notes, table
from mvsearch.data import (
    DataSet,
    DataSettings,
    Preparation,
    class_positions,
    decode_image,
    decoded_size,
    find_encoded,
    in_shards,
    load,
    state_preparation,
)
from mvsearch.errors import DataError, PlanError
from mvsearch.metrics.classified import Classified
from mvsearch.metrics.formatting import pretty
from mvsearch.utils.text import printable

if TYPE_CHECKING:
    from mvsearch.arch.architecture import Architecture
    from mvsearch.export.model import ExportModel
    from mvsearch.metrics.trial import Trial

_BATCH = 64
_WHOLE_MATRIX = 12
"""Of more classes only the most frequent confusions are printed."""

_LISTED = 40


@dataclass(frozen=True)
class Pictures:
    """Images (N, H, W, 1 or 3), uint8, to classify: their names, and their labels and classes where they have any."""

    source: str
    pixels: np.ndarray
    names: tuple[str, ...]
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()


def load_model(
    arch: "Architecture",
    weights: Path,
    *,
    image_size: int | None,
    normalise: str | None,
    channel_order: str | None,
) -> "tuple[ExportModel, Preparation]":
    """The network with its weights, and how they expect their images.

    Raises PlanError if that is unknown, CheckpointError for weights that were never trained.
    """
    from mvsearch.export.model import ExportModel
    from mvsearch.training.preparation import check_trained

    model = ExportModel.of(arch, weights=weights, image_size=image_size)
    assert model.checkpoint is not None
    check_trained(weights, model.checkpoint)
    preparation = state_preparation(
        model.preparation, image_size=model.arch.image_size, normalise=normalise, channel_order=channel_order
    )
    if preparation is None:
        raise PlanError("how images are prepared for these weights is unknown; use --normalise.", at=weights)
    return replace(model, preparation=preparation), preparation


@dataclass(frozen=True)
class PictureSource:
    """Where the images are: a data set with labels, or files without."""

    name: str
    settings: DataSettings | None = None
    files: tuple[Path, ...] = ()

    def load(self, preparation: Preparation) -> Pictures:
        """The images as they are resized before their centre is cut out; those of a data set are squares already."""
        if self.settings is None:
            return read_pictures(self.files, self.name, preparation)
        if preparation.fit == "stretch":
            click.echo(f"{self.name}: cut to squares, while the weights expect both sides to be resized.", err=True)
        return load_pictures(self.settings, preparation.resized_side)


def select_pictures(
    name: str | None, path: Path | None, validated: DataSettings | None, trial: "Trial | None", weights: Path | None
) -> PictureSource:
    """The images of `--data`, else those of the validation or the study; PlanError if neither is known."""
    from mvsearch.export.images import known_images, select_images

    if not path and (files := unlabelled_files(name)):
        return PictureSource(str(name), files=tuple(files))
    if name is None and validated is None and trial is None:
        raise PlanError("predict does not know which images to classify; name a source or a folder.", at="--data")
    settings = select_images(name, path, known=validated or known_images(trial, weights))
    return PictureSource(settings.source, settings)


def load_pictures(settings: DataSettings, size: int) -> Pictures:
    """The test part of a source or of a folder of classes, at `size` pixels or more."""
    path = Path(settings.path) if settings.path else None
    own = decoded_size(settings, size if path else 0)
    part, seed = settings.test_fraction, settings.seed
    data = load(settings.source, path=path, size=own, test_fraction=part, seed=seed, task="classification")
    print_data_notes(data)
    test = data.test
    names = _file_names(settings, data) or tuple(f"test image {i}" for i in range(len(test.labels)))
    return Pictures(
        f"{printable(path) if path and settings.source == 'folder' else data.name}, test part",
        test.pixels,
        names,
        test.labels,
        test.classes,
    )


def _file_names(settings: DataSettings, data: DataSet) -> tuple[str, ...]:
    """The files of the test part of a folder; none where some are broken, so that they cannot be told apart."""
    if settings.source != "folder" or settings.path is None:
        return ()
    files = find_encoded(Path(settings.path), test_fraction=settings.test_fraction, seed=settings.seed).test
    same = np.array_equal(files.labels, data.test.labels)
    return tuple(files.name(i) for i in range(len(files))) if same else ()


def unlabelled_files(name: str | None) -> list[Path]:
    """The image itself, or the images of a folder without folders; none for another name, and for shards."""
    path = Path(name or "")
    if not name or not path.is_dir() or in_shards(path):
        return [path] if name and path.is_file() else []
    entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    return entries if entries and all(entry.is_file() for entry in entries) else []


def read_pictures(files: Sequence[Path], name: str, preparation: Preparation) -> Pictures:
    """Images without labels; what cannot be read is counted. Raises DataError if there are none."""
    pixels, names, faults = [], [], []
    for file in files:
        image, fault = decode_image(
            file, preparation.resized_side, fit=preparation.fit, interpolation=preparation.interpolation
        )
        if image is None:
            faults.append(f"{file.name}: {fault}")
        else:
            pixels.append(image)
            names.append(file.name)
    if not pixels:
        raise DataError(f"contains no image that can be read ({faults[0]}).", at=name)
    if faults:
        click.echo(f"{name}: skipped {len(faults):,} that cannot be read ({faults[0]}).", err=True)
    return Pictures(name, np.stack(pixels), tuple(names))


def classify(model: "ExportModel", preparation: Preparation, pictures: Pictures) -> np.ndarray:
    """(N, C) The probabilities of each image."""
    import torch

    from mvsearch.training.image_samples import prepare_pixels
    from mvsearch.utils import machine_lock

    size = model.arch.image_size
    with torch.inference_mode(), machine_lock.shared():
        batches = (pictures.pixels[i : i + _BATCH] for i in range(0, len(pictures.pixels), _BATCH))
        logits = [model.model(prepare_pixels(batch, preparation, size)) for batch in batches]
        return torch.cat(logits).softmax(dim=1).numpy()


def match(pictures: Pictures, probabilities: np.ndarray, preparation: Preparation) -> tuple[Classified, str]:
    """The predictions with names of classes, and labels that count into these; a note on what was assumed."""
    outputs, own = probabilities.shape[1], preparation.classes
    labels, note = pictures.labels, ""
    if own:
        positions = class_positions(pictures.classes, own) if labels is not None else None
        if labels is not None and positions is None:
            note = "the images have other classes than the weights, so nothing is compared with their labels."
        labels = None if positions is None or labels is None else np.asarray(positions, dtype=np.int64)[labels]
    elif labels is not None and len(pictures.classes) == outputs:
        own, note = (
            pictures.classes,
            "the weights do not name their classes; those of the images are assumed, in order.",
        )
    else:
        own, labels = tuple(f"class {i}" for i in range(outputs)), None
        note = "the weights do not name their classes; these are numbers of the outputs."
    return Classified(tuple(own), probabilities, pictures.names, labels), note


def predict_classes(
    name: str,
    arch: "Architecture",
    weights: Path | None,
    source: PictureSource,
    *,
    image_size: int | None,
    normalise: str | None,
    channel_order: str | None,
    images: int,
    output: Path,
    as_json: bool,
) -> None:
    """Classify images, print the result, and draw the worst mistakes, or without labels the images themselves."""
    if weights is None:
        raise PlanError(f"{name}: a classifier needs weights; use --weights, or the folder of a training as ARCH.")
    if not arch.head.classifies:
        raise PlanError(f"{name}: returns features and no classes; use a network whose head has `linear: true`.")
    model, preparation = load_model(
        arch, weights, image_size=image_size, normalise=normalise, channel_order=channel_order
    )
    pictures = source.load(replace(preparation, image_size=model.arch.image_size))
    result, note = match(pictures, classify(model, preparation, pictures), preparation)
    shown = _draw(name, pictures, result, images, output)
    if as_json:
        print_json(_to_json(model, weights, pictures, result, note, output, preparation))
        return
    assert model.checkpoint is not None
    console().print(f"weights: {model.checkpoint.describe(weights.name)}")
    print_weights_notes(model.checkpoint.facts())
    console().print(f"images: {preparation.describe()}; known from {preparation.source}")
    if note:
        console().print(note, style="yellow")
    _print(pictures, result)
    click.echo(f"{shown}; figure in {output}.")


def _draw(name: str, pictures: Pictures, result: Classified, count: int, output: Path) -> str:
    """Write the figure; returns what it shows."""
    from mvsearch.report.figures.classified import ClassifiedFigure, plot_classified

    if result.labels is None:
        order = list(range(len(result.names)))[:count]
        shown = f"{len(order)} of {len(result.names):,} images"
    elif order := result.mistakes()[:count]:
        shown = f"the {len(order)} most confident mistakes"
    else:
        order = [int(i) for i in np.argsort(result.confidence, kind="stable")[:count]]
        shown = f"no mistakes; the {len(order)} least confident predictions"
    lines = []
    for i in order:
        label = () if result.labels is None else (f"is {result.classes[result.labels[i]]}",)
        lines.append((f"{100 * result.confidence[i]:.0f} % {result.classes[result.predicted[i]]}", *label))
    pixels = [np.broadcast_to(image, (*image.shape[:2], 3)) for image in (pictures.pixels[i] for i in order)]
    title = f"{Path(name).name} on {pictures.source}"
    plot_classified(ClassifiedFigure(title, f"{shown}: {_score(result)}", pixels, lines), output)
    return shown


def _score(result: Classified) -> str:
    if result.labels is None:
        return f"predicted class and its probability, {len(result.names):,} images"
    return f"top-1 {_percent(_top1(result))} of {len(result.names):,} test images"


def _percent(share: float) -> str:
    return pretty("top1", float(share))


def _top1(result: Classified) -> float:
    return float((result.predicted == result.labels).mean())


def _print(pictures: Pictures, result: Classified) -> None:
    screen = console()
    if result.labels is None:
        rows = table("image", "predicted", "probability", "second", "probability", numbers_from=5)
        rows.columns[2].justify = rows.columns[4].justify = "right"
        for i, name in enumerate(result.names[:_LISTED]):
            (first, p), *rest = result.best(i, 2)
            second, q = rest[0] if rest else ("-", 0.0)
            rows.add_row(name, first, f"{_percent(p)}", second, f"{_percent(q)}")
        screen.print(rows)
        if (more := len(result.names) - _LISTED) > 0:
            screen.print(f"and {more:,} more; --json lists all of them.")
        return
    screen.print(f"top-1 (test) {_percent(_top1(result))} on {len(result.names):,} images of {pictures.source}")
    counts = result.confusion()
    if len(result.classes) <= _WHOLE_MATRIX:
        rows = table("is \\ predicted", *result.classes, "right")
        for name, row, right in zip(result.classes, counts, counts.diagonal(), strict=True):
            rows.add_row(
                name, *(f"{n:,}" if n else "-" for n in row), f"{_percent(right / row.sum())}" if row.sum() else "-"
            )
    else:
        rows = table("is", "predicted", "images", "of the class", numbers_from=2)
        for i, j in _most_confused(counts):
            rows.add_row(
                result.classes[i], result.classes[j], f"{counts[i, j]:,}", f"{_percent(counts[i, j] / counts[i].sum())}"
            )
    screen.print(rows)
    worst = table("most confident mistakes", "is", "predicted", "probability", numbers_from=3)
    for i in result.mistakes()[:5]:
        label, predicted = result.classes[result.labels[i]], result.classes[result.predicted[i]]
        worst.add_row(result.names[i], label, predicted, f"{_percent(result.confidence[i])}")
    if worst.row_count:
        screen.print(worst)


def _most_confused(counts: np.ndarray) -> Iterator[tuple[int, int]]:
    wrong = counts * (1 - np.eye(len(counts), dtype=np.int64))
    for place in np.argsort(-wrong, axis=None, kind="stable")[:10]:
        i, j = divmod(int(place), len(counts))
        if wrong[i, j]:
            yield i, j


def _to_json(
    model: "ExportModel",
    weights: Path,
    pictures: Pictures,
    result: Classified,
    note: str,
    output: Path,
    preparation: Preparation,
) -> dict[str, Any]:
    labels = result.labels
    predictions = [
        {
            "image": name,
            "label": None if labels is None else result.classes[labels[i]],
            "predicted": [{"class": kind, "probability": p} for kind, p in result.best(i)],
        }
        for i, name in enumerate(result.names)
    ]
    compared = {} if labels is None else {"top1": _top1(result), "confusion": result.confusion().tolist()}
    return {
        "architecture": model.arch.key,
        "data": pictures.source,
        "file": str(output),
        **compared,
        "note": note or None,
        "classes": result.classes,
        "predictions": predictions,
        "weights": str(weights),
        **(model.checkpoint.facts() if model.checkpoint else {}),
        "preparation": preparation.to_json(),
    }
