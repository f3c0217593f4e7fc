"""`mvsearch predict` of a segmentation or detection network: masks or boxes beside the ground truth, and the score."""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mvsearch.cli._output import console, print_data_notes, print_json, print_weights_notes
from mvsearch.data import DataSet, Preparation, class_positions, decoded_size, default_source, load, state_preparation
from mvsearch.errors import PlanError
from mvsearch.metrics.registry import TEST
from mvsearch.report.figures.predictions import PredictionsFigure, plot_predictions
from mvsearch.training.tasks import Task, load_task

if TYPE_CHECKING:
    from torch import nn

    from mvsearch.arch.architecture import Architecture
    from mvsearch.metrics.trial import Trial
    from mvsearch.nn.weights_io import Checkpoint
    from mvsearch.proxies.train import Settings
    from mvsearch.training.in_memory import InMemorySet


def predict_scenes(
    name: str,
    arch: "Architecture",
    weights: Path | None,
    trial: "Trial | None",
    source: tuple[str | None, Path | None],
    *,
    training: Mapping[str, Any],
    image_size: int | None,
    normalise: str | None,
    channel_order: str | None,
    images: int,
    output: Path,
    as_json: bool,
) -> None:
    """Draw the predictions for some test images, and print the score on all.

    The options in `source` and `training` override the settings of the study that the network is a `trial` of.
    """
    stated = {"normalise": normalise, "channel_order": channel_order}
    preparation = _preparation(arch, weights, image_size, **stated) if weights else None
    side = image_size or (preparation.image_size if preparation else None)
    settings = _settings(arch.task, trial.settings.get("proxy", {}) if trial else {}, {**training, "image_size": side})
    data = _load_images(arch.task, trial, weights, *source, settings.image_size, least=side or 0)
    print_data_notes(data)
    if preparation and preparation.classes:
        data = _match_classes(data, preparation, weights)
    task = load_task(arch.task)
    scenes = _scenes(task, data, settings, preparation)
    model, checkpoint = _model(arch, scenes, settings, weights)
    if weights and preparation is None:  # after what is wrong with the weights themselves
        raise PlanError("how images are prepared for these weights is unknown; use --normalise.", at=weights)
    scenes = scenes.with_held_out(data.test)
    scores = scenes.evaluate(model).scores
    summary = _summarise(scores, task.metric, len(scenes.held_labels), None if weights else settings)
    title = f"{arch.name or name} on {data.name}"
    plot_predictions(_figure(title, summary, task, model, scenes, data.train.classes, images, settings.seed), output)
    if as_json:
        result = {"architecture": arch.key, "data": data.name, "file": str(output), "part": TEST, **scores}
        result |= {"weights": str(weights) if weights else None, **(checkpoint.facts() if checkpoint else {})}
        print_json(result | {"preparation": preparation.to_json() if preparation else None})
        return
    if weights and checkpoint:
        console().print(f"weights: {checkpoint.describe(weights.name)}")
        print_weights_notes(checkpoint.facts())
    if preparation:
        console().print(f"images: {preparation.describe()}; known from {preparation.source}")
    console().print(f"{summary}; figure in {output}.")


def _preparation(
    arch: "Architecture", weights: Path, image_size: int | None, *, normalise: str | None, channel_order: str | None
) -> Preparation | None:
    """How the weights expect their images, as far as it is known or stated; CheckpointError for random weights."""
    from mvsearch.nn.weights_io import read_checkpoint
    from mvsearch.training.preparation import check_trained, preparation_of

    checkpoint = read_checkpoint(weights)
    check_trained(weights, checkpoint)
    known = preparation_of(weights, checkpoint, arch)
    size = image_size or arch.image_size
    return state_preparation(known, image_size=size, normalise=normalise, channel_order=channel_order)


def _scenes(task: Task, data: DataSet, settings: "Settings", preparation: Preparation | None) -> "InMemorySet":
    """The training images, normalised as the weights expect them."""
    from mvsearch.training.in_memory import InMemorySet

    scenes = InMemorySet.of(task, data, settings.training())
    return scenes.prepared(preparation) if preparation else scenes


