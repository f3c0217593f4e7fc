"""Several processes that train one network together, as torchrun starts them; or one alone."""

import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mvsearch.errors import EnvironmentFault
from mvsearch.utils import machine_lock

_LAUNCHED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")

_PATIENCE = timedelta(days=1)
"""How long the others wait for the first, which decodes a set for all: torch's own 10 minutes are too few."""


@dataclass(frozen=True)
class ProcessGroup:
    """Which of `count` processes this is, which of its machine's, and the device that it trains on."""

    rank: int = 0
    count: int = 1
    device: str = "cpu"
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files and speaks."""
        return self.rank == 0

    @property
    def turn(self) -> AbstractContextManager[None]:
        """The machine's turn for a training, which the first of its processes takes for all.

        If each took its own, one could hold it and wait for another, who waits for it behind somebody to be timed.
        """
        return nullcontext() if self.local else machine_lock.shared()

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
def joined(device: str | None = None) -> Iterator[ProcessGroup]:
    """The processes that torchrun started, each with a GPU of its own where there are any; else this one alone.

    Raises EnvironmentFault for a device (`cpu`, `cuda`, `cuda:1`) that the machine has not, and where a launcher set
    only some of torchrun's variables or started more processes than there are GPUs.
    """
    there = torch.cuda.device_count()
    found = re.fullmatch(r"cpu|cuda(?::(\d+))?", device or ("cuda" if there else "cpu"))
    cuda = found is not None and found[0] != "cpu"
    if found is None or (cuda and int(found[1] or 0) >= there):
        raise EnvironmentFault(
            f"--device {device}: this machine has cpu and {there} GPUs for PyTorch; use one of them."
        )
    if "WORLD_SIZE" not in os.environ:
        yield ProcessGroup(device=f"cuda:{found[1] or 0}" if cuda else "cpu")
        return
    if missing := [name for name in _LAUNCHED if name not in os.environ]:
        raise EnvironmentFault(
            f"WORLD_SIZE is set and {', '.join(missing)} not: start the processes with torchrun, or unset WORLD_SIZE."
        )
    local = int(os.environ["LOCAL_RANK"])
    if cuda and found[1]:
        raise EnvironmentFault(f"--device {device}: under torchrun each process has a GPU of its own; say cuda.")
    if cuda and local >= there:
        raise EnvironmentFault(f"this machine has {there} GPUs for PyTorch; start no more processes on it.")
    own = f"cuda:{local}" if cuda else "cpu"
    if cuda:
        torch.cuda.set_device(own)
    dist.init_process_group("nccl" if cuda else "gloo", timeout=_PATIENCE)
    try:
        yield ProcessGroup(dist.get_rank(), dist.get_world_size(), own, local)
    finally:
        dist.destroy_process_group()
