"""Working on a study, as `run` and `worker` do: everything ready first, then shown as it goes."""

import signal
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import click

from mvsearch.cli._print import console

if TYPE_CHECKING:
    from mvsearch.study.executors.ray import Share
    from mvsearch.study.plan import Plan


def prepare(plan: "Plan") -> None:
    """All that can go wrong on this machine before the first candidate goes wrong here: images, device."""
    from rich.progress import Progress

    from mvsearch.study.evaluator import latency_device, load_data

    if plan.uses_metric("latency_ms"):
        latency_device(plan)
    if plan.needs_proxy:
        screen = console(stderr=True)
        with Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
            data = load_data(plan, progress)
        if data.skipped:
            click.echo(f"{data.name}: {data.skipped} broken images were passed over.", err=True)


def search(plan: "Plan") -> None:
    """Work on a study, which must be there, until it is done, with processes of this machine."""
    from mvsearch.study.executors import local

    _shown(plan, local.run, local.workers_for(plan))


def search_with_ray(plan: "Plan", share: "Share", slots: int) -> None:
    """The same on the Ray cluster that is connected, with as many tasks at a time as the plan says, or as have room."""
    from mvsearch.study.executors import ray

    _shown(plan, partial(ray.run, share=share), plan.search.workers or slots)


def _shown(plan: "Plan", run: Callable[..., bool], workers: int) -> None:
    from mvsearch.cli._watch import Watching
    from mvsearch.study.study import Study

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what ends a job is heard as Ctrl-C is
    reader = Study.read(plan)
    place = str(plan.folder) if plan.storage is None else reader.store.shown
    with Watching(plan, place, reader.count(), workers, console(stderr=True)) as watching:
        exhausted = run(plan, reader, watching, workers=workers)
    if exhausted:
        click.echo("every candidate inside the conditions and limits that could be found is known by now.", err=True)
