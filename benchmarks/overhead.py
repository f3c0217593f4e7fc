"""What a trial costs in bookkeeping: plain Optuna on SQLite, as it comes, against all of `mvsearch run`.

Neither evaluates anything: the objectives are parameters and MACs, proposals are random over the choices of
spaces/v3.yaml. Ours is the whole command: claiming, proposing, pricing, storing, and the display that follows. Both
sides grow a study in blocks, in turn, in processes of their own, so that what it costs to open a large study is in it.
Then a study is read and its front taken. Prints CPU milliseconds a trial, user and system, children included.

    python benchmarks/overhead.py --trials 5000
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click

SPACE = Path(__file__).parent.parent / "spaces" / "v3.yaml"

STOCK = """
import sys
import optuna
from mvsearch.study.plan import Plan
from mvsearch.study.samplers._legal import distributions

optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study(
    study_name="v3",
    storage=f"sqlite:///{sys.argv[1]}/stock.db",
    sampler=optuna.samplers.RandomSampler(),
    directions=["minimize", "minimize"],
    load_if_exists=True,
)
choices = distributions(Plan.load(sys.argv[2]).space)
for number in range(int(sys.argv[3]), int(sys.argv[4])):
    trial = study.ask(choices)
    metrics = {"params": 1, "macs": 2, "macs_paper": 3, "top1": 0.5, "loss": 1.0, "key": "k", "seconds": 1.0}
    for name, value in metrics.items():
        trial.set_user_attr(name, value)
    study.tell(trial, [float(number), 1.0])
"""
"""As Optuna's tutorial has it: defaults, one attribute a metric."""

READ = """
import json, sys, time
from mvsearch.metrics.pareto import front
from mvsearch.study.reader import open_study

front([], ())  # what is loaded once a process
start = time.process_time()
reader = open_study(sys.argv[1])
records = reader.records()
read = time.process_time()
front(records, reader.objectives)
print(json.dumps({"records": len(records), "read_s": read - start, "front_s": time.process_time() - read}))
"""


def stock(folder: Path, done: int, trials: int) -> None:
    """From so many trials to so many."""
    command = [sys.executable, "-c", STOCK, str(folder), str(SPACE), str(done), str(trials)]
    subprocess.run(command, check=True)


def ours(folder: Path, done: int, trials: int) -> None:
    """The same, as a user has it."""
    main = [sys.executable, "-c", "from mvsearch.cli.main import main; main()"]
    flags = ["--objective", "params", "--objective", "macs", "--sampler", "random", "--workers", "1", "--trials"]
    subprocess.run([*main, "run", str(SPACE), *flags, str(trials)], cwd=folder, check=True, capture_output=True)


def cost(work: Callable[[Path, int, int], None], folder: Path, done: int, trials: int) -> tuple[float, float]:
    """Milliseconds a trial: CPU, wall."""
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    work(folder, done, trials)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 1e3 * cpu / (trials - done), 1e3 * (time.perf_counter() - wall) / (trials - done)


@click.command()
@click.option("--trials", default=5000, show_default=True)
@click.option("--block", default=5000, show_default=True, help="Smaller ones take turns, and reopen the study each.")
def main(trials: int, block: int) -> None:
    """Measure and print, block by block."""
    with tempfile.TemporaryDirectory() as name:
        folder, found = Path(name), {"stock": [], "ours": []}
        for done in range(0, trials, block):
            until = min(done + block, trials)
            for work in (stock, ours):
                found[work.__name__].append(cost(work, folder, done, until))
            (cpu_0, wall_0), (cpu_1, wall_1) = found["stock"][-1], found["ours"][-1]
            click.echo(
                f"trials {done:5} to {until:5}: stock {cpu_0:5.1f} ms CPU {wall_0:5.1f} wall, "
                f"ours {cpu_1:5.1f} ms CPU {wall_1:5.1f} wall"
            )
        for side, costs in found.items():
            cpus = [cpu for cpu, _ in costs]
            click.echo(f"{side}: mean {statistics.fmean(cpus):.1f} ms CPU a trial, largest block {max(cpus):.1f}")
        study = folder / "studies" / "v3"
        read = [json.loads(subprocess.check_output([sys.executable, "-c", READ, str(study)])) for _ in range(5)]
        total = statistics.median(one["read_s"] + one["front_s"] for one in read)
        click.echo(f"reading {read[0]['records']} records and their front: {total:.3f} s CPU (median of 5)")


if __name__ == "__main__":
    main()
