"""A short real training on real images, judged on held-out ones. The only proxy that sees what is learned.

It follows the task of the networks: `top1`, `miou` and `map` are what the field judges each task by.

Classifiers are ranked by `scaled_loss`, which is made of two things. The mean training loss over all steps tells how
fast a network learns, on the same images for all, with less noise than what it knows at the end (Ru et al. 2021, arXiv
2006.04492). But few steps favour small networks, which have little to learn, and a long training does not: so the loss
is divided by a power of the weights that mix channels, in millions, as losses fall by a power of size in scaling laws
(Kaplan et al. 2020, arXiv 2001.08361). The power is one round number. How well this ranks the published models, and
what else was tried, is in docs/proxies.md and docs/log.md.
"""

from dataclasses import dataclass, replace
from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet
from mvsearch.metrics.record import Metrics
from mvsearch.metrics.registry import LOSS, MAP, MIOU, TOP1, Metric
from mvsearch.proxies import channel_weights
from mvsearch.training.recipe import Recipe
from mvsearch.utils.progress import Progress

VERSION = 2
_SCALED_LOSS = Metric(
    "scaled_loss", "score", "scaled loss", "training loss, scaled by size", noise="seed", tasks=("classification",)
)
SCORES = (_SCALED_LOSS, TOP1, MIOU, MAP, LOSS)
_SCENES = {"batch": 16, "crop_padding": 8, "held_out": 200}
TASK_DEFAULTS: dict[str, dict[str, Any]] = {
    "classification": {"seeds": 2},
    "segmentation": {"steps": 150, "image_size": 96, **_SCENES},
    "detection": {"steps": 300, "lr": 2e-3, "image_size": 128, **_SCENES},
}
"""Settings where a file does not give them. Two short trainings rank better than a long one (docs/proxies.md)."""


@dataclass(frozen=True)
class Settings(Recipe):
    """A recipe, and the power of size that a loss is scaled by: 0 leaves it as it is."""

    power: float = 0.5


def score(
    arch: Architecture,
    settings: Settings,
    data: DataSet,
    *,
    seed: int,
    device: str,
    progress: Progress | None = None,
) -> Metrics:
    """Build the network for the data's classes and the recipe's image size, train it, judge it; scores are shares."""
    from mvsearch.nn import build
    from mvsearch.training.loop import train
    from mvsearch.training.tasks import task_of

    recipe = replace(settings, seed=settings.seed + seed)
    task = task_of(arch.task, data, recipe, device)
    model = build(arch.at(image_size=recipe.image_size, num_classes=task.classes), seed=recipe.seed)
    outcome = train(model, task, recipe, device=device, progress=progress)
    metrics = {**outcome.scores, "train_loss": outcome.train_loss}
    if arch.task == "classification":
        metrics["scaled_loss"] = outcome.train_loss / (channel_weights.count(arch) / 1e6) ** settings.power
    return metrics
