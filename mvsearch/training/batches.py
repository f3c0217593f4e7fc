"""Which images each batch of an epoch has, and at which size: by the seed, and the same however often it is asked."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mvsearch.errors import PlanError
from mvsearch.training.full import FullRecipe

_SHARDS_AT_ONCE = 8  # their bytes then stay near each other


@dataclass(frozen=True)
class Batch:
    """Numbers of images, (B,), and the size in pixels at which they are seen; what is drawn for them is drawn by the
    `key`."""

    size: int
    images: np.ndarray
    key: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sampler:
    """The batches of every epoch of a recipe; each can be cut into `shares` equal parts (processes, accumulation).

    Images left over at the end of an epoch are left out, others in each epoch. Where images lie in `shards`, numbers
    (N), they are mixed among a few of them at a time. Raises PlanError if there is no batch.
    """

    images: int
    recipe: FullRecipe
    seed: int = 0
    shares: int = 1
    shards: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.recipe.batch % self.shares or self.recipe.batch < 2 * self.shares:
            raise PlanError(
                f"batch={self.recipe.batch} does not go into {self.shares} equal parts of two images and more "
                f"(processes x accumulation); use --set batch={max(2, self.recipe.batch // self.shares) * self.shares}."
            )
        if self.images < (most := max(self._batches)):
            raise PlanError(f"{self.images} images to train on make no batch of {most}; use --set batch=N.")
        if not self.recipe.warmup_steps < self.steps:
            raise PlanError(
                f"warmup_steps={self.recipe.warmup_steps} are no fewer than the {self.steps:,} steps of the whole "
                f"training; use fewer, or more epochs."
            )

    @cached_property
    def _batches(self) -> tuple[int, ...]:
        """Images a step at each of the recipe's sizes."""
        whole = (self.recipe.batch_at(size) // self.shares * self.shares for size in self.recipe.sizes)
        return tuple(max(batch, 2 * self.shares) for batch in whole)

    @cached_property
    def steps(self) -> int:
        """Batches of the whole training."""
        return sum(len(self._drawn(epoch)[0]) for epoch in range(self.recipe.epochs))

    def epoch(self, number: int) -> list[Batch]:
        """The batches of an epoch, counted from 0."""
        kinds, ends = self._drawn(number)
        parts = np.split(self._order(number)[: ends[-1]], ends[:-1])
        return [Batch(self.recipe.sizes[kind], part) for kind, part in zip(kinds, parts, strict=True)]

    def _order(self, number: int) -> np.ndarray:
        draw = np.random.default_rng((self.seed, number, 1))
        if self.shards is None:
            return draw.permutation(self.images)
        _, shard_of = np.unique(self.shards, return_inverse=True)
        turn = draw.permutation(1 + shard_of.max()) // _SHARDS_AT_ONCE
        return np.lexsort((draw.random(self.images), turn[shard_of]))

    def _drawn(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Which of the sizes each batch has, and where in the order of images it ends."""
        most = self.images // min(self._batches)
        kinds = np.random.default_rng((self.seed, number, 0)).integers(0, len(self._batches), most)
        ends = np.array(self._batches)[kinds].cumsum()
        whole = ends <= self.images
        return kinds[whole], ends[whole]
