"""What scoring the reference models looks like while it goes: a bar a proxy on a terminal, plain lines elsewhere."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from mvsearch.arch.architecture import Architecture
from mvsearch.cli._print import console
from mvsearch.proxy_eval.benchmark import Tell, distinct


class Scoring(AbstractContextManager["Scoring"]):
    """On stderr. The time left is that of the proxy at work."""

    def __init__(self, proxies: Sequence[str], archs: Mapping[str, Architecture], seeds: int) -> None:
        self.screen = console(stderr=True)
        self.progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[doing]}", style="dim"),
            console=self.screen,
            transient=True,
            disable=not self.screen.is_terminal,
            speed_estimate_period=600,
        )
        # Time grows more slowly than MACs (trainings of 18, 37 and 62 s at 0.33, 0.97 and 1.83 G).
        self.work = {name: arch.cost().macs + 3e8 for name, arch in distinct(archs).items()}
        whole = seeds * sum(self.work.values())
        self.tasks = {name: self.progress.add_task(name, total=whole, start=False, doing="") for name in proxies}

    def __enter__(self) -> "Scoring":
        self.progress.start()
        return self

    def __exit__(self, *raised: Any) -> None:
        self.progress.stop()

    def telling(self, proxy: str) -> Tell:
        """What a proxy tells its bar."""
        task, done = self.tasks[proxy], 0.0
        self.progress.start_task(task)

        def tell(name: str, seed: int, share: float) -> None:
            nonlocal done
            doing = f"{name}, seed {seed}"
            self.progress.update(task, completed=done + share * self.work[name], doing=doing if share < 1 else "")
            if share == 1:
                done += self.work[name]
            elif share == 0 and not self.screen.is_terminal:
                self.screen.print(f"{proxy}: {doing}")

        return tell
