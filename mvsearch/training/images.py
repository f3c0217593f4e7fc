"""From uint8 images in memory to training batches: gathered, augmented and normalised as one tensor, on the device."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mvsearch.data import DataSet, stratified_split
from mvsearch.training.recipe import Recipe


@dataclass(frozen=True)
class Task:
    """What a network is to learn: images and labels of two disjoint sets, and the statistics that normalise them.

    This one has a class an image; tasks of other labels are made of it in `mvsearch.training.tasks`.
    """

    calibration_batch: ClassVar[int] = 250  # images at once, when the statistics of batch norms are taken anew

    train_pixels: Tensor
    train_labels: Tensor
    held_pixels: Tensor
    held_labels: Tensor
    mean: Tensor
    std: Tensor
    classes: int

    @classmethod
    def of(cls, data: DataSet, recipe: Recipe, device: str) -> Self:
        """The training part of a data set, split by the seed: the test part is never seen by a search."""
        fraction = min(0.5, recipe.held_out / len(data.train.labels))
        kept, held = stratified_split(data.train.labels, fraction, recipe.seed)
        pixels = fitted(data.train.pixels, recipe.image_size)
        labels = torch.from_numpy(np.array(data.train.labels)).to(device)
        mean, std = statistics(pixels[:: max(1, len(pixels) // 5000)])
        train, test = torch.from_numpy(kept), torch.from_numpy(held)
        return cls(
            train_pixels=pixels[train].to(device),
            train_labels=labels[train.to(device)],
            held_pixels=pixels[test].to(device),
            held_labels=labels[test.to(device)],
            mean=mean.to(device),
            std=std.to(device),
            classes=len(data.train.classes),
        )

    def batches(self, recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
        """`recipe.steps` batches, reshuffled each epoch: the same for every network that is given the same seed."""
        for chosen, shift, mirror in self.draws(recipe):
            x = moved(self.train_pixels[chosen], shift, mirror, recipe.crop_padding)
            yield self.normalised(x), self.train_labels[chosen]

    def draws(self, recipe: Recipe) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """What each batch is made of: which images, (B,), how far each is shifted down and right, (2, B), from 0 to
        twice the padding, and which are mirrored, (B,)."""
        generator, device = torch.Generator().manual_seed(recipe.seed), self.train_labels.device
        order = torch.empty(0, dtype=torch.long)
        for _ in range(recipe.steps):
            while len(order) < recipe.batch:  # more than once where there are few images
                order = torch.cat((order, torch.randperm(len(self.train_labels), generator=generator)))
            chosen, order = order[: recipe.batch], order[recipe.batch :]
            shift = torch.randint(0, 2 * recipe.crop_padding + 1, (2, recipe.batch), generator=generator)
            mirror = torch.rand(recipe.batch, generator=generator) < 0.5 * recipe.flip
            yield chosen.to(device), shift.to(device), mirror.to(device)

    def held_batches(self, size: int = 250) -> Iterator[tuple[Tensor, Tensor]]:
        """The held-out images in order."""
        for i in range(0, len(self.held_labels), size):
            yield self.normalised(self.held_pixels[i : i + size]), self.held_labels[i : i + size]

    def loss(self, outputs: Any, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Of a batch, given what the network makes of it: cross-entropy, with labels smoothed."""
        return F.cross_entropy(outputs.float(), labels, label_smoothing=smoothing)

    def judge(self, model: Callable[[Tensor], Any]) -> dict[str, float]:
        """`top1` as a share, and the loss, of the held-out images."""
        right, loss = 0, 0.0
        for x, labels in self.held_batches():
            logits = model(x).float()
            right += int((logits.argmax(1) == labels).sum())
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        n = len(self.held_labels)
        return {"top1": right / n, "loss": loss / n}

    def normalised(self, pixels: Tensor) -> Tensor:
        """uint8 (B, C, H, W) → float32 (B, 3, H, W), mean 0 and deviation 1 a channel, channels last."""
        return normalised(pixels, self.mean, self.std).contiguous(memory_format=torch.channels_last)


def statistics(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel, (1, C, 1, 1), of uint8 images (B, C, H, W) taken for 0 to 1."""
    x = pixels.float() / 255
    return x.mean((0, 2, 3)).view(1, -1, 1, 1), x.std((0, 2, 3)).clamp_min(1e-3).view(1, -1, 1, 1)


def normalised(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """uint8 (B, C, H, W) → float32 (B, 3, H, W); grey images have three equal channels."""
    return ((pixels.float() / 255 - mean) / std).expand(-1, 3, -1, -1)


def fitted(pixels_BHWC: np.ndarray, size: int) -> Tensor:
    """(B, H, W, C) → (B, C, size, size), resized where it must be."""
    return resized(torch.from_numpy(np.array(pixels_BHWC)).permute(0, 3, 1, 2), size)


def resized(x: Tensor, size: int) -> Tensor:
    """uint8 (B, C, H, W) → (B, C, size, size)."""
    if x.shape[2:] == (size, size):
        return x.contiguous()
    parts = [F.interpolate(part.float(), (size, size), mode="bilinear", antialias=True) for part in x.split(2000)]
    return torch.cat([part.round().clamp(0, 255).to(torch.uint8) for part in parts])


def moved(pixels: Tensor, shift: Tensor, mirror: Tensor, pad: int, *, fill: int = 0) -> Tensor:
    """(B, C, H, W), each image for itself padded by `pad` pixels of `fill`, cut out at its shift, and mirrored."""
    b, _, height, width = pixels.shape
    device = pixels.device
    rows = shift[0, :, None] + torch.arange(height, device=device)
    columns = torch.arange(width, device=device).expand(b, -1)
    columns = shift[1, :, None] + torch.where(mirror[:, None], width - 1 - columns, columns)
    padded = F.pad(pixels, (pad, pad, pad, pad), value=fill)
    images = torch.arange(b, device=device)
    return padded.permute(0, 2, 3, 1)[images[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
