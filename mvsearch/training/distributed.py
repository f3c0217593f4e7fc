"""Several processes that train one network together, as torchrun starts them; or a single one."""

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

_LAUNCHER_VARIABLES = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")

_TIMEOUT = timedelta(days=1)
"""How long the other processes wait for the first, which decodes the data for all: torch's 10 minutes are too few."""


@dataclass(frozen=True)
class ProcessGroup:
    """The number of this process among all (`rank` of `count`) and on its machine, and the device it trains on."""

    rank: int = 0
    count: int = 1
    device: str = "cpu"
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    @property
    def machine_lock(self) -> AbstractContextManager[None]:
        """The machine's lock for trainings, which the first process on a machine holds for all of them.

        If each process took the lock itself, one could hold it and wait for another that queues behind a measurement.
        """
        return nullcontext() if self.local_rank else machine_lock.shared()

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sums over all processes, one for each value."""
        if self.count == 1:
            return list(values)
        summed = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(summed)
        return summed.tolist()

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.sum([0.0])

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Copy the first process's values to all processes, in place."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model with gradients averaged over all processes; its statistics are those of the first process."""
        if self.count == 1:
            return model
        # In channels-last format the strides of a 1x1 kernel and its gradient differ, but describe the same memory.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        return nn.parallel.DistributedDataParallel(model)


@contextmanager
def process_group(device: str | None = None) -> Iterator[ProcessGroup]:
    """The processes that torchrun started, each with its own GPU if there are any; otherwise this process alone.

    Raises EnvironmentFault for a device (`cpu`, `cuda`, `cuda:1`) that the machine does not have, and where a launcher
    set only some of torchrun's variables or started more processes than there are GPUs.
    """
    gpus = torch.cuda.device_count()
    match = re.fullmatch(r"cpu|cuda(?::(\d+))?", device or ("cuda" if gpus else "cpu"))
    cuda = match is not None and match[0] != "cpu"
    if match is None or (cuda and int(match[1] or 0) >= gpus):
        raise EnvironmentFault(f"PyTorch finds cpu and {gpus} GPUs; use one of them.", at=f"--device {device}")
    if "WORLD_SIZE" not in os.environ:
        yield ProcessGroup(device=f"cuda:{match[1] or 0}" if cuda else "cpu")
        return
    if missing := [name for name in _LAUNCHER_VARIABLES if name not in os.environ]:
        raise EnvironmentFault(
            f"WORLD_SIZE is set, but {', '.join(missing)} is not: start the processes with torchrun, or unset "
            "WORLD_SIZE."
        )
    local_rank = int(os.environ["LOCAL_RANK"])
    if cuda and match[1]:
        raise EnvironmentFault("under torchrun each process has its own GPU; use cuda.", at=f"--device {device}")
    if cuda and local_rank >= gpus:
        raise EnvironmentFault(f"PyTorch finds {gpus} GPUs on this machine; start at most so many processes.")
    own_device = f"cuda:{local_rank}" if cuda else "cpu"
    if cuda:
        torch.cuda.set_device(own_device)
    dist.init_process_group("nccl" if cuda else "gloo", timeout=_TIMEOUT)
    try:
        yield ProcessGroup(dist.get_rank(), dist.get_world_size(), own_device, local_rank)
    finally:
        dist.destroy_process_group()
