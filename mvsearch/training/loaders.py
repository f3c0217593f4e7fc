"""Loading of batches: from decoded images, or from files that worker processes decode during the training.

The sampler decides which images a batch has; here indices of images become uint8 (B, C, H, W) and labels (B, ...).
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

from mvsearch.data import EncodedImages, Images, decode_crop, decode_image
from mvsearch.errors import DataError
from mvsearch.training.augment import crops
from mvsearch.training.recipe import Augmentation
from mvsearch.training.tasks import Task

_Part = TypeVar("_Part", Images, EncodedImages)


@dataclass(frozen=True)
class CropPlan:
    """The crops of a batch's images: `size` pixels, by the augmentation's settings, drawn by the `key`."""

    size: int
    augmentation: Augmentation
    key: tuple[int, ...]

    def draw(self, index: int, height: int, width: int) -> tuple[np.ndarray, bool]:
        """The box (4) of the image at an index of the batch, and whether it is mirrored."""
        boxes, mirrored = crops(1, height, width, self.augmentation, np.random.default_rng((*self.key, 1 + index)))
        return boxes[0], bool(mirrored[0])


@dataclass(frozen=True)
class ImageLoader(ABC, Generic[_Part]):
    """The images of one part of a data set.

    If `crops_whole_images`, crops are cut from whole images; otherwise only the centre of each is left. `broken` maps
    the name of each image that this process could not decode to the error.
    """

    crops_whole_images: ClassVar[bool] = False
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
        """The number of each image's shard, (N); None if images load equally fast in any order."""
        return None

    def subset(self, images: np.ndarray) -> Self:
        """A loader of only these images."""
        return replace(self, part=self.part.subset(images))

    @abstractmethod
    def load(
        self, batches: Sequence[np.ndarray], *, fill_broken: bool, crop_plans: Sequence[CropPlan] = ()
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Pixels, uint8 (B, C, H, W), and labels (B, ...) of each of these batches of image indices, in order.

        A broken image is left out, or with `fill_broken` replaced by another one of its batch. A loader that crops
        whole images yields crops if it gets a CropPlan for each batch. Raises DataError if a whole batch that
        is to be filled is broken, or if all batches are.
        """


@dataclass(frozen=True)
class DecodedLoader(ImageLoader[Images]):
    """Images that are decoded already; a thread gathers the next batch during the training."""

    def load(
        self, batches: Sequence[np.ndarray], *, fill_broken: bool, crop_plans: Sequence[CropPlan] = ()
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """As `ImageLoader.load`."""
        with ThreadPoolExecutor(1) as thread:
            waiting = deque[Future[tuple[Tensor, Tensor]]]()
            for images in batches:
                waiting.append(thread.submit(self._batch, images))
                if len(waiting) > 1:
                    yield waiting.popleft().result()
            yield from (batch.result() for batch in waiting)

    def _batch(self, images: np.ndarray) -> tuple[Tensor, Tensor]:
        pixels, labels = self._pixels(images), torch.from_numpy(self.labels[images])
        return (pixels.pin_memory(), labels.pin_memory()) if torch.cuda.is_available() else (pixels, labels)

    def _pixels(self, images: np.ndarray) -> Tensor:
        return torch.from_numpy(self.part.pixels[images]).permute(0, 3, 1, 2).contiguous()


@dataclass(frozen=True)
class SceneLoader(DecodedLoader):
    """Decoded images whose labels are masks or boxes, `targets` (N, ...), instead of classes."""

    targets: Tensor

    @classmethod
    def of(cls, part: Images, task: Task) -> Self:
        """The images of a part with a task's labels."""
        return cls(part, task.labels(part, part.pixels.shape[1]))

    def subset(self, images: np.ndarray) -> Self:
        """A loader of only these images."""
        return replace(super().subset(images), targets=self.targets[torch.from_numpy(images)])

    def _batch(self, images: np.ndarray) -> tuple[Tensor, Tensor]:
        return self._pixels(images), self.targets[torch.from_numpy(images)]


@dataclass(frozen=True)
class StreamLoader(ImageLoader[EncodedImages]):
    """Encoded images, decoded at `size` pixels or cropped from the whole, by `workers` processes (0: by this one).

    The number of workers changes nothing in the batches.
    """

    crops_whole_images: ClassVar[bool] = True
    size: int
    workers: int = 0

    @property
    def shards(self) -> np.ndarray | None:
        """The number of each image's shard, (N); None for loose files."""
        return None if self.part.spans is None else self.part.spans[:, 0]

    def load(
        self, batches: Sequence[np.ndarray], *, fill_broken: bool, crop_plans: Sequence[CropPlan] = ()
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """As `ImageLoader.load`."""
        loader = DataLoader(
            _EncodedBatches(self.part, self.size, batches, crop_plans, fill_broken),
            batch_size=None,
            num_workers=self.workers,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_ignore_ctrl_c,
            generator=torch.Generator(),  # by default it draws from torch's global generator, as dropout does
        )
        usable = len(batches)
        for pixels, labels, faults in loader:
            self.broken.update({self.part.name(i): fault for i, fault in faults.items()})
            if len(labels):
                yield pixels, labels
                continue
            usable -= 1
            if fill_broken or not usable:
                name, fault = next(iter(self.broken.items()))
                raise DataError(
                    f"a whole batch cannot be decoded; {len(self.broken)} images are broken so far, "
                    f"the first is {name} ({fault}); replace or remove them.",
                    at=self.part.root,
                )


def _ignore_ctrl_c(_worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the training finishes its step, then ends its workers


_Item = tuple[Tensor, Tensor, dict[int, str]]


@dataclass(frozen=True)
class _EncodedBatches(Dataset[_Item]):
    """A batch by its number: pixels (B, 3, H, W), labels (B), and the error of each image that is broken."""

    files: EncodedImages
    size: int
    batches: Sequence[np.ndarray]
    crop_plans: Sequence[CropPlan]
    fill_broken: bool

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> _Item:
        plan = self.crop_plans[number] if self.crop_plans else None
        images = self.batches[number].tolist()
        decoded = [self._decode(image, plan, index) for index, image in enumerate(images)]
        faults = {image: fault for image, (pixels, fault) in zip(images, decoded, strict=True) if pixels is None}
        whole = [(image, pixels) for image, (pixels, _) in zip(images, decoded, strict=True) if pixels is not None]
        if not whole:
            return torch.empty(0), torch.empty(0, dtype=torch.long), faults
        if self.fill_broken:
            whole = [whole[i % len(whole)] for i in range(len(images))]
        pixels = torch.from_numpy(np.stack([pixels for _, pixels in whole])).permute(0, 3, 1, 2).contiguous()
        return pixels, torch.from_numpy(self.files.labels[[image for image, _ in whole]]), faults

    def _decode(self, image: int, plan: CropPlan | None, index: int) -> tuple[np.ndarray | None, str]:
        try:
            file = self.files.open(image)
        except OSError as fault:
            return None, str(fault.strerror or fault)
        if plan is None:
            return decode_image(file, self.size)
        return decode_crop(file, plan.size, partial(plan.draw, index), plan.augmentation.interpolation)
