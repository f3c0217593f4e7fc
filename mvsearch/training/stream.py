"""Where batches come from: images in memory, or files that processes beside the training decode as they are needed.

Which images a batch has is the sampler's affair; here numbers of images become uint8 (B, C, H, W) and labels (B).
"""

import signal
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Generic, Self, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mvsearch.data import Files, Images, decode_image
from mvsearch.errors import DataError

_Part = TypeVar("_Part", Images, Files)


@dataclass(frozen=True)
class Source(ABC, Generic[_Part]):
    """Images of one part of a set, however they come."""

    part: _Part

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.part.classes

    @property
    def labels(self) -> np.ndarray:
        """The class of each image, (N), int64."""
        return self.part.labels

    @property
    def shards(self) -> np.ndarray | None:
        """The number of the shard that each image lies in, (N); None if any may be had as fast after any other."""
        return None

    @abstractmethod
    def only(self, images: np.ndarray) -> Self:
        """The part that has these images alone."""

    @abstractmethod
    def flow(self, batches: Sequence[np.ndarray], *, filled: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """Pixels, uint8 (B, C, H, W), and labels (B) of each of these batches of numbers of images, in their order.

        A broken image is left out; in a `filled` batch another one of it is there twice. Raises DataError if all of a
        batch are broken.
        """


@dataclass(frozen=True)
class Decoded(Source[Images]):
    """Images that are decoded already; a thread gathers the next batch beside the training."""

    def only(self, images: np.ndarray) -> Self:
        """The part that has these images alone."""
        return replace(self, part=replace(self.part, pixels=self.part.pixels[images], labels=self.labels[images]))

    def flow(self, batches: Sequence[np.ndarray], *, filled: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """As `Source.flow`."""
        with ThreadPoolExecutor(1) as beside:
            waiting = deque[Future[tuple[Tensor, Tensor]]]()
            for images in batches:
                waiting.append(beside.submit(self._batch, images))
                if len(waiting) > 1:
                    yield waiting.popleft().result()
            yield from (batch.result() for batch in waiting)

    def _batch(self, images: np.ndarray) -> tuple[Tensor, Tensor]:
        pixels = torch.from_numpy(self.part.pixels[images]).permute(0, 3, 1, 2).contiguous()
        labels = torch.from_numpy(self.labels[images])
        return (pixels.pin_memory(), labels.pin_memory()) if torch.cuda.is_available() else (pixels, labels)


@dataclass(frozen=True)
class Stream(Source[Files]):
    """Encoded images, decoded at `size` px by so many `workers` (0: by this process), whatever their number the same.

    `broken` has every image that could not be decoded by its name, with the fault.
    """

    size: int
    workers: int = 0
    broken: dict[str, str] = field(default_factory=dict)

    @property
    def shards(self) -> np.ndarray | None:
        """The number of the shard that each image lies in, (N); None for loose files."""
        return None if self.part.spans is None else self.part.spans[:, 0]

    def only(self, images: np.ndarray) -> Self:
        """The part that has these images alone."""
        return replace(self, part=self.part.only(images))

    def flow(self, batches: Sequence[np.ndarray], *, filled: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """As `Source.flow`."""
        loader = DataLoader(
            _Images(self.part, self.size),
            batch_sampler=[images.tolist() for images in batches],
            num_workers=self.workers,
            collate_fn=partial(_collated, filled=filled),
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_deaf_to_ctrl_c,
            generator=torch.Generator(),  # else it draws from the one that dropout draws from
        )
        for pixels, labels, faults in loader:
            self.broken.update({self.part.name(i): fault for i, fault in faults.items()})
            if not len(labels):
                name, fault = next(iter(self.broken.items()))
                raise DataError(
                    f"{self.part.root}: a whole batch cannot be read; {len(self.broken)} images are broken so far, "
                    f"the first is {name} ({fault}); replace or remove them."
                )
            yield pixels, labels


def _deaf_to_ctrl_c(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the training ends the step at hand, and then its workers


_Item = tuple[int, int, np.ndarray | None, str]


class _Images(Dataset[_Item]):
    """An image by its number: the number, its label, pixels (size, size, 3) or None, the fault."""

    def __init__(self, files: Files, size: int) -> None:
        self.files, self.size = files, size

    def __getitem__(self, i: int) -> _Item:
        try:
            file = self.files.open(i)
        except OSError as fault:
            return i, int(self.files.labels[i]), None, str(fault.strerror or fault)
        return i, int(self.files.labels[i]), *decode_image(file, self.size)


def _collated(items: list[_Item], *, filled: bool) -> tuple[Tensor, Tensor, dict[int, str]]:
    faults = {i: fault for i, _, pixels, fault in items if pixels is None}
    whole = [(label, pixels) for _, label, pixels, _ in items if pixels is not None]
    if not whole:
        return torch.empty(0), torch.empty(0, dtype=torch.long), faults
    if filled:
        whole = [whole[i % len(whole)] for i in range(len(items))]
    pixels = torch.from_numpy(np.stack([pixels for _, pixels in whole])).permute(0, 3, 1, 2).contiguous()
    return pixels, torch.tensor([label for label, _ in whole]), faults
