"""`mvsearch train ARCH`: train a network by a recipe; a training can be interrupted and resumed."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._completion import complete_architecture, complete_data, complete_recipe
from mvsearch.cli._help import RecipeCommand
from mvsearch.cli._output import (
    console,
    json_option,
    path_option,
    print_data_notes,
    print_json,
    print_weights_notes,
    storage_option,
)

if TYPE_CHECKING:
    from mvsearch.training.job import StartedTraining, TrainingJob
    from mvsearch.training.recipe import Distillation
    from mvsearch.training.trainer import Trainer

_MAX_DECODERS = 16


@click.command(cls=RecipeCommand, examples=["mvsearch train v3:17 --data /my/images -o trained --set epochs=30"])
@click.argument("arch", shell_complete=complete_architecture)
@click.option(
    "--recipe",
    shell_complete=complete_recipe,
    help="A recipe of docs/training.md or a YAML file; default: a short one for the task.",
)
@click.option("--set", "settings", multiple=True, help="Override a value of the recipe, e.g. epochs=30. Repeatable.")
@click.option(
    "--data",
    shell_complete=complete_data,
    help="Source of the images, or a folder; default: that of the study, or of the task.",
)
@path_option
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="Folder of the training.")
@click.option(
    "--init",
    help="Start from other weights where they fit: a checkpoint, a training or folder of trainings, or timm:NAME; "
    "default: random.",
)
@click.option("--teacher", help="Learn from this classifier too: a checkpoint, the folder of a training, or timm:NAME.")
@click.option(
    "--distill-weight",
    type=click.FloatRange(0, 1),
    help="The teacher's share of the loss; default: 0.9.",
)
@click.option("--temperature", type=float, help="Softens the outputs of teacher and network; default: 4.")
@click.option(
    "--stream",
    "streamed",
    is_flag=True,
    help="Decode images as needed instead of once into the cache; always so for shards.",
)
@click.option(
    "--decoders", type=click.IntRange(0), help="Number of processes that decode a stream; default: the other cores."
)
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Seed of weights and data."
)
@click.option(
    "--held-out",
    type=click.IntRange(0),
    default=0,
    help="Evaluate on this many training images instead of the test part.",
)
@click.option(
    "--accumulate", type=click.IntRange(1), default=1, help="Split each batch into this many parts, to use less memory."
)
@click.option("--every", type=click.IntRange(1), default=500, show_default=True, help="Steps between checkpoints.")
@click.option("--device", help="cpu, cuda or cuda:1; default: a GPU if there is one.")
@click.option(
    "--compile",
    "compiled",
    is_flag=True,
    help="Use torch.compile, for GPUs: slow to start; a CPU trains more slowly with it.",
)
@click.option("--force", is_flag=True, help="Start again if the folder contains a training.")
@storage_option
@json_option
def train(
    arch: str,
    recipe: str | None,
    settings: tuple[str, ...],
    data: str | None,
    path: Path | None,
    output: Path,
    init: str | None,
    teacher: str | None,
    distill_weight: float | None,
    temperature: float | None,
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
    """Train a network by a recipe.

    ARCH is a published name, a YAML file, STUDY:NUMBER or the folder of a training; ARCH+HEAD has another head.

    Ctrl-C stops the training; the same command resumes it, with the losses of an uninterrupted one. At the end the
    folder contains the averaged weights (weights.safetensors, for `mvsearch export --weights`), result.json and
    curve.png. On several processes or GPUs: torchrun --nproc-per-node 8 -m mvsearch train ...
    """
    from dataclasses import replace

    from mvsearch.cli._progress import progress_bar
    from mvsearch.data import default_source, name_other_images
    from mvsearch.export.images import known_images, select_images
    from mvsearch.metrics.formatting import pretty
    from mvsearch.metrics.registry import metric
    from mvsearch.study.resolve import find_architecture, find_trial
    from mvsearch.training.distributed import process_group
    from mvsearch.training.job import TrainingJob
    from mvsearch.training.recipes import default_recipe, load, warmup_given

    trial = find_trial(arch, storage=storage)
    architecture = trial.architecture if trial else find_architecture(arch, storage=storage)
    source = data or (None if trial else default_source(architecture.task))
    job = TrainingJob(
        arch=architecture,
        recipe=load(recipe or default_recipe(architecture.task), settings),
        data=select_images(source, path, known=known_images(trial, None)),
        folder=output,
        init=init,
        teacher=teacher or "",
        distillation=_distillation(teacher, distill_weight, temperature),
        streamed=streamed,
        decoders=_decoders() if decoders is None else decoders,
        held_out=held_out,
        seed=seed,
        parts=accumulate,
        every=every,
        compiled=compiled,
    )
    with process_group(device) as group:
        if group.first:
            job.check_folder(force=force)
            with progress_bar() as bar, nullcontext() if data or path else name_other_images():
                dataset = job.load_data(bar)
            print_data_notes(dataset)
        group.wait()  # until the folder and the images are ready
        if not group.first:
            dataset = job.load_data()
        notes: tuple[str, ...] = ()
        if not warmup_given(settings):
            job, notes = job.shorten_warmup(dataset)
        for note in (*notes, *job.few_steps_note(dataset)) if group.first else ():
            click.echo(f"{note}.", err=True)
        training = job.start(dataset, group, force=force)
        start_time = time.monotonic()
        with _stop_on_sigint(training.run.trainer):
            _run(training, job.part)
        if not group.first:
            return
        seconds = time.monotonic() - start_time
        _draw_curve(job, training, dataset.name)
        result = job.finish(training, dataset, seconds=seconds)
    print_data_notes(replace(dataset, skipped=training.data.skipped, assumptions=()))
    score = training.data.metric
    if as_json:
        print_json(result)
    else:
        reached = f"{metric(score).label_on(job.part)} {pretty(score, result[score])} on {result['images']:,} images"
        console().print(f"{reached} ({result['judged_on']}); weights, curve and result in {output}.")
    for note in job.chance_note(training):
        click.echo(f"{note}.", err=True)


def _distillation(teacher: str | None, weight: float | None, temperature: float | None) -> "Distillation":
    from mvsearch.errors import PlanError
    from mvsearch.training.recipe import Distillation

    given = {name: value for name, value in (("weight", weight), ("temperature", temperature)) if value is not None}
    if given and not teacher:
        raise PlanError(f"--{'distill-weight' if 'weight' in given else 'temperature'} needs a --teacher.")
    return Distillation(**given)


def _decoders() -> int:
    """A number of decoders that leaves a core for each training process of this machine."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(_MAX_DECODERS, (os.cpu_count() or 1) // processes - 1))


