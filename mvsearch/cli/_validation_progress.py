"""The progress of a validation on stderr: a bar for each training, what is left, and the results so far."""

import time
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.text import Text

from mvsearch.cli._progress import Display
from mvsearch.cli._wait import tell_of_wait
from mvsearch.metrics.formatting import pretty
from mvsearch.utils.text import plural
from mvsearch.utils.units import duration

if TYPE_CHECKING:
    from mvsearch.validation.executor import Progress
    from mvsearch.validation.job import ValidationJob
    from mvsearch.validation.rounds import Training

_LINE_INTERVAL_S = 60.0
"""Seconds between two lines about the trainings where there is no terminal."""


class ValidationProgress(Display):
    """A validation: called with its progress as often as you like."""

    def __init__(self, job: "ValidationJob") -> None:
        super().__init__(TextColumn("{task.description}"), BarColumn(None), MofNCompleteColumn(), TextColumn("steps"))
        self.job = job
        self.last_line_time = time.monotonic()
        self.stopped: set[str] = set()

    def __call__(self, progress: "Progress") -> None:
        """Show how far it is."""
        if any(at.waiting for at in progress.running.values()):  # only for other commands: its trainings run together
            tell_of_wait(True)
        for training in progress.finished:
            self.console.print(self._finished_line(training))
        for name, stop in progress.schedule.stops.items():
            if name not in self.stopped:
                self.stopped.add(name)
                self.console.print(f"{name} stops after {stop.rounds} seeds: it is clearly behind {stop.behind}.")
        if self.is_live:
            self._draw(progress)
        elif progress.running and time.monotonic() - self.last_line_time > _LINE_INTERVAL_S:
            self.last_line_time = time.monotonic()
            self.console.print(_describe_rest(progress))

    def _finished_line(self, training: "Training") -> str:
        result, (name, seed) = self.job.result(training) or {}, training
        score = pretty(self.job.metric, result.get(self.job.metric))
        return f"{name}, seed {seed}: {score} on the test part ({duration(result.get('cpu_seconds', 0.0))} of CPU time)"

    def _draw(self, progress: "Progress") -> None:
        for task in self.bars.tasks:
            self.bars.remove_task(task.id)
        for (name, seed), at in progress.running.items():
            loss = "" if at.loss is None else f", loss {at.loss:.3f}"
            self.bars.add_task(f"{name}, seed {seed}{loss}", total=at.steps or None, completed=at.step)
        parts: list[RenderableType] = [self.bars, Text(_describe_rest(progress))]
        self.draw(*parts)


def _describe_rest(progress: "Progress") -> str:
    schedule, running = progress.schedule, progress.running
    trainings = len(schedule.next) + len(schedule.later)
    at_step = {each: f"{at.step:,}/{at.steps:,}" if at.steps else "starts" for each, at in running.items()}
    steps = ", ".join(f"{name} seed {seed} {text}" for (name, seed), text in at_step.items())
    left = "" if progress.left_s is None else f", at most {duration(progress.left_s)}"
    waiting = "" if running else ", which other commands train"
    return f"left: {plural(trainings, 'training')}{left}{waiting}{f' ({steps})' if steps else ''}"
