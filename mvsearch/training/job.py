"""A whole training, epoch by epoch, that can end at any moment and go on as if it had not.

Nothing is drawn from a state that runs along: the batches, their augmentation and the dropout of a step follow from the
seed and the step alone, so a checkpoint is weights, optimiser, and a place.
"""

import copy
import io
import json
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mvsearch.errors import CheckpointError, EnvironmentFault
from mvsearch.nn.weight_transfer import Inheritance
from mvsearch.training.batches import Batch, Sampler
from mvsearch.training.distributed import ProcessGroup
from mvsearch.training.full import FullRecipe
from mvsearch.training.loop import Learner, adamw, sgd
from mvsearch.training.metrics_log import Journal
from mvsearch.training.pictures import Pictures
from mvsearch.utils.atomic_write import write_whole

LOGGED = 10
"""A line of the journal tells of so many steps."""


@dataclass(frozen=True)
class Step:
    """A step that is done: counted from 1, its loss before it, its learning rate, and images of all processes."""

    step: int
    epoch: int
    loss: float
    lr: float
    images: int


@dataclass(frozen=True)
class EpochResult:
    """What the averaged weights came to after an epoch, counted from 1: a share, by the name of `kind`, and loss; on so
    many images."""

    step: int
    epoch: int
    kind: str
    score: float
    loss: float
    images: int


