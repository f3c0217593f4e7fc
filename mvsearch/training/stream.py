"""Batches of images that are decoded as they are needed, by processes beside the training: for sets of any size.

files ─ order of (seed, epoch) ─ a rank's batches ─ workers: read, decode, resize ─ uint8 (B, 3, size, size), labels
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mvsearch.data import Files, decode_image
from mvsearch.errors import DataError

_SHARDS_AT_ONCE = 8  # images are mixed among so many shards, whose bytes then stay near each other


@dataclass(frozen=True)
class Stream:
    """Batches of encoded images: the same for the same seed and epoch, however many workers decode them.

    Of `ranks` processes that train together each has its own images, and as many batches as the others: in training,
    `shuffled`, what is left over at the end of an epoch is left out. Otherwise images come in their order, all of
    them. `broken` has every image that could not be decoded by its name, with the fault.
    """

    files: Files
    size: int
    batch: int
    workers: int = 0
    seed: int = 0
    rank: int = 0
    ranks: int = 1
    shuffled: bool = True
    pinned: bool = False
    broken: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.shuffled and not len(self):
            raise DataError(
                f"{self.files.root}: {len(self.files)} images make no batch of {self.batch} for each of {self.ranks} "
                "processes; give more images or a smaller batch."
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.files.classes

    def __len__(self) -> int:
        """Batches that this rank has in an epoch."""
        images = len(self.files) - self.rank
        share = len(self.files) // self.ranks if self.shuffled else -(-images // self.ranks)
        return share // self.batch if self.shuffled else -(-share // self.batch)

    def batches(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """uint8 (B, 3, size, size) and labels (B) of an epoch, from its batch number `start` on.

        A broken image is left out, and in training another one of its batch is there twice, so that all batches have
        one size. Raises DataError if all of a batch are broken. torch's own generator is left where it is.
        """
        mine = order(self.files, self.seed, epoch)[self.rank :: self.ranks] if self.shuffled else self._in_order()
        chosen = [mine[i * self.batch : (i + 1) * self.batch].tolist() for i in range(start, len(self))]
        loader = DataLoader(
            _Decoded(self.files, self.size),
            batch_sampler=chosen,
            num_workers=self.workers,
            collate_fn=partial(_collated, filled=self.shuffled),
            pin_memory=self.pinned,
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

    def _in_order(self) -> np.ndarray:
        return np.arange(self.rank, len(self.files), self.ranks)


def order(files: Files, seed: int, epoch: int) -> np.ndarray:
    """All images (N), shuffled; those in shards among a few shards at a time, which are themselves drawn."""
    draw = np.random.default_rng((seed, epoch))
    if files.spans is None:
        return draw.permutation(len(files))
    shards, shard_of = np.unique(files.spans[:, 0], return_inverse=True)
    turn = draw.permutation(len(shards)) // _SHARDS_AT_ONCE
    return np.lexsort((draw.random(len(files)), turn[shard_of]))


_Item = tuple[int, int, np.ndarray | None, str]


class _Decoded(Dataset[_Item]):
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
