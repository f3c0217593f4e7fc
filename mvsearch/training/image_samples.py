"""Real images as arrays, to run a network on them outside of any training: to verify exports, to score networks."""

from dataclasses import dataclass

import numpy as np

from mvsearch.data import DataSet, Images
from mvsearch.training.transforms import channel_statistics, normalise, resize_array

_STATISTICS_IMAGES = 500


@dataclass(frozen=True)
class ImageSample:
    """Images as a network sees them: (N, 3, H, W) float32, normalised as in training; labels count into the classes.

    `mean` and `std`, red, green and blue, are what pixels from 0 to 1 were normalised with.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    source: str
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)


def sample_images(
    data: DataSet, size: int, *, held_out: int, training: int, seed: int = 0
) -> tuple[ImageSample, ImageSample]:
    """So many images of the test part and of the training part, drawn by the seed, at `size` pixels.

    Where a part has fewer, all of it is used. Mean and deviation are those of the training part.
    """
    rng = np.random.default_rng(seed)
    mean, std = channel_statistics(resize_array(_draw(data.train, _STATISTICS_IMAGES, rng)[0], size))
    channels = tuple(tuple(value.expand(1, 3, 1, 1).flatten().tolist()) for value in (mean, std))

    def sample(part: Images, name: str, count: int) -> ImageSample:
        pixels, labels = _draw(part, count, rng)
        images = normalise(resize_array(pixels, size), mean, std).contiguous()
        return ImageSample(images.numpy(), labels, part.classes, f"{data.name}, {name} part", *channels)

    return sample(data.test, "test", held_out), sample(data.train, "training", training)


def _draw(part: Images, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    indices = np.sort(rng.permutation(len(part.labels))[:count])
    return part.pixels[indices], part.labels[indices]
