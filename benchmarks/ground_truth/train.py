"""Trains the networks of the ground truth in full, each with several seeds, and collects the results in a CSV.

Any number of these commands may run at once, on machines that share the folder: each training is locked by the process
that runs it. Ctrl-C or a kill loses at most 500 steps of a training; the same command resumes.

    python benchmarks/ground_truth/train.py --images /data/cifar10 --workers 2

`--images` is a folder of train/CLASS and test/CLASS. The trainings are in studies/ground_truth, the results in
cifar10.csv; what the CSV has is not trained again. With `--epochs` the same networks are trained longer (`--only` names
some), in a CSV of its own. `--validated FILE` takes over what a validation trained with this recipe on these images,
from its CSV, if the JSON beside it has this recipe; such lines have no curves.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import torch
from _networks import FOLDER, architecture, load_networks
from _tables import read_table, write_table
from filelock import FileLock, Timeout
from rich.progress import Progress

from mvsearch.data import DataSettings
from mvsearch.proxy_eval.ground_truth import Network
from mvsearch.training import metrics_log
from mvsearch.training.distributed import ProcessGroup
from mvsearch.training.job import TrainingJob
from mvsearch.training.recipe import Recipe
from mvsearch.training.recipes import load as load_recipe
from mvsearch.training.trainer import EpochResult
from mvsearch.validation.conditions import Conditions
from mvsearch.validation.folder import DOCUMENT

COLUMNS = (
    *("network", "group", "origin", "seed", "epochs", "params", "macs", "top1", "loss", "train_loss", "cpu_seconds"),
    *("device", "top1_by_epoch", "loss_by_epoch", "train_loss_by_epoch"),
)
"""`top1` and `loss` are of the test part; `train_loss` is the mean over all steps. Curves have one value an epoch."""


@dataclass(frozen=True)
class Run:
    """One training: a network and a seed, with the folders and the device."""

    network: Network
    seed: int
    epochs: int
    images: Path
    trainings: Path
    device: str

    @property
    def folder(self) -> Path:
        """Where its checkpoint and its result are."""
        return self.trainings / f"{self.network.name}_{self.seed}_{self.epochs}"

    def job(self) -> TrainingJob:
        """The training itself."""
        recipe = recipe_of(self.epochs)
        images = DataSettings(source="folder", path=str(self.images), size=recipe.image_size)
        arch = architecture(self.network)
        return TrainingJob(replace(arch, name=self.network.name), recipe, images, self.folder, seed=self.seed)


def recipe_of(epochs: int | None = None) -> Recipe:
    """The recipe of the ground truth, with its own epochs or others."""
    recipe = load_recipe(str(FOLDER / "cifar10.yaml"))
    return replace(recipe, epochs=epochs or recipe.epochs)


@click.command()
@click.option("--images", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--trainings", type=click.Path(path_type=Path), default=Path("studies/ground_truth"), show_default=True)
@click.option("--seeds", type=click.IntRange(1), default=2, show_default=True)
@click.option("--epochs", type=click.IntRange(1), help="Default: those of cifar10.yaml.")
@click.option("--only", multiple=True, metavar="NAME", help="A network, or the beginning of its name; repeatable.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--validated", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="CSV")
def main(
    images: Path,
    trainings: Path,
    seeds: int,
    epochs: int | None,
    only: tuple[str, ...],
    workers: int,
    device: str,
    validated: Path | None,
) -> None:
    """Train what the CSV lacks."""
    usual = recipe_of().epochs
    table = FOLDER / ("cifar10.csv" if epochs in (None, usual) else f"cifar10_{epochs}_epochs.csv")
    networks = [n for n in load_networks() if not only or n.name.startswith(only)]
    if validated:
        click.echo(f"{take_over(validated, table, epochs or usual)} trainings taken over from {validated}")
    runs = [Run(n, seed, epochs or usual, images, trainings, device) for n, seed in training_order(networks, seeds)]
    finished = {(row["network"], row["seed"]) for row in read_table(table)}
    missing = [run for run in runs if (run.network.name, str(run.seed)) not in finished]
    with Progress() as progress, ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        bar = progress.add_task(f"{len(networks)} networks", total=len(runs), completed=len(runs) - len(missing))
        for future in as_completed([pool.submit(train, run, table) for run in missing]):
            if message := future.result():
                progress.console.print(message)
            progress.advance(bar)


def training_order(networks: Sequence[Network], seeds: int) -> list[tuple[Network, int]]:
    """Group by group as the file has them, every network once before any a second time."""
    groups = dict.fromkeys(network.group for network in networks)
    return [(n, seed) for group in groups for seed in range(seeds) for n in networks if n.group == group]


def train(run: Run, table: Path) -> str:
    """Train to the end and add the result to the table; one sentence about it, empty if another process trains it."""
    torch.set_num_threads(1)
    run.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(run.folder / "lock", timeout=0):
            job = run.job()
            data = job.load_data()
            training = job.start(data, ProcessGroup(device=run.device))
            for event in training.run.run():
                if isinstance(event, EpochResult) and event.epoch == run.epochs:
                    job.finish(training, data, seconds=0)
            row = row_of(run)
            with FileLock(run.trainings / "table.lock"):
                write_rows(table, [*read_table(table), row])
    except Timeout:
        return ""
    return f"{run.network.name} seed {run.seed}: {100 * float(row['top1']):.2f} %, {float(row['cpu_seconds']):.0f} s"


def take_over(validation: Path, table: Path, epochs: int) -> int:
    """Add the trainings of a validation whose networks are in networks.yaml, unless the table has them; how many."""
    check_recipe(validation, epochs)
    rows = read_table(table)
    finished = {(row["network"], row["seed"]) for row in rows}
    by_key = {architecture(network).key: network for network in load_networks()}
    for line in read_table(validation):
        network = by_key.get(line["key"])
        if network and (network.name, line["seed"]) not in finished:
            own = {name: line[name] for name in ("seed", "params", "macs", "top1", "loss", "device")}
            named = {"network": network.name, "group": network.group, "origin": network.origin, "epochs": epochs}
            rows.append(named | own | {"cpu_seconds": round(float(line["cpu_seconds"]))})
    write_rows(table, rows)
    return len(rows) - len(finished)


def check_recipe(validation: Path, epochs: int) -> None:
    """Refuse a validation by another recipe: its name has the digest of all that its trainings shared."""
    document = next(filter(Path.exists, (validation.with_suffix(".json"), validation.with_name(DOCUMENT))), None)
    if document is None:
        raise click.ClickException(f"{validation}: {DOCUMENT} must be beside it, which has the recipe.")
    stored = json.loads(document.read_text("utf-8"))["conditions"]
    conditions = Conditions(
        recipe_name=stored["recipe"],
        recipe=recipe_of(epochs),
        data=DataSettings(**stored["images"]),
        data_name=stored["data"],
        precision=stored["precision"],
        **{name: stored[name] for name in ("checksum", "train_images", "classes", "steps")},
    )
    if conditions.name != stored["name"]:
        raise click.ClickException(
            f"{document}: its networks were trained by {stored['recipe']} in {stored['epochs']} epochs; only trainings "
            f"by {FOLDER / 'cifar10.yaml'} as it is now, in {epochs} epochs from random weights, are taken over."
        )


def row_of(run: Run) -> dict[str, Any]:
    """The line of the CSV, from the files of a finished training."""
    result = json.loads((run.folder / "result.json").read_text("utf-8"))
    lines = metrics_log.read(run.folder / metrics_log.METRICS)
    epochs = [line for line in lines if "judged_loss" in line]
    losses = [[line["loss"] for line in lines if "loss" in line and line["epoch"] == e["epoch"]] for e in epochs]
    means = [sum(values) / len(values) for values in losses]
    row = {name: result[name] for name in ("params", "macs", "top1", "loss", "device")}
    arch = architecture(run.network).cost()  # at the space's size and number of classes
    return row | {
        "network": run.network.name,
        "group": run.network.group,
        "origin": run.network.origin,
        "seed": run.seed,
        "epochs": run.epochs,
        "params": arch.params,
        "macs": arch.macs,
        "train_loss": f"{sum(means) / len(means):.5f}",
        "cpu_seconds": round(result["cpu_seconds"]),
        "top1_by_epoch": " ".join(f"{line['top1']:.4f}" for line in epochs),
        "loss_by_epoch": " ".join(f"{line['judged_loss']:.4f}" for line in epochs),
        "train_loss_by_epoch": " ".join(f"{mean:.4f}" for mean in means),
    }


def write_rows(table: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the CSV, sorted as networks.yaml is."""
    order = {network.name: i for i, network in enumerate(load_networks())}
    write_table(table, COLUMNS, sorted(rows, key=lambda row: (order[row["network"]], int(row["seed"]))))


if __name__ == "__main__":
    main()
