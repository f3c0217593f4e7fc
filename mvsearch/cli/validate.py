"""`mvsearch validate STUDY`: train the best candidates and baselines for real, and say which is better."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._completion import complete_architecture, complete_data, complete_recipe, complete_study
from mvsearch.cli._help import RecipeCommand
from mvsearch.cli._output import (
    console,
    drawing_options,
    json_option,
    path_option,
    print_data_notes,
    print_json,
    storage_option,
)
from mvsearch.utils.text import plural
from mvsearch.utils.units import duration

if TYPE_CHECKING:
    from mvsearch.study.reader import Reader
    from mvsearch.validation.conditions import Setup
    from mvsearch.validation.job import ValidationJob
    from mvsearch.validation.networks import Selection
    from mvsearch.validation.outcome import Validation

_FIGURE = "validation.png"


@click.command(cls=RecipeCommand, examples=["mvsearch validate v3 --top 3 --against mobilevitv3_xxs --seeds 3"])
@click.argument("study", shell_complete=complete_study)
@click.option("--top", type=click.IntRange(1), default=3, show_default=True, help="Number of candidates, by score.")
@click.option(
    "--trial", "trials", type=click.IntRange(0), multiple=True, help="Validate this trial instead. Repeatable."
)
@click.option(
    "--against",
    metavar="ARCH",
    shell_complete=complete_architecture,
    multiple=True,
    help="A baseline. Repeatable. Default: the network to beat, else the smallest published model "
    "of at least the cost of each candidate.",
)
@click.option("--seeds", type=click.IntRange(1, 100), default=5, show_default=True, help="Trainings of each network.")
@click.option(
    "--recipe",
    shell_complete=complete_recipe,
    help="A recipe of docs/training.md or a YAML file; default: a short one for the task, "
    "or finetune where networks start from trained weights.",
)
@click.option("--epochs", type=click.IntRange(1), help="Epochs of each training; default: those of the recipe.")
@click.option("--set", "settings", multiple=True, help="Override a value of the recipe, e.g. lr=0.001. Repeatable.")
@click.option(
    "--data", shell_complete=complete_data, help="Source of the images, or a folder; default: those of the study."
)
@path_option
@click.option(
    "--init",
    help="Source of initial weights: a checkpoint, a training, or timm:NAME; default: that of the study; random: none.",
)
@click.option(
    "--teacher",
    help="All networks learn from this classifier too: a checkpoint, the folder of a training, or timm:NAME.",
)
@click.option(
    "--workers", type=click.IntRange(1), help="Trainings at a time; default: one per GPU, or one per core up to 16."
)
@click.option("--device", help="cpu, cuda or cuda:1; default: a GPU if there is one.")
@drawing_options
@storage_option
@json_option
def validate(
    study: str,
    top: int,
    trials: tuple[int, ...],
    against: tuple[str, ...],
    seeds: int,
    recipe: str | None,
    epochs: int | None,
    settings: tuple[str, ...],
    data: str | None,
    path: Path | None,
    init: str | None,
    teacher: str | None,
    workers: int | None,
    device: str | None,
    plot: Path | None,
    theme: str,
    force: bool,
    storage: str | None,
    as_json: bool,
) -> None:
    """Train the best candidates of a study for real, beside baselines, and say which is better.

    All networks are trained by the same recipe on the same images, each with the same seeds, and evaluated on the test
    part. After the second round of seeds and each later one, candidates that are clearly behind stop. The verdict is
    the difference in top-1 with its 95 % interval.

    Ctrl-C stops the trainings; the same command resumes them, and several commands share the work. Results and weights
    are in studies/NAME/validation; `mvsearch export STUDY:NUMBER` takes these weights.
    """
    from mvsearch.report.figures.plot import refuse_to_draw
    from mvsearch.study.reader import open_study
    from mvsearch.validation.executor import run
    from mvsearch.validation.networks import select_networks

    if plot is not None:
        refuse_to_draw(plot, force=force)
    reader = open_study(study, storage=storage)
    selection = select_networks(reader, top=top, trials=trials, against=against, storage=storage)
    settings = (*settings, f"epochs={epochs}") if epochs else settings
    setup = _prepare(reader, selection, recipe, settings, data, path, init, teacher, device)
    job = _job(reader, selection, setup, seeds)
    _introduce(job, (*selection.notes, *setup.notes), seeds)
    devices = _devices(device, workers)
    _run(job, lambda callback: run(job, callback, devices=devices, data=setup.data))
    validation = _write(job)
    _draw(validation, job.folder / _FIGURE)
    if plot is not None:
        _draw(validation, plot, theme)
    if as_json:
        print_json(_to_json(validation, job))
    else:
        _print(validation, job)


def _prepare(
    reader: "Reader",
    selection: "Selection",
    recipe_name: str | None,
    settings: tuple[str, ...],
    data: str | None,
    path: Path | None,
    init: str | None,
    teacher: str | None,
    device: str | None,
) -> "Setup":
    """What the trainings share, with the images loaded."""
    from dataclasses import replace

    from mvsearch.cli._progress import progress_bar
    from mvsearch.export.images import select_images
    from mvsearch.training.distributed import process_group
    from mvsearch.training.recipes import warmup_given
    from mvsearch.validation.conditions import check_study_init, choose_recipe, prepare, study_images, study_init

    facts, arch = reader.facts, selection.networks[0].arch
    source = study_init(facts) if init is None else None if init == "random" else init
    name, recipe, notes = choose_recipe(facts, arch.task, recipe_name, settings, init=source)
    images = select_images(data, path, known=study_images(facts, arch.task))
    with process_group(device) as group:
        used = group.device
    with progress_bar() as bar:
        setup = prepare(
            *([network.arch for network in selection.networks], name, recipe, images),
            init=source,
            teacher=teacher,
            device=used,
            warmup_given=warmup_given(settings),
            progress=bar,
        )
    if init is None:
        check_study_init(facts, setup.conditions)
    print_data_notes(setup.data)
    notes += (f"initial weights from {source}",) if source else ()
    if (used_before := facts.settings.get("proxy", {}).get("teacher")) and teacher is None:
        notes += (f"the study's candidates learned from {used_before} too; here --teacher does that",)
    return replace(setup, notes=(*notes, *setup.notes))


def _job(reader: "Reader", selection: "Selection", setup: "Setup", seeds: int) -> "ValidationJob":
    """The validation with at least as many rounds as all of its networks have finished already."""
    from dataclasses import replace

    from mvsearch.validation.folder import validation_folder
    from mvsearch.validation.job import ValidationJob

    root = validation_folder(reader)
    job = ValidationJob(reader.name, selection.networks, setup.conditions, seeds, root)
    finished = min(len(by_seed) for by_seed in job.results().values())
    return replace(job, rounds=max(seeds, finished))


def _introduce(job: "ValidationJob", notes: tuple[str, ...], seeds: int) -> None:
    """What is trained, and how, before it starts."""
    conditions, screen = job.conditions, console(stderr=True)
    epochs = conditions.recipe.epochs
    candidates = [network.name for network in job.networks if network.is_candidate]
    baselines = [network.name for network in job.networks if not network.is_candidate]
    screen.print(
        f"{', '.join(candidates)} against {', '.join(baselines)}: up to {plural(job.rounds, 'seed')} of recipe "
        f"{conditions.recipe_name}, {plural(epochs, 'epoch')} of {conditions.train_images:,} images of "
        f"{conditions.data_name}, in {job.folder}. Ctrl-C stops; the same command resumes."
    )
    for note in notes:
        screen.print(f"{note}.", style="dim")
    if job.rounds > seeds:
        screen.print(f"{job.rounds} seeds are finished, and all of them are used; --seeds is {seeds}.", style="yellow")
    others = sorted(path.name for path in job.root.glob("*/") if path != job.folder)
    if others:
        screen.print(f"Trainings under other conditions are kept apart: {', '.join(others)}.", style="dim")


def _devices(device: str | None, workers: int | None) -> list[str]:
    """The device of each worker: all GPUs in turn, or one of them, or a core each."""
    import os

    import torch

    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if device in (None, "cuda") else []
    if device not in (None, "cpu", "cuda"):
        gpus = [device]
    if not gpus:
        return ["cpu"] * (workers or min(16, os.cpu_count() or 1))
    return [gpus[i % len(gpus)] for i in range(workers or len(gpus))]


def _run(job: "ValidationJob", work: Any) -> None:
    """Train, show the progress, and write the outcome each time a training is finished."""
    import signal

    from mvsearch.cli._validation_progress import ValidationProgress

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system that ends a job acts as Ctrl-C does
    with ValidationProgress(job) as display:

        def callback(progress: Any) -> None:
            display(progress)
            if progress.finished:
                _write(job)

        work(callback)


def _write(job: "ValidationJob") -> "Validation":
    from filelock import FileLock

    from mvsearch.validation.document import write_validation
    from mvsearch.validation.outcome import Validation

    with FileLock(job.folder / "lock"):  # else an earlier state of another command may be written last
        validation = Validation.of(job)
        write_validation(validation, job)
    return validation


def _draw(validation: "Validation", path: Path, theme: str = "light") -> None:
    from mvsearch.report.figures.palette import THEMES
    from mvsearch.report.figures.validation import validation_figure
    from mvsearch.report.figures.validation_plot import plot_validation

    plot_validation(validation_figure(validation), path, THEMES[theme])


def _to_json(validation: "Validation", job: "ValidationJob") -> dict[str, Any]:
    from mvsearch.validation.document import to_document

    return to_document(validation) | {"folder": str(job.folder)}


def _print(validation: "Validation", job: "ValidationJob") -> None:
    from mvsearch.report.validation_table import validation_table
    from mvsearch.validation.verdict import notes, verdict

    screen = console()
    screen.print(validation_table(validation))
    screen.print(verdict(validation), style="bold")
    for note in notes(validation):
        screen.print(note, style="dim")
    screen.print(
        f"{duration(validation.cpu_seconds)} of CPU time in all; weights, results and {_FIGURE} in {job.folder}.",
        style="dim",
    )
