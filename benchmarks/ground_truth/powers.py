"""Which power of size a loss should be divided by, on CIFAR-10: published models, and networks of equal cost.

    python benchmarks/ground_truth/powers.py                     prints the table
    python benchmarks/ground_truth/powers.py --write             also writes it into docs/evidence/proxies.md
    python benchmarks/ground_truth/powers.py --extract FILE      published_short_trainings.csv from the JSON of
        mvsearch proxies --against ground_truth --proxy train --data folder --path /my/cifar10 --json

A power must keep the order of published models (top-1 on ImageNet) and of groups of different cost, and leave the order
at equal cost to the loss. The table uses the short trainings in short_trainings.csv: two seeds of the default schedule.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import click
import numpy as np
from _networks import FOLDER
from _sections import markdown_table, write_section
from _tables import read_table, write_table
from scores import Schedule, schedules

from mvsearch.proxies import channel_weights
from mvsearch.proxy_eval.ground_truth import load_ground_truth
from mvsearch.proxy_eval.rank_correlation import published, rank, within

PAGE = FOLDER.parent.parent / "docs" / "evidence" / "proxies.md"
EXTRACT = FOLDER / "published_short_trainings.csv"
POWERS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
STEPS, SEEDS = 75, 2
LOSSES = {"mean training loss": "train_loss", "held-out loss": "loss"}


def extract(file: Path) -> None:
    """Write the losses of the published models by seed."""
    scores = {each["score"]: each["scores"] for each in json.loads(file.read_text("utf-8"))["scores"]}
    rows = []
    for reference in published():
        weights = channel_weights.count(reference.architecture)
        for seed, values in enumerate(zip(*(scores[name][reference.name] for name in LOSSES.values()), strict=True)):
            losses = {name: f"{value:.5f}" for name, value in zip(LOSSES.values(), values, strict=True)}
            rows.append({"network": reference.name, "seed": seed, "channel_weights": weights, **losses})
    write_table(EXTRACT, ("network", "seed", "channel_weights", *LOSSES.values()), rows)


def of_published(loss: str, power: float) -> tuple[float | None, float | None]:
    """Tau with ImageNet top-1: over all, and within size."""
    scores: dict[str, list[float]] = {}
    for row in read_table(EXTRACT):
        score = -float(row[loss]) / (float(row["channel_weights"]) / 1e6) ** power
        scores.setdefault(row["network"], []).append(score)
    ranking = rank(scores)
    return ranking.tau.value, ranking.within.value


def of_schedule(schedule: Schedule, loss: str, power: float) -> dict[str, float]:
    """The score of each recorded network."""
    values = {}
    for name, recorded in schedule.recorded.items():
        mean = recorded.losses.mean() if loss == "train_loss" else recorded.held_out_loss[:, -1].mean()
        values[name] = -float(mean) / (recorded.channel_weights / 1e6) ** power
    return values


def at_equal_cost(schedule: Schedule, x: Mapping[str, float], y: Mapping[str, float]) -> float:
    """Tau within groups, over the networks that have both."""
    names = [name for name in x if name in y]
    groups = [schedule.every[name].group for name in names]
    return float(within([x[name] for name in names], [y[name] for name in names], groups))


def between_groups(schedule: Schedule, scores: Mapping[str, float]) -> float:
    """Tau with parameters over the pairs of different groups: whether larger groups come out better."""
    groups = np.array([schedule.every[name].group for name in scores])
    score, size = np.array(list(scores.values())), np.array([schedule.costs[name].params for name in scores])
    signs = np.sign(score[:, None] - score) * np.sign(size[:, None] - size)
    return float(signs[groups[:, None] != groups].mean())


def report() -> str:
    """A line for each loss and power."""
    recorded = schedules(load_ground_truth())
    short = next(each for each in recorded if (each.steps, each.seeds) == (STEPS, SEEDS))
    longest = max(recorded, key=lambda each: (each.steps, each.seeds))
    ends = of_schedule(longest, "loss", 0.0)
    params = {name: float(cost.params) for name, cost in short.costs.items()}
    lines = []
    for words, loss in LOSSES.items():
        for power in POWERS:
            scores = of_schedule(short, loss, power)
            equal = at_equal_cost(short, scores, ends), at_equal_cost(short, scores, params)
            figures = (*of_published(loss, power), between_groups(short, scores), *equal)
            shown = ["-" if figure is None else f"{figure:.2f}" for figure in figures]
            lines.append([words, f"{power:g}", *shown])
    seeds = len({row["seed"] for row in read_table(EXTRACT)})
    common = len(set(ends) & set(short.recorded))
    heads = ("loss", "power", "published: τ all", "published: τ within size", "between groups")
    table = markdown_table((*heads, f"equal cost: with {longest.steps} steps", "equal cost: with params"), lines)
    return (
        f"{STEPS} steps on CIFAR-10. Published: 15 models, {seeds} seed{'s' * (seeds > 1)}, τ with ImageNet top-1. "
        f"Between groups and equal cost: {len(short.recorded)} networks of the ground truth, {SEEDS} seeds; the "
        f"held-out loss after {longest.steps} steps is known of {common} of them.\n\n{table}"
    )


@click.command()
@click.option("--extract", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE")
@click.option("--write", is_flag=True, help="Write the table into docs/evidence/proxies.md.")
def main(file: Path | None, write: bool) -> None:
    """Print the table."""
    if file is not None:
        extract(file)
    text = report()
    print(text)
    if write:
        write_section(PAGE, "powers", text)


if __name__ == "__main__":
    main()