@dataclass(frozen=True)
class Position:
    """Where a training is: steps that are done, the epoch and its batch that come next, losses not yet written."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    window: tuple[float, ...] = ()
    judged: tuple[float, float, int] | None = None
    """Score, loss and number of images."""
    cpu_seconds: float = 0.0
    """Of this process and all before it."""


@dataclass
class Training:
    """A network, what it learns from, and where it stands; `folder` holds the checkpoint and the journal.

    `settings` are all that its losses depend on: plain values, compared before it goes on from a checkpoint.
    `inherited` says which weights it began with, if others than the seed's. `parts` is in how many pieces a process
    takes its share of a batch, `every` how many steps lie between checkpoints.
    """

    model: nn.Module
    pictures: Pictures
    recipe: FullRecipe
    folder: Path
    settings: dict[str, Any]
    inherited: Inheritance | None = None
    ranks: ProcessGroup = field(default_factory=ProcessGroup)
    parts: int = 1
    seed: int = 0
    every: int = 500
    compiled: bool = False
    stopping: bool = False

    def __post_init__(self) -> None:
        device = self.ranks.device
        shares = self.ranks.count * self.parts
        train = self.pictures.train
        self.sampler = Sampler(len(train.labels), self.recipe, self.seed, shares, train.shards)
        self.model = self.model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        average = copy.deepcopy(self.model).requires_grad_(False).eval()
        forward = self.ranks.together(self.model)
        if self.compiled:
            forward.compile(dynamic=False)  # with sizes left open its code for a CPU cannot be made (torch 2.13)
        optimiser = _optimiser(self.model, self.recipe)
        self.learner = Learner(self.model, average, optimiser, device, self.recipe.clip, buffers=True, forward=forward)
        self.place = Position()
        self._since = time.process_time()

    @property
    def checkpoint(self) -> Path:
        """The file to go on from."""
        return self.folder / "checkpoint.pt"

    def resume(self) -> bool:
        """Take up the checkpoint, if there is one. CheckpointError says if it is damaged or of another training."""
        if not self.checkpoint.exists():
            return False
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of pickles that torch did not write
                state = torch.load(self.checkpoint, self.ranks.device, weights_only=True)
            settings, learner, place = json.loads(state["settings"]), state["learner"], Position(**state["place"])
        except Exception:  # a damaged pickle can raise anything
            raise CheckpointError(
                "no checkpoint of a training; --force begins anew, or choose another folder.", at=self.checkpoint
            ) from None
        refuse_other(self.checkpoint, settings, json.loads(json.dumps(self.settings)))
        self.learner.load_state_dict(learner)
        self.place = place
        self._since = time.process_time() - place.cpu_seconds
        return True

    def run(self) -> Iterator[Step | EpochResult]:
        """Train to the end, saying each step and each epoch. Raises EvaluationFailed if a loss is no number.

        With `stopping` set the step at hand is the last: a checkpoint is written and KeyboardInterrupt raised.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        journal = Journal(self.folder, self.place.step, self.place.epoch) if self.ranks.first else None
        try:
            with torch.random.fork_rng(devices=[self.ranks.device] if self.ranks.device != "cpu" else []):
                while self.place.epoch < self.recipe.epochs:
                    with self.ranks.turn:
                        yield from self._epoch(journal)
        finally:
            if journal:
                journal.close()

    def _epoch(self, journal: Journal | None) -> Iterator[Step | EpochResult]:
        epoch = self.place.epoch
        batches = self.sampler.epoch(epoch)[self.place.batch :]
        steps = enumerate(batches, self.place.step)
        flow = self.pictures.flow([part for step, batch in steps for part in self._mine(batch, step)])
        for batch in batches:
            done, stop = self._step(batch, [next(flow) for _ in range(self.parts)])
            window = (*self.place.window, done.loss)
            if done.step % LOGGED == 0 or done.step == self.sampler.steps:
                if journal:
                    journal.write(_line(done, window))
                window = ()
            self._move(step=done.step, epoch=epoch, batch=self.place.batch + 1, window=window)
            yield done
            if stop:
                self.save()
                raise KeyboardInterrupt
            if done.step % self.every == 0:
                self.save()
        judged = self.judge()
        if journal:
            journal.write(
                {"step": judged.step, "epoch": judged.epoch, judged.kind: judged.score, "judged_loss": judged.loss}
            )
        self._move(epoch=epoch + 1, batch=0, judged=(judged.score, judged.loss, judged.images))
        self.save()
        yield judged

    def _mine(self, batch: Batch, step: int) -> list[Batch]:
        """The parts of this process's share of a step's batch."""
        mine = np.array_split(np.array_split(batch.images, self.ranks.count)[self.ranks.rank], self.parts)
        first = self.ranks.rank * self.parts
        return [Batch(batch.size, part, (self.seed, step, i)) for i, part in enumerate(mine, first)]

    def _step(self, batch: Batch, parts: list[tuple[Tensor, Tensor]]) -> tuple[Step, bool]:
        """One step of all processes; and whether any of them was asked to stop."""
        step, of, recipe = self.place.step, self.sampler.steps, self.recipe
        torch.manual_seed(int(np.random.SeedSequence((self.seed, step, self.ranks.rank)).generate_state(1)[0]))
        lr = recipe.lr_at(step, self.place.epoch, epoch_steps=of / recipe.epochs)
        place = f"step {step + 1} of {of}"
        try:
            loss = self.learner.step(parts, self.pictures.loss, lr=lr, decay=recipe.decay_at(step), place=place)
        except torch.OutOfMemoryError:
            raise EnvironmentFault(
                f"the GPU's memory does not hold {len(parts[0][0])} images of {batch.size} px at once; "
                f"--accumulate {2 * self.parts} takes half as many.",
                at=place,
            ) from None
        loss, stops = self.ranks.total([loss, float(self.stopping)])
        return Step(step + 1, self.place.epoch + 1, loss / self.ranks.count, lr, len(batch.images)), stops > 0

    def judge(self) -> EpochResult:
        """The averaged weights on the images that judge."""
        self.ranks.share(self.learner.average.buffers())  # those of the first, which are written
        return EpochResult(
            self.place.step,
            self.place.epoch + 1,
            self.pictures.score,
            *self.pictures.judge(self.learner.average, self.ranks),
        )

    def save(self) -> None:
        """Write the checkpoint whole, or leave the one before."""
        if not self.ranks.first:
            return
        content = io.BytesIO()
        self._move(cpu_seconds=time.process_time() - self._since)
        learner, place = self.learner.state_dict(), dict(vars(self.place))
        state = {"settings": json.dumps(self.settings), "learner": learner, "place": place}
        torch.save(state, content)
        write_whole(self.checkpoint, content.getvalue())

    def _move(self, **changes: Any) -> None:
        self.place = Position(**{**vars(self.place), **changes})


def refuse_other(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raises CheckpointError, naming the first difference, if a checkpoint is not of the training that is wanted."""
    for name in wanted:
        if found.get(name) != wanted[name]:
            raise CheckpointError(
                f"was begun with {name}={found.get(name)!r}, not {wanted[name]!r}; give the former, --force to "
                "begin anew, or another folder.",
                at=path,
            )


def _line(done: Step, window: tuple[float, ...]) -> dict[str, Any]:
    loss = sum(window) / len(window)
    return {"step": done.step, "epoch": done.epoch, "loss": loss, "lr": done.lr, "images": done.images}


def _optimiser(model: nn.Module, recipe: FullRecipe) -> torch.optim.Optimizer:
    given: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay, "decay_all": recipe.decay_all}
    if recipe.optimizer == "adamw":
        return adamw(model, **given, head=recipe.head_lr)
    return sgd(model, **given, head=recipe.head_lr, momentum=recipe.momentum, nesterov=recipe.nesterov)