def _run(training: "StartedTraining", part: str) -> None:
    from mvsearch.cli._progress import TrainingProgress
    from mvsearch.report.weight_transfer_table import weight_transfer_table
    from mvsearch.training.trainer import StepResult

    run, trainer = training.run, training.run.trainer
    if not trainer.group.first:
        for _ in run.run():
            pass
        return
    screen, first_step = console(stderr=True), trainer.position.step
    if training.transfer and not first_step:
        screen.print(weight_transfer_table(training.transfer))
        print_weights_notes(training.transfer.facts, stderr=True)
        for note in training.notes:
            screen.print(note, style="yellow")
    if training.teacher and not first_step:
        screen.print(f"learns from {training.teacher.name} ({training.teacher.checksum[:12]}) too")
        for note in training.teacher.notes:
            screen.print(note, style="yellow")
    if first_step:
        screen.print(f"resumes after step {first_step:,}", style="dim")
    with TrainingProgress(trainer.data.steps, trainer.recipe.epochs, first_step, part) as progress:
        try:
            for event in run.run():
                progress.step(event) if isinstance(event, StepResult) else progress.epoch(event)
        except KeyboardInterrupt:
            screen.print(f"stopped after step {trainer.position.step:,}; run the same command to resume.")
            raise


@contextmanager
def _stop_on_sigint(trainer: "Trainer") -> Iterator[None]:
    """The first Ctrl-C stops after the current step; a second one stops at once."""

    def stop(_signal: int, _frame: Any) -> None:
        trainer.stopping = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _draw_curve(job: "TrainingJob", training: "StartedTraining", data: str) -> None:
    from mvsearch.report.figures.training_curve import TrainingCurve, plot_training_curve
    from mvsearch.training import metrics_log

    lines = metrics_log.read(job.folder / metrics_log.METRICS)
    subtitle = f"{data}, {training.run.trainer.position.step:,} steps at {job.recipe.image_size} px"
    title = job.arch.name or job.arch.key
    curve = TrainingCurve.of(lines, title, subtitle, training.data.metric, job.part)
    plot_training_curve(curve, job.folder / "curve.png")
