"""`mvsearch predict ARCH`: the classes of images, or masks and boxes beside the ground truth."""

from pathlib import Path
from typing import Any

import click

from mvsearch.cli._completion import complete_architecture, complete_data
from mvsearch.cli._help import Command
from mvsearch.cli._output import (
    Amount,
    force_option,
    json_option,
    path_option,
    preparation_options,
    refuse_without,
    storage_option,
)
from mvsearch.cli._weights import given_weights, training_weights, validated_weights_of


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
@force_option
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

    With weights, images are prepared as these weights expect, or as --normalise states. The score is computed on the
    whole test part, which no search and no training uses. On cutouts it is lower than in a study, whose held-out scenes
    contain cut-outs of the training part.
    """
    if others := click.get_current_context().args:
        raise click.UsageError(
            f"found {others[0]} after the network; images are given with --data: an image, or a folder of images."
        )
    from mvsearch.errors import PlanError
    from mvsearch.report.figures.plot import PICTURES, refuse_to_draw
    from mvsearch.study.resolve import find_architecture, find_trial

    trial = find_trial(arch, storage=storage)
    architecture = trial.architecture if trial else find_architecture(arch, storage=storage)
    refuse_to_draw(output, force=force, kinds=PICTURES)
    classifies, trained_here = architecture.task == "classification", steps or batch or lr
    if classifies and trained_here:
        raise PlanError(f"{arch}: is a classifier, which `mvsearch train` trains; remove --steps, --batch and --lr.")
    found = None if trained_here else validated_weights_of(arch, trial, weights, storage=storage)
    weights = found.path if found else given_weights(weights or training_weights(arch, weights))
    if trained_here and weights:
        raise PlanError(
            f"{weights}: are not trained further; remove --steps, --batch and --lr, or use --weights random."
        )
    options: dict[str, Any] = {"image_size": image_size, "normalise": normalise, "channel_order": channel_order}
    options |= {"images": images, "output": output, "as_json": as_json}
    if classifies:
        from mvsearch.cli._predict_classes import predict_classes, select_pictures

        if found:
            architecture = architecture.at(num_classes=found.classes, image_size=found.image_size)
        pictures = select_pictures(data, path, found.images if found else None, trial, weights)
        predict_classes(arch, architecture, weights, pictures, **options)
    else:
        if weights is None:
            refuse_without("--weights", "normalise", "channel_order")
        from mvsearch.cli._predict_scenes import predict_scenes

        training = {"steps": steps, "batch": batch, "lr": lr, "seed": seed}
        predict_scenes(arch, architecture, weights, trial, (data, path), training=training, **options)
