"""Running a study, shared by `run` and `worker`: check this machine first, then search and show the progress."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import click

from mvsearch.cli._output import print_data_notes
from mvsearch.utils.text import join_words

if TYPE_CHECKING:
    from mvsearch.cli._progress import SearchProgress
    from mvsearch.data import DataSet
    from mvsearch.proxies import HeldOut
    from mvsearch.study.candidate import Candidate
    from mvsearch.study.executors.ray import ResourceShare
    from mvsearch.study.plan import Plan
    from mvsearch.study.reader import Reader

_DRAWN = 32
"""Networks of the space that are compared with a trained one that they start from."""


def prepare(plan: "Plan") -> list[str]:
    """Load the images and detect the device, so that errors of this machine come before the first trial.

    Returns notes on the images and on what a trial consists of, to be printed once nothing can be refused any more.
    """
    from mvsearch.cli._progress import progress_bar
    from mvsearch.cli._trial_conditions import trial_conditions
    from mvsearch.study.evaluator import load_data, measured_devices

    measured_devices(plan)
    if not plan.needs_proxy:
        return [*trial_conditions(plan, None)]
    with progress_bar() as progress:
        data = load_data(plan, progress)
    print_data_notes(data)
    held_out = _held_out(plan, data)
    return [*_training_notes(plan, data, held_out), *trial_conditions(plan, data, held_out)]


def _held_out(plan: "Plan", data: "DataSet") -> "HeldOut | None":
    from mvsearch.proxies import load_proxy

    proxy = load_proxy(plan.proxy.name)
    return proxy.held_out(plan.space.head.task, plan.proxy_settings(), data) if proxy.held_out else None


def _training_notes(plan: "Plan", data: "DataSet", held_out: "HeldOut | None") -> list[str]:
    """How the images differ from what the file says of them, and which trained networks are used."""
    from mvsearch.cli._trial_conditions import classes_note
    from mvsearch.data import load_source
    from mvsearch.proxies import load_proxy

    notes, proxy, space, settings = [], load_proxy(plan.proxy.name), plan.space, plan.proxy_settings()
    if proxy.weights and (weights := proxy.weights(space.head.task, settings, data)):
        notes.append(f"scores depend on trained networks: {weights}")
    if proxy.check:
        drawn = [space.architecture(space.point(codes)) for codes in space.sample(_DRAWN, 0)]
        notes += proxy.check(drawn, settings, data)
    side, wanted = data.train.pixels.shape[1], getattr(settings, "image_size", 0)
    if side < wanted and load_source(plan.data.source).size is None:
        advice = f"data: {{size: {wanted}}} decodes them at that size"
        notes.append(f"images are decoded at {side} px and enlarged to the {wanted} px of the proxy; {advice}.")
    if held_out and held_out.reduced:
        notes.append(f"{held_out.words} are held out to compute scores on.")
    return [*notes, *classes_note(plan, data.train.classes)]


def join(plan: "Plan", notes: Sequence[str] = ()) -> "Plan":
    """Create the study, or join it and print notes, what this run changes of it, and which trials it repeats.

    Returns the plan as the study has it.
    """
    from mvsearch.metrics.constraints import join_limits
    from mvsearch.study.proxy_scope import scope_note
    from mvsearch.study.storage.faults import retry_while_unavailable
    from mvsearch.study.study import Study

    study = Study.join(plan)
    scope, target = scope_note(study.plan), study.plan.target
    goal = f"{study.plan.search.objectives[0]} is the only objective, within {join_limits(study.plan.limits)}."
    sought = [f"to beat {target.name}: {goal}"] if target else []
    for line in (
        *notes,
        *sought,
        *([scope] if scope else []),
        *(f"study {plan.name}: {change}" for change in study.changes),
        *_interrupted_note(retry_while_unavailable(study.scheduler.interrupted)),
    ):
        click.echo(line, err=True)
    return study.plan


def _interrupted_note(candidates: "Sequence[Candidate]") -> list[str]:
    """Which trials are repeated; their networks have the same names under the new numbers."""
    names = [f"{candidate.number} ({candidate.name})" for candidate in candidates]
    if len(names) > 1:
        return [f"trials {join_words(names)} were interrupted and are repeated under new numbers."]
    return [f"trial {name} was interrupted and is repeated under a new number." for name in names]


def check_weights(plan: "Plan") -> None:
    """Raises StudyError if the scores of a finished study depend on other trained networks than the files have now.

    The workers of an unfinished one check this themselves.
    """
    from mvsearch.proxies import load_proxy
    from mvsearch.study.evaluator import load_data
    from mvsearch.study.study import Study

    reader, proxy = Study.read(plan), load_proxy(plan.proxy.name) if plan.needs_proxy else None
    if proxy and proxy.weights and reader.facts.weights and reader.count() >= plan.search.trials:
        weights = proxy.weights(plan.space.head.task, plan.proxy_settings(), load_data(plan))
        reader.facts.pin({"weights": weights})


def search(plan: "Plan") -> None:
    """Run an existing study to its end with worker processes on this machine."""
    from mvsearch.study.evaluator import measured_devices
    from mvsearch.study.executors import local
    from mvsearch.study.facts import device_fact
    from mvsearch.study.study import Study

    reader = Study.read(plan)
    if reader.count() < plan.search.trials:  # the workers refuse another device too, but after a trial was timed
        reader.facts.pin({device_fact(name): device for name, device in measured_devices(plan).items()})
    _run(plan, local.run, local.workers_for(plan), local.device_for(plan))


def search_with_ray(plan: "Plan", share: "ResourceShare", slots: int) -> None:
    """Run an existing study to its end on the connected Ray cluster, by default with a task in each slot."""
    from mvsearch.study.executors import ray

    _run(plan, partial(ray.run, share=share), plan.search.workers or slots)


def _run(plan: "Plan", run: Callable[..., bool], workers: int, trial_device: str | None = None) -> None:
    """`trial_device` is where trials run on this machine; None if they run on others, which are not timed."""
    from mvsearch.cli._progress import SearchProgress
    from mvsearch.study.study import Study

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system that ends a job acts as Ctrl-C does
    reader = Study.read(plan)
    location = str(plan.folder) if plan.storage is None else reader.store.display_url
    finished, whole = reader.count(), False
    if plan.all_points is not None:  # records are read only where points can be counted
        whole = plan.search.trials >= finished + (plan.untried(reader.records()) or 0)
    with SearchProgress(plan, location, finished, workers, whole=whole) as progress:
        if trial_device is None or not _show_time(plan, reader, progress, trial_device, workers):
            progress.guess_time()
        with _answer_interrupts():
            exhausted = run(plan, reader, progress, workers=workers)
    if exhausted:
        click.echo("No new candidate within the conditions and limits could be found.", err=True)


@contextmanager
def _answer_interrupts() -> Iterator[None]:
    """Say at once that the workers are stopped, which can take seconds."""

    def stop(*_: object) -> None:
        os.write(2, b"\nstopping the workers\n")  # click.echo may be what was interrupted
        raise KeyboardInterrupt

    default = signal.default_int_handler
    answered = [each for each in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(each) is default]
    try:
        for each in answered:
            signal.signal(each, stop)
        yield
    finally:
        for each in answered:
            signal.signal(each, default)


def _show_time(plan: "Plan", reader: "Reader", progress: "SearchProgress", device: str, workers: int) -> bool:
    """Print how long a trial takes before the first one, unless trials only compute costs; whether it was printed."""
    from mvsearch.cli._trial_conditions import time_words
    from mvsearch.study.evaluator import load_data
    from mvsearch.study.time_left import TimeLeft
    from mvsearch.study.trial_time import estimate

    finished = reader.count()
    progress.show_step("timing a trial")
    trial = estimate(plan, reader, load_data(plan) if plan.needs_proxy else None, device)
    if trial is None:
        return False
    left = TimeLeft(trial, plan, reader, workers)
    trials, left_s = plan.search.trials - finished, left.update(finished, (), ())
    progress.show_time(left, time_words(trial, trials, left_s, workers, left.measurements))
    return True
