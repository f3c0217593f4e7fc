"""What a classifier makes of images: names and probabilities, and beside labels the confusions and the mistakes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Classified:
    """Probabilities (N, C) of N images over `classes`; `names` (N) tell the images apart.

    `labels` (N) int64 count into `classes`; None where they are unknown.
    """

    classes: tuple[str, ...]
    probabilities: NDArray[np.float32]
    names: Sequence[str]
    labels: NDArray[np.int64] | None = None

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(N) The most probable class."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def confidence(self) -> NDArray[np.float32]:
        """(N) The probability of the most probable class."""
        return np.asarray(self.probabilities.max(axis=1))

    def best(self, image: int, count: int = 3) -> list[tuple[str, float]]:
        """The most probable classes of an image, with their probabilities."""
        order = np.argsort(-self.probabilities[image], kind="stable")[:count]
        return [(self.classes[i], float(self.probabilities[image, i])) for i in order]

    def confusion(self) -> NDArray[np.int64]:
        """(C, C) How many images of each class, a row, got each prediction, a column; labels have to be known."""
        assert self.labels is not None
        counts = np.zeros((len(self.classes),) * 2, dtype=np.int64)
        np.add.at(counts, (self.labels, self.predicted), 1)
        return counts

    def mistakes(self) -> list[int]:
        """The images with a wrong prediction, the most confident one first; labels have to be known."""
        assert self.labels is not None
        wrong = np.flatnonzero(self.predicted != self.labels)
        return [int(i) for i in wrong[np.argsort(-self.confidence[wrong], kind="stable")]]
