"""Where batches come from: images in memory, or files that processes beside the training decode as they are needed.

Which images a batch has is the sampler's affair; here numbers of images become uint8 (B, C, H, W) and labels (B).
"""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mvsearch.data import Files, Images, decode_image
from mvsearch.errors import DataError


class Source(Protocol):
    """Images of one part of a set."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""

    @property
    def labels(self) -> np.ndarray:
        """The class of each image, (N), int64."""

    @property
    def shards(self) -> np.ndarray | None:
        """The number of the shard that each image lies in, (N); None if any may be had as fast after any other."""

    def only(self, images: np.ndarray) -> Self:
        """The part that has these images alone."""

    def flow(self, batches: Sequence[np.ndarray], *, filled: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """Pixels, uint8 (B, C, H, W), and labels (B) of each of these batches of numbers of images, in their order.

        A broken image is left out; in a `filled` batch another one of it is there twice. Raises DataError if all of a
        batch are broken.
        """


@dataclass(frozen=True)
class Decoded:
    """Images that are decoded already."""

    images: Images
    shards: None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.images.classes

    @property
    def labels(self) -> np.ndarray:
        """The class of each image, (N), int64."""
        return self.images.labels

    def only(self, images: np.ndarray) -> Self:
        """The part that has these images alone."""
        kept = replace(self.images, pixels=self.images.pixels[images], labels=self.labels[images])
        return replace(self, images=kept)

    def flow(self, batches: Sequence[np.ndarray], *, filled: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """As `Source.flow`."""
        for images in batches:
            pixels = torch.from_numpy(self.images.pixels[images]).permute(0, 3, 1, 2)
            yield pixels, torch.from_numpy(self.labels[images])


@dataclass(frozen=True)
class Stream:
    """Encoded images, decoded at `size` px by so many `workers` (0: by this process), whatever their number the same.

    `broken` has every image that could not be decoded by its name, with the fault.
    """

    files: Files
    size: int
    workers: int = 0
    pinned: bool = False
    broken: dict[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.files.classes

    @property
    def labels(self) -> np.ndarray:
        """The class of each image, (N), int64."""
        return self.files.labels

    @property
    def shards(self) -> np.ndarray | None:
        """The number of the shard of each image, (N); None for loose files."""
        return None if self.files.spans is None else self.files.spans[:, 0]

    def only(self, images: np.ndarray) -> Self:
        """The part that has these images alone."""
        return replace(self, files=self.files.only(images))

    def flow(self, batches: Sequence[np.ndarray], *, filled: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """As `Source.flow`."""
        loader = DataLoader(
            _Images(self.files, self.size),
            batch_sampler=[images.tolist() for images in batches],
            num_workers=self.workers,
            collate_fn=partial(_collated, filled=filled),
            pin_memory=self.pinned,
            worker_init_fn=_deaf_to_ctrl_c,
            generator=torch.Generator(),  # else it draws from the one that dropout draws from
        )
        for pixels, labels, faults in loader:
            self.broken.update({self.files.name(i): fault for i, fault in faults.items()})
            if not len(labels):
                name, fault = next(iter(self.broken.items()))
                raise DataError(
                    f"{self.files.root}: a whole batch cannot be read; {len(self.broken)} images are broken so far, "
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
