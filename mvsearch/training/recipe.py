"""How a network is trained: the augmentation, the schedule and the optimiser. Numbers only, no torch."""

import math
from dataclasses import dataclass

from mvsearch.errors import PlanError

OPTIMIZERS = ("adamw", "sgd")
INTERPOLATIONS = ("bilinear", "bicubic")

MOST_HELD_OUT = 5
"""A short training holds out at most every fifth image: more would leave too few to learn from."""


@dataclass(frozen=True)
class Augmentation:
    """What is done to a batch, and how strongly; 0 leaves a step out.

    A crop covers at least `crop_area` of the image's area, and its sides have a ratio of at most `crop_ratio`; 1 and 1
    take the whole of a square. `interpolation` resizes it. Each image gets `randaugment` operations (arXiv 1909.13719)
    of strength `magnitude`, with a normal deviation of `magnitude_std`, on a scale from 0 to `levels`: torchvision
    counts to 30, timm to 10. `erase` is the share of images that lose a rectangle (arXiv 1708.04896). `mixup`
    (1710.09412) and `cutmix` (1905.04899) are the parameters of their beta distributions; one of the two is applied to
    a share `mixed` of the batches.
    """

    crop_area: float = 0.08
    crop_ratio: float = 4 / 3
    interpolation: str = "bilinear"
    flip: bool = True
    randaugment: int = 0
    magnitude: float = 9.0
    magnitude_std: float = 0.5
    levels: int = 30
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    mixed: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.crop_area <= 1 or self.crop_ratio < 1:
            raise PlanError(
                f"crop_area={self.crop_area}, crop_ratio={self.crop_ratio}: use an area above 0 and up to 1, and a "
                "ratio of 1 or more."
            )
        if self.interpolation not in INTERPOLATIONS:
            raise PlanError(f"interpolation={self.interpolation!r}: use {' or '.join(INTERPOLATIONS)}.")
        for name, unit in (("erase", "images"), ("mixed", "batches")):
            if not 0 <= getattr(self, name) <= 1:
                raise PlanError(f"{name}={getattr(self, name)} must be a share of the {unit}; use 0 to 1.")
        for name in ("randaugment", "magnitude", "magnitude_std", "mixup", "cutmix"):
            if getattr(self, name) < 0:
                raise PlanError(f"{name}={getattr(self, name)} must not be negative; use 0 to leave it out.")
        if self.levels < 1:
            raise PlanError(f"levels={self.levels}: the scale of magnitudes must end at 1 or more.")


@dataclass(frozen=True)
class Recipe(Augmentation):
    """How a network is trained, by a proxy for a minute or in full for days; the augmentation is part of it.

    A step takes `batch` images of `image_size`. With several `image_sizes` each batch draws one of them, and sizes
    below `image_size` come in larger batches of as many pixels. The learning rate rises linearly from `lr_start` to
    `lr` over `warmup_steps` (a rise from 0 starts at its first fraction above 0), then falls along a cosine to
    `lr_end`: over all epochs, once an epoch, or with `by_step` over the remaining steps, at each step. `decay_all`
    applies weight decay to norms and biases too. `clip` limits the norm of the gradient; 0 does not. The head learns at
    `head_lr` times the learning rate.

    `ema` is the decay of the exponential moving average of weights and statistics that is evaluated and saved: the
    share of the old average that each step keeps; 0 keeps none. With `ema_rises` the first steps keep less, which a
    short training needs.

    Images for evaluation have a shorter side of `judged_side` times the image size, of which the centre is used.
    `normalise` gives each channel mean 0 and deviation 1; without it pixels run from 0 to 1, as in the authors' code.
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
    ema: float = 0.9995
    ema_rises: bool = False
    judged_side: float = 1.0
    normalise: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("epochs", 1), ("batch", 2), ("image_size", 8)):
            if getattr(self, name) < least:
                raise PlanError(f"{name}={getattr(self, name)} is too small; use {least} or more.")
        if not self.judged_side >= 1:
            raise PlanError(f"judged_side={self.judged_side} would need pixels outside the image; use 1 or more.")
        if self.optimizer not in OPTIMIZERS:
            raise PlanError(f"optimizer={self.optimizer!r}: use {' or '.join(OPTIMIZERS)}.")
        if any(size < 8 for size in self.image_sizes):
            raise PlanError(f"image_sizes={list(self.image_sizes)}: use sizes of 8 px or more.")
        for name in ("momentum", "label_smoothing", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise PlanError(f"{name}={getattr(self, name)}: use a share from 0 to below 1.")

    @property
    def sizes(self) -> tuple[int, ...]:
        """The image sizes that batches may have."""
        return self.image_sizes or (self.image_size,)

    def batch_at(self, size: int) -> int:
        """Images a step at a size: as many pixels as `batch` images of `image_size` have, and never fewer images."""
        return max(self.batch, int(self.batch * self.image_size**2 / size**2))

    def lr_at(self, step: int, epoch: int, *, epoch_steps: float) -> float:
        """The learning rate of a step, counted from 0 over all epochs; `epoch_steps` is the number of steps an epoch.

        >>> recipe = Recipe(lr=1.0, warmup_steps=4, by_step=True, epochs=1)
        >>> [recipe.lr_at(step, 0, epoch_steps=8) for step in (0, 1, 3, 4, 6)]
        [0.25, 0.5, 1.0, 1.0, 0.5]
        """
        if step < self.warmup_steps:
            reached = step + 1 if self.lr_start == 0 else step  # a step at rate 0 would learn nothing
            return self.lr_start + (self.lr - self.lr_start) * (reached / self.warmup_steps)
        if self.by_step:
            progress = (step - self.warmup_steps) / max(1.0, self.epochs * epoch_steps - self.warmup_steps)
        else:
            progress = epoch / self.epochs
        return self.lr_end + (self.lr - self.lr_end) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    def decay_at(self, step: int) -> float:
        """The share of the averaged weights that a step keeps."""
        return min(self.ema, (1 + step) / (10 + step)) if self.ema_rises else self.ema


@dataclass(frozen=True)
class Distillation:
    """How a network learns from a teacher: `(1 - weight) * cross-entropy + weight * temperature² * divergence`.

    The defaults are those of Tian et al. 2020 for small networks on CIFAR-100 (arXiv 1910.10699, in their code). They
    were better than 0.5 and 2 in short trainings (docs/evidence/training.md).
    """

    weight: float = 0.9
    temperature: float = 4.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise PlanError(f"distill_weight={self.weight}: use a share from 0 to 1.")
        if not 0 < self.temperature < math.inf:
            raise PlanError(f"temperature={self.temperature}: use a finite number above 0.")


@dataclass(frozen=True)
class ShortTraining:
    """A short training on images in memory: `steps` steps of a recipe as one epoch, with random shifts and flips.

    Images are shifted by up to `crop_padding` pixels. `held_out` images of the training part, the same share of each
    class and at most a fifth of it, are for evaluation. `seed` draws all of it.
    """

    recipe: Recipe
    steps: int
    crop_padding: int = 1
    held_out: int = 5000
    seed: int = 0

    def held_out_share(self, images: int) -> float:
        """The share of so many training images that is held out.

        >>> ShortTraining(Recipe(), 75).held_out_share(60_000), ShortTraining(Recipe(), 75).held_out_share(2_400)
        (0.08333333333333333, 0.2)
        """
        return min(self.held_out, max(1, images // MOST_HELD_OUT)) / images
