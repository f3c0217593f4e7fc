"""Whether fine-tuning from a trained network is a score: records it for the ground truth, compares it with top-1.

Each network takes over what it can of the weights of SOURCE, is trained for a few steps with and without SOURCE as its
teacher, and is evaluated on 2,000 test images, since the source has seen all training images.

    python benchmarks/ground_truth/finetuned.py trained/xxs --images /data/cifar10 --steps 75
    python benchmarks/ground_truth/finetuned.py --write         writes the table in docs/evidence/proxies.md

The results are in finetuned.csv; the same command adds those that are missing.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from _networks import FOLDER, architecture, load_networks
from _sections import markdown_table, write_section
from _tables import read_table, write_table

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.cost import Cost
from mvsearch.data import DataSet, load
from mvsearch.nn import build
from mvsearch.proxies.train import Settings
from mvsearch.proxy_eval.agreement import agreement
from mvsearch.proxy_eval.ground_truth import JUDGED, GroundTruth, load_ground_truth
from mvsearch.training.distillation import Distillation, DistilledSet, Teacher, cached_logits
from mvsearch.training.in_memory import InMemorySet, train_in_memory
from mvsearch.training.source import Source
from mvsearch.training.tasks import load_task

TABLE = FOLDER / "finetuned.csv"
PAGE = FOLDER.parent.parent / "docs" / "evidence" / "proxies.md"
COLUMNS = ("network", "steps", "teacher", "inherited", "loss", "top1", "cpu_seconds")
TEST_IMAGES = 2000


def measure(arch: Architecture, source: Source, images: InMemorySet, labelled: DistilledSet | None) -> dict[str, str]:
    """The share of parameters that a network inherits, and what it reaches."""
    start = time.process_time()
    model = build(arch, seed=0)
    share = source.transfer(model).share
    average, _ = train_in_memory(model, images, labelled=labelled)
    seconds, scores = time.process_time() - start, images.evaluate(average).scores
    numbers = {"inherited": share, "loss": scores["loss"], "top1": scores["top1"]}
    return {name: f"{value:.4f}" for name, value in numbers.items()} | {"cpu_seconds": f"{seconds:.1f}"}


def record(place: str, data: DataSet, steps: int) -> Iterator[dict[str, Any]]:
    """The lines that the table lacks, as they are measured."""
    settings, source = Settings(steps=steps), Source.load(place, data.train.classes)
    test = data.test.subset(np.linspace(0, len(data.test.labels) - 1, TEST_IMAGES).astype(int))
    images = InMemorySet.of(load_task("classification"), data, settings.training()).with_held_out(test)
    images = images.prepared(source.preparation) if source.preparation else images
    teacher = Teacher.load(place, data.train.classes, "cpu")
    distilled = DistilledSet(images, cached_logits(teacher, images, data.checksum), Distillation())
    finished = {(row["network"], row["steps"], row["teacher"]) for row in read_table(TABLE)}
    for network in load_networks():
        arch = architecture(network).at(image_size=settings.image_size, num_classes=images.classes)
        for name, labelled in (("no", None), ("yes", distilled)):
            if (network.name, str(steps), name) not in finished:
                line = {"network": network.name, "steps": str(steps), "teacher": name}
                yield line | measure(arch, source, images, labelled)


def report() -> str:
    """A line for each number of steps and score."""
    truth, rows = load_ground_truth(), read_table(TABLE)
    costs = {network.name: architecture(network).cost() for network in load_networks()}
    lines = []
    for steps, teacher in dict.fromkeys((row["steps"], row["teacher"]) for row in rows):
        those = [row for row in rows if (row["steps"], row["teacher"]) == (steps, teacher)]
        seconds = np.mean([float(row["cpu_seconds"]) for row in those])
        for words, sign in (("loss", -1), ("top1", 1), ("inherited", 1)):
            scores = {row["network"]: sign * float(row[words]) for row in those}
            lines.append([steps, teacher, f"`{words}`", *_taus(scores, costs, truth), f"{seconds:.0f}"])
    heads = ("steps", "teacher", "score", "τ equal cost", "τ all")
    return markdown_table((*heads, "judged half: τ equal cost", "judged half: τ all", "CPU s"), lines, texts=3)


def _taus(scores: Mapping[str, float], costs: Mapping[str, Cost], truth: GroundTruth) -> list[str]:
    """τ at equal cost and over all, of all networks and of the judged half."""
    found: list[str] = []
    for half in (None, JUDGED):
        networks = [network for network in truth.of_half(half) if network.name in scores]
        result = agreement(scores, networks, costs)
        found += [result.within.words, result.tau.words]
    return found


@click.command(help=__doc__)
@click.argument("source", required=False)
@click.option("--images", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--steps", type=click.IntRange(1), multiple=True, default=(75,), show_default=True, help="Repeatable.")
@click.option("--write", is_flag=True, help="Write the table into docs/evidence/proxies.md.")
def main(source: str | None, images: Path | None, steps: tuple[int, ...], write: bool) -> None:
    torch.set_num_threads(1)
    if bool(source) != bool(images):
        raise click.UsageError("SOURCE and --images go together.")
    if source and images:
        data = load("folder", path=images, size=32, task="classification")
        for each in steps:
            for line in record(source, data, each):
                write_table(TABLE, COLUMNS, [*read_table(TABLE), line])
                print(line, flush=True)
    text = report()
    print(text)
    if write:
        write_section(PAGE, "fine-tuned", text)


if __name__ == "__main__":
    main()
