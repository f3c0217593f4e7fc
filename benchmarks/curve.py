"""How well `scaled_loss` ranks for the seconds that it takes: steps, seeds and resolutions of the proxy `train`.

Scores the reference models with every schedule below, and ranks them by single seeds, their means, and combinations of
resolutions. Scores are stored as they are computed, for `mvsearch proxies` too; the same command resumes.

    python benchmarks/curve.py --plot docs/benchmarks/curve.png

Seconds are CPU time of all trainings of a row, the mean over the networks; keep the machine idle otherwise. It takes
some hours on one core; `--workers` uses more.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import click
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from mvsearch.data import load
from mvsearch.proxies.train import Settings
from mvsearch.proxy_eval.benchmark import ProxyBenchmark, ProxyScores, architectures
from mvsearch.proxy_eval.rank_correlation import Ranking, rank
from mvsearch.report.figures.palette import LIGHT
from mvsearch.report.figures.static import render
from mvsearch.study.storage.store import Store

SOURCE = "fashion_mnist"
STORAGE = "sqlite:///studies/proxies/scores.db"
LARGEST = "mobilevitv3_s"
ALLOWED_S = 120
TICKS_S = (20, 50, 100, 200)
AIMS = {"all": 0.90, "within size": 0.80, "ablation": 0.60}
GREEN = "#009E73"  # Okabe and Ito's, as those of the palette


@dataclass(frozen=True)
class Schedule:
    """The steps and the image size of a training."""

    steps: int
    pixels: int = 32

    def benchmark(self, storage: str) -> ProxyBenchmark:
        """The benchmark of the proxy with this schedule and otherwise default settings."""
        settings = Settings(steps=self.steps, image_size=self.pixels)
        return ProxyBenchmark(Store(storage, create=True), "train", settings, load(SOURCE))


SEEDS = {
    Schedule(75): 4,
    Schedule(300): 1,
    Schedule(38): 2,
    Schedule(75, 48): 1,
}
"""Schedules, and how many seeds of each."""

JOINS = ((Schedule(75), Schedule(75, 48)),)
"""Resolutions that are joined to one score, the geometric mean of one seed of each."""


@dataclass(frozen=True)
class Row:
    """A ranking, and its CPU seconds: of the mean network and of the largest one."""

    words: str
    seeds: int
    ranking: Ranking
    mean_s: float
    largest_s: float

    @property
    def figures(self) -> dict[str, float]:
        """By the names of the aims."""
        statistics = (self.ranking.tau, self.ranking.within, self.ranking.ablation)
        return {name: float("nan") if e.value is None else e.value for name, e in zip(AIMS, statistics, strict=True)}


def fill(storage: str, schedule: Schedule, seed: int) -> None:
    """Score every network; in a process of its own, on one core."""
    import torch

    torch.set_num_threads(1)
    schedule.benchmark(storage).run(architectures(), [seed], lambda name, seed, share: None)


def evaluate_proxies(storage: str) -> dict[Schedule, ProxyScores]:
    """The stored scores of each schedule."""
    results = {s: s.benchmark(storage).results(architectures(), range(seeds)) for s, seeds in SEEDS.items()}
    return {schedule: replace(scores, score="scaled_loss") for schedule, scores in results.items()}


def table_of(results: Mapping[Schedule, ProxyScores]) -> list[Row]:
    """The rows: each schedule's single seeds, means of two and of four, and the joins."""
    rows = []
    for schedule, scores in results.items():
        taken = scores.ranking.seeds
        for seeds in [n for n in (1, 2, 4) if n <= taken]:
            for first in range(0, taken - seeds + 1, seeds):
                seen = slice(first, first + seeds)
                rows.append(row([(schedule, scores, seen)], f"{schedule.steps} steps, {schedule.pixels} px"))
    for join in JOINS:
        parts = [(schedule, results[schedule], slice(0, 1)) for schedule in join]
        rows.append(row(parts, " x ".join(f"{part.steps} steps, {part.pixels} px" for part in join)))
    return rows


