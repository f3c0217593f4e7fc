"""What a whole training learns from and is judged by: batches of images, their loss, and the score of an epoch."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mvsearch.training.augment import augment
from mvsearch.training.batches import Batch
from mvsearch.training.distributed import ProcessGroup
from mvsearch.training.full import FullRecipe
from mvsearch.training.images import normalised, resized, statistics
from mvsearch.training.loaders import Cut, Source
from mvsearch.training.loop import precision

_STATISTICS, _JUDGED = 5000, 250


class Pictures:
    """Images with a class each: those of the training part as batches, and those that judge; normalised as the recipe
    says. Tasks of other labels are made of it in `mvsearch.training.tasks`.

    `score` is what an epoch is judged by, a share.
    """

    score = "top1"

    def __init__(self, train: Source[Any], judging: Source[Any], recipe: FullRecipe, device: str) -> None:
        self.train, self.judging, self.recipe, self.device = train, judging, recipe, device
        self.classes = len(train.classes)
        self.mean, self.std = torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1)
        if recipe.normalise:
            some = np.arange(0, len(train.labels), max(1, len(train.labels) // _STATISTICS))
            parts = np.array_split(some, -(-len(some) // _JUDGED))
            shown = [resized(pixels, recipe.image_size) for pixels, _ in train.flow(parts, fill_broken=False)]
            self.mean, self.std = statistics(torch.cat(shown))

    @property
    def broken(self) -> dict[str, str]:
        """The images that this process could not decode, by their names, with the fault."""
        return {**self.train.broken, **self.judging.broken}

    def flow(self, batches: Sequence[Batch]) -> Iterator[tuple[Tensor, Tensor]]:
        """Of each batch, float images (B, 3, size, size) and what `loss` takes beside the outputs."""
        cuts = [Cut(batch.size, self.recipe, batch.key) for batch in batches]
        drawn = self.train.flow([batch.images for batch in batches], fill_broken=True, cuts=cuts)
        for batch, (pixels, labels) in zip(batches, drawn, strict=True):
            there = pixels.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)
            x, learnt = self.augmented(*there, batch.size, batch.key)
            yield self._normalised(x), learnt

    def augmented(self, pixels: Tensor, labels: Tensor, size: int, key: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Images from 0 to 255, and shares of classes (B, classes)."""
        left = None if self.train.can_be_cut else size  # to be cut
        return augment(pixels, labels, self.recipe, size=left, classes=self.classes, key=key)

    def loss(self, outputs: Any, learnt: Tensor) -> Tensor:
        """Of a batch, given what the network makes of it: cross-entropy."""
        return F.cross_entropy(outputs.float(), learnt, label_smoothing=self.recipe.label_smoothing)

    @torch.no_grad()
    def judge(self, model: nn.Module, ranks: ProcessGroup) -> tuple[float, float, int]:
        """The score and the loss of a network on the images that judge, shared out among the processes; and how many
        those were, without the broken ones."""
        right, loss, seen = 0.0, 0.0, 0.0
        for x, labels in self._judged(ranks):
            with precision(self.device):
                logits = model(x).float()
            right += float((logits.argmax(1) == labels).sum())
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
            seen += len(labels)
        right, loss, seen = ranks.total([right, loss, seen])
        return right / seen, loss / seen, int(seen)

    def _judged(self, ranks: ProcessGroup) -> Iterator[tuple[Tensor, Tensor]]:
        """A process's share of the images that judge, whole, in batches, with the numbers of their classes."""
        mine = np.arange(ranks.rank, len(self.judging.labels), ranks.count)
        parts = [mine[start : start + _JUDGED] for start in range(0, len(mine), _JUDGED)]
        for pixels, labels in self.judging.flow(parts, fill_broken=False):
            seen = round(pixels.shape[2] / self.recipe.judged_side)
            start = (pixels.shape[2] - seen) // 2
            middle = pixels[:, :, start : start + seen, start : start + seen]
            x = resized(middle, self.recipe.image_size).to(self.device)
            yield self._normalised(x), labels.to(self.device)

    def _normalised(self, x: Tensor) -> Tensor:
        made = normalised(x, self.mean.to(self.device), self.std.to(self.device))
        return made.contiguous(memory_format=torch.channels_last)
