"""How much memory a network needs at its worst moment: to answer a batch, and to be trained on one.

    memory_mib         weights, images, and the most that is alive of all maps on the way to the logits
    train_memory_mib   the same of one step: what is kept for the way back, gradients, and AdamW's two averages a weight

Counted, not sampled: every operator is gone through with tensors that have shapes, types and lifetimes but no numbers,
and the bytes of all that are alive are added up. So it is exact for what torch's fp32 operators give out on a CPU, and
the same on every machine and every time, whatever the batch. Scratch space inside a kernel, what an allocator rounds
up to, and the program itself are not in it; `allocated_bytes` asks a GPU's allocator, which has the first two.
"""

import weakref
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import EnvironmentFault
from mvsearch.nn.network import instantiate

MIB = 1024**2


def peak_bytes(arch: Architecture, *, batch: int, image_size: int | None = None, training: bool = False) -> int:
    """The peak of answering a batch, or of a training step, without running either. Draws nothing at random."""
    with FakeTensorMode():
        return alive_bytes(arch, batch=batch, image_size=image_size, training=training)


def alive_bytes(arch: Architecture, *, batch: int, image_size: int | None = None, training: bool = False) -> int:
    """The same with real tensors, at the cost of running it."""
    alive = _Alive()
    with alive:
        run = _ready(arch, batch, image_size, training)
        run()
        alive.peak = alive.now  # once more, now that all that is kept from step to step is there
        run()
    return alive.peak


def allocated_bytes(arch: Architecture, *, batch: int, image_size: int | None = None, training: bool = False) -> int:
    """The same as the GPU's allocator has it. Raises EnvironmentFault without a GPU."""
    if not torch.cuda.is_available():
        raise EnvironmentFault("memory: torch sees no CUDA device on this machine; count it instead.")
    before = torch.cuda.memory_allocated()
    with torch.device("cuda"):
        run = _ready(arch, batch, image_size, training)
    run()
    torch.cuda.reset_peak_memory_stats()
    run()
    return int(torch.cuda.max_memory_allocated() - before)


def _ready(arch: Architecture, batch: int, image_size: int | None, training: bool) -> Callable[[], None]:
    size = image_size or arch.image_size
    model, images = instantiate(arch), torch.zeros(batch, 3, size, size)
    return _step(model, images, arch.task) if training else _answer(model, images)


def _answer(model: nn.Module, images: Tensor) -> Callable[[], None]:
    model.eval()

    def run() -> None:
        with torch.no_grad():
            model(images)

    return run


def _step(model: nn.Module, images: Tensor, task: str) -> Callable[[], None]:
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), fused=True)

    def run() -> None:
        loss = _loss(model(images), task)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return run


def _loss(outputs: Any, task: str) -> Tensor:
    """The task's loss, for boxes that of all anchors: which of them count would depend on numbers."""
    if task == "detection":
        logits, offsets, _ = outputs
        return _entropy(logits.transpose(1, 2)) + F.smooth_l1_loss(offsets, torch.zeros_like(offsets))
    logits, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
    return sum(map(_entropy, auxiliary), start=_entropy(logits))


def _entropy(logits: Tensor) -> Tensor:
    return F.cross_entropy(logits, logits.new_zeros((len(logits), *logits.shape[2:]), dtype=torch.int64))


class _Alive(TorchDispatchMode):
    """Adds up the storages that operators give out, and takes them off as they die; `peak` may be set anew."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no types there
        self.now = self.peak = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._notice(tensor.untyped_storage())
        return made

    def _notice(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, storage.nbytes())

    def _gone(self, size: int) -> None:
        self.now -= size