def _figure(
    title: str,
    subtitle: str,
    task: Task,
    model: "nn.Module",
    scenes: "InMemorySet",
    classes: tuple[str, ...],
    images: int,
    seed: int,
) -> PredictionsFigure:
    """The predictions for some of the held-out images, drawn by the seed."""
    import torch

    indices = sorted(np.random.default_rng(seed).permutation(len(scenes.held_labels))[:images].tolist())
    pixels = scenes.held_pixels[indices]
    with torch.no_grad():
        predictions = task.predictions(model.eval()(scenes.normalise(pixels)))
    return PredictionsFigure(
        title=title,
        subtitle=subtitle,
        classes=classes,
        images=list(pixels.permute(0, 2, 3, 1).expand(-1, -1, -1, 3).numpy()),
        labels=task.truth(scenes.held_labels[indices]),
        predictions=predictions,
    )


def _settings(task: str, own: Mapping[str, Any], overrides: Mapping[str, Any]) -> "Settings":
    """The study's settings of the proxy `train`, or the task's defaults, with the options of the command."""
    from mvsearch.proxies.train import TASK_DEFAULTS, Settings

    values = own if own.get("name") == "train" else TASK_DEFAULTS.get(task, {})
    values = {**values, **{name: value for name, value in overrides.items() if value is not None}}
    return Settings(**{field.name: values[field.name] for field in fields(Settings) if field.name in values})


def _load_images(
    task: str,
    trial: "Trial | None",
    weights: Path | None,
    source: str | None,
    path: Path | None,
    size: int | None,
    *,
    least: int,
) -> DataSet:
    """The images of a source, else those of the study (files at `least` pixels or more), else the task's defaults."""
    from mvsearch.export.images import known_images, select_images

    own = trial is not None and source is None and bool(trial.settings.get("data"))
    images = select_images(None if own else source or default_source(task), path, known=known_images(trial, weights))
    if own:
        size = decoded_size(images, least if images.path else 0)
    return load(
        images.source,
        path=Path(images.path) if images.path else None,
        size=size if own or images.source != "satellite" else None,
        test_fraction=images.test_fraction,
        seed=images.seed,
        task=task,
    )


def _match_classes(data: DataSet, preparation: Preparation, weights: Path | None) -> DataSet:
    """The images with labels that count the network's outputs, matched by name."""
    positions = class_positions(data.train.classes, preparation.classes)
    if positions is None:
        images, own = (", ".join(names) for names in (data.train.classes, preparation.classes))
        raise PlanError(f"is for the classes {own}, not {images}; use images of its classes.", at=weights)
    train, test = (part.relabel(positions, preparation.classes) for part in (data.train, data.test))
    return replace(data, train=train, test=test)


def _model(
    arch: "Architecture", images: "InMemorySet", settings: "Settings", weights: Path | None
) -> tuple["nn.Module", "Checkpoint | None"]:
    """The network, with the weights of a checkpoint, which is returned too, or trained."""
    from mvsearch.cli._progress import progress_bar
    from mvsearch.nn import build
    from mvsearch.nn.weights_io import load_weights
    from mvsearch.training.in_memory import train_in_memory
    from mvsearch.utils import machine_lock

    arch = arch.at(image_size=settings.image_size, num_classes=images.classes)
    if weights is not None:
        model = build(arch.deploy(), seed=settings.seed).eval()
        advice = "use weights that were trained on the classes of these images"
        return model, load_weights(model, weights, arch, other_classes=advice).checkpoint
    model = build(arch, seed=settings.seed)
    with progress_bar() as bar, machine_lock.shared():
        row = bar.add_task("training", total=settings.steps)

        def progress(done: float, _total: float | None, _step: str = "") -> None:
            bar.update(row, completed=done)

        average, _ = train_in_memory(model, images, progress=progress)
    return average, None


def _summarise(scores: dict[str, float], score: str, images: int, recipe: Any) -> str:
    from mvsearch.metrics.formatting import pretty
    from mvsearch.metrics.registry import metric

    trained = f", after {recipe.steps} steps of {recipe.batch} images at {recipe.image_size} px" if recipe else ""
    return f"{metric(score).label_on(TEST)} {pretty(score, scores[score])} on {images} test images{trained}"
