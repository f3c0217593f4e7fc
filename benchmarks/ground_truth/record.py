"""Records short trainings of the ground truth's networks once, so that scores can be computed from them afterwards.

Each training is that of the proxy `train` with its default settings but for the number of steps. The CSV has the mean
loss of every five steps, and the held-out loss and top-1 of the averaged weights after 75, 150, 300 and 600 steps as
far as the training goes. `scores.py` computes scores from it without training again.

    nice -n 15 python benchmarks/ground_truth/record.py --images /data/cifar10 --steps 75 --seeds 2

`--images` is a folder of train/CLASS and test/CLASS; only the training part is used. Ctrl-C or a kill loses the
trainings in progress; the same command resumes. Any number of these commands may run at once.
"""

import copy
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import torch
from _networks import FOLDER, architecture, load_networks
from _tables import read_table, write_table
from filelock import FileLock
from rich.progress import Progress

from mvsearch.data import load
from mvsearch.nn import build
from mvsearch.proxies import channel_weights
from mvsearch.proxies.train import Settings
from mvsearch.proxy_eval.ground_truth import Network
from mvsearch.training.distributed import ProcessGroup
from mvsearch.training.in_memory import InMemorySet
from mvsearch.training.loop import recalibrate_norms, seed_torch
from mvsearch.training.tasks import load_task
from mvsearch.training.trainer import Trainer

TABLE = FOLDER / "short_trainings.csv"
EVALUATED_AFTER = (75, 150, 300, 600)
STEPS_A_MEAN = 5
COLUMNS = (
    *("network", "steps", "seed", "channel_weights", "cpu_seconds", "evaluation_cpu_seconds"),
    *("evaluated_after", "top1", "loss", "train_loss_by_5_steps"),
)
"""`cpu_seconds` are those of building and training, without evaluations. `top1` and `loss` are of held-out images."""


@dataclass(frozen=True)
class Run:
    """One short training."""

    network: Network
    steps: int
    seed: int
    images: Path

    @property
    def key(self) -> tuple[str, int, int]:
        """Identifies its line."""
        return self.network.name, self.steps, self.seed


@click.command()
@click.option("--images", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--steps", type=click.IntRange(1), multiple=True, default=(75,), show_default=True, help="Repeatable.")
@click.option("--seeds", type=click.IntRange(1), default=2, show_default=True)
@click.option("--only", multiple=True, metavar="NAME", help="A network, or the beginning of its name; repeatable.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True)
def main(images: Path, steps: tuple[int, ...], seeds: int, only: tuple[str, ...], workers: int) -> None:
    """Run the trainings that the CSV lacks: every network with the first seed, then with the next."""
    networks = [n for n in load_networks() if not only or n.name.startswith(only)]
    runs = [Run(n, s, seed, images.resolve()) for s in steps for seed in range(seeds) for n in networks]
    finished = {key_of(row) for row in read_table(TABLE)}
    missing = [run for run in runs if run.key not in finished]
    with Progress() as progress, ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        bar = progress.add_task("short trainings", total=len(runs), completed=len(runs) - len(missing))
        for future in as_completed([pool.submit(record, run) for run in missing]):
            progress.console.print(future.result())
            progress.advance(bar)


def key_of(row: dict[str, Any]) -> tuple[str, int, int]:
    """Identifies a line of the table."""
    return row["network"], int(row["steps"]), int(row["seed"])


def record(run: Run) -> str:
    """Train, and add the line to the table, unless another process has added it; one sentence about it."""
    torch.set_num_threads(1)
    row = measure(run)
    with FileLock(TABLE.with_suffix(".lock")):
        rows = read_table(TABLE)
        if run.key not in {key_of(each) for each in rows}:
            order = {network.name: i for i, network in enumerate(load_networks())}
            rows = sorted([*rows, row], key=lambda r: (order[r["network"]], int(r["steps"]), int(r["seed"])))
            write_table(TABLE, COLUMNS, rows)
    return f"{run.network.name}, {run.steps} steps, seed {run.seed}: {row['top1']}, {row['cpu_seconds']} s"


def measure(run: Run) -> dict[str, Any]:
    """The line of a training: as `proxies.train.score` trains, with its losses and evaluations on the way."""
    arch, settings = architecture(run.network), Settings(steps=run.steps, seed=run.seed)
    data = load("folder", path=run.images, task="classification")
    images = InMemorySet.of(load_task(arch.task), data, settings.training(), "cpu")
    start, evaluation = time.process_time(), 0.0
    model = build(arch.at(image_size=settings.image_size, num_classes=images.classes), seed=settings.seed)
    trainer = Trainer(model, images, images.plan.recipe, ProcessGroup(device="cpu"), reseed=False)
    losses, evaluated = [], {}
    with torch.enable_grad(), seed_torch(settings.seed, "cpu"):
        for result in trainer.train_epoch():
            losses.append(result.loss)
            if result.step in EVALUATED_AFTER or result.step == run.steps:
                began = time.process_time()
                evaluated[result.step] = scores_of(trainer, images)
                evaluation += time.process_time() - began
    return {
        "network": run.network.name,
        "steps": run.steps,
        "seed": run.seed,
        "channel_weights": channel_weights.count(arch),
        "cpu_seconds": f"{time.process_time() - start - evaluation:.1f}",
        "evaluation_cpu_seconds": f"{evaluation / len(evaluated):.1f}",
        "evaluated_after": " ".join(map(str, evaluated)),
        "top1": " ".join(f"{scores['top1']:.4f}" for scores in evaluated.values()),
        "loss": " ".join(f"{scores['loss']:.4f}" for scores in evaluated.values()),
        "train_loss_by_5_steps": " ".join(f"{mean:.4f}" for mean in means(losses)),
    }


def scores_of(trainer: Trainer, images: InMemorySet) -> dict[str, float]:
    """The scores of the averaged weights, without a trace on the training."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        average = copy.deepcopy(trainer.average)
        recalibrate_norms(average, images.calibration_images())
        return dict(images.evaluate(average).scores)


def means(losses: Sequence[float]) -> list[float]:
    """The mean of every five losses."""
    parts = [losses[i : i + STEPS_A_MEAN] for i in range(0, len(losses), STEPS_A_MEAN)]
    return [sum(part) / len(part) for part in parts]


if __name__ == "__main__":
    main()
