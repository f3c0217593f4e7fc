"""A training that can end at any moment and be resumed as if it had not: checkpoints, metrics log, evaluations.

No random state runs along: the batches, their augmentation and the dropout of a step follow from the seed and the
number of the step, so a checkpoint is weights, optimiser and a position.
"""

import io
import json
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mvsearch.errors import CheckpointError, EnvironmentFault
from mvsearch.training.metrics_log import MetricsLog
from mvsearch.training.trainer import EpochResult, Position, StepResult, Trainer
from mvsearch.utils.atomic_write import write_whole

CHECKPOINT = "checkpoint.pt"
LOGGED_STEPS = 10
"""A line of the metrics log covers so many steps."""


@dataclass
class TrainingRun:
    """A training with a folder for its checkpoint and its metrics log.

    `settings` are all that its losses depend on, as plain values: a checkpoint with other settings is refused. A
    checkpoint is written every `every` steps and after each epoch.
    """

    trainer: Trainer
    folder: Path
    settings: dict[str, Any]
    every: int = 500

    def __post_init__(self) -> None:
        self.evaluation: EpochResult | None = None
        self._unlogged_losses: tuple[float, ...] = ()
        self._start = time.process_time()

    @property
    def checkpoint(self) -> Path:
        """The file to resume from."""
        return self.folder / CHECKPOINT

    @property
    def cpu_seconds(self) -> float:
        """The CPU time of this process and of all that the training was resumed from."""
        return time.process_time() - self._start

    def resume(self) -> bool:
        """Restore the checkpoint, if there is one.

        Raises CheckpointError if it is damaged or of a training with other settings.
        """
        if not self.checkpoint.exists():
            return False
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about pickles that torch did not write
                state = torch.load(self.checkpoint, self.trainer.group.device, weights_only=True)
            settings, learner, place = json.loads(state["settings"]), state["learner"], state["place"]
            position = Position(place["step"], place["epoch"], place["batch"])
            window, last_scores, cpu_seconds = tuple(place["window"]), place["judged"], place["cpu_seconds"]
        except Exception:  # a damaged pickle can raise anything
            raise CheckpointError(
                "not a checkpoint of a training; use --force to start over, or choose another folder.",
                at=self.checkpoint,
            ) from None
        check_settings(self.checkpoint, settings, json.loads(json.dumps(self.settings)))
        self.trainer.learner.load_state_dict(learner)
        self.trainer.position = position
        self._unlogged_losses, self._start = window, time.process_time() - cpu_seconds
        if last_scores:
            self.evaluation = EpochResult(position.step, position.epoch, self.trainer.data.metric, *last_scores)
        return True

    def run(self) -> Iterator[StepResult | EpochResult]:
        """Train to the end, yielding each step and each epoch. Raises EvaluationFailed if a loss is not finite.

        If the trainer is asked to stop, a checkpoint is written after the current step and KeyboardInterrupt raised.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        trainer, group = self.trainer, self.trainer.group
        log = MetricsLog(self.folder, trainer.position.step, trainer.position.epoch) if group.first else None
        try:
            with torch.random.fork_rng(devices=[group.device] if group.device != "cpu" else []):
                while not trainer.finished:
                    with group.machine_lock:
                        yield from self._run_epoch(log)
        finally:
            if log:
                log.close()

    def _run_epoch(self, log: MetricsLog | None) -> Iterator[StepResult | EpochResult]:
        for result in self._steps():
            self._unlogged_losses = (*self._unlogged_losses, result.loss)
            if result.step % LOGGED_STEPS == 0 or result.step == self.trainer.data.steps:
                if log:
                    log.write(_step_line(result, self._unlogged_losses))
                self._unlogged_losses = ()
            yield result
            if self.trainer.stopped:
                self.save()
                raise KeyboardInterrupt
            if result.step % self.every == 0:
                self.save()
        self.evaluation = self.trainer.evaluate()
        if log:
            log.write(_epoch_line(self.evaluation))
        self.save()
        yield self.evaluation

    def _steps(self) -> Iterator[StepResult]:
        """The steps of an epoch; raises EnvironmentFault where a GPU's memory is too small."""
        try:
            yield from self.trainer.train_epoch()
        except torch.OutOfMemoryError:
            raise EnvironmentFault(
                "a batch does not fit into the GPU's memory; use --accumulate to take it in more parts.",
                at=f"step {self.trainer.position.step + 1}",
            ) from None

    def save(self) -> None:
        """Write the checkpoint; a failure leaves the previous one."""
        if not self.trainer.group.first:
            return
        content, result = io.BytesIO(), self.evaluation
        place = {
            **vars(self.trainer.position),
            "window": self._unlogged_losses,
            "judged": (result.score, result.loss, result.images) if result else None,
            "cpu_seconds": self.cpu_seconds,
        }
        learner = self.trainer.learner.state_dict()
        torch.save({"settings": json.dumps(self.settings), "learner": learner, "place": place}, content)
        write_whole(self.checkpoint, content.getvalue())


def check_settings(path: Path, previous: dict[str, Any], current: dict[str, Any]) -> None:
    """Raises CheckpointError, naming the first difference, if a checkpoint is of a training with other settings."""
    previous = upgrade_settings(previous)
    for name in current:
        if previous.get(name) != current[name]:
            raise CheckpointError(
                f"was started with {name}={previous.get(name)!r}, not {current[name]!r}; use that value again, --force "
                "to start over, or another folder.",
                at=path,
            )


def upgrade_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a checkpoint as they are written today.

    Formerly `ema` was the share that an average moved towards the network in a step, today it is the share it keeps.
    """
    if settings.get("ema_is_decay"):
        return settings
    return {**settings, "ema": 1 - settings["ema"], "ema_is_decay": True} if "ema" in settings else settings


def _epoch_line(result: EpochResult) -> dict[str, Any]:
    return {"step": result.step, "epoch": result.epoch, result.metric: result.score, "judged_loss": result.loss}


def _step_line(result: StepResult, losses: tuple[float, ...]) -> dict[str, Any]:
    loss = sum(losses) / len(losses)
    return {"step": result.step, "epoch": result.epoch, "loss": loss, "lr": result.lr, "images": result.images}
