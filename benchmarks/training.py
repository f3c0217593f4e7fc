"""How fast the proxy `train` trains on a CPU: its loop against a plain one on blocks in the authors' style.

Plain is a straightforward implementation: images augmented one by one, maps stored channel by channel (NCHW), patches
unfolded by the authors' chain of reshapes, attention as separate operators, AdamW with default options, every weight
and buffer averaged separately. Both sides train the same network from the same weights on the same images with the
same shifts and mirrors, a few steps each in turn in one process with one thread. Prints images a second of CPU time,
the ratio of each turn, and how far the losses are apart.

    python benchmarks/training.py
"""

import copy
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import click
import torch
import torch.nn.functional as F
from _plain import plain
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from mvsearch.arch.published import published
from mvsearch.data import load
from mvsearch.nn import build
from mvsearch.proxies.train import Settings
from mvsearch.training.in_memory import InMemorySet
from mvsearch.training.tasks import load_task
from mvsearch.training.trainer import Trainer
from mvsearch.training.transforms import normalise


def plain_batches(data: InMemorySet) -> Iterator[tuple[Tensor, Tensor]]:
    """The same batches, augmented image by image."""
    pad, size = data.plan.crop_padding, data.plan.recipe.image_size
    for chosen, shift, mirror in data.draws(data.steps, data.plan.recipe.batch):
        images = []
        for i, (down, right), flip in zip(chosen.tolist(), shift.T.tolist(), mirror.tolist(), strict=True):
            padded = F.pad(data.train_pixels[i], (pad, pad, pad, pad))
            image = padded[:, down : down + size, right : right + size]
            images.append(normalise((image.flip(-1) if flip else image)[None], data.mean, data.std)[0])
        yield torch.stack(images), data.train_labels[chosen]


def train_plainly(model: nn.Module, data: InMemorySet) -> Iterator[float]:
    """The loss of each step of a plain loop."""
    recipe = data.plan.recipe
    average = copy.deepcopy(model)
    decayed, others = [], []
    for weight in model.parameters():
        (decayed if weight.ndim > 1 else others).append(weight)
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=recipe.lr)
    for step, (x, labels) in enumerate(plain_batches(data)):
        for group in optimiser.param_groups:
            group["lr"] = recipe.lr_at(step, 0, epoch_steps=data.steps)
        loss = F.cross_entropy(model(x), labels, label_smoothing=recipe.label_smoothing)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimiser.step()
        decay = recipe.decay_at(step)
        weights = model.state_dict()
        for name, averaged in average.state_dict().items():
            averaged.copy_(averaged * decay + weights[name].detach() * (1 - decay))
        yield loss.item()


@dataclass(frozen=True)
class Case:
    """One network at one size."""

    name: str
    image_size: int
    batch: int


CASES = (
    Case("mobilevitv3_xxs", 32, 64),
    Case("mobilevitv3_xxs", 64, 64),
    Case("mobilevitv3_s", 32, 64),
    Case("mobilevitv3_s", 64, 32),
    Case("mobilevitv1_s", 32, 64),
)


@dataclass(frozen=True)
class Result:
    """Images a second of CPU time on both sides, their ratio turn by turn, and what the losses came to."""

    case: Case
    plain_images_s: float
    ours_images_s: float
    ratios: list[float]
    plain_loss: float
    ours_loss: float
    loss_gap: float
    """The mean distance of the two curves, step by step."""


def measure(case: Case, turns: int, steps: int) -> Result:
    """`turns` blocks of `steps` steps on each side; the first block warms up and is not counted."""
    settings = Settings(steps=(turns + 1) * steps, image_size=case.image_size, batch=case.batch)
    data = InMemorySet.of(load_task("classification"), load("fashion_mnist"), settings.training())
    model = build(published(case.name).at(image_size=case.image_size, num_classes=data.classes), seed=0).train()
    trainer = Trainer(copy.deepcopy(model), data, data.plan.recipe, reseed=False)
    sides = {
        "plain": train_plainly(plain(model), data),
        "ours": (result.loss for result in trainer.train_epoch()),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    losses: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(turns + 1):
        for name, side in sides.items():
            torch.manual_seed(len(losses[name]))  # the same dropout, as far as the same operators draw it
            start = time.process_time()
            losses[name] += [next(side) for _ in range(steps)]
            seconds[name].append(time.process_time() - start)
    rate = {name: steps * case.batch / statistics.median(taken[1:]) for name, taken in seconds.items()}
    last = {name: statistics.fmean(found[-steps:]) for name, found in losses.items()}
    gaps = [abs(a - b) for a, b in zip(losses["plain"], losses["ours"], strict=True)]
    return Result(
        case=case,
        plain_images_s=rate["plain"],
        ours_images_s=rate["ours"],
        ratios=[a / b for a, b in zip(seconds["plain"][1:], seconds["ours"][1:], strict=True)],
        plain_loss=last["plain"],
        ours_loss=last["ours"],
        loss_gap=statistics.fmean(gaps),
    )


@click.command()
@click.option("--turns", default=7, show_default=True)
@click.option("--steps", default=8, show_default=True, help="Of a turn.")
@click.option("--json", "as_json", is_flag=True)
def main(turns: int, steps: int, as_json: bool) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    table = Table("network", "px", "batch", "plain", "ours", "ratio", "turns", "loss, plain", "loss, ours", "apart")
    results = []
    for case in CASES:
        result = measure(case, turns, steps)
        results.append(asdict(result))
        table.add_row(
            case.name,
            str(case.image_size),
            str(case.batch),
            f"{result.plain_images_s:.0f} images/s",
            f"{result.ours_images_s:.0f} images/s",
            f"{statistics.median(result.ratios):.2f}",
            f"{min(result.ratios):.2f} to {max(result.ratios):.2f}",
            f"{result.plain_loss:.3f}",
            f"{result.ours_loss:.3f}",
            f"{result.loss_gap:.3f}",
        )
        Console(stderr=True).print(f"{case.name} at {case.image_size} px: {statistics.median(result.ratios):.2f}")
    if as_json:
        click.echo(json.dumps(results, indent=2))
    else:
        Console(width=120).print(table)


if __name__ == "__main__":
    main()
