"""What transferred weights save: networks trained from scratch and from another's weights, on the same batches.

A source is a network trained from scratch with the next seed for as many steps. Top-1 is that of the held-out images of
Fashion-MNIST.

    python benchmarks/weight_transfer.py --json runs.json
"""

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
from mvsearch.nn.weight_transfer import transfer_weights
from mvsearch.proxies.train import Settings
from mvsearch.training.in_memory import InMemorySet
from mvsearch.training.tasks import load_task
from mvsearch.training.trainer import Trainer

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
    """One training: top-1 on held-out images (share) after every `every` steps, and before the first."""

    kind: str
    network: str
    source: str | None
    share: float
    seed: int
    every: int
    top1: list[float]


def train(model: nn.Module, images: InMemorySet, every: int) -> list[float]:
    """Train in place; top-1 during the training."""
    trainer = Trainer(model, images, images.plan.recipe, reseed=False)
    top1 = [evaluate(model, images)]
    model.train()
    for result in trainer.train_epoch():
        if result.step % every == 0:
            top1.append(evaluate(model, images))
            model.train()
    return top1


def reseed(images: InMemorySet, seed: int) -> InMemorySet:
    """The same images, drawn by another seed."""
    return replace(images, plan=replace(images.plan, seed=seed))


def evaluate(model: nn.Module, images: InMemorySet) -> float:
    return images.evaluate(model.eval()).scores["top1"]


def network(name: str, images: InMemorySet, seed: int) -> nn.Sequential:
    size = images.plan.recipe.image_size
    return build(published(name).at(image_size=size, num_classes=images.classes), seed=seed)


def compare(data: dict[str, InMemorySet], every: int, seeds: int) -> Iterator[Run]:
    """For each seed all networks from scratch, then each of them from another one's weights."""
    fashion, others = ([reseed(data[name], seed) for seed in range(seeds)] for name in ("fashion_mnist", OTHER_IMAGES))
    sources = {}
    for seed, name in product(range(seeds), sorted({name for pair in PAIRS.values() for name in pair})):
        sources[name, seed] = network(name, fashion[seed], seed)
        yield Run("scratch", name, None, 0.0, seed, every, train(sources[name, seed], fashion[seed], every))
    for seed, (kind, (source, name)) in product(range(seeds), PAIRS.items()):
        other = (seed + 1) % seeds  # trained on other draws of the images than the network that gets its weights
        if kind == "other images":
            source_model = network(source, others[other], other)
            train(source_model, others[other], others[other].steps)
        else:
            source_model = sources[source, other]
        model = network(name, fashion[seed], seed)
        transfer = transfer_weights(model, source_model, name=source)
        share = transfer.transferred / transfer.params
        yield Run(kind, name, source, share, seed, every, train(model, fashion[seed], every))


def steps_to(level: float, run: Run) -> int | None:
    """The first evaluated step at which a run reaches a level; None if it does not."""
    return next((i * run.every for i, top1 in enumerate(run.top1) if top1 >= level), None)


def table(runs: list[Run]) -> Table:
    rows = Table(title="top-1 on held-out images, mean over seeds")
    every, last = runs[0].every, len(runs[0].top1) - 1
    shown = sorted({0, 1, 2, last // 4, last // 2, last})
    heads = ("network", "weights", "transferred", *(f"step {every * i}" for i in shown), "steps to scratch's end")
    for head in heads:
        rows.add_column(head, justify="left" if head in heads[:2] else "right")
    for kind, name in sorted({(run.kind, run.network) for run in runs}, key=lambda pair: (pair[1], pair[0])):
        group = [run for run in runs if (run.kind, run.network) == (kind, name)]
        scratch = {run.seed: run.top1[-1] for run in runs if (run.kind, run.network) == ("scratch", name)}
        steps = sorted(step if (step := steps_to(scratch[run.seed], run)) is not None else 10**9 for run in group)
        figures = [f"{100 * statistics.mean(run.top1[i] for run in group):.1f}" for i in shown]
        reached = ", ".join(str(step) if step < 10**9 else "never" for step in steps)
        words = kind if kind == "scratch" else f"{kind}: {group[0].source}"
        rows.add_row(name, words, f"{group[0].share:.0%}", *figures, "" if kind == "scratch" else reached)
    return rows


@click.command(help=__doc__)
@click.option("--steps", default=160, show_default=True)
@click.option("--every", default=20, show_default=True)
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(2))
@click.option("--json", "path", type=click.Path(path_type=Path), help="Write every run here.")
def main(steps: int, every: int, seeds: int, path: Path | None) -> None:
    torch.set_num_threads(1)
    training, task = Settings(steps=steps, held_out=1000).training(), load_task("classification")
    images = {name: InMemorySet.of(task, data.load(name), training) for name in ("fashion_mnist", OTHER_IMAGES)}
    runs: list[Run] = []
    total = seeds * (len(PAIRS) + len({name for pair in PAIRS.values() for name in pair}))
    results = compare(images, every, seeds)
    for run in track(results, "trainings", total=total, console=Console(stderr=True)):
        runs.append(run)
        if path is not None:
            path.write_text(json.dumps([vars(run) for run in runs]), encoding="utf-8")
    Console(width=140).print(table(runs))


if __name__ == "__main__":
    main()
