"""One step of a training, whatever the task: forward, backward, optimiser, averaged weights. Plain PyTorch."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mvsearch.metrics.record import EvaluationFailed
from mvsearch.training.recipe import Recipe

Loss = Callable[[Any, Tensor], Tensor]
"""The outputs of a network for a batch, and the batch's labels → the loss."""

LabelledBatch = tuple[Tensor, Tensor]
"""Float images (B, 3, H, W) and their labels (B, ...)."""


@dataclass
class Learner:
    """A network in training, its averaged copy and its optimiser.

    `average` follows the weights and the statistics of `model`. `clip` limits the norm of the gradient; 0 does not.
    `forward` is called instead of the model where it is compiled or distributed.
    """

    model: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    device: str
    clip: float
    forward: nn.Module | None = None

    def __post_init__(self) -> None:
        self.scaler = torch.amp.GradScaler("cuda", enabled=half_dtype(self.device) is torch.float16)
        self._pairs = AveragedTensors.of(self.average, self.model)

    @classmethod
    def create(cls, model: nn.Module, recipe: Recipe, device: str, *, forward: nn.Module | None = None) -> "Learner":
        """The learner of a recipe; the model is already on the device and in training mode."""
        average = copy.deepcopy(model).requires_grad_(False).eval()
        return cls(model, average, create_optimiser(model, recipe), device, recipe.clip, forward)

    def step(self, parts: Sequence[LabelledBatch], loss: Loss, *, lr: float, decay: float, where: str) -> float:
        """Train on one batch, given in equal parts, and return its loss before the step.

        The gradient is the mean over the parts. Raises EvaluationFailed, which names the step as `where`, if the loss
        is not finite.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = lr * group["scale"]
        self.optimiser.zero_grad(set_to_none=True)
        forward: nn.Module = self.forward or self.model
        total = 0.0
        for i, (x, labels) in enumerate(parts):
            distributed = forward if isinstance(forward, nn.parallel.DistributedDataParallel) else None
            last = i == len(parts) - 1  # processes exchange gradients once a step
            with distributed.no_sync() if distributed and not last else nullcontext():
                with autocast(self.device):
                    part = loss(forward(x), labels) / len(parts)
                if not math.isfinite(value := part.item()):
                    raise EvaluationFailed(f"the training loss became {value} at {where}")
                self.scaler.scale(part).backward()
            total += value
        self.scaler.unscale_(self.optimiser)
        if self.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        update_average(self._pairs, decay)
        return total

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on besides its batch; tensors and plain values."""
        return {name: getattr(self, name).state_dict() for name in ("model", "average", "optimiser", "scaler")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name, part in state.items():
            getattr(self, name).load_state_dict(part)


@contextmanager
def seed_torch(seed: int, device: str) -> Iterator[None]:
    """Seed torch inside, and restore its generators on exit."""
    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
        torch.manual_seed(seed)
        yield


def create_optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW, or SGD with momentum; weight decay skips norms and biases unless the recipe decays all."""
    groups = _parameter_groups(model, recipe)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.lr, fused=True)
    nesterov = recipe.nesterov and recipe.momentum > 0
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=nesterov)


def _parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, weight in model.named_parameters():
        scale = recipe.head_lr if name.startswith("head.") else 1.0
        decay = recipe.weight_decay if recipe.decay_all or weight.ndim > 1 else 0.0
        groups.setdefault((decay, scale), []).append(weight)
    return [{"params": weights, "weight_decay": d, "scale": scale} for (d, scale), weights in groups.items()]


def half_dtype(device: str) -> torch.dtype | None:
    """The dtype of mixed precision: bfloat16 on GPUs from Ampere on, float16 on older ones, None on a CPU.

    A CPU computes more slowly in either.
    """
    if not device.startswith("cuda"):
        return None
    # Not `is_bf16_supported`: it counts older cards, which only emulate bfloat16.
    return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16


def precision_name(device: str) -> str:
    """The name of the dtype that trainings on a device multiply in, such as `float32`."""
    return str(half_dtype(device) or torch.float32).removeprefix("torch.")


def autocast(device: str) -> torch.autocast:
    """Mixed precision where the device supports it."""
    return torch.autocast(device.partition(":")[0], dtype=half_dtype(device), enabled=half_dtype(device) is not None)


@dataclass(frozen=True)
class AveragedTensors:
    """Tensors of an averaged network and of the network that it follows, in the same order: listed once, not each step.

    `averages` follow `values`: parameters and floating-point buffers. `copies` are equal to `counters`, other buffers.
    """

    averages: list[Tensor]
    values: list[Tensor]
    copies: list[Tensor]
    counters: list[Tensor]

    @classmethod
    def of(cls, average: nn.Module, model: nn.Module) -> "AveragedTensors":
        """All tensors of two networks of one architecture."""
        both = [[*each.parameters(), *each.buffers()] for each in (average, model)]
        floating, others = (
            [[t for t in tensors if t.is_floating_point() is wanted] for tensors in both] for wanted in (True, False)
        )
        return cls(*floating, *others)


@torch.no_grad()
def update_average(tensors: AveragedTensors, decay: float) -> None:
    """Move averaged weights and statistics towards the model's, keeping the share `decay`; counters are copied."""
    get_ema_multi_avg_fn(decay)(tensors.averages, tensors.values, None)
    for copied, counter in zip(tensors.copies, tensors.counters, strict=True):
        copied.copy_(counter)


@torch.no_grad()
def recalibrate_norms(model: nn.Module, images: Iterable[Tensor]) -> None:
    """Compute the batch-norm statistics of maps anew, as means over batches of images; leaves the network in eval mode.

    After a short training the averaged statistics lag behind the averaged weights. Those of tokens and of pooled
    features stay as they are: anew, they changed losses by a thousandth.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches below
    model.eval()
    for norm in norms:
        norm.train()
    for x in images:
        model(x)
    model.eval()
