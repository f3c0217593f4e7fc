"""`mvsearch predict ARCH`: what a network finds in held-out images, beside what they show."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._print import console, json_option, print_json, storage_option

if TYPE_CHECKING:
    from torch import nn

    from mvsearch.architecture import Architecture
    from mvsearch.tasks import SceneTask
    from mvsearch.training.recipe import Recipe


@click.command()
@click.argument("arch")
@click.option("--weights", type=click.Path(path_type=Path), help="A checkpoint. Else it is trained first, for --steps.")
@click.option("--data", default="cutouts", show_default=True, help="The source of the images.")
@click.option("--path", type=click.Path(path_type=Path), help="Where the images lie, if they are yours.")
@click.option("--steps", type=click.IntRange(min=1), default=300, show_default=True, help="Of the training.")
@click.option("--batch", type=click.IntRange(min=2), default=16, show_default=True, help="Images a step.")
@click.option("--image-size", type=click.IntRange(min=32), default=128, show_default=True, help="Pixels of a side.")
@click.option("--lr", type=click.FloatRange(min=0), default=2e-3, show_default=True, help="The peak learning rate.")
@click.option("--held-out", type=click.IntRange(min=2), default=200, show_default=True, help="Images that judge.")
@click.option("--images", type=click.IntRange(min=1), default=12, show_default=True, help="How many are drawn.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--output", "-o", type=click.Path(path_type=Path), default=Path("predicted.png"), show_default=True)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@storage_option
@json_option
def predict(
    arch: str,
    weights: Path | None,
    data: str,
    path: Path | None,
    steps: int,
    batch: int,
    image_size: int,
    lr: float,
    held_out: int,
    images: int,
    seed: int,
    output: Path,
    force: bool,
    storage: str | None,
    as_json: bool,
) -> None:
    """Draw what ARCH finds in held-out images beside what they show, and say how well: masks or boxes, by its task.

    ARCH is a published name, a YAML file or STUDY:NUMBER, with +HEAD for another head: deeplabv3, pspnet or ssdlite.
    """
    from mvsearch.errors import PlanError
    from mvsearch.finding import find_architecture
    from mvsearch.report.plot import refuse_to_draw
    from mvsearch.report.scenes import KINDS, Sheet, draw_sheet

    found = find_architecture(arch, storage=storage)
    if found.task == "classification":
        raise PlanError(f"{arch}: classifies whole images; put a head on it for masks or boxes, e.g. {arch}+deeplabv3.")
    refuse_to_draw(output, force=force, kinds=KINDS)

    from mvsearch.data import load
    from mvsearch.tasks import SceneTask, task_of
    from mvsearch.training.loop import judge
    from mvsearch.training.recipe import Recipe

    padding = image_size // 12
    recipe = Recipe(
        steps=steps, batch=batch, image_size=image_size, lr=lr, held_out=held_out, seed=seed, crop_padding=padding
    )
    pictures = load(data, path=path, size=None if data == "satellite" else image_size, task=found.task)
    task = task_of(found.task, pictures, recipe, "cpu")
    assert isinstance(task, SceneTask)
    model = _model(found, task, recipe, weights)
    scores = judge(model, task)
    pixels = task.held_pixels[:images]
    score = "miou" if found.task == "segmentation" else "map"
    sheet = Sheet(
        title=f"{found.name or arch} on {pictures.name}",
        subtitle=_said(scores, score, len(task.held_labels), None if weights else recipe),
        classes=pictures.train.classes,
        images=list(pixels.permute(0, 2, 3, 1).expand(-1, -1, -1, 3).numpy()),
        true=task.true(task.held_labels[:images]),
        found=task.seen(model, pixels),
    )
    draw_sheet(sheet, output)
    if as_json:
        print_json({"architecture": found.key, "data": pictures.name, "file": str(output), **scores})
        return
    console().print(f"{sheet.subtitle}; drawn in {output}.", markup=False)


def _model(arch: "Architecture", task: "SceneTask", recipe: "Recipe", weights: Path | None) -> "nn.Module":
    from rich.progress import Progress

    from mvsearch.exporters.subject import Subject
    from mvsearch.nn import build
    from mvsearch.training.loop import fit

    if weights is not None:
        return Subject.of(arch, weights=weights, num_classes=task.classes, image_size=recipe.image_size).model
    model = build(arch.at(image_size=recipe.image_size, num_classes=task.classes), seed=recipe.seed)
    with Progress(console=console(stderr=True), transient=True) as bar:
        shown = bar.add_task("training", total=recipe.steps)
        average, _ = fit(model, task, recipe, progress=lambda done, _of: bar.update(shown, completed=done))
    return average


def _said(scores: dict[str, float], score: str, images: int, recipe: Any) -> str:
    from mvsearch.report.units import pretty, unit

    trained = f", after {recipe.steps} steps of {recipe.batch} images at {recipe.image_size} px" if recipe else ""
    return f"{unit(score).head} {pretty(score, scores[score])} on {images} held-out images{trained}"
