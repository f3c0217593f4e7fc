"""`classification`: one class an image, judged by `top1`."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mvsearch.data import DataSet, Images, Scene
from mvsearch.training import augment
from mvsearch.training.loop import LabelledBatch
from mvsearch.training.recipe import Recipe
from mvsearch.training.tasks import Model, Sum, Task


class Classification:
    """Labels are numbers of classes, (N); after augmentation they are shares of classes, (B, classes)."""

    metric: str = "top1"
    has_scenes: bool = False
    calibration_batch: int = 250

    def check(self, data: DataSet) -> None:
        """Every data set has classes."""

    def check_recipe(self, recipe: Recipe) -> None:
        """Every recipe is possible."""

    def strata(self, part: Images) -> np.ndarray:
        """The classes."""
        return part.labels

    def labels(self, part: Images, size: int) -> Tensor:
        """The class of each image, (N)."""
        return torch.from_numpy(np.array(part.labels))

    def shift(self, labels: Tensor, shift: Tensor, mirrored: Tensor, padding: int, size: int) -> Tensor:
        """The same labels."""
        return labels

    def augment(
        self, pixels: Tensor, labels: Tensor, recipe: Recipe, *, size: int | None, classes: int, key: tuple[int, ...]
    ) -> LabelledBatch:
        """All of the recipe's augmentation."""
        return augment.augment(pixels, labels, recipe, size=size, classes=classes, key=key)

    def loss(self, outputs: Any, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Cross-entropy with label smoothing."""
        return F.cross_entropy(outputs.float(), labels, label_smoothing=smoothing)

    def evaluation_batch(self, classes: int, size: int) -> int:
        """Always 250."""
        return 250

    def evaluate(
        self, model: Model, batches: Iterable[LabelledBatch], classes: int, sum_over_processes: Sum = list
    ) -> dict[str, float]:
        """`top1` as a share, and the loss."""
        right, loss, images = 0.0, 0.0, 0.0
        for x, labels in batches:
            logits = model(x).float()
            right += float((logits.argmax(1) == labels).sum())
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
            images += len(labels)
        right, loss, images = sum_over_processes([right, loss, images])
        return {"top1": right / images, "loss": loss / images}

    def predictions(self, outputs: Any) -> list[Scene]:
        """Nothing: a class has no place in the image."""
        return [Scene() for _ in outputs]

    def truth(self, labels: Tensor) -> list[Scene]:
        """Nothing, likewise."""
        return [Scene() for _ in labels]


TASK: Task = Classification()
