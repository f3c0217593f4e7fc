"""`mvsearch train ARCH`: a whole training by a recipe, which may end at any moment and go on."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._output import console, json_option, print_json, storage_option

if TYPE_CHECKING:
    from mvsearch.training.job import Training
    from mvsearch.training.trainer import TrainingJob

_MOST_DECODERS = 16


@click.command()
@click.argument("arch")
@click.option("--recipe", help="One of docs/training.md, or a YAML file; else a short one for the task.")
@click.option("--set", "settings", multiple=True, help="Another value in the recipe, e.g. epochs=30; may be repeated.")
@click.option("--data", help="A source of images, or a folder of yours; else the study's own, or the task's usual.")
@click.option("--path", type=click.Path(path_type=Path), help="Where the images of a source lie, if they are yours.")
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="The folder of the training.")
@click.option(
    "--init",
    type=click.Path(path_type=Path),
    help="Begin with what fits of other weights: a checkpoint, or a folder of trainings; else from --seed.",
)
@click.option(
    "--stream", "streamed", is_flag=True, help="Decode as needed, not once into the cache; shards always are."
)
@click.option(
    "--decoders", type=click.IntRange(0), help="Processes that decode a stream; else the cores that are left."
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option(
    "--held-out", type=click.IntRange(0), default=0, help="Judge by so many training images, not by the test part."
)
@click.option("--accumulate", type=click.IntRange(1), default=1, help="Take each batch in so many parts: less memory.")
@click.option("--every", type=click.IntRange(1), default=500, show_default=True, help="Steps between checkpoints.")
@click.option("--device", help="cpu, cuda or cuda:1; else a GPU if there is one.")
@click.option("--compile", "compiled", is_flag=True, help="torch.compile: slow to start, then faster.")
@click.option("--force", is_flag=True, help="Begin anew where the folder holds a training.")
@storage_option
@json_option
def train(
    arch: str,
    recipe: str | None,
    settings: tuple[str, ...],
    data: str | None,
    path: Path | None,
    output: Path,
    init: Path | None,
    streamed: bool,
    decoders: int | None,
    seed: int,
    held_out: int,
    accumulate: int,
    every: int,
    device: str | None,
    compiled: bool,
    force: bool,
    storage: str | None,
    as_json: bool,
) -> None:
    """Train ARCH (a published name, a YAML file or STUDY:NUMBER, with +HEAD for another head) into a folder of its own.

    Ctrl-C stops, and the same command goes on, with the same losses as if nothing had been. At the end the folder holds
    the averaged weights (weights.safetensors, for `mvsearch export --weights`), result.json and curve.png. Several
    processes or GPUs: torchrun --nproc-per-node 8 -m mvsearch train ...
    """
    from dataclasses import replace

    from mvsearch.cli._progress import progress_bar
    from mvsearch.data import usual_source
    from mvsearch.export.images import select_images
    from mvsearch.metrics.formatting import pretty
    from mvsearch.metrics.registry import metric
    from mvsearch.study.resolve import find_architecture, find_trial
    from mvsearch.training.distributed import joined
    from mvsearch.training.recipes import load, usual
    from mvsearch.training.trainer import TrainingJob

    trial = find_trial(arch, storage=storage)
    found = trial.architecture if trial else find_architecture(arch, storage=storage)
    images = select_images(data or (None if trial else usual_source(found.task)), trial)
    order = TrainingJob(
        arch=found,
        recipe=load(recipe or usual(found.task), settings),
        data=replace(images, path=str(path)) if path else images,
        folder=output,
        init=init,
        streamed=streamed,
        decoders=_decoders() if decoders is None else decoders,
        held_out=held_out,
        seed=seed,
        parts=accumulate,
        every=every,
        compiled=compiled,
    )
    with joined(device) as ranks:
        if ranks.first:
            order.free(force=force)
            with progress_bar() as bar:
                read = order.read(bar)
            if read.skipped:
                click.echo(f"{read.name}: skipped {read.skipped} broken images.", err=True)
        ranks.total([0.0])  # the others wait until the folder and the images are ready
        if not ranks.first:
            read = order.read()
        training = order.training(read, ranks, force=force)
        begun, start = training.place.step, time.monotonic()
        with _stopping(training):
            _watched(training, begun)
        if not ranks.first:
            return
        seconds = time.monotonic() - start
        _draw_curve(order, training, read.name)
        result = order.finish(training, read, seconds=seconds)
    if broken := training.pictures.broken:
        name, fault = next(iter(broken.items()))
        click.echo(f"{read.name}: skipped {len(broken)} broken images, such as {name} ({fault}).", err=True)
    if as_json:
        print_json(result)
        return
    count, score = f"{result['images']:,} images", training.pictures.score
    console().print(
        f"{metric(score).label} {pretty(score, result[score])} on {count} ({result['judged_on']}); weights, curve and "
        f"result in {output}."
    )


def _decoders() -> int:
    """So many that each process of this machine has a core to train on."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(_MOST_DECODERS, (os.cpu_count() or 1) // here - 1))


def _watched(training: "Training", begun: int) -> None:
    from mvsearch.cli._progress import TrainingProgress
    from mvsearch.report.inheritance import inheritance_table
    from mvsearch.training.job import Step

    if not training.ranks.first:
        for _ in training.run():
            pass
        return
    screen = console(stderr=True)
    if training.inherited and not begun:
        screen.print(inheritance_table(training.inherited))
    if begun:
        screen.print(f"resumes after step {begun:,}", style="dim")
    with TrainingProgress(training.sampler.steps, training.recipe.epochs, begun) as progress:
        try:
            for event in training.run():
                progress.step(event) if isinstance(event, Step) else progress.epoch(event)
        except KeyboardInterrupt:
            screen.print(f"stopped after step {training.place.step:,}; run the same command to resume.")
            raise


@contextmanager
def _stopping(training: "Training") -> Iterator[None]:
    """Ctrl-C lets the step at hand end; a second one does not."""

    def stop(_signal: int, _frame: Any) -> None:
        training.stopping = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _draw_curve(order: "TrainingJob", training: "Training", data: str) -> None:
    from mvsearch.report.figures.curve import Curve, draw_curve
    from mvsearch.training import metrics_log

    lines = metrics_log.read(training.folder / "metrics.jsonl")
    subtitle = f"{data}, {training.place.step:,} steps at {order.recipe.image_size} px"
    title = order.arch.name or order.arch.key
    draw_curve(Curve.of(lines, title, subtitle, training.pictures.score), training.folder / "curve.png")
