"""A whole training in numbers: what the papers' recipes are made of, as one flat set of settings."""

import math
from dataclasses import dataclass

from mvsearch.errors import PlanError
from mvsearch.training.augment import Augmentation

OPTIMIZERS = ("adamw", "sgd")


@dataclass(frozen=True)
class FullRecipe(Augmentation):
    """How a network is trained from the first image to the last; the augmentation is part of it.

    `batch` images at `image_size` make a step. Of several `image_sizes` each batch draws one, and is larger for those
    below `image_size`: as many pixels a batch. The learning rate rises linearly from `lr_start` to `lr` over
    `warmup_steps`, then goes on along a cosine to `lr_end`: one over all epochs, epoch by epoch, or, `by_step`, one
    over the steps that are left, step by step. `decay_all` has norms and biases decay too. `clip` bounds the gradient's
    norm, 0 leaves it. The head learns at `head_lr` times the learning rate. `ema` is how far the averaged weights and
    statistics move towards the network's in a step: at most, as it is more in the first steps of a short training with
    `ema_rises`. Images that judge have their shorter side at `judged_side` times the image size, and are seen in their
    middle. `normalise` gives each channel mean 0 and deviation 1; without it pixels run from 0 to 1, as the
    authors have them.
    """

    source: str = ""
    epochs: int = 30
    batch: int = 128
    image_size: int = 32
    image_sizes: tuple[int, ...] = ()
    optimizer: str = "adamw"
    lr: float = 2e-3
    lr_start: float = 0.0
    lr_end: float = 0.0
    head_lr: float = 1.0
    warmup_steps: int = 0
    by_step: bool = False
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.01
    decay_all: bool = False
    clip: float = 0.0
    label_smoothing: float = 0.1
    ema: float = 5e-4
    ema_rises: bool = False
    judged_side: float = 1.0
    normalise: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("epochs", 1), ("batch", 2), ("image_size", 32)):
            if getattr(self, name) < least:
                raise PlanError(f"{name}={getattr(self, name)} trains nothing; use {least} or more.")
        if not self.judged_side >= 1:
            raise PlanError(f"judged_side={self.judged_side} leaves a rim that nothing is known of; use 1 or more.")
        if not self.momentum < 1:
            raise PlanError(f"momentum={self.momentum} never forgets a gradient; use 0 to below 1.")
        if self.optimizer not in OPTIMIZERS:
            raise PlanError(f"optimizer={self.optimizer!r}: use {' or '.join(OPTIMIZERS)}.")
        if any(size < 8 for size in self.image_sizes):
            raise PlanError(f"image_sizes={list(self.image_sizes)}: use sizes of 8 px or more.")
        if not 0 <= self.label_smoothing < 1 or not 0 < self.ema <= 1:
            raise PlanError(
                f"label_smoothing={self.label_smoothing}, ema={self.ema}: the first is a share from 0 to below 1, the "
                "second one above 0 up to 1."
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes that batches may have."""
        return self.image_sizes or (self.image_size,)

    def batch_at(self, size: int) -> int:
        """Images a step at a size: as many pixels as `batch` images of `image_size` have, and never fewer images."""
        return max(self.batch, int(self.batch * self.image_size**2 / size**2))

    def lr_at(self, step: int, epoch: int, *, epoch_steps: float) -> float:
        """The learning rate of a step, counted from 0 over all epochs; `epoch_steps` is how many an epoch has."""
        if step < self.warmup_steps:
            return self.lr_start + (self.lr - self.lr_start) * step / self.warmup_steps
        if self.by_step:
            done = (step - self.warmup_steps) / max(1.0, self.epochs * epoch_steps - self.warmup_steps)
        else:
            done = epoch / self.epochs
        return self.lr_end + (self.lr - self.lr_end) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def decay_at(self, step: int) -> float:
        """How much of the averaged weights stays in a step."""
        return min(1 - self.ema, (1 + step) / (10 + step)) if self.ema_rises else 1 - self.ema
