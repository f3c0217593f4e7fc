"""Short trainings on images in memory, as the proxy `train` runs them: the same batches for every network."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet, Images, Preparation, stratified_split
from mvsearch.training.distributed import ProcessGroup
from mvsearch.training.image_samples import ImageSample
from mvsearch.training.loop import LabelledBatch, recalibrate_norms, seed_torch
from mvsearch.training.recipe import ShortTraining
from mvsearch.training.tasks import Task, evaluate
from mvsearch.training.trainer import Evaluation, Position, Trainer, TrainingSet
from mvsearch.training.transforms import STATISTICS_IMAGES, channel_statistics, normalise, resize_array, shift_and_flip
from mvsearch.utils.progress import Progress

_CALIBRATION_STEPS = 8


@dataclass(frozen=True)
class InMemorySet:
    """Images and labels of two disjoint sets on the device, and the channel statistics that normalise them.

    With `reversed_channels` the network sees blue, green, red.
    """

    task: Task
    plan: ShortTraining
    train_pixels: Tensor
    train_labels: Tensor
    held_pixels: Tensor
    held_labels: Tensor
    mean: Tensor
    std: Tensor
    classes: int
    reversed_channels: bool = False

    @classmethod
    def of(cls, task: Task, data: DataSet, plan: ShortTraining, device: str = "cpu") -> Self:
        """The training part of a data set, split by the seed; the test part is never seen by a search.

        Raises DataError if the data are not for the task.
        """
        task.check(data)
        size, part = plan.recipe.image_size, data.train
        share = plan.held_out_share(len(part.labels))
        train, held = map(torch.from_numpy, stratified_split(task.strata(part), share, plan.seed))
        pixels, labels = resize_array(part.pixels, size), task.labels(part, size)
        mean, std = channel_statistics(pixels[:: max(1, len(pixels) // STATISTICS_IMAGES)])
        return cls(
            task=task,
            plan=plan,
            train_pixels=pixels[train].to(device),
            train_labels=labels[train].to(device),
            held_pixels=pixels[held].to(device),
            held_labels=labels[held].to(device),
            mean=mean.to(device),
            std=std.to(device),
            classes=len(part.classes),
        )

    @property
    def metric(self) -> str:
        """The score of the task."""
        return self.task.metric

    @property
    def steps(self) -> int:
        """The steps of the training."""
        return self.plan.steps

    @property
    def device(self) -> str:
        """Where the images are."""
        return str(self.train_pixels.device)

    def with_held_out(self, part: Images) -> Self:
        """The same set, evaluated on all images of another part, such as the test part."""
        size = self.plan.recipe.image_size
        pixels, labels = resize_array(part.pixels, size), self.task.labels(part, size)
        return replace(self, held_pixels=pixels.to(self.device), held_labels=labels.to(self.device))

    def few_held_out(self, count: int) -> Self:
        """The same set with some of its held-out images, those with objects first: without one there is no score."""
        shows = self.held_labels.reshape(len(self.held_labels), -1).gt(0).any(1)
        some = shows.argsort(descending=True, stable=True)[:count]
        return replace(self, held_pixels=self.held_pixels[some], held_labels=self.held_labels[some])

    def prepared(self, preparation: Preparation) -> Self:
        """The same set with pixels prepared for given weights."""
        mean, std = (
            torch.tensor(each, device=self.device).view(1, -1, 1, 1) for each in (preparation.mean, preparation.std)
        )
        return replace(self, mean=mean, std=std, reversed_channels=preparation.channel_order == "bgr")

    @property
    def preparation(self) -> Preparation:
        """How `normalise` prepares pixels."""
        mean, std = (tuple(each.flatten().tolist()) for each in (self.mean, self.std))
        order = "bgr" if self.reversed_channels else "rgb"
        return Preparation(mean, std, self.plan.recipe.image_size, channel_order=order)

    def draws(self, steps: int, batch: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """What each batch consists of: the indices of its images, (B), how far each is shifted down and right, (2, B),
        from 0 to twice the padding, and which are mirrored, (B).

        The images are reshuffled each time all of them were drawn.
        """
        generator, padding = torch.Generator().manual_seed(self.plan.seed), self.plan.crop_padding
        device, order = self.train_labels.device, torch.empty(0, dtype=torch.long)
        for _ in range(steps):
            while len(order) < batch:  # more than once where there are few images
                order = torch.cat((order, torch.randperm(len(self.train_labels), generator=generator)))
            indices, order = order[:batch], order[batch:]
            shift = torch.randint(0, 2 * padding + 1, (2, batch), generator=generator)
            mirrored = torch.rand(batch, generator=generator) < 0.5 * self.plan.recipe.flip
            yield indices.to(device), shift.to(device), mirrored.to(device)

    def batches(self, position: Position = Position()) -> Iterator[list[LabelledBatch]]:  # noqa: B008  frozen
        """The steps of the one epoch, each in one part: normalised images (B, 3, H, W) and labels."""
        yield from ([batch] for batch in self._augmented_batches(self.steps, self.plan.recipe.batch))

    def _augmented_batches(self, steps: int, batch: int) -> Iterator[LabelledBatch]:
        padding, size = self.plan.crop_padding, self.plan.recipe.image_size
        for indices, shift, mirrored in self.draws(steps, batch):
            x = shift_and_flip(self.train_pixels[indices], shift, mirrored, padding)
            yield self.normalise(x), self.task.shift(self.train_labels[indices], shift, mirrored, padding, size)

    def calibration_images(self) -> Iterator[Tensor]:
        """Some batches of augmented images of the training part, to compute the statistics of norms from."""
        yield from (x for x, _ in self._augmented_batches(_CALIBRATION_STEPS, self.task.calibration_batch))

    def held_batches(self) -> Iterator[LabelledBatch]:
        """The held-out images in order."""
        size = self.task.evaluation_batch(self.classes, self.plan.recipe.image_size)
        for i in range(0, len(self.held_labels), size):
            yield self.normalise(self.held_pixels[i : i + size]), self.held_labels[i : i + size]

    def training_sample(self, count: int) -> ImageSample:
        """So many images of the training part as the network sees them when it is evaluated, spread over all of it.

        All, where there are fewer.
        """
        total = len(self.train_labels)
        taken = torch.linspace(0, total - 1, min(count, total)).round().long()
        images = self.normalise(self.train_pixels[taken]).cpu().contiguous().numpy()
        return ImageSample(images, self.train_labels[taken].cpu().numpy(), (), "the training part")

    def held_out_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """The held-out images, (N, 3, H, W) float32, and their labels."""
        images = torch.cat([x.cpu() for x, _ in self.held_batches()]).contiguous()
        return images.numpy(), self.held_labels.cpu().numpy()

    def loss(self, outputs: Any, labels: Tensor) -> Tensor:
        """The loss of a batch."""
        return self.task.loss(outputs, labels, self.plan.recipe.label_smoothing)

    def evaluate(self, model: nn.Module) -> Evaluation:
        """The scores of a network on the held-out images; raises EvaluationFailed if one is not finite."""
        scores = evaluate(self.task, model, self.held_batches(), self.classes, device=self.device)
        return Evaluation(scores, len(self.held_labels))

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 (B, C, H, W) → float32 (B, 3, H, W), normalised, channels last."""
        pixels = pixels.flip(1) if self.reversed_channels else pixels
        return normalise(pixels, self.mean, self.std).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class TrainedInMemory:
    """A network in eval mode that was trained on images in memory, and these images.

    `arch` has their size and their classes.
    """

    arch: Architecture
    model: nn.Module
    images: InMemorySet


