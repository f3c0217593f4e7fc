"""What a long command is doing: a moving line with the time it took on a terminal, plain lines elsewhere."""

import os
from contextlib import AbstractContextManager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Steps(AbstractContextManager["Steps"]):
    """Called with what is being done now; on stderr."""

    def __init__(self) -> None:
        # A descriptor of its own: exporters silence the other one while a converter talks.
        self.file = os.fdopen(os.dup(2), "w")
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        # Seldom redrawn: what is timed meanwhile should not notice.
        self.progress = Progress(*columns, console=Console(file=self.file), transient=True, refresh_per_second=2)
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

    def __exit__(self, *raised: object) -> None:
        if self.live:
            self.progress.stop()
        self.file.close()
