"""The progress of a long command on stderr: a live display on a terminal, plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from mvsearch.cli._output import console, table
from mvsearch.cli._wait import tell_of_wait
from mvsearch.metrics.constraints import join_limits
from mvsearch.metrics.formatting import image_sizes, pretty, with_error
from mvsearch.metrics.registry import metric
from mvsearch.utils.text import plural
from mvsearch.utils.units import duration

if TYPE_CHECKING:
    from mvsearch.arch.architecture import Architecture
    from mvsearch.metrics.record import Record
    from mvsearch.proxy_eval.benchmark import ScoreCallback
    from mvsearch.study.executors.progress import StudyProgress
    from mvsearch.study.plan import Plan
    from mvsearch.study.time_left import TimeLeft
    from mvsearch.training.trainer import EpochResult, StepResult

_LEFT = (TextColumn("left:"), TimeRemainingColumn())
_FRONT_ROWS = 12
_EPOCH_ROWS = 8
_LINE_INTERVAL_S = 30.0
"""Seconds between two lines about a training where there is no terminal."""
_LONG_S = 60.0
"""The time that is left, above which it is a line of its own where there is no terminal."""
_RATE_STEPS = 200
"""The number of last steps that images a second are averaged over."""
_WAITING_CALLS = 5
"""Calls in a row at which all workers wait for the machine, after which another command has it: they take turns."""


class ProgressBar(Progress):
    """A progress bar of rich that is also a progress callback of the package: each step gets a bar of its own."""

    def __call__(self, done: float, total: float | None, step: str = "", /) -> None:
        """Show how much of a step is done."""
        task = next((task.id for task in self.tasks if task.description == step), None)
        if task is None:
            task = self.add_task(step, total=total)
        self.update(task, completed=done, total=total)


def progress_bar(*columns: ProgressColumn) -> ProgressBar:
    """A progress bar, to be used as a context manager. It is shown on a terminal only."""
    screen = console(stderr=True)
    return ProgressBar(*columns, console=screen, transient=True, disable=not screen.is_terminal)


class Display(AbstractContextManager["Display"]):
    """The base of the displays below: `bars` and whatever `draw` puts around them, if stderr is a terminal."""

    def __init__(self, *columns: ProgressColumn, screen: Console | None = None, refresh_per_second: float = 4) -> None:
        self.console = screen or console(stderr=True)
        self.bars = Progress(*columns, console=self.console, expand=True)
        self.is_live = self.console.is_terminal
        self._live = Live(self.bars, console=self.console, refresh_per_second=refresh_per_second, transient=True)

    def __enter__(self) -> Self:
        if self.is_live:
            self._live.start(refresh=True)
        return self

    def __exit__(self, *error: object) -> None:
        if self.is_live:
            self._live.stop()

    def draw(self, *parts: RenderableType) -> None:
        """Show these parts, one below the other, instead of the bars alone."""
        self._live.update(Group(*parts))


class Steps(Display):
    """The current step of a command, e.g. `exporting to onnx`, or its rounds, `word` for one. A progress callback."""

    def __init__(self, word: str = "round") -> None:
        self.word, self.start_time = word, 0.0
        # A file descriptor of its own: exporters silence the usual one while a converter prints.
        self.file = os.fdopen(os.dup(2), "w", encoding=sys.stderr.encoding, errors="backslashreplace")
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        # A low refresh rate, so that drawing does not disturb what is timed meanwhile.
        super().__init__(*columns, screen=Console(file=self.file), refresh_per_second=2)
        self.task = self.bars.add_task("starting", total=None)

    def __call__(self, done: float, total: float | None, step: str = "", /) -> None:
        """Show a step; one with a total is shown as a bar of rounds, and as five lines in all without a terminal.

        Where the first round shows that minutes are left, they are a line of their own.
        """
        if total is None:
            self.show(step)
            return
        rounds = int(total)
        step = f"{step}, {self.word} {int(done) + 1} of {rounds}"
        if done == 0:
            self.start_time = time.monotonic()
        elif done == 1 and not self.is_live:
            left_s = (rounds - 1) * (time.monotonic() - self.start_time)
            if left_s > _LONG_S:
                self.show(f"about {duration(left_s)} left for {rounds - 1} {self.word}s")
        if self.is_live:
            self.bars.columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), *_LEFT)
            self.bars.update(self.task, description=step, completed=done, total=rounds)
        elif done % -(-rounds // 5) == 0:
            self.show(step)

    def show(self, step: str) -> None:
        """Show a step of which nothing but its name is known."""
        if self.is_live:
            self.bars.update(self.task, description=step)
        else:
            print(step, file=self.file, flush=True)

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.file.close()


class DelayedBar(AbstractContextManager["DelayedBar"]):
    """A bar that appears once the command has run for two seconds.

    Called with how much is done, the total, and the step in words.
    """

    def __init__(self, description: str) -> None:
        step = TextColumn("{task.fields[step]}", style="dim")
        self.bar = progress_bar(TextColumn(description), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), step)
        self.task = self.bar.add_task("", total=None, step="")
        self.start_time = time.perf_counter()

    def __call__(self, done: float, total: float | None, step: str = "", /) -> None:
        """Show how much is done."""
        if not self.bar.live.is_started and time.perf_counter() - self.start_time > 2:
            self.bar.start()
        self.bar.update(self.task, completed=done, total=total, step=step)

    def __exit__(self, *error: object) -> None:
        self.bar.stop()


class ProxyProgress(Display):
    """Scoring reference models with proxies: a bar for each proxy, with the time that remains for it."""

    def __init__(self, proxies: Sequence[str], archs: "Mapping[str, Architecture]", seeds: int) -> None:
        from mvsearch.proxy_eval.benchmark import distinct_networks

        doing = TextColumn("{task.fields[doing]}", style="dim")
        super().__init__(TextColumn("[bold]{task.description}"), BarColumn(), TaskProgressColumn(), *_LEFT, doing)
        self.bars.speed_estimate_period = 600
        # Time grows more slowly than MACs (trainings of 18, 37 and 62 s at 0.33, 0.97 and 1.83 G).
        self.work = {name: arch.cost().macs + 3e8 for name, arch in distinct_networks(archs).items()}
        total = seeds * sum(self.work.values())
        self.tasks = {name: self.bars.add_task(name, total=total, start=False, doing="") for name in proxies}

    def callback(self, proxy: str) -> "ScoreCallback":
        """The callback for one proxy: called with a model, a seed, and the share of its score that is computed."""
        task, finished = self.tasks[proxy], 0.0
        self.bars.start_task(task)

        def update(name: str, seed: int, share: float) -> None:
            nonlocal finished
            doing = f"{name}, seed {seed}"
            self.bars.update(task, completed=finished + share * self.work[name], doing=doing if share < 1 else "")
            if share == 1:
                finished += self.work[name]
            elif share == 0 and not self.is_live:
                self.console.print(f"{proxy}: {doing}")

        return update


class SearchProgress(Display):
    """A search: trials, what the workers do, and the front. Called with the study's progress as often as you like.

    Where `time_left` is set, the time that is left is shown from the first trial on. `whole`: no point within the
    limits is left after it.
    """

    def __init__(self, plan: "Plan", location: str, finished: int, workers: int, *, whole: bool = False) -> None:
        columns = (MofNCompleteColumn(), TextColumn("{task.fields[tally]}"), TimeElapsedColumn())
        self.time_left: TimeLeft | None = None
        self.waiting_calls = 0
        super().__init__(TextColumn("[bold]{task.description}"), BarColumn(bar_width=None), *columns)
        self.plan = plan
        self.task = self.bars.add_task(plan.name, total=plan.search.trials, completed=finished, tally="")
        self.heading = Text.assemble(
            "study ",
            (plan.name, "bold"),
            f" in {location}: {plural(plan.search.trials, 'trial')}"
            f"{f', {finished} of them finished' if finished else ''}"
            f"{', every point of the space within its limits' if whole else ''}, "
            f"sampler {plan.search.sampler}, objectives {', '.join(o.name for o in plan.objectives)}, "
            f"limits {join_limits(plan.limits)}, "
            f"{plural(workers, 'worker')}. Ctrl-C stops; run the same command to resume.",
        )

    def __enter__(self) -> Self:
        self.console.print(self.heading)
        return super().__enter__()

    def __call__(self, progress: "StudyProgress", new: "list[Record]", statuses: list[dict[str, Any]]) -> None:
        """Show how the study stands; `new` are the trials finished or re-evaluated since the last call."""
        from mvsearch.study.reevaluation import replicates

        waiting = statuses and all(status.get("waiting") for status in statuses)
        self.waiting_calls = self.waiting_calls + 1 if waiting else 0
        if self.waiting_calls == _WAITING_CALLS:
            tell_of_wait(True)
        left = ""
        if self.time_left and progress.count < self.plan.search.trials:
            left = f", {duration(self.time_left.update(progress.count, new, statuses))} left"
        if self.is_live:
            states = progress.states
            tally = f"{states['complete']} complete, {states['pruned']} pruned, {states['failed']} failed{left}"
            self.bars.update(self.task, completed=progress.count, tally=tally)
            self.draw(*self._parts(progress.front, statuses))
            return
        finished = [record for record in new if len(replicates(record)) == 1]
        for done, record in enumerate(finished, 1 + progress.count - len(finished)):
            self.console.print(self._trial_line(record, done, left if done == progress.count else ""))
        for record in new:
            if (measurements := len(replicates(record))) > 1:
                values = f"{self._values(record)} over {measurements} measurements"
                self.console.print(f"[front] trial {record.number} {record.published or record.key}: {values}")

    def _values(self, record: "Record") -> str:
        names = [objective.name for objective in self.plan.objectives]
        sizes = {name: f" at {size}" for name, size in image_sizes(names, [record]).items()}
        return ", ".join(f"{name} {with_error(name, record.metrics)}{sizes.get(name, '')}" for name in names)

    def show_step(self, step: str) -> None:
        """Show what is done before the first trial."""
        self.bars.update(self.task, tally=step)

    def show_time(self, time_left: "TimeLeft", words: str) -> None:
        """Show from now on what is left; `words` say it once."""
        self.time_left = time_left
        self.console.print(words)

    def guess_time(self) -> None:
        """Show from now on what is left at the rate of the trials so far."""
        self.bars.columns = (*self.bars.columns, *_LEFT)

    def _trial_line(self, record: "Record", done: int, left: str) -> Text:
        name = record.published or record.key
        result = self._values(record) if record.state == "complete" else f"{record.state}: {record.reason}"
        source = " (cached)" if record.cached else f" ({record.seconds:.0f} s)"
        return Text(f"[{done}/{self.plan.search.trials}] trial {record.number} {name}: {result}{source}{left}")

    def _parts(self, front: "list[Record]", statuses: list[dict[str, Any]]) -> list[RenderableType]:
        from mvsearch.report.table import front_table

        running = [Text(_status_line(status), style="dim") for status in statuses if "number" in status]
        parts: list[RenderableType] = [self.bars, *running]
        if front:
            parts.append(front_table(front, front[:_FRONT_ROWS], self.plan.objectives, caption=""))
        if len(front) > _FRONT_ROWS:
            parts.append(Text(f"... and {len(front) - _FRONT_ROWS} more on the front", style="dim"))
        return parts


def _status_line(status: dict[str, Any]) -> str:
    of = f" {status['done']}/{status['of']}" if status.get("of") else ""
    trial = "" if status["number"] is None else f"trial {status['number']} "
    waiting = ", waiting for the machine" if status.get("waiting") else ""
    return f"  {trial}{status['name']}: {status.get('doing') or 'starting'}{of}{waiting}"


class TrainingProgress(Display):
    """A whole training: loss, score, images a second and the time that remains."""

    def __init__(self, steps: int, epochs: int, first_step: int, part: str) -> None:
        super().__init__(BarColumn(None), MofNCompleteColumn(), TextColumn("steps"), TimeElapsedColumn())
        self.steps, self.epochs, self.part = steps, epochs, part
        self.task = self.bars.add_task("", total=steps, completed=first_step)
        self.history: list[tuple[float, int, int]] = [(time.monotonic(), first_step, 0)]
        """Time, step and images so far, of the last steps."""
        self.results: list[EpochResult] = []
        self.loss: float | None = None
        self.last_line_time = time.monotonic()

    def step(self, step: "StepResult") -> None:
        """Show a finished step."""
        self.loss = step.loss if self.loss is None else 0.95 * self.loss + 0.05 * step.loss
        self.history.append((time.monotonic(), step.step, self.history[-1][2] + step.images))
        del self.history[: -_RATE_STEPS - 1]
        if self.is_live:
            self.bars.update(self.task, completed=step.step)
            self.draw(self._line(step), self.bars, self._table())
        elif time.monotonic() - self.last_line_time > _LINE_INTERVAL_S:
            self.last_line_time = time.monotonic()
            self.console.print(self._line(step))

    def epoch(self, result: "EpochResult") -> None:
        """Show the result of a finished epoch."""
        self.results.append(result)
        self.history.append((time.monotonic(), result.step, self.history[-1][2]))
        if not self.is_live:
            self.console.print(f"epoch {result.epoch}/{self.epochs}: {self._score(result)}, loss {result.loss:.3f}")

    def _line(self, step: "StepResult") -> Text:
        (start, first, images), (now, last, more) = self.history[0], self.history[-1]
        rate = (more - images) / max(now - start, 1e-9)
        left = (self.steps - step.step) * (now - start) / max(1, last - first)
        text = f"epoch {step.epoch}/{self.epochs}, step {step.step:,}/{self.steps:,}: loss {self.loss:.3f}"
        if self.results:
            text += f", {self._score(self.results[-1])}"
        return Text(f"{text}, {rate:,.0f} images/s, {duration(left)} left")

    def _table(self) -> Any:
        if not self.results:
            return Text("the averaged weights are evaluated after each epoch", style="dim")
        rows = table("epoch", "step", "loss", metric(self.results[-1].metric).label_on(self.part), numbers_from=0)
        for result in self.results[-_EPOCH_ROWS:]:
            rows.add_row(
                str(result.epoch), f"{result.step:,}", f"{result.loss:.3f}", pretty(result.metric, result.score)
            )
        return rows

    def _score(self, result: "EpochResult") -> str:
        return f"{metric(result.metric).label_on(self.part)} {pretty(result.metric, result.score)}"
