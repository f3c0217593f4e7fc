"""Real images as arrays, for looking at what a network says about them outside of any training."""

from dataclasses import dataclass

import numpy as np

from mvsearch.data import DataSet
from mvsearch.data import Images as Part
from mvsearch.training.images import fitted, normalised, statistics

_STATISTICS = 500


@dataclass(frozen=True)
class Sample:
    """Images as a network sees them: (N, 3, H, W) float32, normalised as in training; labels count into the classes.

    `mean` and `std`, red, green and blue, are what pixels from 0 to 1 were normalised with.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    source: str
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)


def samples(data: DataSet, size: int, *, held_out: int, training: int, seed: int = 0) -> tuple[Sample, Sample]:
    """So many images of the test part and of the training part, drawn by the seed, at `size` pixels.

    Where a part has fewer, all of it is taken. Mean and deviation are those of the training part.
    """
    rng = np.random.default_rng(seed)
    mean, std = statistics(fitted(_drawn(data.train, _STATISTICS, rng)[0], size))

    used = tuple(tuple(each.expand(1, 3, 1, 1).flatten().tolist()) for each in (mean, std))

    def taken(part: Part, name: str, count: int) -> Sample:
        pixels, labels = _drawn(part, count, rng)
        images = normalised(fitted(pixels, size), mean, std).contiguous()
        return Sample(images.numpy(), labels, part.classes, f"{data.name}, {name} part", *used)

    return taken(data.test, "test", held_out), taken(data.train, "training", training)


def _drawn(part: Part, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    chosen = np.sort(rng.permutation(len(part.labels))[:count])
    return part.pixels[chosen], part.labels[chosen]
