"""Several processes that train one network together, as torchrun starts them; or one alone."""

import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mvsearch.errors import EnvironmentFault


@dataclass(frozen=True)
class Ranks:
    """Which of `count` processes this is, and the device that it trains on."""

    rank: int = 0
    count: int = 1
    device: str = "cpu"

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files and speaks."""
        return self.rank == 0

    def total(self, values: Sequence[float]) -> list[float]:
        """Sums over all processes, each value for itself."""
        if self.count == 1:
            return list(values)
        summed = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(summed)
        return summed.tolist()

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Have all processes take the first one's values, in place."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def together(self, model: nn.Module) -> nn.Module:
        """The network with its gradients averaged over all processes; statistics are those of the first."""
        if self.count == 1:
            return model
        # A 1x1 kernel channels last has other strides than its gradient in name alone: both are the same memory.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        return nn.parallel.DistributedDataParallel(model)


@contextmanager
def joined(device: str | None = None) -> Iterator[Ranks]:
    """The processes that torchrun started, each with a GPU of its own where there are any; else this one alone.

    Raises EnvironmentFault for a device (`cpu`, `cuda`, `cuda:1`) that the machine has not.
    """
    there = torch.cuda.device_count()
    found = re.fullmatch(r"cpu|cuda(?::(\d+))?", device or ("cuda" if there else "cpu"))
    cuda = found is not None and found[0] != "cpu"
    if found is None or (cuda and int(found[1] or 0) >= there):
        raise EnvironmentFault(
            f"--device {device}: this machine has cpu and {there} GPUs for PyTorch; use one of them."
        )
    if "WORLD_SIZE" not in os.environ:
        yield Ranks(device=f"cuda:{found[1] or 0}" if cuda else "cpu")
        return
    own = f"cuda:{os.environ['LOCAL_RANK']}" if cuda else "cpu"
    if cuda:
        torch.cuda.set_device(own)
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), own)
    finally:
        dist.destroy_process_group()
