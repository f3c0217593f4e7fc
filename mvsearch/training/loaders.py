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
from typing import ClassVar, Generic, Self, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mvsearch.data import Files, Images, decode_crop, decode_image
from mvsearch.errors import DataError
from mvsearch.training.augment import Augmentation, crops

_Part = TypeVar("_Part", Images, Files)


@dataclass(frozen=True)
class Cut:
    """How crops are cut from the images of a batch: at `size` px, as the augmentation has it, drawn by the `key`."""

    size: int
    how: Augmentation
    key: tuple[int, ...]

    def draw(self, place: int, height: int, width: int) -> tuple[np.ndarray, bool]:
        """The box (4) of the image at a place of the batch, and whether it is mirrored."""
        boxes, mirrored = crops(1, height, width, self.how, np.random.default_rng((*self.key, 1 + place)))
        return boxes[0], bool(mirrored[0])


@dataclass(frozen=True)
class Source(ABC, Generic[_Part]):
    """Images of one part of a set, however they come.

    Of some crops `can_be_cut` from whole images; of others all that is left is their middle. `broken` has every image
    that this process found that it could not decode, by its name, with the fault.
    """

    can_be_cut: ClassVar[bool] = False
    part: _Part
    broken: dict[str, str] = field(default_factory=dict, kw_only=True)

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
    def flow(
        self, batches: Sequence[np.ndarray], *, fill_broken: bool, cuts: Sequence[Cut] = ()
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Pixels, uint8 (B, C, H, W), and labels (B) of each of these batches of numbers of images, in their order.

        A broken image is left out; with `fill_broken` another of its batch is there twice. A source that `can_be_cut`
        gives crops, if it is given a Cut for each batch. Raises DataError if all of a batch are broken.
        """


@dataclass(frozen=True)
class Decoded(Source[Images]):
    """Images that are decoded already; a thread gathers the next batch beside the training."""

    def only(self, images: np.ndarray) -> Self:
        """The part that has these images alone."""
        return replace(self, part=replace(self.part, pixels=self.part.pixels[images], labels=self.labels[images]))

    def flow(
        self, batches: Sequence[np.ndarray], *, fill_broken: bool, cuts: Sequence[Cut] = ()
    ) -> Iterator[tuple[Tensor, Tensor]]:
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
    """Encoded images, decoded at `size` px, or cut from the whole, by so many `workers` (0: by this process), whatever
    their number the same.
    """

    can_be_cut: ClassVar[bool] = True
    size: int
    workers: int = 0

    @property
    def shards(self) -> np.ndarray | None:
        """The number of the shard that each image lies in, (N); None for loose files."""
        return None if self.part.spans is None else self.part.spans[:, 0]

    def only(self, images: np.ndarray) -> Self:
        """The part that has these images alone."""
        return replace(self, part=self.part.only(images))

    def flow(
        self, batches: Sequence[np.ndarray], *, fill_broken: bool, cuts: Sequence[Cut] = ()
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """As `Source.flow`."""
        loader = DataLoader(
            _Batches(self.part, self.size, batches, cuts, fill_broken),
            batch_size=None,
            num_workers=self.workers,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_deaf_to_ctrl_c,
            generator=torch.Generator(),  # else it draws from the one that dropout draws from
        )
        for pixels, labels, faults in loader:
            self.broken.update({self.part.name(i): fault for i, fault in faults.items()})
            if not len(labels):
                name, fault = next(iter(self.broken.items()))
                raise DataError(
                    f"a whole batch cannot be read; {len(self.broken)} images are broken so far, "
                    f"the first is {name} ({fault}); replace or remove them.",
                    at=self.part.root,
                )
            yield pixels, labels


def _deaf_to_ctrl_c(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the training ends the step at hand, and then its workers


_Item = tuple[Tensor, Tensor, dict[int, str]]


@dataclass(frozen=True)
class _Batches(Dataset[_Item]):
    """A batch by its number: pixels (B, 3, H, W), labels (B), and the fault of each image that is broken."""

    files: Files
    size: int
    batches: Sequence[np.ndarray]
    cuts: Sequence[Cut]
    fill_broken: bool

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> _Item:
        cut = self.cuts[number] if self.cuts else None
        images = self.batches[number].tolist()
        read = [self._read(image, cut, place) for place, image in enumerate(images)]
        faults = {image: fault for image, (pixels, fault) in zip(images, read, strict=True) if pixels is None}
        whole = [(image, pixels) for image, (pixels, _) in zip(images, read, strict=True) if pixels is not None]
        if not whole:
            return torch.empty(0), torch.empty(0, dtype=torch.long), faults
        if self.fill_broken:
            whole = [whole[i % len(whole)] for i in range(len(images))]
        pixels = torch.from_numpy(np.stack([each for _, each in whole])).permute(0, 3, 1, 2).contiguous()
        return pixels, torch.from_numpy(self.files.labels[[image for image, _ in whole]]), faults

    def _read(self, image: int, cut: Cut | None, place: int) -> tuple[np.ndarray | None, str]:
        try:
            file = self.files.open(image)
        except OSError as fault:
            return None, str(fault.strerror or fault)
        if cut is None:
            return decode_image(file, self.size)
        return decode_crop(file, cut.size, partial(cut.draw, place), cut.how.interpolation)
