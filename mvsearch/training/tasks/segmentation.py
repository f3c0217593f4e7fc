"""`segmentation`: a class for every pixel, judged by the mean intersection over union, `miou`."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mvsearch.data import IGNORED, DataSet, Images, Scene
from mvsearch.errors import DataError
from mvsearch.training.loop import LabelledBatch
from mvsearch.training.tasks import Model, Sum, Task
from mvsearch.training.tasks._scenes import EVALUATION_BATCH, SceneTask
from mvsearch.training.transforms import shift_and_flip

AUX_WEIGHT = 0.4
"""Of the auxiliary classifier's loss (arXiv 1612.01105, section 4.1)."""


class Segmentation(SceneTask):
    """Labels are masks, uint8 (N, H, W)."""

    metric: str = "miou"

    def check(self, data: DataSet) -> None:
        """There are masks."""
        if data.train.masks is None:
            raise DataError("has no masks, which segmentation needs.", at=data.name)

    def labels(self, part: Images, size: int) -> Tensor:
        """uint8 (N, size, size): the nearest pixel of each mask."""
        x = torch.from_numpy(np.array(part.masks))
        return x if x.shape[1:] == (size, size) else F.interpolate(x[:, None], (size, size), mode="nearest-exact")[:, 0]

    def shift(self, labels: Tensor, shift: Tensor, mirrored: Tensor, padding: int, size: int) -> Tensor:
        """Pixels from beyond the border are ignored."""
        return shift_and_flip(labels[:, None], shift, mirrored, padding, fill=IGNORED)[:, 0]

    def crop(self, labels: Tensor, boxes: Tensor, mirrored: Tensor, size: int) -> Tensor:
        """Masks (B, H, W) → (B, size, size): the nearest pixel."""
        b, height, width = labels.shape
        at = (torch.arange(size, device=labels.device) + 0.5) / size
        left, top, wide, high = boxes[:, :, None].unbind(1)
        columns = left + wide * torch.where(mirrored[:, None], at.flip(0), at)
        rows, columns = (
            (share * side).long().clamp(0, side - 1) for share, side in ((top + high * at, height), (columns, width))
        )
        return labels[torch.arange(b, device=labels.device)[:, None, None], rows[:, :, None], columns[:, None]]

    def loss(self, outputs: Any, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Cross-entropy a pixel, and that of the auxiliary classifier where the head has one; no label smoothing."""
        logits, *aux = outputs if isinstance(outputs, tuple) else (outputs,)
        loss = cross_entropy(logits, labels)
        return loss + AUX_WEIGHT * cross_entropy(aux[0], labels) if aux else loss

    def evaluation_batch(self, classes: int, size: int) -> int:
        """As many images as their logits fit into a gibibyte: 150 classes of 512 px need 0.15 GiB an image."""
        return max(1, min(EVALUATION_BATCH, 2**28 // (classes * size**2)))

    def evaluate(
        self, model: Model, batches: Iterable[LabelledBatch], classes: int, sum_over_processes: Sum = list
    ) -> dict[str, float]:
        """`miou` as a share, and the loss."""
        table, loss, pixels = torch.zeros(classes, classes, dtype=torch.long), 0.0, 0
        for x, masks in batches:
            logits = model(x).float()
            known = int((masks != IGNORED).sum())
            loss, pixels = loss + known * float(cross_entropy(logits, masks)), pixels + known
            table += confusion(logits.argmax(1), masks, classes).cpu()
        return {"miou": mean_iou(table), "loss": loss / max(pixels, 1)}

    def predictions(self, outputs: Any) -> list[Scene]:
        """The likeliest class of every pixel."""
        return [Scene(mask=mask) for mask in outputs.argmax(1).to(torch.uint8).cpu().numpy()]

    def truth(self, labels: Tensor) -> list[Scene]:
        """The masks."""
        return [Scene(mask=mask) for mask in labels.cpu().numpy()]


TASK: Task = Segmentation()


def cross_entropy(logits: Tensor, masks: Tensor) -> Tensor:
    """Of logits (B, classes, H, W) and masks (B, H, W), the mean over all pixels whose class is known; 0 if none is."""
    if bool((masks == IGNORED).all()):  # torch's mean of no pixel is NaN, which would end the training
        return 0 * logits.float().sum()
    return F.cross_entropy(logits.float(), masks.long(), ignore_index=IGNORED)


def confusion(predicted: Tensor, masks: Tensor, classes: int) -> Tensor:
    """How many pixels of each true class (rows) are predicted as each class (columns): (classes, classes)."""
    known = masks != IGNORED
    pairs = masks[known].long() * classes + predicted[known]
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes)


def mean_iou(table: Tensor) -> float:
    """Mean intersection over union of the classes that are present or predicted, including the background."""
    intersection = table.diagonal().double()
    union = table.sum(0) + table.sum(1) - intersection
    return float((intersection[union > 0] / union[union > 0]).mean())
