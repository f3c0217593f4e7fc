"""Peak memory of a network: for the inference of a batch, and for a training step.

    memory_mib         weights, images, and the largest total of maps that exist at the same time
    train_memory_mib   the same of a training step, with activations kept for backward, gradients and AdamW's state

The peak is counted, not sampled: every operator runs on tensors that have shapes, types and lifetimes but no data, and
the bytes of existing tensors are summed. So it is exact for the outputs of torch's fp32 operators on a CPU, and the
same on every machine and in every run, for any batch. It does not include scratch space inside kernels, the rounding of
an allocator and the program itself; `allocated_bytes` asks a GPU's allocator, which includes the first two.
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
    """The peak of inference on a batch, or of a training step, without running it. Uses no random numbers."""
    with FakeTensorMode():
        return alive_bytes(arch, batch=batch, image_size=image_size, training=training)


def alive_bytes(arch: Architecture, *, batch: int, image_size: int | None = None, training: bool = False) -> int:
    """The same, counted with real tensors while running it."""
    alive = _Alive()
    with alive:
        run = _prepare(arch, batch, image_size, training)
        run()
        alive.peak = alive.now  # again, now that the state that steps keep exists
        run()
    return alive.peak


def allocated_bytes(arch: Architecture, *, batch: int, image_size: int | None = None, training: bool = False) -> int:
    """The same, as reported by the GPU's allocator. Raises EnvironmentFault without a GPU."""
    if not torch.cuda.is_available():
        raise EnvironmentFault("torch sees no CUDA device on this machine; count the memory instead.", at="memory")
    before = torch.cuda.memory_allocated()
    with torch.device("cuda"):
        run = _prepare(arch, batch, image_size, training)
    run()
    torch.cuda.reset_peak_memory_stats()
    run()
    return int(torch.cuda.max_memory_allocated() - before)


def _prepare(arch: Architecture, batch: int, image_size: int | None, training: bool) -> Callable[[], None]:
    size = image_size or arch.image_size
    model, images = instantiate(arch if training else arch.deploy()), torch.zeros(batch, 3, size, size)
    return _training_step(model, images, arch.task) if training else _inference(model, images)


def _inference(model: nn.Module, images: Tensor) -> Callable[[], None]:
    model.eval()

    def run() -> None:
        with torch.no_grad():
            model(images)

    return run


def _training_step(model: nn.Module, images: Tensor, task: str) -> Callable[[], None]:
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), fused=True)

    def run() -> None:
        loss = _loss(model(images), task)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return run


def _loss(outputs: Any, task: str) -> Tensor:
    """The task's loss; for boxes over all anchors, since which of them count would depend on data."""
    if task == "detection":
        logits, offsets, _ = outputs
        return _entropy(logits.transpose(1, 2)) + F.smooth_l1_loss(offsets, torch.zeros_like(offsets))
    logits, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
    return sum(map(_entropy, auxiliary), start=_entropy(logits))


def _entropy(logits: Tensor) -> Tensor:
    return F.cross_entropy(logits, logits.new_zeros((len(logits), *logits.shape[2:]), dtype=torch.int64))


class _Alive(TorchDispatchMode):
    """Sums the storages that operators return, and subtracts them when they are freed; `peak` can be reset."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no types there
        self.now = self.peak = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._subtract, storage.nbytes())

    def _subtract(self, size: int) -> None:
        self.now -= size
