"""What a run looks like while it goes: a live display on a terminal, plain lines elsewhere."""

from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from mvsearch.metrics.record import Record
from mvsearch.report.table import front_table
from mvsearch.study.executors.progress import StudyProgress
from mvsearch.study.plan import Plan
from mvsearch.study.reevaluation import repeats
from mvsearch.utils.units import with_error

_FRONT_ROWS = 12


class Watching:
    """Called with how the study stands, what is new, and what the workers say, as often as you like."""

    def __init__(self, plan: Plan, place: str, already: int, workers: int, console: Console) -> None:
        self.plan, self.place, self.workers, self.console = plan, place, workers, console
        self.already = already
        self.progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[tally]}"),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            console=console,
            expand=True,
        )
        self.task = self.progress.add_task(plan.name, total=plan.search.trials, completed=self.already, tally="")
        self.live = Live(self.progress, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        sought = ", ".join(plan_objective.name for plan_objective in self.plan.objectives)
        goes_on = f", goes on from {self.already}" if self.already else ""
        self.console.print(
            Text.assemble(
                "study ",
                (self.plan.name, "bold"),
                f" in {self.place}: {self.plan.search.trials} trials{goes_on}, "
                f"sampler {self.plan.search.sampler}, objectives {sought}, {self.workers} worker(s). "
                "Ctrl-C stops, and the same command goes on.",
            )
        )
        if self.console.is_terminal:
            self.live.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        if self.console.is_terminal:
            self.live.__exit__(*raised)

    def __call__(self, following: StudyProgress, news: list[Record], statuses: list[dict[str, Any]]) -> None:
        if self.console.is_terminal:
            count = following.states
            tally = f"{count['complete']} complete, {count['pruned']} pruned, {count['failed']} failed"
            self.progress.update(self.task, completed=following.count, tally=tally)
            self.live.update(self._picture(following.front, statuses))
            return
        first = [record for record in news if len(repeats(record)) == 1]
        for done, record in enumerate(first, 1 + following.count - len(first)):
            self.console.print(self._line(record, done))
        for record in news:
            if len(repeats(record)) > 1:
                self.console.print(self._again(record))

    def _again(self, record: Record) -> Text:
        name = record.published or record.key
        return Text(
            f"[front] trial {record.number} {name}: {self._values(record)} over {len(repeats(record))} measurements"
        )

    def _values(self, record: Record) -> str:
        names = (objective.name for objective in self.plan.objectives)
        return ", ".join(f"{name} {with_error(name, record.metrics)}" for name in names)

    def _line(self, record: Record, done: int) -> Text:
        name = record.published or record.key
        said = self._values(record) if record.state == "complete" else f"{record.state}: {record.reason}"
        cached = " (known already)" if record.cached else f" ({record.seconds:.0f} s)"
        return Text(f"[{done}/{self.plan.search.trials}] trial {record.number} {name}: {said}{cached}")

    def _picture(self, best: list[Record], statuses: list[dict[str, Any]]) -> RenderableType:
        lines = [Text(self._at_work(status), style="dim") for status in statuses if "number" in status]
        shown: list[RenderableType] = [self.progress, *lines]
        if best:
            shown.append(front_table(best, best[:_FRONT_ROWS], self.plan.objectives, caption=""))
        if len(best) > _FRONT_ROWS:
            shown.append(Text(f"... and {len(best) - _FRONT_ROWS} more on the front", style="dim"))
        return Group(*shown)

    @staticmethod
    def _at_work(status: dict[str, Any]) -> str:
        of = f" {status['done']}/{status['of']}" if status.get("of") else ""
        return f"  trial {status['number']} {status['name']}: {status.get('doing') or 'starting'}{of}"
