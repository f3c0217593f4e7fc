"""What tasks on scenes share: how the training part is split and normalised."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mvsearch.data import DataSet, stratified_split
from mvsearch.training.images import fitted, statistics
from mvsearch.training.recipe import Recipe

HELD_BATCH = 50  # images judged at once: maps of a class for every pixel are large


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
