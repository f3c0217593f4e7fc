"""A training as it runs: on a terminal a moving picture, elsewhere a line now and then; on stderr."""

import time
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from mvsearch.cli._print import console, table
from mvsearch.utils.units import pretty, unit

if TYPE_CHECKING:
    from mvsearch.training.job import EpochResult, Step

_SHOWN, _SECONDS, _RATED = 8, 30.0, 200


class TrainingWatch:
    """Told of each step and epoch; shows loss, score, images a second and the time left."""

    def __init__(self, steps: int, epochs: int, begun: int) -> None:
        self.steps, self.epochs = steps, epochs
        self.console = console(stderr=True)
        columns = (BarColumn(None), MofNCompleteColumn(), TextColumn("steps"), TimeElapsedColumn())
        self.bar = Progress(*columns, console=self.console, expand=True)
        self.task = self.bar.add_task("", total=steps, completed=begun)
        self.live = Live(console=self.console, refresh_per_second=4)
        self.times: list[tuple[float, int, int]] = [(time.monotonic(), begun, 0)]
        self.judged: list[EpochResult] = []
        self.loss: float | None = None
        self.last: Step | None = None
        self.said = time.monotonic()

    def __enter__(self) -> "TrainingWatch":
        if self.console.is_terminal:
            self.live.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        if self.console.is_terminal:
            self.live.__exit__(*raised)

    def step(self, done: "Step") -> None:
        """A step more."""
        self.loss = done.loss if self.loss is None else 0.95 * self.loss + 0.05 * done.loss
        self.times.append((time.monotonic(), done.step, self.times[-1][2] + done.images))
        del self.times[: -_RATED - 1]
        self.last = done
        if self.console.is_terminal:
            self.bar.update(self.task, completed=done.step)
            self._draw(done)
        elif time.monotonic() - self.said > _SECONDS:
            self.said = time.monotonic()
            self.console.print(self._line(done))

    def epoch(self, judged: "EpochResult") -> None:
        """An epoch more."""
        self.judged.append(judged)
        self.times.append((time.monotonic(), judged.step, self.times[-1][2]))
        if self.console.is_terminal and self.last:
            self._draw(self.last)
        elif not self.console.is_terminal:
            said = _score(judged)
            self.console.print(f"epoch {judged.epoch}/{self.epochs}: {said}, loss {judged.loss:.3f}")

    def _draw(self, done: "Step") -> None:
        self.live.update(Group(self._line(done), self.bar, self._table()))

    def _line(self, done: "Step") -> Text:
        (start, first, images), (now, last, more) = self.times[0], self.times[-1]
        rate = (more - images) / max(now - start, 1e-9)
        left = (self.steps - done.step) * (now - start) / max(1, last - first)
        words = f"epoch {done.epoch}/{self.epochs}, step {done.step:,}/{self.steps:,}: loss {self.loss:.3f}"
        if self.judged:
            words += f", {_score(self.judged[-1])}"
        return Text(f"{words}, {rate:,.0f} images/s, {_duration(left)} left")

    def _table(self) -> Any:
        if not self.judged:
            return Text("the averaged weights are judged after each epoch", style="dim")
        made = table("epoch", "step", "loss", unit(self.judged[-1].kind).head, numbers_from=0)
        for each in self.judged[-_SHOWN:]:
            made.add_row(str(each.epoch), f"{each.step:,}", f"{each.loss:.3f}", pretty(each.kind, each.score))
        return made


def _score(judged: "EpochResult") -> str:
    return f"{unit(judged.kind).head} {pretty(judged.kind, judged.score)}"


def _duration(seconds: float) -> str:
    """As people say it: `12 min`, `3 h 05 min`."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"
