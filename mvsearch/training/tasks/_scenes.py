"""What tasks with scenes share: masks or boxes are cropped and mirrored with their images."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mvsearch.data import Images
from mvsearch.errors import PlanError
from mvsearch.training.augment import crops, resized_crop
from mvsearch.training.loop import LabelledBatch
from mvsearch.training.recipe import Recipe

EVALUATION_BATCH = 50
"""Images evaluated at once where the outputs need little memory."""

_CLASSIFIERS_ONLY: dict[str, Any] = {
    "randaugment": 0,
    "erase": 0,
    "mixup": 0,
    "cutmix": 0,
    "label_smoothing": 0,
    "judged_side": 1,
}


class SceneTask(ABC):
    """The part of a task with scenes that does not depend on what its labels are."""

    has_scenes: bool = True
    calibration_batch: int = EVALUATION_BATCH

    def check_recipe(self, recipe: Recipe) -> None:
        """Only crops and flips keep masks and boxes right."""
        for name, neutral in _CLASSIFIERS_ONLY.items():
            if (value := getattr(recipe, name)) != neutral:
                raise PlanError(
                    f"{name}={value} is for classifiers; use --set {name}={neutral}, or the recipe `segmentation` or "
                    "`detection`."
                )

    def strata(self, part: Images) -> np.ndarray:
        """One group: scenes show several classes."""
        return np.zeros(len(part.labels))

    def augment(
        self, pixels: Tensor, labels: Tensor, recipe: Recipe, *, size: int | None, classes: int, key: tuple[int, ...]
    ) -> LabelledBatch:
        """Crop and mirror images and labels together."""
        height, width = pixels.shape[2:]
        size = size or height
        boxes, mirrored = crops(len(pixels), height, width, recipe, np.random.default_rng(key))
        shares = torch.from_numpy(boxes / (width, height, width, height)).float().to(pixels.device)
        x = resized_crop(pixels, boxes, mirrored, size, recipe.interpolation)
        return x.float(), self.crop(labels, shares, torch.from_numpy(mirrored).to(pixels.device), size)

    @abstractmethod
    def crop(self, labels: Tensor, boxes: Tensor, mirrored: Tensor, size: int) -> Tensor:
        """Labels of images that were cropped to boxes (B, 4), left, top, width and height in shares of the sides,
        resized to `size` pixels and then `mirrored` (B)."""
