"""`mvsearch predict ARCH`: draw the predictions of a segmentation or detection network beside the ground truth."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._output import Amount, console, json_option, print_json, storage_option

if TYPE_CHECKING:
    from torch import nn

    from mvsearch.arch.architecture import Architecture
    from mvsearch.data import DataSet
    from mvsearch.training.recipe import Recipe
    from mvsearch.training.tasks import SceneTask


@click.command()
@click.argument("arch")
@click.option(
    "--weights", type=click.Path(path_type=Path), help="Checkpoint; default: train the network first, for --steps."
)
@click.option("--data", help="Source of the images; default: that of the study, or cutouts.")
@click.option("--path", type=click.Path(path_type=Path), help="Folder of the images, if you have them already.")
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help="Training steps; default: those of the study, or the default of the task.",
)
@click.option("--batch", type=click.IntRange(min=2), help="Batch size; default as for --steps.")
@click.option("--image-size", type=click.IntRange(min=32), help="Side of the images in pixels; default as for --steps.")
@click.option("--lr", type=Amount(), help="Peak learning rate; default as for --steps.")
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
    images: int,
    seed: int,
    output: Path,
    force: bool,
    storage: str | None,
    as_json: bool,
) -> None:
    """Draw predicted masks or boxes.

    They are drawn beside the ground truth of test images, and the score of the network is printed. ARCH is a published
    name, a YAML file or STUDY:NUMBER, with +HEAD for another head: deeplabv3, pspnet or ssdlite. A trial is trained as
    its study trained it. With --weights, pixels are normalised as the result.json beside them says; without, they range
    from 0 to 1. The score is computed on the whole test part, which no search and no training uses. On cutouts it is
    lower than in a study, whose held-out scenes contain cut-outs of the training part.
    """
    from dataclasses import replace

    import numpy as np

    from mvsearch.errors import PlanError
    from mvsearch.report.figures.plot import refuse_to_draw
    from mvsearch.report.figures.scenes import KINDS, Sheet, draw_sheet
    from mvsearch.study.resolve import find_architecture, find_trial
    from mvsearch.training.warm_start import normalisation

    trial = find_trial(arch, storage=storage)
    architecture = trial.architecture if trial else find_architecture(arch, storage=storage)
    if architecture.task == "classification":
        raise PlanError(f"{arch}: is a classifier; add a segmentation or detection head, e.g. {arch}+deeplabv3.")
    refuse_to_draw(output, force=force, kinds=KINDS)

    import torch

    from mvsearch.training.loop import judge
    from mvsearch.training.tasks import SceneTask, task_of

    settings = trial.settings if trial else {}
    overrides = {"steps": steps, "batch": batch, "image_size": image_size, "lr": lr, "seed": seed}
    recipe = _recipe(architecture.task, settings.get("proxy", {}), overrides)
    pictures = _pictures(architecture.task, settings.get("data", {}), data, path, recipe.image_size)
    task = task_of(architecture.task, pictures, recipe, "cpu")
    assert isinstance(task, SceneTask)
    if weights is not None:
        mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in normalisation(weights))
        task = replace(task, mean=mean, std=std)
    model, task = _model(architecture, task, recipe, weights), task.on(pictures.test)
    scores = judge(model, task)
    indices = sorted(np.random.default_rng(seed).permutation(len(task.held_labels))[:images].tolist())
    pixels = task.held_pixels[indices]
    score = "miou" if architecture.task == "segmentation" else "map"
    sheet = Sheet(
        title=f"{architecture.name or arch} on {pictures.name}",
        subtitle=_summarise(scores, score, len(task.held_labels), None if weights else recipe),
        classes=pictures.train.classes,
        images=list(pixels.permute(0, 2, 3, 1).expand(-1, -1, -1, 3).numpy()),
        true=task.true(task.held_labels[indices]),
        found=task.seen(model, pixels),
    )
    draw_sheet(sheet, output)
    if as_json:
        print_json({"architecture": architecture.key, "data": pictures.name, "file": str(output), **scores})
        return
    console().print(f"{sheet.subtitle}; figure in {output}.")


def _recipe(task: str, own: dict[str, Any], overrides: dict[str, Any]) -> "Recipe":
    """The recipe of the study, or the default of the task, with the options of the command."""
    from dataclasses import fields

    from mvsearch.proxies.train import TASK_DEFAULTS
    from mvsearch.training.recipe import Recipe

    values = own if own.get("name") == "train" else TASK_DEFAULTS[task]
    values = {**values, **{name: value for name, value in overrides.items() if value is not None}}
    return Recipe(**{field.name: values[field.name] for field in fields(Recipe) if field.name in values})


def _pictures(task: str, own: dict[str, Any], source: str | None, path: Path | None, size: int) -> "DataSet":
    from mvsearch.data import load, usual_source

    if source is None and own:
        folder = path or (Path(own["path"]) if own["path"] else None)
        part, seed = own["test_fraction"], own["seed"]
        return load(own["source"], path=folder, size=own["size"], test_fraction=part, seed=seed, task=task)
    source = source or usual_source(task)
    return load(source, path=path, size=None if source == "satellite" else size, task=task)


def _model(arch: "Architecture", task: "SceneTask", recipe: "Recipe", weights: Path | None) -> "nn.Module":
    from mvsearch.cli._progress import progress_bar
    from mvsearch.export.model import ExportModel
    from mvsearch.nn import build
    from mvsearch.training.loop import fit
    from mvsearch.utils import machine_lock

    if weights is not None:
        return ExportModel.of(arch, weights=weights, num_classes=task.classes, image_size=recipe.image_size).model
    model = build(arch.at(image_size=recipe.image_size, num_classes=task.classes), seed=recipe.seed)
    with progress_bar() as bar, machine_lock.shared():
        training = bar.add_task("training", total=recipe.steps)
        average, _ = fit(
            model, task, recipe, progress=lambda done, _total, _step="": bar.update(training, completed=done)
        )
    return average


def _summarise(scores: dict[str, float], score: str, images: int, recipe: Any) -> str:
    from mvsearch.metrics.formatting import pretty
    from mvsearch.metrics.registry import metric

    trained = f", after {recipe.steps} steps of {recipe.batch} images at {recipe.image_size} px" if recipe else ""
    return f"{metric(score).label} {pretty(score, scores[score])} on {images} test images{trained}"
