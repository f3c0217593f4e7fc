"""The one loop of every training, short or whole: the steps of an epoch, the averaged weights, their evaluation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mvsearch.nn.accelerate import accelerate
from mvsearch.training.distributed import ProcessGroup
from mvsearch.training.loop import LabelledBatch, Learner
from mvsearch.training.recipe import Recipe


@dataclass(frozen=True)
class Position:
    """How far a training is: finished steps, and the epoch and batch that come next."""

    step: int = 0
    epoch: int = 0
    batch: int = 0


@dataclass(frozen=True)
class Evaluation:
    """What a task computes of a network on so many images: its metric as a share, the loss, and more if it likes."""

    scores: dict[str, float]
    images: int


class TrainingSet(Protocol):
    """What a network is trained and evaluated on; `metric` names the score of its task."""

    @property
    def metric(self) -> str:
        """The score that the task is judged by, such as `top1`."""

    @property
    def classes(self) -> int:
        """The number of classes."""

    @property
    def steps(self) -> int:
        """The steps of all epochs."""

    def batches(self, position: Position) -> Iterator[Sequence[LabelledBatch]]:
        """The batches of an epoch from a position on, each as the parts that this process takes of it."""

    def loss(self, outputs: Any, labels: Tensor) -> Tensor:
        """The loss of a batch."""

    def evaluate(self, model: nn.Module) -> Evaluation:
        """The scores of a network on the images that are held out."""


@dataclass(frozen=True)
class StepResult:
    """A finished step, counted from 1: its loss before the step, its learning rate, the images of all processes."""

    step: int
    epoch: int
    loss: float
    lr: float
    images: int


@dataclass(frozen=True)
class EpochResult:
    """The evaluation of the averaged weights after an epoch, counted from 1: `score` is a share, named by `metric`."""

    step: int
    epoch: int
    metric: str
    score: float
    loss: float
    images: int


@dataclass
class Trainer:
    """A network, what it is trained on and the recipe; `position` is where the training is.

    With `reseed` torch is seeded at each step, so that a resumed training repeats the dropout of an unbroken one;
    without it the caller seeds torch once. If `stopping` is set in any process, all of them finish the current step and
    then have `stopped` set.
    """

    model: nn.Module
    data: TrainingSet
    recipe: Recipe
    group: ProcessGroup = field(default_factory=ProcessGroup)
    seed: int = 0
    reseed: bool = True
    compiled: bool = False
    position: Position = Position()
    stopping: bool = False
    stopped: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        device = self.group.device
        self.model = self.model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        forward = self.group.wrap(self.model if self.compiled else accelerate(self.model))
        if self.compiled:
            forward.compile(dynamic=False)  # with open sizes torch 2.13 cannot generate code for a CPU
        self.learner = Learner.create(self.model, self.recipe, device, forward=forward)

    @property
    def average(self) -> nn.Module:
        """The network of averaged weights."""
        return self.learner.average

    @property
    def finished(self) -> bool:
        """Whether all epochs are over."""
        return self.position.epoch >= self.recipe.epochs

    def train_epoch(self) -> Iterator[StepResult]:
        """Train to the end of the current epoch, yielding each step. Raises EvaluationFailed if a loss is not finite.

        Ends early, after the current step, if the training is asked to stop.
        """
        for parts in self.data.batches(self.position):
            result = self._step(parts)
            self.position = replace(self.position, step=result.step, batch=self.position.batch + 1)
            yield result
            if self.stopped:
                return

    def evaluate(self) -> EpochResult:
        """Evaluate the averaged weights, and move on to the next epoch."""
        self.group.broadcast(self.average.buffers())  # the statistics of the first process are those that are saved
        step, epoch, metric = self.position.step, self.position.epoch + 1, self.data.metric
        evaluation = self.data.evaluate(self.average)
        self.position = replace(self.position, epoch=epoch, batch=0)
        scores = evaluation.scores
        return EpochResult(step, epoch, metric, scores[metric], scores["loss"], evaluation.images)

    def _step(self, parts: Sequence[LabelledBatch]) -> StepResult:
        """One step of all processes."""
        step, recipe, group = self.position.step, self.recipe, self.group
        if self.reseed:
            torch.manual_seed(int(np.random.SeedSequence((self.seed, step, group.rank)).generate_state(1)[0]))
        lr = recipe.lr_at(step, self.position.epoch, epoch_steps=self.data.steps / recipe.epochs)
        where, decay = f"step {step + 1} of {self.data.steps}", recipe.decay_at(step)
        loss = self.learner.step(parts, self.data.loss, lr=lr, decay=decay, where=where)
        loss, stopping = group.sum([loss, float(self.stopping)])
        self.stopped = stopping > 0
        images = sum(len(x) for x, _ in parts) * group.count
        return StepResult(step + 1, self.position.epoch + 1, loss / group.count, lr, images)
