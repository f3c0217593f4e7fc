"""Searches of spaces/quick.yaml with real trainings and equal wall time: mvsearch's sampler against NSGA-II.

Each run is `mvsearch run` in its own folder, stopped by Ctrl-C after `--seconds`; runs are interleaved, so that a
changing load affects both alike. The result of a search is evaluated with a table of the whole space: every point
within the limit, trained with further seeds (a study of its own, which is resumed). Both are shown: the hypervolume of
the scores that the search saw, and that of the table's scores of the candidates on its front.

    python benchmarks/real_search.py studies-of-benchmark --seconds 180
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from mvsearch.metrics.pareto import Objective, comparable, front, hypervolume
from mvsearch.metrics.record import Record
from mvsearch.study.reader import open_study
from mvsearch.utils.yaml_document import dump_block, read

SPACE = Path(__file__).parent.parent / "spaces" / "quick.yaml"
OBJECTIVES = tuple(map(Objective.named, ("top1", "params", "macs")))
REFERENCE = {"top1": 0.5, "params": 1.5e6, "macs": 4e8}
MVSEARCH = [sys.executable, "-c", "from mvsearch.cli.main import main; main()"]


def search(folder: Path, sampler: str, seed: int, seconds: int, workers: int) -> str:
    """Run a search for `seconds`, unless its study exists; the study's name."""
    name = f"{sampler}-{seed}"
    if (folder / "studies" / name).exists():
        return name
    flags = ["--name", name, "--sampler", sampler, "--seed", str(seed), "--workers", str(workers), "--trials", "1000"]
    process = subprocess.Popen(
        [*MVSEARCH, "run", str(SPACE), *flags], cwd=folder, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGINT)
        process.wait()
    return name


def table_of_truth(folder: Path, seeds: int, workers: int) -> dict[str, Record]:
    """Every point of the space by its key, with the mean score of several trainings with other seeds."""
    data = dict(read(SPACE).data)
    data["proxy"] = {**data["proxy"], "seeds": seeds, "seed": 1000}
    (folder / "truth.yaml").write_text(dump_block(data), encoding="utf-8")
    flags = ["--name", "truth", "--sampler", "random", "--trials", "1000", "--workers", str(workers)]
    subprocess.run([*MVSEARCH, "run", "truth.yaml", *flags], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return {record.key: record for record in open_study(folder / "studies" / "truth").records()}


def seconds_of(folder: Path, name: str) -> dict[int, float]:
    """When each candidate finished, in seconds after the study was created."""
    with sqlite3.connect(folder / "studies" / name / "study.db") as database:
        (began,) = database.execute("SELECT created FROM mvsearch_studies").fetchone()
        return {n: at - began for n, at in database.execute("SELECT number, finished FROM mvsearch_records")}


def agreement(records: Sequence[Record], truth: dict[str, Record]) -> tuple[float, float]:
    """The hypervolume of the scores seen; that of the front's scores in the table, as a share of the table's own."""
    best = front(comparable(records, OBJECTIVES), OBJECTIVES)
    known = [replace(record, metrics=truth[record.key].metrics) for record in best]
    whole = hypervolume(list(truth.values()), OBJECTIVES, REFERENCE)
    return hypervolume(best, OBJECTIVES, REFERENCE), hypervolume(known, OBJECTIVES, REFERENCE) / whole


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--seconds", default=180, show_default=True)
@click.option("--seeds", default=2, show_default=True)
@click.option("--workers", default=1, show_default=True)
@click.option("--truth-seeds", default=3, show_default=True)
@click.option("--sampler", "samplers", multiple=True, default=("surrogate", "nsga2"), show_default=True)
def main(folder: Path, seconds: int, seeds: int, workers: int, truth_seeds: int, samplers: tuple[str, ...]) -> None:
    """Run the searches that are missing, then print the comparison."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell makes its background jobs ignore it
    folder.mkdir(parents=True, exist_ok=True)
    runs = [(sampler, seed) for seed in range(seeds) for sampler in samplers[:: -1 if seed % 2 else 1]]
    names = [search(folder, sampler, seed, seconds, workers) for sampler, seed in runs]
    truth = table_of_truth(folder, truth_seeds, workers)
    noise = [record.metrics["top1_std"] for record in truth.values() if "top1_std" in record.metrics]
    table = Table(
        title=f"{len(truth)} points; a training's noise is {100 * sum(noise) / len(noise):.2f} points of top-1"
    )
    for head in ("run", "seconds", "trainings", "seen hypervolume", "true share of the best"):
        table.add_column(head, justify="right")
    rows = []
    for name in sorted(names):
        records, at = open_study(folder / "studies" / name).records(), seconds_of(folder, name)
        for limit in [seconds * part // 4 for part in (1, 2, 3, 4)]:
            finished = [record for record in records if at[record.number] <= limit]
            seen, true = agreement(finished, truth)
            rows.append({"run": name, "seconds": limit, "trainings": len(finished), "seen": seen, "true": true})
            table.add_row(name, str(limit), str(len(finished)), f"{seen:.4f}", f"{true:.4f}")
    Console(width=120).print(table)
    (folder / "real_search.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
