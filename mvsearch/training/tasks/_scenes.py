"""What tasks on scenes share: how the training part is split and normalised."""

from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from mvsearch.data import DataSet, Images, Scene, stratified_split
from mvsearch.training.images import Task, fitted, statistics
from mvsearch.training.recipe import Recipe

HELD_BATCH = 50  # images judged at once, of networks that give no maps of a class for every pixel


class SceneTask(Task):
    """A task on images that show several things, judged by `score`, a share."""

    calibration_batch: ClassVar[int] = HELD_BATCH
    score: ClassVar[str]

    @classmethod
    def check(cls, data: DataSet) -> None:
        """Raises DataError if a data set has not what is to be learnt, EnvironmentFault if the judge is missing."""
        raise NotImplementedError

    @classmethod
    def labels_of(cls, part: Images, size: int) -> Tensor:
        """What is learned from the images of a part, for images of `size` pixels, one label an image."""
        raise NotImplementedError

    @classmethod
    def cropped(cls, labels: Tensor, boxes: Tensor, mirrored: Tensor, size: int) -> Tensor:
        """Labels of images of which boxes (B, 4), left, top, width and height in shares of the sides, were cut out,
        brought to `size` pixels and then `mirrored` (B)."""
        raise NotImplementedError

    def on(self, part: Images) -> Self:
        """The same task, judged on all images of another part: the test part."""
        size, device = self.train_pixels.shape[-1], self.train_pixels.device
        pixels, labels = fitted(part.pixels, size), self.labels_of(part, size)
        return replace(self, held_pixels=pixels.to(device), held_labels=labels.to(device))

    def found(self, outputs: Any) -> list[Scene]:
        """What a network found in a batch, for a person to look at."""
        raise NotImplementedError

    def true(self, labels: Tensor) -> list[Scene]:
        """What images show, given their labels."""
        raise NotImplementedError

    @torch.no_grad()
    def seen(self, model: nn.Module, pixels: Tensor) -> list[Scene]:
        """What a network finds in images, uint8 (N, C, H, W)."""
        return self.found(model.eval()(self.normalised(pixels)))


def parts(data: DataSet, labels: Tensor, recipe: Recipe, device: str) -> dict[str, Any]:
    """The fields of a Task: a part of the training part is held out by the seed; the test part is never seen."""
    fraction = min(0.5, recipe.held_out / len(labels))
    kept, held = map(torch.from_numpy, stratified_split(np.zeros(len(labels)), fraction, recipe.seed))
    pixels = fitted(data.train.pixels, recipe.image_size)
    mean, std = statistics(pixels[:: max(1, len(pixels) // 5000)])
    return {
        "train_pixels": pixels[kept].to(device),
        "train_labels": labels[kept].to(device),
        "held_pixels": pixels[held].to(device),
        "held_labels": labels[held].to(device),
        "mean": mean.to(device),
        "std": std.to(device),
        "classes": len(data.train.classes),
    }
