"""Which channels of a trained network a cut should keep: accuracy after the cut, and after a short fine-tuning.

The source is the folder of a training; the networks are those of the ground truth, which keep the first channels of the
source in several orders. After the cut the statistics of norms are computed anew, as after each training. Top-1 is that
of held-out images, which the source was trained on too: compare the columns, not the level.

    python benchmarks/channel_selection.py trained/xs --images /data/cifar10 --network mobilevitv3_xxs
"""

import sys
from collections.abc import Callable
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from mvsearch import data
from mvsearch.nn import build
from mvsearch.nn.channel_order import Use, sort_channels, weight_importance
from mvsearch.nn.weight_transfer import transfer_weights
from mvsearch.proxies.train import Settings
from mvsearch.training.in_memory import InMemorySet, train_in_memory
from mvsearch.training.loop import recalibrate_norms
from mvsearch.training.tasks import load_task
from mvsearch.training.trained_network import read_single

sys.path.insert(0, str(Path(__file__).parent / "ground_truth"))
from _networks import architecture, load_networks


def evenly(uses: list[Use]) -> Tensor:
    """Positions whose first n are spread over the channels for every n (van der Corput), head by head."""
    heads = uses[0].channels.heads
    count = uses[0].channels.size // heads
    spread = dict.fromkeys(int(f"{i:012b}"[::-1], 2) * count // 4096 for i in range(4096))
    scores = torch.zeros(count)
    scores[list(spread)] = torch.arange(count, 0, -1.0)
    return scores.repeat(heads)


def returned_times_read(uses: list[Use]) -> Tensor:
    """The norm of what returns a channel times the norm of the weights that read it."""
    read = [use.values.square().reshape(use.channels.size, -1).sum(1) for use in uses if use.dimension == 1]
    return weight_importance(uses) * (torch.stack(read).sum(0).sqrt() if read else 1)


def least(uses: list[Use]) -> Tensor:
    """The opposite of the default."""
    return 1e6 - weight_importance(uses)


ORDERS: dict[str, Callable[[list[Use]], Tensor] | None] = {
    "first": None,
    "evenly": evenly,
    "returned x read": returned_times_read,
    "returned (default)": weight_importance,
    "least": least,
}


@click.command(help=__doc__)
@click.argument("source")
@click.option("--images", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--network", "networks", multiple=True, required=True, help="A network of the ground truth; repeatable.")
@click.option("--steps", default=75, show_default=True, help="Steps of the fine-tuning; 0 leaves it out.")
@click.option("--lr", default=2e-3, show_default=True)
@click.option("--warmup", default=0.1, show_default=True)
def main(source: str, images: Path, networks: tuple[str, ...], steps: int, lr: float, warmup: float) -> None:
    torch.set_num_threads(1)
    decoded = data.load("folder", path=images, size=32, test_fraction=0.2, seed=0, task="classification")
    training = Settings(steps=max(steps, 1), lr=lr, warmup=warmup, held_out=1000).training()
    held = InMemorySet.of(load_task("classification"), decoded, training)
    trained = read_single(source).model.eval()
    known = {network.name: architecture(network) for network in load_networks()}
    table = Table("network", "order", "inherited", "top-1 after the cut", "loss", f"top-1 after {steps} steps", "loss")
    for name in networks:
        for order, importance in ORDERS.items():
            model = build(known[name].at(image_size=32, num_classes=held.classes), seed=0)
            ordered = sort_channels(trained, importance) if importance else trained
            transfer = transfer_weights(model, ordered, name=source)
            share = f"{transfer.transferred / transfer.params:.0%}"
            table.add_row(name, order, share, *evaluate(model, held), *(fine_tune(model, held) if steps else ("", "")))
    Console(width=120).print(table)


def evaluate(model: nn.Module, images: InMemorySet) -> tuple[str, str]:
    recalibrate_norms(model.to(memory_format=torch.channels_last), images.calibration_images())
    scores = images.evaluate(model).scores
    return f"{100 * scores['top1']:.1f} %", f"{scores['loss']:.3f}"


def fine_tune(model: nn.Module, images: InMemorySet) -> tuple[str, str]:
    return evaluate(train_in_memory(model, images)[0], images)


if __name__ == "__main__":
    main()
