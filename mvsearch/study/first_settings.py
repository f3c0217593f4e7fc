"""The settings that `mvsearch init` chooses for a set of images, each with its reason. Closed forms; no torch.

images, classes, pixels ── image size, strides, pixels, batch, steps wanted ────────┐
CPU seconds of a step, workers, minutes ────────────────────────────────────────────┴─ trials, seeds, steps
"""

from dataclasses import dataclass

from mvsearch.utils.text import plural

SIDES = (32, 224)
"""The smallest image that a network takes; and the size that photographs are usually classified at."""
_STRIDE = 32
"""How many times smaller than the image the last map of MobileViT is."""
_PATCH = 2
_PATCHES = 4

_PROXY_SIDES = (64, 96)
_MEMORY = 2**30
"""Bytes of images that a worker holds: all of the training part at the size of the proxy."""

_BATCHES = (32, 64)
_STEPS_OF_A_PASS = 20
_PASSES = 10
LEAST_STEPS, _MOST_STEPS = 100, 600
_PADDED_SHARE = 32

_SCHEDULES = ((40, 2), (40, 1), (24, 1))
"""Numbers of trials and of seeds with which the steps that are wanted are done, if there is time."""
_FEWER_TRIALS = (24, 16)
"""Numbers of trials where there is not."""


@dataclass(frozen=True)
class Chosen:
    """A value, and why it was chosen."""

    value: int
    reason: str


def choose_image_size(side: float) -> Chosen:
    """The size of the networks' images for photographs of this median shorter side, in pixels.

    >>> choose_image_size(500).value, choose_image_size(100).value, choose_image_size(28).value
    (224, 96, 32)
    """
    least, most = SIDES
    found = f"the median shorter side is {side:,.0f} px"
    if side > most:
        return Chosen(most, f"{found}; {most} px are usual for photographs")
    size = max(least, int(side) // _STRIDE * _STRIDE)
    if side < least:
        return Chosen(size, f"{found}; the smallest size of a network")
    return Chosen(
        size, found if size == side else f"{found}; the multiple of {_STRIDE} below, so that all maps are whole"
    )


def open_strides(image_size: int) -> tuple[str, ...]:
    """The rows whose stride may be 1, so that attention in the last stage joins four patches of 2x2 pixels at least.

    >>> open_strides(224), open_strides(64), open_strides(32)
    ((), ('stem',), ('stem', 'layer2'))
    """
    rows: tuple[str, ...] = ()
    for row in ("stem", "layer2"):
        side = -(-image_size // (_STRIDE >> len(rows)))
        if (-(-side // _PATCH)) ** 2 < _PATCHES:
            rows += (row,)
    return rows


def choose_proxy_size(image_size: int, side: float, images: int) -> Chosen:
    """The size of the images that candidates are scored on, for files of this median shorter side.

    >>> [choose_proxy_size(*sizes, 900).value for sizes in ((224, 500), (96, 96), (224, 64), (32, 32))]
    [96, 64, 64, 32]
    """
    least, most = _PROXY_SIDES
    if image_size <= least:
        size, reason = image_size, "that of the networks"
    else:
        size = max(least, min(most, image_size // 2 // 16 * 16))
        reason = f"a step takes {(image_size / size) ** 2:.0f} times less than at {image_size} px"
    if size > side >= SIDES[0]:
        size, reason = (
            int(side) // 16 * 16,
            f"the images have no more detail; their median shorter side is {side:,.0f} px",
        )
    while size > SIDES[0] and 3 * size**2 * images > _MEMORY:
        size = max(SIDES[0], size - 16)
        reason = f"each worker holds all {images:,} images in memory"
    return Chosen(size, reason)


def choose_batch(images: int) -> Chosen:
    """The images of a training step.

    >>> choose_batch(348).value, choose_batch(45_000).value
    (32, 64)
    """
    small, usual = _BATCHES
    if images >= _STEPS_OF_A_PASS * usual:
        return Chosen(usual, "the default")
    return Chosen(small, f"with {usual}, a pass over {images:,} images has less than {_STEPS_OF_A_PASS} steps")


def wanted_steps(images: int, batch: int) -> Chosen:
    """The training steps after which candidates differ by more than how fast they start.

    >>> wanted_steps(768, 32).value, wanted_steps(45_000, 64).value, wanted_steps(40, 32).value
    (240, 600, 100)
    """
    passes = _PASSES * images // batch
    if passes > _MOST_STEPS:
        return Chosen(_MOST_STEPS, "more steps were not compared with full trainings of small networks on photographs")
    if passes < LEAST_STEPS:
        return Chosen(LEAST_STEPS, "with fewer, the score is mostly noise")
    return Chosen(passes // 10 * 10, f"{_PASSES} passes over {images:,} images")


def crop_padding(size: int) -> int:
    """By how many pixels images are shifted: one at 32 px, as by default, and in proportion."""
    return max(1, size // _PADDED_SHARE)


@dataclass(frozen=True)
class Effort:
    """What a trial needs besides its steps: `step_s` seconds a step, `seed_s` a seed, `trial_s` once."""

    step_s: float
    seed_s: float = 0.0
    trial_s: float = 0.0

    def seconds(self, steps: int, seeds: int) -> float:
        """Of one trial."""
        return self.trial_s + seeds * (self.seed_s + steps * self.step_s)


@dataclass(frozen=True)
class Schedule:
    """How a search spends its time; `seconds` is the time on the wall with so many workers."""

    trials: int
    seeds: int
    steps: int
    workers: int
    seconds: float
    reason: str

    @property
    def time_words(self) -> str:
        """E.g. `25 minutes`."""
        minutes = max(1, round(self.seconds / 60))
        return plural(minutes, "minute") if minutes < 120 else f"{minutes / 60:.1f} hours"


def choose_schedule(wanted: int, effort: Effort, *, workers: int, minutes: float) -> Schedule:
    """Trials, seeds and steps that fit into the time: first fewer seeds, then fewer trials, then fewer steps.

    Below 16 trials of 100 steps nothing is found, so a search takes longer than it should rather than having less.

    >>> [choose_schedule(240, Effort(s), workers=2, minutes=30).steps for s in (0.1, 0.7, 40)]
    [240, 210, 100]
    """
    available = 60 * minutes * workers

    def schedule(trials: int, seeds: int, steps: int, reason: str) -> Schedule:
        return Schedule(trials, seeds, steps, workers, trials * effort.seconds(steps, seeds) / workers, reason)

    for trials, seeds in _SCHEDULES:
        if trials * effort.seconds(wanted, seeds) <= available:
            return schedule(trials, seeds, wanted, f"what fits into {minutes:g} minutes")
    for trials in _FEWER_TRIALS:
        left = available / trials - effort.seconds(0, 1)
        steps = min(wanted, int(left / effort.step_s) // 10 * 10)
        if steps >= LEAST_STEPS:
            return schedule(trials, 1, steps, f"more trials of {wanted} steps do not fit into {minutes:g} minutes")
    return schedule(
        _FEWER_TRIALS[-1], 1, LEAST_STEPS, f"the least that finds anything; does not fit into {minutes:g} minutes"
    )
