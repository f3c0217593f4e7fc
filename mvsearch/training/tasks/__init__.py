"""What a network learns, one file a task: `tasks/x.py` defines `TASK`, an object of the kind below.

A task is stateless: it turns the labels of a data set into tensors, moves them with their images, and has the loss and
the metric. The loop is the same for all tasks.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from mvsearch.data import DataSet, Images, Scene
from mvsearch.metrics.record import EvaluationFailed
from mvsearch.nn.fuse import fuse
from mvsearch.training.loop import LabelledBatch, autocast
from mvsearch.training.recipe import Recipe
from mvsearch.utils import plugins

__all__ = ["Model", "Sum", "Task", "TaskModule", "evaluate", "load_task"]

Model = Callable[[Tensor], Any]
"""Images (B, 3, H, W) → the outputs of a network."""

Sum = Callable[[Sequence[float]], list[float]]
"""Sums over all processes, one for each value."""


@runtime_checkable
class Task(Protocol):
    """One task. Labels are a tensor with one entry an image; what an entry is, is the task's own affair."""

    metric: str
    """The score that the task is judged by, a share."""
    has_scenes: bool
    """Whether images show several things, with masks or boxes, rather than having one class each."""
    calibration_batch: int
    """Images at once when the statistics of batch norms are computed anew."""

    def check(self, data: DataSet) -> None:
        """Raise DataError if a data set lacks the labels, EnvironmentFault if a package for the metric is missing."""

    def check_recipe(self, recipe: Recipe) -> None:
        """Raise PlanError for a recipe that asks for an augmentation that labels of this task cannot follow."""

    def strata(self, part: Images) -> np.ndarray:
        """The groups, (N), of which a split takes equal shares."""

    def labels(self, part: Images, size: int) -> Tensor:
        """The labels of all images of a part, (N, ...), for images of `size` pixels."""

    def shift(self, labels: Tensor, shift: Tensor, mirrored: Tensor, padding: int, size: int) -> Tensor:
        """Labels (B, ...) of images that were moved by `shift_and_flip`."""

    def augment(
        self, pixels: Tensor, labels: Tensor, recipe: Recipe, *, size: int | None, classes: int, key: tuple[int, ...]
    ) -> LabelledBatch:
        """Augment uint8 images and their labels together, drawn by the `key`; float images from 0 to 255.

        Without a `size` the images are crops already.
        """

    def loss(self, outputs: Any, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """The loss of a batch."""

    def evaluation_batch(self, classes: int, size: int) -> int:
        """How many images of `size` pixels are evaluated at once."""

    def evaluate(
        self, model: Model, batches: Iterable[LabelledBatch], classes: int, sum_over_processes: Sum = list
    ) -> dict[str, float]:
        """The metric and the loss over labelled images, and further scores.

        Where several processes have a share of the images each, `sum_over_processes` joins them; a task with scenes
        has all images in one process and ignores it.
        """

    def predictions(self, outputs: Any) -> list[Scene]:
        """What a network finds in a batch, for a person to look at."""

    def truth(self, labels: Tensor) -> list[Scene]:
        """What labelled images show."""


class TaskModule(Protocol):
    """A file of `tasks/`."""

    TASK: Task


def load_task(name: str) -> Task:
    """The task of that name, which is that of an architecture."""
    return cast(TaskModule, plugins.load("task", name)).TASK


@torch.no_grad()
def evaluate(
    task: Task,
    model: nn.Module,
    batches: Iterable[LabelledBatch],
    classes: int,
    *,
    device: str = "cpu",
    sum_over_processes: Sum = list,
) -> dict[str, float]:
    """The scores of a network by a task; raises EvaluationFailed if one is not finite.

    On a CPU a fused copy computes the outputs, equal up to rounding.
    """
    model = fuse(model) if device == "cpu" else model
    with autocast(device):
        scores = task.evaluate(model, batches, classes, sum_over_processes)
    if not all(map(math.isfinite, scores.values())):
        raise EvaluationFailed("the averaged network produces NaN or inf on the held-out images")
    return scores