def train_in_memory(
    model: nn.Module, data: InMemorySet, *, labelled: TrainingSet | None = None, progress: Progress | None = None
) -> tuple[nn.Module, float]:
    """Train a network in place; its averaged copy in eval mode, and the mean training loss over all steps.

    The lower that mean, the faster the network learned. `labelled` are the same batches with other labels and loss, as
    those of a teacher. Raises EvaluationFailed if the loss is not finite.
    """
    group, losses = ProcessGroup(device=data.device), []
    trainer = Trainer(model, labelled or data, data.plan.recipe, group, reseed=False)
    with torch.enable_grad(), seed_torch(data.plan.seed, data.device):
        for result in trainer.train_epoch():
            losses.append(result.loss)
            if progress is not None:
                progress(result.step, data.steps)
    recalibrate_norms(trainer.average, data.calibration_images())
    return trainer.average, sum(losses) / len(losses)


def time_preparation(
    prepare: Callable[[], InMemorySet], clock: Callable[[], float], images: int
) -> tuple[InMemorySet, float]:
    """The few images that `prepare` prepares, and the seconds that it would take for so many `images`.

    The statistics of the channels, often most of the time, are of about `STATISTICS_IMAGES` at most.
    """
    prepare()  # the first prepares the kernels
    start = clock()
    few = prepare()
    all_s, pixels = clock() - start, few.train_pixels.cpu()
    start = clock()
    channel_statistics(pixels)
    statistics_s = clock() - start
    count = len(few.train_labels) + len(few.held_labels)
    others_s = max(0.0, all_s - statistics_s) * images / count
    return few, others_s + statistics_s * min(images, max(count, STATISTICS_IMAGES)) / count


def time_training(
    model: nn.Module, data: InMemorySet, clock: Callable[[], float], *, held: int
) -> tuple[float, float, int]:
    """Train for a few steps: the seconds of the fastest step, and of evaluating one of `held` images.

    The last value is how many images the norms of a network are calibrated on, which takes about as long for each.
    """
    trainer = Trainer(model, data, data.plan.recipe, ProcessGroup(device=data.device), reseed=False)
    with torch.enable_grad(), seed_torch(data.plan.seed, data.device):
        times = [clock() for _ in trainer.train_epoch()]
        step_s = min(after - before for before, after in pairwise(times))
        few = data.few_held_out(held)
        begins = [clock()]
        for _ in range(2):  # the first prepares the kernels
            few.evaluate(trainer.average)
            begins.append(clock())
        evaluation_s = min(after - before for before, after in pairwise(begins))
    return step_s, evaluation_s / len(few.held_labels), _CALIBRATION_STEPS * data.task.calibration_batch
