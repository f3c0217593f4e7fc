"""`mvsearch init`: write a first space file for a folder of images and a budget."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._completion import complete_data
from mvsearch.cli._help import Command
from mvsearch.cli._output import console, force_option, json_option, print_json

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

    from mvsearch.study.first_settings import Chosen
    from mvsearch.study.first_space import FirstSpace, Photographs

_LISTED = 3


@click.command(
    cls=Command,
    examples=[
        "mvsearch init --data /my/images",
        "mvsearch init --data /my/images --budget params=1.5M -o my.yaml",
    ],
)
@click.option("--data", required=True, shell_complete=complete_data, help="A folder of images, or a data source.")
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    metavar="COST=VALUE",
    help="The most that a network may cost: params=1.5M, macs=300M, latency_ms=10, ... Repeatable; default: twice the "
    "parameters of the smallest published model.",
)
@click.option(
    "--image-size",
    type=click.IntRange(min=1),
    help="Side of the images in pixels; default: the median shorter side, at most 224.",
)
@click.option(
    "--minutes", type=click.FloatRange(min=1), default=30, show_default=True, help="How long the search may take."
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="The file to write; default: named as the folder."
)
@force_option
@json_option
def init(
    data: str,
    budgets: tuple[str, ...],
    image_size: int | None,
    minutes: float,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write a first space file for your images.

    `mvsearch run` searches the file as it is. Every value has its reason beside it: the number of classes, the size of
    the images, the limits, the published models within them, and how candidates are trained so that the search ends in
    --minutes on this machine, for which some training steps are timed. A budget that no network can meet is refused,
    with the lowest cost that one can have.
    """
    from mvsearch.cli._progress import progress_bar
    from mvsearch.study.first_checks import check_budgets, plan_time
    from mvsearch.study.first_space import FirstSpace, read_budget
    from mvsearch.study.settings import study_name
    from mvsearch.utils.atomic_write import refuse_existing, write_whole

    limits = tuple({limit.side: limit for limit in map(read_budget, budgets)}.values())
    name = study_name(output.stem if output else Path(data).resolve().name)
    file = output or Path(f"{name}.yaml")
    refuse_existing(file, force=force)
    with progress_bar(*_step_columns()) as progress:
        progress(0, None, "read the folder")
        images, notes = _look_at(data)
        first = FirstSpace(name, images, _image_size(image_size, images), limits, backend=_backend())
        first = first if limits else first.with_default_budget()
        measuring_s = check_budgets(first, progress)
        first = replace(first, schedule=plan_time(first, measuring_s, minutes, progress))
    first.plan(str(file))  # as `run` reads it
    write_whole(file, first.text().encode())
    if as_json:
        print_json(_to_json(first, file))
    else:
        _print(first, file, notes)


def _image_size(given: int | None, images: "Photographs") -> "Chosen":
    from mvsearch.study.first_settings import SIDES, Chosen, choose_image_size

    if given is None:
        return choose_image_size(images.side)
    enlarged = f"; the images are enlarged, their median shorter side is {images.side:,.0f} px"
    if given < SIDES[0]:
        return Chosen(SIDES[0], f"the smallest that there is; {given} was given")
    return Chosen(given, f"given{enlarged if given > images.side else ''}")


def _step_columns() -> "tuple[ProgressColumn, ...]":
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    return SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()


def _look_at(data: str) -> "tuple[Photographs, Sequence[str]]":
    """The images in short, and what was left out or assumed; no image of a folder is decoded."""
    from mvsearch.data import check_task, find_encoded, find_source, load, median_side
    from mvsearch.study.first_space import Photographs

    source = find_source(data)
    check_task(source.source, "classification")
    if source.path is None:
        known = load(source.source)
        side = min(known.train.pixels.shape[1:3])
        return Photographs(source, len(known.train.labels), len(known.train.classes), side), known.assumptions
    _refuse_scenes(Path(source.path))
    found = find_encoded(Path(source.path))
    unopened = f"images were counted, not opened: `mvsearch data check {shlex.quote(data)}` finds broken ones"
    skipped = [f"skipped {entry.count:,} {entry.reason} ({entry.example})" for entry in found.skipped]
    images = Photographs(source, len(found.train), len(found.train.classes), median_side(found.train))
    return images, (*skipped, *found.assumptions, unopened)


def _refuse_scenes(folder: Path) -> None:
    """Raises DataError for a folder of scenes with masks or boxes."""
    from mvsearch.data import scene_source
    from mvsearch.errors import DataError

    if found := scene_source(folder):
        source, task = found
        raise DataError(
            f"these are scenes for {task}, and `init` is for classification; copy spaces/{task}.yaml and set "
            f"`data: {{source: {source}, path: {folder}}}`.",
            at=folder,
        )


def _backend() -> tuple[str, str]:
    """The runtime that latency is measured with, and why."""
    from mvsearch.profiling.latency import load_backend

    if load_backend("onnxruntime").missing_packages()[1]:
        return "torch_cpu", "onnxruntime is not installed"
    return "onnxruntime", "the file that `mvsearch export --to onnx` writes; or torch_cpu, openvino, ..."


def _to_json(first: "FirstSpace", file: Path) -> dict[str, Any]:
    assert first.schedule is not None
    return {
        "file": str(file),
        "study": first.name,
        "limits": [limit.text for limit in first.limits],
        "contains": list(first.within_reach),
        "trials": first.schedule.trials,
        "seconds": round(first.schedule.seconds, 1),
        "workers": first.schedule.workers,
        "settings": [line._asdict() for line in first.lines()],
    }


def _print(first: "FirstSpace", file: Path, notes: "Sequence[str]") -> None:
    assert first.schedule is not None
    screen, schedule = console(), first.schedule
    screen.print(f"{first.images.words}.")
    for note in notes:
        screen.print(f"{note}.", style="yellow")
    for line in first.lines():
        if line.reason:
            name = f"{line.section}.{line.key}" if line.section else line.key
            screen.print(f"{name} {line.value}: {line.reason}")
    known = first.within_reach
    screen.print(f"contains {', '.join(known) or 'no published model: all are beyond the limits'}")
    screen.print(
        f"wrote {file}. `mvsearch run {file}` takes about {schedule.time_words} on this machine: {schedule.trials} "
        f"trials, {schedule.workers} workers, by the time of some real training steps, when nothing else runs."
    )
