"""Whole trainings of networks that see scenes: masks and boxes are cropped and mirrored with their images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from mvsearch.data import Images
from mvsearch.errors import PlanError
from mvsearch.training.augment import crops, resized_crop
from mvsearch.training.distributed import ProcessGroup
from mvsearch.training.full import FullRecipe
from mvsearch.training.loaders import Cut, Decoded, Source
from mvsearch.training.loop import judge
from mvsearch.training.pictures import Pictures
from mvsearch.training.tasks._scenes import SceneTask

_OF_CLASSIFIERS = {"randaugment": 0, "erase": 0, "mixup": 0, "cutmix": 0, "label_smoothing": 0, "judged_side": 1}


@dataclass(frozen=True)
class Scenes(Decoded):
    """Decoded images with what their task says of each, (N, ...), instead of a class."""

    told: Tensor

    @classmethod
    def of(cls, part: Images, task: type[SceneTask]) -> Self:
        """A part of a data set, for a task."""
        return cls(part, task.labels_of(part, part.pixels.shape[1]))

    def only(self, images: np.ndarray) -> Self:
        """The part that has these images alone."""
        return replace(super().only(images), told=self.told[torch.from_numpy(images)])

    def flow(
        self, batches: Sequence[np.ndarray], *, fill_broken: bool, cuts: Sequence[Cut] = ()
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """As `Source.flow`, with what the task says for labels."""
        for images, (pixels, _) in zip(batches, super().flow(batches, fill_broken=fill_broken), strict=True):
            yield pixels, self.told[torch.from_numpy(images)]


class ScenePictures(Pictures):
    """`Scenes` to learn and to be judged by, as a task has it; the first process judges all.

    Raises PlanError for a recipe that augments as only classifiers can be.
    """

    def __init__(
        self, task: type[SceneTask], train: Source[Any], judging: Source[Any], recipe: FullRecipe, device: str
    ) -> None:
        for name, without in _OF_CLASSIFIERS.items():
            if getattr(recipe, name) != without:
                raise PlanError(
                    f"{name}={getattr(recipe, name)}: is for classifiers; use --set {name}={without}, or the recipe "
                    f"`segmentation` or `detection`."
                )
        super().__init__(train, judging, recipe, device)
        none = torch.empty(0, 3, recipe.image_size, recipe.image_size, device=device)
        self.score = task.score
        self.task = task(none, none, none, none, self.mean.to(device), self.std.to(device), self.classes)

    def augmented(self, pixels: Tensor, labels: Tensor, size: int, key: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Images from 0 to 255, and labels, cropped and mirrored together."""
        height, width = pixels.shape[2:]
        boxes, mirrored = crops(len(pixels), height, width, self.recipe, np.random.default_rng(key))
        shares = torch.from_numpy(boxes / (width, height, width, height)).float().to(pixels.device)
        x = resized_crop(pixels, boxes, mirrored, size, self.recipe.interpolation)
        return x.float(), self.task.cropped(labels, shares, torch.from_numpy(mirrored).to(pixels.device), size)

    def loss(self, outputs: Any, learnt: Tensor) -> Tensor:
        """The task's."""
        return self.task.loss(outputs, learnt)

    def judge(self, model: nn.Module, ranks: ProcessGroup) -> tuple[float, float, int]:
        """The score and the loss of a network on the images that judge, and how many those are; only the first process
        looks at them."""
        found = judge(model, self._held, self.device) if ranks.first else {self.score: 0.0, "loss": 0.0}
        score, loss = ranks.total([found[self.score], found["loss"]])
        return score, loss, len(self.judging.labels)

    @cached_property
    def _held(self) -> SceneTask:
        return self.task.on(self.judging.part)
