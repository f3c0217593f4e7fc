"""`mvsearch predict ARCH`: draw the predictions of a segmentation or detection network beside the ground truth."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._completion import complete_architecture, complete_data
from mvsearch.cli._help import Command
from mvsearch.cli._output import (
    Amount,
    console,
    json_option,
    path_option,
    preparation_options,
    print_data_notes,
    print_json,
    print_weights_notes,
    storage_option,
)
from mvsearch.cli._weights import given_weights, training_weights, validated_weights_of

if TYPE_CHECKING:
    from torch import nn

    from mvsearch.arch.architecture import Architecture
    from mvsearch.data import DataSet, Preparation
    from mvsearch.nn.weights_io import Checkpoint
    from mvsearch.proxies.train import Settings
    from mvsearch.training.in_memory import InMemorySet


@click.command(
    cls=Command,
    context_settings={"allow_extra_args": True},  # which are refused with what would do
    examples=[
        "mvsearch predict trained --data /my/images",
        "mvsearch predict v3:17+deeplabv3 --steps 300 -o masks.png",
    ],
)
@click.argument("arch", shell_complete=complete_architecture)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="Checkpoint; default: the validated weights of a trial, unless --steps, --batch or --lr is given; random: "
    "train the network first.",
)
@click.option(
    "--data", shell_complete=complete_data, help="Source of the images; default: that of the study, or cutouts."
)
@path_option
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help="Training steps; default: those of the study, or the default of the task.",
)
@click.option("--batch", type=click.IntRange(min=2), help="Batch size; default as for --steps.")
@click.option("--image-size", type=click.IntRange(min=32), help="Side of the images in pixels; default as for --steps.")
@click.option("--lr", type=Amount(), help="Peak learning rate; default as for --steps.")
@preparation_options
@click.option("--images", type=click.IntRange(min=1), default=12, show_default=True, help="Number of images to draw.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Seed of the training and of the images drawn.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    default=Path("predicted.png"),
    show_default=True,
    help="File to write.",
)
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@storage_option
@json_option
def predict(
    arch: str,
    weights: Path | None,
    data: str | None,
    path: Path | None,
    steps: int | None,
    batch: int | None,
    image_size: int | None,
    lr: float | None,
    normalise: str | None,
    channel_order: str | None,
    images: int,
    seed: int,
    output: Path,
    force: bool,
    storage: str | None,
    as_json: bool,
) -> None:
    """Predict classes, masks or boxes, and draw them.

    ARCH is a published name, a YAML file, STUDY:NUMBER or the folder of a training, with +HEAD for another head:
    deeplabv3, pspnet or ssdlite.

    A classifier needs weights: those of a training folder, of a validated trial, or --weights. --data is a source, a
    folder with a folder for each class, an image, or a folder of images. Names and probabilities are printed; where the
    images have labels, also top-1 on the test part and the confusion matrix, and the most confident mistakes are drawn.

    Masks and boxes are drawn beside the ground truth of test images, and the score of the network is printed. A trial
    is trained as its study trained it, unless it has weights.

    With weights, images are prepared as these weights expect, or as --normalise tells. The score is computed on the
    whole test part, which no search and no training uses. On cutouts it is lower than in a study, whose held-out scenes
    contain cut-outs of the training part.
    """
    if others := click.get_current_context().args:
        raise click.UsageError(
            f"found {others[0]} after the network; images are given with --data: an image, or a folder of images."
        )
    import numpy as np

    from mvsearch.data import state_preparation
    from mvsearch.errors import PlanError
    from mvsearch.metrics.registry import TEST
    from mvsearch.nn.weights_io import read_checkpoint
    from mvsearch.report.figures.plot import PICTURES, refuse_to_draw
    from mvsearch.report.figures.predictions import PredictionsFigure, plot_predictions
    from mvsearch.study.resolve import find_architecture, find_trial
    from mvsearch.training.preparation import preparation_of

    trial = find_trial(arch, storage=storage)
    architecture = trial.architecture if trial else find_architecture(arch, storage=storage)
    refuse_to_draw(output, force=force, kinds=PICTURES)
    trained_here = steps or batch or lr
    if architecture.task == "classification" and trained_here:
        raise PlanError(f"{arch}: is a classifier, which `mvsearch train` trains; remove --steps, --batch and --lr.")
    found = None if trained_here else validated_weights_of(arch, trial, weights, storage=storage)
    weights = found.path if found else given_weights(weights or training_weights(arch, weights))
    if architecture.task == "classification":
        from mvsearch.cli._predict_classes import predict_classes, select_pictures

        if found:
            architecture = architecture.at(num_classes=found.classes, image_size=found.image_size)
        predict_classes(
            *(arch, architecture, weights),
            select_pictures(data, path, found.images if found else None, trial),
            image_size=image_size,
            normalise=normalise,
            channel_order=channel_order,
            images=images,
            output=output,
            as_json=as_json,
        )
        return

    import torch

    from mvsearch.training.in_memory import InMemorySet
    from mvsearch.training.tasks import load_task

    stored = trial.settings if trial else {}
    preparation = weights and state_preparation(
        preparation_of(weights, read_checkpoint(weights), architecture),
        image_size=image_size or architecture.image_size,
        normalise=normalise,
        channel_order=channel_order,
    )
    if preparation:
        image_size = image_size or preparation.image_size
    overrides = {"steps": steps, "batch": batch, "image_size": image_size, "lr": lr, "seed": seed}
    settings = _settings(architecture.task, stored.get("proxy", {}), overrides)
    dataset = _load_images(architecture.task, stored.get("data", {}), data, path, settings.image_size)
    print_data_notes(dataset)
    if preparation and preparation.classes:
        dataset = _match_classes(dataset, preparation, weights)
    task = load_task(architecture.task)
    scenes = InMemorySet.of(task, dataset, settings.training())
    if preparation:
        scenes = scenes.prepared(preparation)
    model, checkpoint = _model(architecture, scenes, settings, weights)
    if weights and preparation is None:  # after what is wrong with the weights themselves
        raise PlanError("how images are prepared for these weights is unknown; use --normalise.", at=weights)
    scenes = scenes.with_held_out(dataset.test)
    scores = scenes.evaluate(model).scores
    indices = sorted(np.random.default_rng(seed).permutation(len(scenes.held_labels))[:images].tolist())
    pixels = scenes.held_pixels[indices]
    with torch.no_grad():
        predictions = task.predictions(model.eval()(scenes.normalise(pixels)))
    figure = PredictionsFigure(
        title=f"{architecture.name or arch} on {dataset.name}",
        subtitle=_summarise(scores, task.metric, len(scenes.held_labels), None if weights else settings),
        classes=dataset.train.classes,
        images=list(pixels.permute(0, 2, 3, 1).expand(-1, -1, -1, 3).numpy()),
        labels=task.truth(scenes.held_labels[indices]),
        predictions=predictions,
    )
    plot_predictions(figure, output)
    if as_json:
        result = {"architecture": architecture.key, "data": dataset.name, "file": str(output), "part": TEST, **scores}
        result |= {"weights": str(weights) if weights else None, **(checkpoint.facts() if checkpoint else {})}
        print_json(result | {"preparation": preparation.to_json() if preparation else None})
        return
    if weights and checkpoint:
        console().print(f"weights: {checkpoint.describe(weights.name)}")
        print_weights_notes(checkpoint.facts())
    if preparation:
        console().print(f"images: {preparation.describe()}; known from {preparation.source}")
    console().print(f"{figure.subtitle}; figure in {output}.")


def _settings(task: str, own: dict[str, Any], overrides: dict[str, Any]) -> "Settings":
    """The study's settings of the proxy `train`, or the task's defaults, with the options of the command."""
    from dataclasses import fields

    from mvsearch.proxies.train import TASK_DEFAULTS, Settings

    values = own if own.get("name") == "train" else TASK_DEFAULTS.get(task, {})
    values = {**values, **{name: value for name, value in overrides.items() if value is not None}}
    return Settings(**{field.name: values[field.name] for field in fields(Settings) if field.name in values})


def _load_images(task: str, own: dict[str, Any], source: str | None, path: Path | None, size: int) -> "DataSet":
    from mvsearch.data import default_source, load

    if source is None and own:
        folder = path or (Path(own["path"]) if own["path"] else None)
        part, seed = own["test_fraction"], own["seed"]
        return load(own["source"], path=folder, size=own["size"], test_fraction=part, seed=seed, task=task)
    source = source or default_source(task)
    return load(source, path=path, size=None if source == "satellite" else size, task=task)


def _match_classes(data: "DataSet", preparation: "Preparation", weights: Path | None) -> "DataSet":
    """The images with labels that count the network's outputs, matched by name."""
    from dataclasses import replace

    from mvsearch.data import class_positions
    from mvsearch.errors import PlanError

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
    from mvsearch.metrics.registry import TEST, metric

    trained = f", after {recipe.steps} steps of {recipe.batch} images at {recipe.image_size} px" if recipe else ""
    return f"{metric(score).label_on(TEST)} {pretty(score, scores[score])} on {images} test images{trained}"
