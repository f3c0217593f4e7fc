"""A short real training on real images: top-1 and loss on held-out ones. The only proxy that sees what is learned."""

from collections.abc import Callable
from dataclasses import replace

from mvsearch.architecture import Architecture
from mvsearch.data import DataSet
from mvsearch.pareto import Score
from mvsearch.record import Metrics
from mvsearch.training.recipe import Recipe

Settings = Recipe
SCORES = {"top1": Score(maximise=True, ideal=1.0), "loss": Score(maximise=False, ideal=0.0)}


def score(
    arch: Architecture,
    settings: Recipe,
    data: DataSet,
    *,
    seed: int,
    device: str,
    progress: Callable[[int, int], None] | None = None,
) -> Metrics:
    """Build the network for the data's classes and the recipe's image size, train it, judge it. `top1` is a share."""
    from mvsearch.nn import build
    from mvsearch.training.images import Task
    from mvsearch.training.loop import train

    recipe = replace(settings, seed=settings.seed + seed)
    task = Task.of(data, recipe, device)
    model = build(arch.at(image_size=recipe.image_size, num_classes=task.classes), seed=recipe.seed)
    outcome = train(model, task, recipe, device=device, progress=progress)
    return {"top1": outcome.top1, "loss": outcome.loss, "train_loss": outcome.train_loss}
