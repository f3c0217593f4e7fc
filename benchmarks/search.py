"""How many trainings a sampler needs: hypervolume against evaluations, on a score that costs nothing.

    _landscape.py   the tasks: real spaces, exact costs, a made-up score, the best front known
    _searchers.py   the samplers that are compared
    _board.py       the share of the best hypervolume, by sampler and evaluation
    _kept.py        rows of an earlier page
    _page.py        docs/benchmarks/search.md and its figures from the results

An evaluation is a training, so proposals that cannot be built (they violate the conditions of the space) are free.
Every finished run is a line of the results and is not run again, unless the sampler is mvsearch's own and its source
has changed. Rows of the page without a run in the results stay as they are.

    OMP_NUM_THREADS=1 python benchmarks/search.py all --seeds 5 --report     everything, then the page
    OMP_NUM_THREADS=1 python benchmarks/search.py surrogate --report         ours anew after a change
    python benchmarks/search.py --report                                     the page alone
"""

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click
from _landscape import ROOT, TASKS, Reference, Task
from _searchers import SEARCHERS, Searcher, run, source_key
from platformdirs import user_cache_path
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

CACHE = user_cache_path("mvsearch") / "benchmarks"


@dataclass(frozen=True)
class Run:
    """What makes a run itself: with the same values, it would come out the same."""

    task: str
    sampler: str
    seed: int
    landscape: str
    source: str

    @classmethod
    def of(cls, task: Task, searcher: Searcher, seed: int) -> "Run":
        """With the digests as they are now."""
        return cls(task.name, searcher.name, seed, task.landscape_key, source_key(searcher))

    def __call__(self, evaluations: int) -> dict[str, Any]:
        """The line that is kept."""
        return {**asdict(self), **run(searcher_named(self.sampler), task_named(self.task), self.seed, evaluations)}


def searcher_named(name: str) -> Searcher:
    return next(searcher for searcher in SEARCHERS if searcher.name == name)


def task_named(name: str) -> Task:
    return next(task for task in TASKS if task.name == name)


def read(file: Path) -> dict[Run, dict[str, Any]]:
    """Run → its account; of a run made twice, the longer."""
    found: dict[Run, dict[str, Any]] = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        account = json.loads(line)
        made = Run(**{name: account.pop(name) for name in Run.__dataclass_fields__})
        if made not in found or account["evaluations"] >= found[made]["evaluations"]:
            found[made] = account
    return found


def current(results: dict[Run, dict[str, Any]]) -> dict[Run, dict[str, Any]]:
    """Those of the landscapes and samplers as they are now."""
    kinds = {Run.of(task, searcher, 0) for task in TASKS for searcher in SEARCHERS}
    return {made: account for made, account in results.items() if replace(made, seed=0) in kinds}


def missing(searchers: list[Searcher], tasks: list[Task], seeds: int, most: int, file: Path) -> list[tuple[Run, int]]:
    """The runs that the results do not hold, or not as far as asked, by importance of the task."""
    there = read(file)
    wanted = [
        (Run.of(task, searcher, seed), min(most, searcher.evaluations))
        for task in tasks
        for searcher in searchers
        if task.name in searcher.tasks
        for seed in range(min(seeds, searcher.seeds))
    ]
    return [(r, n) for r, n in wanted if r not in there or there[r]["evaluations"] < n]


def execute(runs: list[tuple[Run, int]], jobs: int) -> Iterator[dict[str, Any]]:
    """Accounts as they come."""
    with ProcessPoolExecutor(jobs) as pool:
        for future in as_completed([pool.submit(made, evaluations) for made, evaluations in runs]):
            yield future.result()


def fill(file: Path, runs: list[tuple[Run, int]], jobs: int) -> None:
    """Adds a line a run."""
    file.parent.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress, file.open("a", encoding="utf-8") as lines:
        bar = progress.add_task("", total=len(runs))
        for account in execute(runs, jobs):
            lines.write(json.dumps(account) + "\n")
            lines.flush()
            progress.update(bar, advance=1, description=f"{account['task']} {account['sampler']}")


@click.command()
@click.argument("samplers", nargs=-1, type=click.Choice(["all", *(searcher.name for searcher in SEARCHERS)]))
@click.option("--task", "tasks", multiple=True, type=click.Choice([task.name for task in TASKS]), help="Default: all.")
@click.option("--seeds", default=5, show_default=True)
@click.option("--evaluations", default=1000, show_default=True, help="At most; Ours goes to 200, GP to 50.")
@click.option("--jobs", default=1, show_default=True, help="Processes at once.")
@click.option("--results", default=Path("build/search.jsonl"), show_default=True, type=click.Path(path_type=Path))
@click.option("--cache", default=CACHE, show_default=True, type=click.Path(path_type=Path), help="Of best fronts.")
@click.option("--report", is_flag=True, help="Write docs/benchmarks/search.md and its figures.")
def main(
    samplers: tuple[str, ...],
    tasks: tuple[str, ...],
    seeds: int,
    evaluations: int,
    jobs: int,
    results: Path,
    cache: Path,
    report: bool,
) -> None:
    """Run SAMPLERS (`all`, or some) where the results lack them; write the page."""
    searchers = [s for s in SEARCHERS if "all" in samplers or s.name in samplers]
    chosen = [task for task in TASKS if not tasks or task.name in tasks]
    fill(results, missing(searchers, chosen, seeds, evaluations, results), jobs)
    if report:
        from _page import write

        found = current(read(results))
        there = {made.task for made in found}
        references = {task.name: Reference.of(task, cache) for task in TASKS if task.name in there}
        write(ROOT / "docs/benchmarks", found, references)


if __name__ == "__main__":
    main()
