"""Which power of size a loss should be divided by, on CIFAR-10: published models, and networks of equal cost.

    python benchmarks/ground_truth/powers.py                     prints the table
    python benchmarks/ground_truth/powers.py --write             also writes it into docs/evidence/proxies.md
    python benchmarks/ground_truth/powers.py --extract FILE      adds the JSON of `mvsearch proxies --proxy train
        --set train.steps=600 --data /my/cifar10 --json` to published_short_trainings.csv

A power must keep the order of published models (top-1 on ImageNet) and of groups of different cost, and leave the order
at equal cost to the loss. The networks of the ground truth have their short trainings in short_trainings.csv.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import numpy as np
from _networks import FOLDER
from _sections import markdown_table, write_section
from _tables import read_table, write_table
from scores import Schedule, held_out_loss, mean_loss, schedules

from mvsearch.proxies import channel_weights
from mvsearch.proxy_eval.ground_truth import load_ground_truth
from mvsearch.proxy_eval.rank_correlation import Ranking, published, rank, tau, within
from mvsearch.utils.text import plural

PAGE = FOLDER.parent.parent / "docs" / "evidence" / "proxies.md"
EXTRACT = FOLDER / "published_short_trainings.csv"
POWERS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
SCHEDULES = ((75, 2), (600, 1))
"""Numbers of steps and of seeds."""
LOSSES = {"mean training loss": "train_loss", "held-out loss": "loss"}
SCORES = {"train_loss": mean_loss, "loss": held_out_loss}
COLUMNS = ("network", "steps", "seed", "channel_weights", *LOSSES.values())


def extract(file: Path) -> None:
    """Add the losses of the published models by seed, in place of those after as many steps."""
    result = next(each for each in json.loads(file.read_text("utf-8"))["proxies"] if each["proxy"] == "train")
    steps = result["settings"]["steps"]
    rows = [row for row in read_table(EXTRACT) if int(row["steps"]) != steps]
    for reference in published():
        weights = channel_weights.count(reference.architecture)
        for seed, metrics in enumerate(result["scores"].get(reference.name, ())):
            losses = {name: f"{metrics[name]:.5f}" for name in LOSSES.values()}
            facts = {"network": reference.name, "steps": steps, "seed": seed, "channel_weights": weights}
            rows.append(facts | losses)
    write_table(EXTRACT, COLUMNS, rows)


def of_published(rows: Sequence[Mapping[str, str]], loss: str, power: float) -> Ranking:
    """The agreement with ImageNet top-1 of the short trainings of the published models."""
    scores: dict[str, list[float]] = {}
    for row in rows:
        score = -float(row[loss]) / (float(row["channel_weights"]) / 1e6) ** power
        scores.setdefault(row["network"], []).append(score)
    return rank(scores)


def of_schedule(schedule: Schedule, loss: str, power: float) -> dict[str, float]:
    """The score of each recorded network."""
    return {name: SCORES[loss](recorded, power) for name, recorded in schedule.recorded.items()}


def agreement(schedule: Schedule, x: Mapping[str, float], y: Mapping[str, float]) -> tuple[float, float]:
    """Tau over all and within groups, of the networks that have both."""
    names = [name for name in x if name in y]
    values, others = [x[name] for name in names], [y[name] for name in names]
    groups = [schedule.every[name].group for name in names]
    return float(tau(values, others)), float(within(values, others, groups))


def between_groups(schedule: Schedule, scores: Mapping[str, float]) -> float:
    """Tau with parameters over the pairs of different groups: whether larger groups come out better."""
    groups = np.array([schedule.every[name].group for name in scores])
    score, size = np.array(list(scores.values())), np.array([schedule.costs[name].params for name in scores])
    signs = np.sign(score[:, None] - score) * np.sign(size[:, None] - size)
    return float(signs[groups[:, None] != groups].mean())


def section(schedule: Schedule) -> str:
    """A line for each loss and power."""
    trained = {network.name: network.mean for network in schedule.networks()}
    params = {name: float(cost.params) for name, cost in schedule.costs.items()}
    short = [row for row in read_table(EXTRACT) if int(row["steps"]) == schedule.steps]
    lines = []
    for words, loss in LOSSES.items():
        for power in POWERS:
            scores = of_schedule(schedule, loss, power)
            order = of_published(short, loss, power)
            with_top1, with_params = agreement(schedule, scores, trained), agreement(schedule, scores, params)[1]
            figures = (order.tau.value, order.within.value, between_groups(schedule, scores), *with_top1, with_params)
            lines.append([words, f"{power:g}", *("-" if figure is None else f"{figure:.2f}" for figure in figures)])
    heads = ("loss", "power", "published: τ all", "published: τ within size", "between groups")
    table = markdown_table((*heads, "top-1: τ all", "top-1: τ equal cost", "params: τ equal cost"), lines)
    counts = f"{len(schedule.recorded)} networks of the ground truth, of which {len(trained)} are trained in full"
    models = len({row["network"] for row in short})
    title = f"**{schedule.steps} steps, {plural(schedule.seeds, 'seed')}.**"
    return f"{title} {counts}; {models} published models, 1 seed.\n\n{table}"


def report() -> str:
    """A table for each schedule."""
    recorded = {(each.steps, each.seeds): each for each in schedules(load_ground_truth())}
    return "\n\n".join(section(recorded[key]) for key in SCHEDULES)


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
