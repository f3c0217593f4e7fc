"""What inherited weights save: networks trained from scratch and from another's weights, on the same batches.

A source is the network trained from scratch by the next seed: as long, by other draws. Top-1 of Fashion-MNIST's
held-out images.

    python benchmarks/inheritance.py --json runs.json
"""

import copy
import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn

from mvsearch import data
from mvsearch.arch.published import published
from mvsearch.nn import build
from mvsearch.nn.weight_transfer import inherit
from mvsearch.training.images import Task
from mvsearch.training.loop import learn
from mvsearch.training.recipe import Recipe

PAIRS = {
    "deeper": ("mobilevitv3_xxs_l2", "mobilevitv3_xxs"),
    "shallower": ("mobilevitv3_xxs", "mobilevitv3_xxs_l2"),
    "wider": ("mobilevitv3_xxs", "mobilevitv3_xs"),
    "narrower": ("mobilevitv3_xs", "mobilevitv3_xxs"),
    "other images": ("mobilevitv3_xxs", "mobilevitv3_xxs"),
}
OTHER_IMAGES = "photos"


@dataclass(frozen=True)
class Run:
    """One training: top-1 on held-out images (share) after every `every` steps, the first before any."""

    kind: str
    network: str
    source: str | None
    share: float
    seed: int
    every: int
    top1: list[float]


def trained(model: nn.Module, task: Task, recipe: Recipe, every: int) -> list[float]:
    """Train in place; top-1 along the way."""
    top1 = [judged(model, task)]
    for step, _ in enumerate(learn(model.train(), copy.deepcopy(model), task, recipe), 1):
        if step % every == 0:
            top1.append(judged(model, task))
            model.train()
    return top1


@torch.no_grad()
def judged(model: nn.Module, task: Task) -> float:
    model.eval()
    right = sum(int((model(x).argmax(1) == labels).sum()) for x, labels in task.held_batches())
    return right / len(task.held_labels)


def network(name: str, task: Task, recipe: Recipe, seed: int) -> nn.Sequential:
    made = build(published(name).at(image_size=recipe.image_size, num_classes=task.classes), seed=seed)
    return made.to(memory_format=torch.channels_last)


def compared(tasks: dict[str, Task], recipe: Recipe, every: int, seeds: int) -> Iterator[Run]:
    """Of each seed all networks from scratch, then each of them from another one's weights."""
    fashion = tasks["fashion_mnist"]
    recipes = [replace(recipe, seed=seed) for seed in range(seeds)]
    sources = {}
    for seed, name in product(range(seeds), sorted({name for pair in PAIRS.values() for name in pair})):
        sources[name, seed] = network(name, fashion, recipe, seed)
        yield Run("scratch", name, None, 0.0, seed, every, trained(sources[name, seed], fashion, recipes[seed], every))
    for seed, (kind, (source, name)) in product(range(seeds), PAIRS.items()):
        other = (seed + 1) % seeds  # has seen other draws of the images than the network that inherits will see
        if kind == "other images":
            parent = network(source, tasks[OTHER_IMAGES], recipe, other)
            trained(parent, tasks[OTHER_IMAGES], recipes[other], recipe.steps)
        else:
            parent = sources[source, other]
        model = network(name, fashion, recipe, seed)
        found = inherit(model, parent, name=source)
        share = found.inherited / found.params
        yield Run(kind, name, source, share, seed, every, trained(model, fashion, recipes[seed], every))


def steps_to(level: float, run: Run) -> int | None:
    """The first step judged at which a run was as good."""
    return next((i * run.every for i, top1 in enumerate(run.top1) if top1 >= level), None)


def table(runs: list[Run]) -> Table:
    made = Table(title="top-1 on held-out images, mean over seeds")
    every, last = runs[0].every, len(runs[0].top1) - 1
    shown = sorted({0, 1, 2, last // 4, last // 2, last})
    heads = ("network", "weights", "inherited", *(f"step {every * i}" for i in shown), "steps to scratch's end")
    for head in heads:
        made.add_column(head, justify="left" if head in heads[:2] else "right")
    for kind, name in sorted({(run.kind, run.network) for run in runs}, key=lambda each: (each[1], each[0])):
        mine = [run for run in runs if (run.kind, run.network) == (kind, name)]
        scratch = {run.seed: run.top1[-1] for run in runs if (run.kind, run.network) == ("scratch", name)}
        steps = sorted(found if (found := steps_to(scratch[run.seed], run)) is not None else 10**9 for run in mine)
        figures = [f"{100 * statistics.mean(run.top1[i] for run in mine):.1f}" for i in shown]
        reached = ", ".join(str(step) if step < 10**9 else "never" for step in steps)
        words = kind if kind == "scratch" else f"{kind}: {mine[0].source}"
        made.add_row(name, words, f"{mine[0].share:.0%}", *figures, "" if kind == "scratch" else reached)
    return made


@click.command(help=__doc__)
@click.option("--steps", default=160, show_default=True)
@click.option("--every", default=20, show_default=True)
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(2))
@click.option("--json", "path", type=click.Path(path_type=Path), help="Write every run here.")
def main(steps: int, every: int, seeds: int, path: Path | None) -> None:
    torch.set_num_threads(1)
    recipe = Recipe(steps=steps, held_out=1000)
    tasks = {name: Task.of(data.load(name), recipe, "cpu") for name in ("fashion_mnist", OTHER_IMAGES)}
    runs: list[Run] = []
    total = seeds * (len(PAIRS) + len({name for pair in PAIRS.values() for name in pair}))
    found = compared(tasks, recipe, every, seeds)
    for run in track(found, "trainings", total=total, console=Console(stderr=True)):
        runs.append(run)
        if path is not None:
            path.write_text(json.dumps([vars(run) for run in runs]), encoding="utf-8")
    Console(width=140).print(table(runs))


if __name__ == "__main__":
    main()
