"""Real images as arrays, to run a network on them outside of any training: to verify exports, to score networks."""

from dataclasses import dataclass

import numpy as np
import torch

from mvsearch.data import DataSet, Images, Preparation
from mvsearch.training.transforms import channel_statistics, normalise, resize_array

_STATISTICS_IMAGES = 500


@dataclass(frozen=True)
class ImageSample:
    """Images as a network sees them: (N, 3, H, W) float32, prepared for it; labels count into the classes.

    `mean` and `std`, in the order of the channels, are what pixels from 0 to 1 were normalised with. `notes` are
    sentences about the labels that a report shows.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    source: str
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    notes: tuple[str, ...] = ()


def sample_images(
    data: DataSet,
    size: int,
    *,
    held_out: int,
    training: int,
    seed: int = 0,
    preparation: Preparation | None = None,
) -> tuple[ImageSample, ImageSample]:
    """So many images of the test part and of the training part, drawn by the seed, at `size` pixels.

    Where a part has fewer, all of it is used. Without a preparation they are normalised by the mean and deviation of
    the training part, as a training on them would.
    """
    rng = np.random.default_rng(seed)
    prepared = preparation or _own_preparation(data, size, rng)

    def sample(part: Images, name: str, count: int) -> ImageSample:
        pixels, labels = _draw(part, count, rng)
        images = prepare_pixels(pixels, prepared, size).numpy()
        return ImageSample(images, labels, part.classes, f"{data.name}, {name} part", prepared.mean, prepared.std)

    return sample(data.test, "test", held_out), sample(data.train, "training", training)


def prepare_pixels(pixels_BHWC: np.ndarray, preparation: Preparation, size: int) -> torch.Tensor:
    """Square uint8 images as a network expects them: float32 (B, 3, size, size)."""
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (preparation.mean, preparation.std))
    x = resize_array(crop_centre(pixels_BHWC, preparation), size)
    return normalise(x.flip(1) if preparation.channel_order == "bgr" else x, mean, std).contiguous()


def crop_centre(pixels_BHWC: np.ndarray, preparation: Preparation) -> np.ndarray:
    """The centre of square images that a preparation keeps."""
    side = pixels_BHWC.shape[1]
    kept = round(side * preparation.crop)
    start = (side - kept) // 2
    return pixels_BHWC[:, start : start + kept, start : start + kept]


def _own_preparation(data: DataSet, size: int, rng: np.random.Generator) -> Preparation:
    mean, std = channel_statistics(resize_array(_draw(data.train, _STATISTICS_IMAGES, rng)[0], size))
    return Preparation(tuple(mean.flatten().tolist()), tuple(std.flatten().tolist()), size)


def _draw(part: Images, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    indices = np.sort(rng.permutation(len(part.labels))[:count])
    return part.pixels[indices], part.labels[indices]
