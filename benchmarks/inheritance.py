"""Does a network that inherits less score worse by that alone? Candidates of a study, fine-tuned from a trained source.

The candidates' scores in STUDY, from longer trainings with random weights, stand for their quality. Each one is trained
for a few steps from the source and from random weights. With the quality given, a score that still depends on the
share of inherited parameters is biased. Every training is a line of the CSV; a further run adds what is missing.

    python benchmarks/inheritance.py studies/v3_cifar10 trained/xxs --images /data/cifar10 --csv inheritance.csv
"""

import csv
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from mvsearch import data
from mvsearch.arch.architecture import Architecture
from mvsearch.nn import build
from mvsearch.proxies.train import Settings
from mvsearch.proxy_eval.rank_correlation import tau
from mvsearch.study.reader import open_study
from mvsearch.training.in_memory import InMemorySet, train_in_memory
from mvsearch.training.loop import recalibrate_norms
from mvsearch.training.source import Source
from mvsearch.training.tasks import load_task


@dataclass(frozen=True)
class Row:
    """A candidate: its loss in the study, and on test images after the cut, the fine-tuning and as many steps from
    random weights. `other_residual` is 1 if its transformer blocks add their input and the source's do not, or the
    other way round."""

    trial: int
    params: int
    macs: int
    share: float
    other_residual: int
    quality: float
    after_cut: float
    tuned: float
    tuned_top1: float
    random: float
    seconds: float


def measure(arch: Architecture, source: Source, images: InMemorySet) -> Iterator[float]:
    """The loss after the cut, the loss and top-1 after the fine-tuning, the loss from random weights; the share."""
    model = build(arch, seed=0)
    share = source.transfer(model).share
    recalibrate_norms(model.to(memory_format=torch.channels_last), images.calibration_images())
    yield loss(model, images)[0]
    model = build(arch, seed=0)
    source.transfer(model)
    yield from loss(train_in_memory(model, images)[0], images)
    yield loss(train_in_memory(build(arch, seed=0), images)[0], images)[0]
    yield share


def loss(model: nn.Module, images: InMemorySet) -> tuple[float, float]:
    scores = images.evaluate(model).scores
    return scores["loss"], scores["top1"]


def residuals(arch: Architecture) -> set[bool]:
    return {vars(row)["add_input"] for row in arch.blocks if "add_input" in vars(row)}


def read(path: Path) -> dict[int, Row]:
    if not path.exists():
        return {}
    kinds = {field.name: field.type for field in fields(Row)}
    with path.open(newline="", encoding="utf-8") as lines:
        rows = [{name: kinds[name](text) for name, text in line.items()} for line in csv.DictReader(lines)]
    return {row["trial"]: Row(**row) for row in rows}


def append(path: Path, row: Row) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(asdict(row))


def regress(columns: Mapping[str, Sequence[float]], y: np.ndarray) -> dict[str, tuple[float, float]]:
    """The coefficient of each column, and its standard error, by least squares with a constant."""
    matrix = np.column_stack((np.ones(len(y)), *columns.values()))
    inverse = np.linalg.pinv(matrix.T @ matrix)
    found = inverse @ matrix.T @ y
    rest = y - matrix @ found
    errors = np.sqrt(np.diag(inverse) * (rest @ rest) / (len(y) - matrix.shape[1]))
    return dict(zip(columns, zip(found[1:], errors[1:], strict=True), strict=True))


def report(rows: Sequence[Row]) -> None:
    screen, column = Console(width=120), {f.name: np.array([getattr(r, f.name) for r in rows]) for f in fields(Row)}
    quality, tuned, random = (np.log(column[name]) for name in ("quality", "tuned", "random"))
    size = {"params": np.log(column["params"]), "macs": np.log(column["macs"])}
    share = {"share": column["share"], "other residual": column["other_residual"]}
    table = Table("effect on the logarithm of the loss", *share, title=f"{len(rows)} candidates")
    effects = {
        "fine-tuned, quality given": regress(share | {"quality": quality}, tuned),
        "quality itself, size given": regress(share | size, quality),
        "fine-tuned, size given": regress(share | size, tuned),
        "fine-tuned less random, size given": regress(share | size, tuned - random),
        "random, quality given": regress(share | {"quality": quality}, random),
    }
    for name, effect in effects.items():
        table.add_row(name, *(f"{effect[each][0]:+.3f} ± {effect[each][1]:.3f}" for each in share))
    screen.print(table)
    scores = {"fine-tuned": tuned, "random": random, "after the cut": np.log(column["after_cut"])}
    scores |= {"params": -size["params"], "share": -column["share"]}
    for name, effect in list(effects.items())[2:4]:
        scores[f"corrected by share ({name})"] = tuned - effect["share"][0] * column["share"]
        both = sum(effect[each][0] * values for each, values in share.items())
        scores[f"corrected by both ({name})"] = tuned - both
    ranks = Table("score", "τ with the quality", "among equal residuals", "among others")
    for name, values in scores.items():
        masks = [np.ones(len(rows), bool), column["other_residual"] == 0, column["other_residual"] == 1]
        cells = [f"{float(tau(values[mask], quality[mask])):.2f}" if mask.sum() > 2 else "" for mask in masks]
        ranks.add_row(name, *cells)
    screen.print(ranks)


@click.command(help=__doc__)
@click.argument("study")
@click.argument("source")
@click.option("--images", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--csv", "path", type=click.Path(path_type=Path), required=True)
@click.option("--steps", default=75, show_default=True)
@click.option("--test-images", default=2000, show_default=True, help="So many test images are evaluated.")
@click.option("--minutes", default=10.0, show_default=True, help="No training starts after so many minutes.")
def main(study: str, source: str, images: Path, path: Path, steps: int, test_images: int, minutes: float) -> None:
    torch.set_num_threads(1)
    decoded = data.load("folder", path=images, size=32, test_fraction=0.2, seed=0, task="classification")
    loaded = Source.load(source, decoded.train.classes)
    test = decoded.test.subset(np.linspace(0, len(decoded.test.labels) - 1, test_images).astype(int))
    held = InMemorySet.of(load_task("classification"), decoded, Settings(steps=steps).training()).with_held_out(test)
    held = held.prepared(loaded.preparation) if loaded.preparation else held
    start, rows = time.monotonic(), read(path)
    for record in open_study(study).records():
        if record.state != "complete" or record.number in rows or time.monotonic() - start > 60 * minutes:
            continue
        arch, began = Architecture.from_dict(record.architecture), time.process_time()
        small = arch.at(image_size=32, num_classes=held.classes)
        after_cut, tuned, top1, random, share = measure(small, loaded, held)
        row = Row(
            trial=record.number,
            params=record.metrics["params"],
            macs=record.metrics["macs"],
            share=share,
            other_residual=int(bool(residuals(arch) - residuals(loaded.arch))),
            quality=record.metrics["loss"],
            after_cut=after_cut,
            tuned=tuned,
            tuned_top1=top1,
            random=random,
            seconds=time.process_time() - began,
        )
        append(path, row)
        rows[row.trial] = row
    report(list(rows.values()))


if __name__ == "__main__":
    main()