def row(parts: Sequence[tuple[Schedule, ProxyScores, slice]], words: str) -> Row:
    """The row of a schedule, with the mean of several seeds; of several schedules, with the geometric mean."""
    first = parts[0][1]
    scores = {}
    for name in first.scores:
        means = [float(np.mean(proxy_scores.scores[name][seen])) for _, proxy_scores, seen in parts]
        scores[name] = [-float(np.prod(np.negative(means)) ** (1 / len(means)))]
    seconds = {
        name: sum(float(row["cpu_s"]) for _, proxy_scores, seen in parts for row in proxy_scores.metrics[name][seen])
        for name in first.metrics
    }
    seeds = len(first.scores[LARGEST][parts[0][2]])
    return Row(words, seeds, rank(scores), float(np.mean(list(seconds.values()))), seconds[LARGEST])


def picture(rows: Sequence[Row]) -> bytes:
    """τ against seconds: a panel a statistic, single trainings hollow, means of seeds filled, joins as crosses."""

    def make() -> Figure:
        figure = Figure(figsize=(8, 3.4), layout="constrained")
        figure.suptitle(f"Kendall's tau of scaled_loss with ImageNet top-1, against CPU seconds a network ({SOURCE})")
        for axes, (name, aim) in zip(figure.subplots(1, 3), AIMS.items(), strict=True):
            axes.set_title({"all": "all 15 models"}.get(name, name), fontsize=9)
            axes.axhline(aim, color=LIGHT.grey, linestyle=":", linewidth=1)
            axes.axvline(ALLOWED_S, color=LIGHT.grey, linestyle=":", linewidth=1)
            for words, marker, fill, chosen in (
                ("one training", "o", "none", [r for r in rows if r.seeds == 1 and " x " not in r.words]),
                ("mean of 2 or 4 seeds", "o", LIGHT.primary, [r for r in rows if r.seeds > 1]),
                ("several resolutions", "x", GREEN, [r for r in rows if " x " in r.words]),
            ):
                edge = GREEN if marker == "x" else LIGHT.primary
                places = [r.mean_s for r in chosen], [r.figures[name] for r in chosen]
                colours = {"c": GREEN} if marker == "x" else {"facecolors": fill, "edgecolors": edge}
                axes.scatter(*places, s=30, marker=marker, label=words, zorder=3, **colours)
            axes.set_xscale("log")
            axes.set_xticks(TICKS_S, map(str, TICKS_S))
            axes.set_xticks([], minor=True)
            axes.set_xlabel("CPU s a network")
            axes.set_ylim(0, 1.03)
            axes.grid(alpha=0.3)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        return figure

    return render(make, "png", LIGHT)


@click.command()
@click.option("--storage", default=STORAGE, show_default=True)
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write the figure, as PNG.")
def main(storage: str, workers: int, plot: Path | None) -> None:
    """Compute the missing scores, then print the table."""
    if storage == STORAGE:
        Path("studies/proxies").mkdir(parents=True, exist_ok=True)
    Store(storage, create=True)
    jobs = [(schedule, seed) for schedule, seeds in SEEDS.items() for seed in range(seeds)]
    with Progress(console=Console(stderr=True)) as bar, ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        task = bar.add_task("schedules", total=sum(s.steps * s.pixels**2 for s, _ in jobs))
        futures = {pool.submit(fill, storage, *job): job for job in jobs}
        for done in as_completed(futures):
            done.result()
            bar.advance(task, futures[done][0].steps * futures[done][0].pixels ** 2)
    results = evaluate_proxies(storage)
    rows = table_of(results)
    shown = Table("schedule", "seeds", *(f"tau, {name}" for name in AIMS), "CPU s, mean", f"CPU s, {LARGEST}")
    for line in rows:
        figures = (f"{value:.2f}" for value in line.figures.values())
        shown.add_row(line.words, str(line.seeds), *figures, f"{line.mean_s:.0f}", f"{line.largest_s:.0f}")
    Console(width=120).print(shown)
    for schedule, scores in results.items():
        if (between := scores.ranking.seed_tau.value) is not None:
            print(f"{schedule.steps} steps, {schedule.pixels} px: tau {between:.2f} between single seeds")
    if plot is not None:
        plot.write_bytes(picture(rows))


if __name__ == "__main__":
    main()
