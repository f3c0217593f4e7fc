"""What weights of other images are worth: networks trained on two sets of images, and carried from each to the other.

Each network is trained on both sets by `ground_truth/cifar10.yaml`; then on each set for fewer epochs from random
weights, and by the recipe `finetune` from its weights of the other set. Top-1 is that of the test part.

    python benchmarks/transfer_between_sets.py --images /data/cifar10 --images /data/tiny_imagenet_100 \\
        --network mobilevitv3_xs --network mobilevitv3_s --image-size 64

Images are folders of train/CLASS and test/CLASS. All trainings are done by `mvsearch train`: Ctrl-C or a kill loses at
most 500 steps, and the same command resumes.
"""

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

FULL = Path(__file__).parent / "ground_truth" / "cifar10.yaml"


@dataclass(frozen=True)
class Training:
    """A network on a set of images; `source` is the training whose weights it starts from, None for random weights."""

    network: str
    images: Path
    epochs: int
    source: "Training | None" = None

    @property
    def start(self) -> str:
        """The initial weights, in a word."""
        return "random" if self.source is None else self.source.images.name

    def folder(self, seed: int) -> Path:
        """Where its results are, within the folder of all trainings."""
        return Path(f"{Path(self.network).stem}-{self.images.name}-{self.start}-{self.epochs}", f"seed_{seed}")

    def run(self, trainings: Path, seed: int, image_size: int) -> float:
        """Train, unless it is finished; top-1 of the test part in %."""
        folder = trainings / self.folder(seed)
        if not (folder / "result.json").exists():
            command = [sys.executable, "-m", "mvsearch", "train", self.network, "--data", str(self.images)]
            command += ["--set", f"epochs={self.epochs}", "--set", f"image_size={image_size}", "--seed", str(seed)]
            command += ["--recipe", str(FULL) if self.source is None else "finetune", "-o", str(folder)]
            command += [] if self.source is None else ["--init", str(trainings / self.source.folder(seed))]
            subprocess.run(command, check=True)
        return 100 * float(json.loads((folder / "result.json").read_text("utf-8"))["top1"])


@click.command(help=__doc__)
@click.option("--images", multiple=True, type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--network", "networks", multiple=True, default=["mobilevitv3_xxs"], show_default=True)
@click.option("--image-size", type=click.IntRange(32), default=32, show_default=True)
@click.option("--full", default=10, show_default=True, help="Epochs of the full trainings.")
@click.option("--short", multiple=True, type=int, default=[2], show_default=True, help="Epochs of others; repeatable.")
@click.option("--seeds", default=2, show_default=True)
@click.option("--trainings", type=click.Path(path_type=Path), default=Path("studies/transfer"), show_default=True)
def main(
    images: tuple[Path, ...],
    networks: tuple[str, ...],
    image_size: int,
    full: int,
    short: tuple[int, ...],
    seeds: int,
    trainings: Path,
) -> None:
    table = Table("network", "images", "starts from", "epochs", "top-1 (%)", "by seed")
    for network, (other, own) in product(networks, permutations(images, 2)):
        source = Training(network, other, full)
        for seed in range(seeds):
            source.run(trainings, seed, image_size)
        others = [Training(network, own, epochs, start) for epochs in short for start in (None, source)]
        for training in (Training(network, own, full), *others):
            top1 = [training.run(trainings, seed, image_size) for seed in range(seeds)]
            by_seed = " ".join(f"{value:.2f}" for value in top1)
            table.add_row(
                network, own.name, training.start, str(training.epochs), f"{statistics.mean(top1):.2f}", by_seed
            )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
