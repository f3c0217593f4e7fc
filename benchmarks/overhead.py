"""What the bookkeeping of a trial costs: plain Optuna on SQLite with its defaults, against the command `mvsearch run`.

Neither trains anything: the objectives are parameters and MACs, and both sample at random from spaces/v3.yaml. mvsearch
is the whole command: claiming, suggesting, computing costs, storing, and the progress display. Both sides extend a
study in blocks, interleaved, each block in a new process, so that the cost of opening a large study is included. Then
the study is read and its front computed. Prints CPU milliseconds per trial, user and system, child processes included
(lower is better).

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
from mvsearch.study.distributions import distributions

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
"""As in Optuna's tutorial: defaults, and one attribute per metric."""

READ = """
import json, sys, time
from mvsearch.metrics.pareto import front
from mvsearch.study.reader import open_study

front([], ())  # load what is loaded once per process
start = time.process_time()
reader = open_study(sys.argv[1])
records = reader.records()
read = time.process_time()
front(records, reader.objectives)
print(json.dumps({"records": len(records), "read_s": read - start, "front_s": time.process_time() - read}))
"""


def stock(folder: Path, done: int, trials: int) -> None:
    """Extend plain Optuna's study from `done` to `trials` trials."""
    command = [sys.executable, "-c", STOCK, str(folder), str(SPACE), str(done), str(trials)]
    subprocess.run(command, check=True)


def ours(folder: Path, done: int, trials: int) -> None:
    """Extend ours, by the command that a user types."""
    main = [sys.executable, "-c", "from mvsearch.cli.main import main; main()"]
    flags = ["--objective", "params", "--objective", "macs", "--sampler", "random", "--workers", "1", "--trials"]
    subprocess.run([*main, "run", str(SPACE), *flags, str(trials)], cwd=folder, check=True, capture_output=True)


def cost(work: Callable[[Path, int, int], None], folder: Path, done: int, trials: int) -> tuple[float, float]:
    """Milliseconds per trial: CPU and wall time."""
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    work(folder, done, trials)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 1e3 * cpu / (trials - done), 1e3 * (time.perf_counter() - wall) / (trials - done)


@click.command()
@click.option("--trials", default=5000, show_default=True)
@click.option("--block", default=5000, show_default=True, help="Trials per block; each block opens the study again.")
def main(trials: int, block: int) -> None:
    """Measure and print, block by block."""
    with tempfile.TemporaryDirectory() as name:
        folder, results = Path(name), {"stock": [], "ours": []}
        for done in range(0, trials, block):
            until = min(done + block, trials)
            for work in (stock, ours):
                results[work.__name__].append(cost(work, folder, done, until))
            (cpu_0, wall_0), (cpu_1, wall_1) = results["stock"][-1], results["ours"][-1]
            click.echo(
                f"trials {done:5} to {until:5}: stock {cpu_0:5.1f} ms CPU {wall_0:5.1f} wall, "
                f"ours {cpu_1:5.1f} ms CPU {wall_1:5.1f} wall"
            )
        for side, costs in results.items():
            cpus = [cpu for cpu, _ in costs]
            click.echo(f"{side}: mean {statistics.fmean(cpus):.1f} ms CPU per trial, largest block {max(cpus):.1f}")
        study = folder / "studies" / "v3"
        reads = [json.loads(subprocess.check_output([sys.executable, "-c", READ, str(study)])) for _ in range(5)]
        total = statistics.median(read["read_s"] + read["front_s"] for read in reads)
        click.echo(f"reading {reads[0]['records']} records and their front: {total:.3f} s CPU (median of 5)")


if __name__ == "__main__":
    main()
