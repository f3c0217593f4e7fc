"""Which images each batch of an epoch has, and at which size: determined by the seed."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mvsearch.errors import PlanError
from mvsearch.training.recipe import Recipe
from mvsearch.utils.text import plural

_SHARDS_AT_ONCE = 8  # images are mixed among so many shards, so that reads stay close together


WARMUP_SHARE = 8
"""The warm-up takes at most so many-th part of the steps: few epochs of few images would end within it."""


def shorten_warmup(recipe: Recipe, images: int) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe with a warm-up of at most its share of the steps on so many images, and a sentence if that is less.

    Raises PlanError if there is no batch.
    """
    steps = Sampler(images, replace(recipe, warmup_steps=0)).steps
    most = min(max(1, steps // WARMUP_SHARE), steps - 1)
    if recipe.warmup_steps <= most:
        return recipe, ()
    note = f"the warm-up takes {most:,} of {steps:,} steps; the recipe has {recipe.warmup_steps:,}"
    return replace(recipe, warmup_steps=most), (note,)


ENOUGH_STEPS = 300
"""With fewer steps from random weights the score may be that of chance: 36 steps on 4 classes of 54 images had 25 %."""


def few_steps_note(recipe: Recipe, images: int) -> tuple[str, ...]:
    """A sentence if the recipe takes few steps on so many images, with the settings for more. Raises as `Sampler`."""
    steps = Sampler(images, recipe).steps
    if steps >= ENOUGH_STEPS:
        return ()
    few = f"{plural(steps, 'step')} may be too few to learn from random weights"
    return (f"{few}; {settings_for(ENOUGH_STEPS, recipe, images)} takes at least {ENOUGH_STEPS}",)


def is_guessing(accuracy: float, chance: float, images: int) -> bool:
    """Whether an accuracy on so many images is within two standard errors of that of naming one class for all."""
    return accuracy <= chance + 2 * math.sqrt(chance * (1 - chance) / images)


def settings_for(steps: int, recipe: Recipe, images: int) -> str:
    """The options for at least so many steps on so many images, with a smaller batch where images are few."""
    batch = min(recipe.batch, 1 << max(3, (images // 16).bit_length() - 1))
    epochs = math.ceil(steps * recipe.epochs / Sampler(images, replace(recipe, batch=batch)).steps)
    return f"--set batch={batch} --set epochs={epochs}" if batch < recipe.batch else f"--set epochs={epochs}"


@dataclass(frozen=True)
class Batch:
    """Indices of images, (B,), their size in pixels, and the `key` that draws their augmentation."""

    size: int
    images: np.ndarray
    key: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sampler:
    """The batches of every epoch of a recipe; each can be split into `shares` equal parts (processes, accumulation).

    Images left over at the end of an epoch, fewer than a batch, are skipped; in each epoch these are others. Where
    images are in `shards`, (N) numbers, they are mixed among a few shards at a time. Raises PlanError if there is no
    batch.
    """

    images: int
    recipe: Recipe
    seed: int = 0
    shares: int = 1
    shards: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.recipe.batch % self.shares or self.recipe.batch < 2 * self.shares:
            raise PlanError(
                f"batch={self.recipe.batch} cannot be split into {self.shares} equal parts of at least two images "
                f"(processes x accumulation); use --set batch={max(2, self.recipe.batch // self.shares) * self.shares}."
            )
        if self.images < (largest := max(self._batch_sizes)):
            raise PlanError(f"{self.images} training images are fewer than a batch of {largest}; use --set batch=N.")
        if not self.recipe.warmup_steps < self.steps:
            raise PlanError(
                f"warmup_steps={self.recipe.warmup_steps} must be fewer than the {self.steps:,} steps of the whole "
                f"training; use fewer, or more epochs."
            )

    @cached_property
    def _batch_sizes(self) -> tuple[int, ...]:
        """Images a step at each of the recipe's sizes."""
        divisible = (self.recipe.batch_at(size) // self.shares * self.shares for size in self.recipe.sizes)
        return tuple(max(batch, 2 * self.shares) for batch in divisible)

    @cached_property
    def steps(self) -> int:
        """Batches of the whole training."""
        return sum(len(self._sizes_and_ends(epoch)[0]) for epoch in range(self.recipe.epochs))

    def epoch(self, number: int) -> list[Batch]:
        """The batches of an epoch, counted from 0."""
        sizes, ends = self._sizes_and_ends(number)
        parts = np.split(self._shuffle(number)[: ends[-1]], ends[:-1])
        return [Batch(self.recipe.sizes[size], part) for size, part in zip(sizes, parts, strict=True)]

    def _shuffle(self, number: int) -> np.ndarray:
        draw = np.random.default_rng((self.seed, number, 1))
        if self.shards is None:
            return draw.permutation(self.images)
        _, shard_of = np.unique(self.shards, return_inverse=True)
        group = draw.permutation(1 + shard_of.max()) // _SHARDS_AT_ONCE
        return np.lexsort((draw.random(self.images), group[shard_of]))

    def _sizes_and_ends(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The index of each batch's size, and the position in the shuffled images where the batch ends."""
        most = self.images // min(self._batch_sizes)
        sizes = np.random.default_rng((self.seed, number, 0)).integers(0, len(self._batch_sizes), most)
        ends = np.array(self._batch_sizes)[sizes].cumsum()
        full = ends <= self.images
        return sizes[full], ends[full]
