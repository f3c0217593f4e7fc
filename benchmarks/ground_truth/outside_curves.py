"""How well scores of unfinished trainings order small networks outside the MobileViT family, on ImageNet-1k.

    python benchmarks/ground_truth/outside_curves.py             prints the table
    python benchmarks/ground_truth/outside_curves.py --write     also writes it into docs/evidence/proxies.md
    python benchmarks/ground_truth/outside_curves.py --extract TABLE.csv.gz

The curves are in outside_curves.csv (source and licence: README.md). `--extract` makes it from a table with the columns
run, epoch, n_parameters, train_loss, test_loss and test_top1, a line an epoch.
"""

import csv
import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from _networks import FOLDER
from _sections import markdown_table, write_section
from _tables import read_table, write_table

from mvsearch.proxy_eval.rank_correlation import Estimate, estimate, tau, within

EXTRACT = FOLDER / "outside_curves.csv"
PAGE = FOLDER.parent.parent / "docs" / "evidence" / "proxies.md"
EPOCHS = (5, 10, 20, 30, 60, 100)
COLUMNS = ("run", "kind", "params", "epochs", "at", "mean_train_loss", "train_loss", "test_loss", "top1")
"""Curves have a value for each epoch in `at`, counted from 1, the last included; the mean is of all epochs so far."""

KINDS = {
    "distilled": "trained with a teacher, 300 epochs",
    "plain": "trained without, 300 epochs",
    "ablation_224": "variants of one network at 224 px, 120 epochs",
    "ablation_384": "variants of one network at 384 px, 120 epochs",
}


@dataclass(frozen=True)
class Training:
    """One training: its kind, its size, its curves by epoch, and its final top-1 in %."""

    run: str
    kind: str
    params: float
    curves: Mapping[str, Mapping[int, float]]
    final: float


Score = Callable[[Training, int], float]
"""A training and an epoch → a score, higher is better."""

SCORES: Mapping[str, Score] = {
    "params": lambda t, e: t.params,
    "mean training loss": lambda t, e: -t.curves["mean_train_loss"][e],
    "mean training loss / params^0.5": lambda t, e: -t.curves["mean_train_loss"][e] / t.params**0.5,
    "training loss": lambda t, e: -t.curves["train_loss"][e],
    "test loss": lambda t, e: -t.curves["test_loss"][e],
    "test loss / params^0.5": lambda t, e: -t.curves["test_loss"][e] / t.params**0.5,
    "top-1": lambda t, e: t.curves["top1"][e],
}


def kind_of(run: str) -> str:
    """The kind of a run by the folder of its log."""
    if "/ablation/" in run:
        return f"ablation_{run.split('/ablation/')[1].split('/')[0]}"
    return "distilled" if "/distill/" in run else "plain"


def extract(table: Path) -> list[dict[str, str]]:
    """The lines of the extract; a run whose whole curve equals another's is left out."""
    runs: dict[str, list[dict[str, str]]] = {}
    with gzip.open(table, "rt", encoding="utf-8") as lines:
        for line in csv.DictReader(lines):
            runs.setdefault(line["run"], []).append(line)
    seen, rows = set(), []
    for run, lines in runs.items():
        top1 = tuple(line["test_top1"] for line in lines)
        if top1 in seen:
            continue
        seen.add(top1)
        at = [epoch for epoch in EPOCHS if epoch < len(lines)] + [len(lines)]
        losses = [float(line["train_loss"]) for line in lines]
        rows.append(
            {
                "run": run.removeprefix("RecNeXt/").removesuffix(".txt"),
                "kind": kind_of(run),
                "params": lines[0]["n_parameters"],
                "epochs": str(len(lines)),
                "at": " ".join(map(str, at)),
                "mean_train_loss": " ".join(f"{np.mean(losses[:epoch]):.5f}" for epoch in at),
                "train_loss": " ".join(lines[epoch - 1]["train_loss"] for epoch in at),
                "test_loss": " ".join(lines[epoch - 1]["test_loss"] for epoch in at),
                "top1": " ".join(lines[epoch - 1]["test_top1"] for epoch in at),
            }
        )
    return rows


def load_trainings() -> list[Training]:
    """The trainings of the extract."""
    trainings = []
    for row in read_table(EXTRACT):
        at = [int(epoch) for epoch in row["at"].split()]
        names = ("mean_train_loss", "train_loss", "test_loss", "top1")
        curves = {name: dict(zip(at, map(float, row[name].split()), strict=True)) for name in names}
        trainings.append(Training(row["run"], row["kind"], float(row["params"]), curves, curves["top1"][at[-1]]))
    return trainings


def within_kinds(score: Score, epoch: int, trainings: Sequence[Training]) -> Estimate:
    """Tau over the pairs of one kind: losses with and without a teacher cannot be compared."""
    x, y = [score(t, epoch) for t in trainings], [t.final for t in trainings]
    kinds = [t.kind for t in trainings]
    return estimate(lambda weights: within(x, y, kinds, weights), len(trainings))


def overall(score: Score, epoch: int, trainings: Sequence[Training]) -> Estimate:
    """Tau over all pairs."""
    x, y = [score(t, epoch) for t in trainings], [t.final for t in trainings]
    return estimate(lambda weights: tau(x, y, weights), len(trainings))


def report(trainings: Sequence[Training]) -> str:
    """One table for the trainings of 300 epochs, and one for each kind."""
    whole = [t for t in trainings if t.kind in ("distilled", "plain")]
    parts = [f"**{len(whole)} trainings of 300 epochs**, pairs of one kind (with or without a teacher):"]
    parts.append(table_of(whole, (10, 20, 30, 60, 100), within_kinds))
    for kind, words in KINDS.items():
        chosen = [t for t in trainings if t.kind == kind]
        parts += [f"**{len(chosen)} {words}** (`{kind}`):", table_of(chosen, (10, 30, 60), overall)]
    return "\n\n".join(parts)


def table_of(
    trainings: Sequence[Training],
    epochs: Sequence[int],
    agreement: Callable[[Score, int, Sequence[Training]], Estimate],
) -> str:
    """A line for each score, a column for each epoch."""
    lines = [[name, *(agreement(score, epoch, trainings).words for epoch in epochs)] for name, score in SCORES.items()]
    return markdown_table(("τ with final top-1 of", *(f"epoch {epoch}" for epoch in epochs)), lines)


@click.command()
@click.option("--extract", "table", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="TABLE")
@click.option("--write", is_flag=True, help="Write the tables into docs/evidence/proxies.md.")
def main(table: Path | None, write: bool) -> None:
    """Print the tables."""
    if table is not None:
        write_table(EXTRACT, COLUMNS, extract(table))
    text = report(load_trainings())
    print(text)
    if write:
        write_section(PAGE, "outside curves", text)


if __name__ == "__main__":
    main()
