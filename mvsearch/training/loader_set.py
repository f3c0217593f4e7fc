"""What a whole training is trained and evaluated on: images from loaders, shared out among processes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from mvsearch.data import Skipped, broken, merge_skipped
from mvsearch.training.distributed import ProcessGroup
from mvsearch.training.loaders import CropPlan, ImageLoader
from mvsearch.training.loop import LabelledBatch
from mvsearch.training.recipe import Recipe
from mvsearch.training.sampler import Batch, Sampler
from mvsearch.training.tasks import Task, evaluate
from mvsearch.training.trainer import Evaluation, Position
from mvsearch.training.transforms import STATISTICS_IMAGES, channel_statistics, normalise, resize, resize_array

_LOADED_AT_ONCE = 250


@dataclass(frozen=True)
class LoaderSet:
    """Images to train on and images to evaluate on, `mean` and `std` (1, C, 1, 1) to normalise them.

    Each process takes its share of a batch in `parts` pieces. `seed` draws the batches and their augmentation.
    """

    task: Task
    train: ImageLoader[Any]
    held_out: ImageLoader[Any]
    recipe: Recipe
    mean: Tensor
    std: Tensor
    group: ProcessGroup
    parts: int = 1
    seed: int = 0

    @classmethod
    def of(
        cls,
        task: Task,
        train: ImageLoader[Any],
        held_out: ImageLoader[Any],
        recipe: Recipe,
        group: ProcessGroup = ProcessGroup(),  # noqa: B008  frozen
        *,
        parts: int = 1,
        seed: int = 0,
    ) -> Self:
        """Computes the channel statistics if the recipe normalises; raises PlanError if it does not fit the task."""
        task.check_recipe(recipe)
        mean, std = torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1)
        if recipe.normalise:
            some = np.arange(0, len(train.labels), max(1, len(train.labels) // STATISTICS_IMAGES))
            batches = np.array_split(some, -(-len(some) // _LOADED_AT_ONCE))
            loaded = [resize(pixels, recipe.image_size) for pixels, _ in train.load(batches, fill_broken=False)]
            mean, std = channel_statistics(torch.cat(loaded))
        return cls(task, train, held_out, recipe, mean, std, group, parts, seed)

    @property
    def metric(self) -> str:
        """The score of the task."""
        return self.task.metric

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.train.classes)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The images that this process could not decode, counted by their errors."""
        faults = {**self.train.broken, **self.held_out.broken}
        return merge_skipped(broken(fault, name) for name, fault in faults.items())

    @cached_property
    def sampler(self) -> Sampler:
        """The batches of all epochs; raises PlanError if there are none."""
        shares = self.group.count * self.parts
        return Sampler(len(self.train.labels), self.recipe, self.seed, shares, self.train.shards)

    @property
    def steps(self) -> int:
        """The steps of all epochs."""
        return self.sampler.steps

    def batches(self, position: Position) -> Iterator[list[LabelledBatch]]:
        """The rest of an epoch: augmented images (B, 3, H, W) and labels, in parts."""
        steps = enumerate(self.sampler.epoch(position.epoch)[position.batch :], position.step)
        parts = self._augmented_batches([part for step, batch in steps for part in self._own_parts(batch, step)])
        while own := [part for _, part in zip(range(self.parts), parts, strict=False)]:
            yield own

    def _own_parts(self, batch: Batch, step: int) -> list[Batch]:
        """The parts of this process's share of a step's batch."""
        own = np.array_split(np.array_split(batch.images, self.group.count)[self.group.rank], self.parts)
        first = self.group.rank * self.parts
        return [Batch(batch.size, images, (self.seed, step, i)) for i, images in enumerate(own, first)]

    def _augmented_batches(self, batches: Sequence[Batch]) -> Iterator[LabelledBatch]:
        plans = [CropPlan(batch.size, self.recipe, batch.key) for batch in batches]
        device, whole = self.group.device, self.train.crops_whole_images
        loaded = self.train.load([batch.images for batch in batches], fill_broken=True, crop_plans=plans)
        for batch, (pixels, labels) in zip(batches, loaded, strict=True):
            x, y = self.task.augment(
                pixels.to(device, non_blocking=True),
                labels.to(device, non_blocking=True),
                self.recipe,
                size=None if whole else batch.size,  # whole images are cropped by the loader
                classes=self.classes,
                key=batch.key,
            )
            yield self._normalise(x), y

    def loss(self, outputs: Any, labels: Tensor) -> Tensor:
        """The loss of a batch."""
        return self.task.loss(outputs, labels, self.recipe.label_smoothing)

    def evaluate(self, model: nn.Module) -> Evaluation:
        """The scores of a network on the held-out images, without broken ones; EvaluationFailed if one is not finite.

        Each process takes its share of the images, but with scenes the first process takes all.
        """
        images, group, device = 0, self.group, self.group.device
        if self.task.has_scenes:
            scores = {self.metric: 0.0, "loss": 0.0}
            if group.first:
                scores = evaluate(self.task, model, self._held_out_scenes(), self.classes, device=device)
            names, images = list(scores) if group.count == 1 else [self.metric, "loss"], len(self.held_out.labels)
            return Evaluation(dict(zip(names, group.sum([scores[name] for name in names]), strict=True)), images)

        def count_images() -> Iterator[LabelledBatch]:
            nonlocal images
            for x, labels in self._held_out_images():
                images += len(labels)
                yield x, labels

        scores = evaluate(self.task, model, count_images(), self.classes, device=device, sum_over_processes=group.sum)
        return Evaluation(scores, int(group.sum([images])[0]))

    def _held_out_images(self) -> Iterator[LabelledBatch]:
        """This process's share of the held-out images, the centre of each, with their classes."""
        own, device = np.arange(self.group.rank, len(self.held_out.labels), self.group.count), self.group.device
        batches = [own[start : start + _LOADED_AT_ONCE] for start in range(0, len(own), _LOADED_AT_ONCE)]
        for pixels, labels in self.held_out.load(batches, fill_broken=False):
            side = round(pixels.shape[2] / self.recipe.judged_side)
            start = (pixels.shape[2] - side) // 2
            centre = pixels[:, :, start : start + side, start : start + side]
            yield self._normalise(resize(centre, self.recipe.image_size).to(device)), labels.to(device)

    def _held_out_scenes(self) -> Iterator[LabelledBatch]:
        """All held-out images with their labels, at the size of the recipe."""
        size, device, part = self.recipe.image_size, self.group.device, self.held_out.part
        labels, batch = self.task.labels(part, size), self.task.evaluation_batch(self.classes, size)
        for start in range(0, len(labels), batch):
            pixels = resize_array(part.pixels[start : start + batch], size)
            yield self._normalise(pixels.to(device)), labels[start : start + batch].to(device)

    def _normalise(self, pixels: Tensor) -> Tensor:
        device = self.group.device
        x = normalise(pixels, self.mean.to(device), self.std.to(device))
        return x.contiguous(memory_format=torch.channels_last)
