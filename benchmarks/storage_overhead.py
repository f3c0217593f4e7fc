"""What a trial costs in bookkeeping: Optuna on SQLite as it comes, against a study of ours; nothing is evaluated.

Both sides are interleaved in one run and propose at random over the choices of spaces/v3.yaml. Prints milliseconds of
CPU and of wall clock a trial.

    python benchmarks/storage_overhead.py --trials 60 --rounds 3
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import optuna

from mvsearch.plan import Plan
from mvsearch.samplers._legal import distributions
from mvsearch.study import Study


def stock(plan: Plan, folder: Path, trials: int) -> None:
    """A study as Optuna's tutorial makes it: defaults, one attribute a metric."""
    study = optuna.create_study(
        storage=f"sqlite:///{folder / 'stock.db'}",
        sampler=optuna.samplers.RandomSampler(seed=0),
        directions=["minimize", "minimize"],
    )
    for _ in range(trials):
        trial = study.ask(distributions(plan.space))
        metrics = {"params": 1, "macs": 2, "macs_paper": 3, "top1": 0.5, "loss": 1.0, "key": "k", "state": "complete"}
        for name, value in metrics.items():
            trial.set_user_attr(name, value)
        study.tell(trial, [1.0, 2.0])


def ours(plan: Plan, folder: Path, trials: int) -> None:
    """A study of ours: the same proposals, and each record whole."""
    Study.join(replace(plan, studies=folder)).run(lambda arch: arch.metrics(), trials=trials)


def timed(work: Callable[[Plan, Path, int], None], plan: Plan, trials: int) -> tuple[float, float]:
    """Milliseconds a trial: CPU, wall."""
    with tempfile.TemporaryDirectory() as folder:
        cpu, wall = time.process_time(), time.perf_counter()
        work(plan, Path(folder), trials)
        return 1e3 * (time.process_time() - cpu) / trials, 1e3 * (time.perf_counter() - wall) / trials


@click.command()
@click.option("--trials", default=60, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(trials: int, rounds: int) -> None:
    """Measure and print."""
    plan = Plan.load("spaces/v3.yaml", objectives=("params", "macs"), sampler="random", limits=("params <= 20M",))
    found: dict[str, list[tuple[float, float]]] = {"stock": [], "ours": []}
    for _ in range(rounds):
        for work in (stock, ours):
            found[work.__name__].append(timed(work, plan, trials))
    for name, times in found.items():
        cpu, wall = (statistics.median(column) for column in zip(*times, strict=True))
        click.echo(f"{name:6} {cpu:7.1f} ms CPU {wall:7.1f} ms wall a trial (median of {rounds} x {trials} trials)")


if __name__ == "__main__":
    main()
