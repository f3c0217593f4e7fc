"""What a long command is doing: on a terminal a moving line, or a bar of rounds; plain lines elsewhere."""

import os
from contextlib import AbstractContextManager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_DOING = TextColumn("{task.description}")
_MOVING = (SpinnerColumn(), _DOING, TimeElapsedColumn())
_BAR = (_DOING, BarColumn(), TimeElapsedColumn(), TextColumn("left:"), TimeRemainingColumn())


class Steps(AbstractContextManager["Steps"]):
    """Called with what is being done now; on stderr."""

    def __init__(self) -> None:
        # A descriptor of its own: exporters silence the other one while a converter talks.
        self.file = os.fdopen(os.dup(2), "w")
        # Seldom redrawn: what is timed meanwhile should not notice.
        self.progress = Progress(*_MOVING, console=Console(file=self.file), transient=True, refresh_per_second=2)
        self.progress.add_task("starting", total=None)
        self.live = self.file.isatty()

    def __enter__(self) -> "Steps":
        if self.live:
            self.progress.start()
        return self

    def __call__(self, doing: str) -> None:
        if self.live:
            self.progress.update(self.progress.task_ids[0], description=doing)
        else:
            print(doing, file=self.file, flush=True)

    def rounds(self, done: int, of: int) -> None:
        """So many of the rounds are done: a bar, or a line every fifth of the way."""
        doing = f"timing, round {done + 1} of {of}"
        if self.live:
            self.progress.columns = _BAR
            self.progress.update(self.progress.task_ids[0], description=doing, completed=done, total=of)
        elif done % -(-of // 5) == 0:
            self(doing)

    def __exit__(self, *raised: object) -> None:
        if self.live:
            self.progress.stop()
        self.file.close()
