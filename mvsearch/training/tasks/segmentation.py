"""`segmentation`: a class for every pixel, judged by the mean intersection over union, `miou`."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mvsearch.data import IGNORED, DataSet, Images, Scene
from mvsearch.errors import DataError
from mvsearch.training.images import moved
from mvsearch.training.recipe import Recipe
from mvsearch.training.tasks._scenes import HELD_BATCH, SceneTask, parts

AUX_WEIGHT = 0.4
"""Of the auxiliary classifier's loss (arXiv 1612.01105, section 4.1)."""


class Segmentation(SceneTask):
    """Labels are masks, uint8 (N, H, W): they are shifted and mirrored with their images."""

    score = "miou"

    @classmethod
    def check(cls, data: DataSet) -> None:
        """Whether there are masks."""
        if data.train.masks is None:
            raise DataError(f"{data.name}: has no masks to learn segmentation from.")

    @classmethod
    def labels_of(cls, part: Images, size: int) -> Tensor:
        """uint8 (N, size, size): of each pixel the nearest."""
        x = torch.from_numpy(np.array(part.masks))
        return x if x.shape[1:] == (size, size) else F.interpolate(x[:, None], (size, size), mode="nearest-exact")[:, 0]

    @classmethod
    def cropped(cls, labels: Tensor, boxes: Tensor, mirrored: Tensor, size: int) -> Tensor:
        """Masks (B, H, W) → (B, size, size): of each pixel the nearest."""
        b, height, width = labels.shape
        at = (torch.arange(size, device=labels.device) + 0.5) / size
        left, top, wide, high = boxes[:, :, None].unbind(1)
        columns = left + wide * torch.where(mirrored[:, None], at.flip(0), at)
        rows, columns = (
            (share * side).long().clamp(0, side - 1) for share, side in ((top + high * at, height), (columns, width))
        )
        return labels[torch.arange(b, device=labels.device)[:, None, None], rows[:, :, None], columns[:, None]]

    def batches(self, recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, 3, H, W) and masks (B, H, W); what is shifted in from beyond the border is not learnt."""
        for chosen, shift, mirror in self.draws(recipe):
            x = moved(self.train_pixels[chosen], shift, mirror, recipe.crop_padding)
            masks = moved(self.train_labels[chosen, None], shift, mirror, recipe.crop_padding, fill=IGNORED)
            yield self.normalised(x), masks[:, 0]

    def loss(self, outputs: Any, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Cross-entropy a pixel, and that of the auxiliary classifier where the head has one; no label smoothing."""
        logits, *aux = outputs if isinstance(outputs, tuple) else (outputs,)
        found = cross_entropy(logits, labels)
        return found + AUX_WEIGHT * cross_entropy(aux[0], labels) if aux else found

    def judge(self, model: Callable[[Tensor], Any]) -> dict[str, float]:
        """`miou` as a share, and the loss, of the held-out images."""
        table = torch.zeros(self.classes, self.classes, dtype=torch.long, device=self.held_labels.device)
        loss, pixels = 0.0, 0
        for x, masks in self.held_batches(self._held_batch()):
            logits = model(x).float()
            known = int((masks != IGNORED).sum())
            loss, pixels = loss + known * float(cross_entropy(logits, masks)) if known else loss, pixels + known
            table += confusion(logits.argmax(1), masks, self.classes)
        return {"miou": mean_iou(table), "loss": loss / max(pixels, 1)}

    def _held_batch(self) -> int:
        """As many images at once as their logits fit into a gibibyte: 150 classes of 512 px are 0.15 GiB an image."""
        size = self.held_pixels.shape[-1]
        return max(1, min(HELD_BATCH, 2**28 // (self.classes * size**2)))

    def found(self, outputs: Any) -> list[Scene]:
        """The likeliest class of every pixel."""
        return [Scene(mask=mask) for mask in outputs.argmax(1).to(torch.uint8).cpu().numpy()]

    def true(self, labels: Tensor) -> list[Scene]:
        """What images show, given their masks."""
        return [Scene(mask=mask) for mask in labels.cpu().numpy()]


def of(data: DataSet, recipe: Recipe, device: str) -> Segmentation:
    """The task on a data set that has masks."""
    Segmentation.check(data)
    return Segmentation(**parts(data, Segmentation.labels_of(data.train, recipe.image_size), recipe, device))


SCENES = Segmentation


def cross_entropy(logits: Tensor, masks: Tensor) -> Tensor:
    """Of logits (B, classes, H, W) with masks (B, H, W), the mean over all pixels whose class is known."""
    return F.cross_entropy(logits.float(), masks.long(), ignore_index=IGNORED)


def confusion(found: Tensor, masks: Tensor, classes: int) -> Tensor:
    """How many pixels of each true class (rows) were taken for each class (columns): (classes, classes)."""
    known = masks != IGNORED
    return torch.bincount(masks[known].long() * classes + found[known], minlength=classes**2).view(classes, classes)


def mean_iou(table: Tensor) -> float:
    """Mean intersection over union, of the classes that are there or were found, the background among them."""
    hit = table.diagonal().double()
    union = table.sum(0) + table.sum(1) - hit
    return float((hit[union > 0] / union[union > 0]).mean())
