"""The training loop. Plain PyTorch; stops at the first loss that is no number, and says at which step."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mvsearch.metrics.record import EvaluationFailed
from mvsearch.training.images import Task
from mvsearch.training.recipe import Recipe
from mvsearch.utils.progress import Progress

_CALIBRATION_STEPS = 8


@dataclass(frozen=True)
class Outcome:
    """What a training came to: what the task judges by on held-out images, `top1` (a share) and `loss` for one.

    `train_loss` is the mean over all steps: the lower, the faster it was learnt.
    """

    scores: dict[str, float]
    train_loss: float


def train(
    model: nn.Module, task: Task, recipe: Recipe, *, device: str = "cpu", progress: Progress | None = None
) -> Outcome:
    """Train a network and judge its averaged weights. The model is trained in place.

    Raises EvaluationFailed if the loss stops being a number. Mixed precision is used where the device has it.
    """
    average, train_loss = fit(model, task, recipe, device=device, progress=progress)
    return Outcome(judge(average, task, device), train_loss)


def fit(
    model: nn.Module, task: Task, recipe: Recipe, *, device: str = "cpu", progress: Progress | None = None
) -> tuple[nn.Module, float]:
    """Train a network in place; its averaged weights, ready to be used, and the mean loss over all steps."""
    model = model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    average = copy.deepcopy(model).requires_grad_(False)
    with torch.enable_grad(), _seeded(recipe.seed, device):
        losses = []
        for loss in learn(model, average, task, recipe, device=device):
            losses.append(loss)
            if progress is not None:
                progress(len(losses), recipe.steps)
    _recalibrate(average, task, recipe)
    return average.eval(), sum(losses) / len(losses)


def learn(model: nn.Module, average: nn.Module, task: Task, recipe: Recipe, *, device: str = "cpu") -> Iterator[float]:
    """Train the model in place, a step at a time, and let the average follow; the loss of each step, before it.

    Raises EvaluationFailed if a loss is no number.
    """
    learner = Learner(model, average, adamw(model, lr=recipe.lr, weight_decay=recipe.weight_decay), device, recipe.clip)

    def loss(outputs: Any, labels: Tensor) -> Tensor:
        return task.loss(outputs, labels, recipe.label_smoothing)

    for step, batch in enumerate(task.batches(recipe)):
        place = f"step {step + 1} of {recipe.steps}"
        decay = min(recipe.ema, (1 + step) / (10 + step))
        yield learner.step([batch], loss, lr=recipe.lr * schedule(step, recipe), decay=decay, place=place)


Loss = Callable[[Any, Tensor], Tensor]
"""Of what a network gives for a batch, and the batch's labels: one number."""


@dataclass
class Learner:
    """A network that learns, whatever the task: the one step that every training is made of.

    `average` follows the model's weights, and with `buffers` its statistics too. `clip` bounds the norm of the
    gradient; 0 leaves it. `forward` is what is called instead of the model: a compiled one, or one whose gradients
    are averaged over several processes.
    """

    model: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    device: str
    clip: float
    buffers: bool = False
    forward: nn.Module | None = None

    def __post_init__(self) -> None:
        self.scaler = torch.amp.GradScaler("cuda", enabled=half(self.device) is torch.float16)

    def step(self, parts: Sequence[tuple[Tensor, Tensor]], loss: Loss, *, lr: float, decay: float, place: str) -> float:
        """Learn from one batch, given in equal parts, and return its loss before the step.

        Raises EvaluationFailed for a loss that is not finite.

        The gradient is the mean over the parts. `place` says in words which step it is.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = lr * group["scale"]
        self.optimiser.zero_grad(set_to_none=True)
        forward, found = self.forward or self.model, 0.0
        for i, (x, labels) in enumerate(parts):
            alone = getattr(forward, "no_sync", nullcontext) if i < len(parts) - 1 else nullcontext
            with alone():
                with precision(self.device):
                    part = loss(forward(x), labels) / len(parts)
                if not math.isfinite(value := part.item()):
                    raise EvaluationFailed(f"the training loss became {value} at {place}")
                self.scaler.scale(part).backward()
            found += value
        self.scaler.unscale_(self.optimiser)
        if self.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        _follow(self.average, self.model, decay, buffers=self.buffers)
        return found

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on beside its batch; tensors and plain values."""
        return {name: getattr(self, name).state_dict() for name in ("model", "average", "optimiser", "scaler")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        for name, part in state.items():
            getattr(self, name).load_state_dict(part)


@contextmanager
def _seeded(seed: int, device: str) -> Iterator[None]:
    """Dropout by a seed of its own; torch's generators are left where they were."""
    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
        torch.manual_seed(seed)
        yield


def schedule(step: int, recipe: Recipe) -> float:
    """The share of the peak learning rate at a step: a linear rise, then a cosine down to one hundredth."""
    rise = max(1, round(recipe.warmup * recipe.steps))
    if step < rise:
        return (step + 1) / rise
    done = (step - rise) / max(1, recipe.steps - rise)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


def adamw(
    model: nn.Module, *, lr: float, weight_decay: float, decay_all: bool = False, head: float = 1.0
) -> torch.optim.Optimizer:
    """AdamW, whose decay leaves norms and biases alone, unless it is for all; the head learns `head` times as fast."""
    return torch.optim.AdamW(_groups(model, weight_decay, decay_all, head), lr=lr, fused=True)


def sgd(
    model: nn.Module,
    *,
    lr: float,
    weight_decay: float,
    momentum: float,
    nesterov: bool = False,
    decay_all: bool = False,
    head: float = 1.0,
) -> torch.optim.Optimizer:
    """Plain gradient descent with momentum, or Nesterov's; decay and head as in `adamw`."""
    groups = _groups(model, weight_decay, decay_all, head)
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov and momentum > 0)


def _groups(model: nn.Module, weight_decay: float, decay_all: bool, head: float) -> list[dict[str, Any]]:
    made: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, weight in model.named_parameters():
        scale = head if name.startswith("head.") else 1.0
        made.setdefault((weight_decay if decay_all or weight.ndim > 1 else 0.0, scale), []).append(weight)
    return [{"params": each, "weight_decay": decay, "scale": scale} for (decay, scale), each in made.items()]


def half(device: str) -> torch.dtype | None:
    """What a GPU multiplies in: bfloat16 from Ampere on, else float16, gradients scaled; a CPU loses time by either."""
    if not device.startswith("cuda"):
        return None
    # Not `is_bf16_supported`: it counts older cards, which only emulate bfloat16.
    return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16


def precision_name(device: str) -> str:
    """What trainings on a device multiply in, in torch's word for it."""
    return str(half(device) or torch.float32).removeprefix("torch.")


def precision(device: str) -> torch.autocast:
    """Mixed precision where the device has it."""
    return torch.autocast(device.partition(":")[0], dtype=half(device), enabled=half(device) is not None)


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, decay: float, *, buffers: bool) -> None:
    """Move the averaged weights towards the model's, and the statistics of its norms; counters are copied."""
    get_ema_multi_avg_fn(decay)(list(average.parameters()), list(model.parameters()), None)
    for mine, other in zip(average.buffers(), model.buffers(), strict=True) if buffers else ():
        if mine.is_floating_point():
            mine.lerp_(other, 1 - decay)
        else:
            mine.copy_(other)


@torch.no_grad()
def _recalibrate(average: nn.Module, task: Task, recipe: Recipe) -> None:
    """Batch-norm statistics of the averaged weights themselves: those of a short training would lag behind."""
    norms = [module for module in average.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches below
    average.eval()
    for norm in norms:
        norm.train()
    for x, _ in task.batches(replace(recipe, steps=_CALIBRATION_STEPS, batch=task.calibration_batch)):
        average(x)


@torch.no_grad()
def judge(model: nn.Module, task: Task, device: str = "cpu") -> dict[str, float]:
    """What the task judges a trained network by on held-out images; raises EvaluationFailed if that is no number."""
    with precision(device):
        scores = task.judge(model)
    if not all(map(math.isfinite, scores.values())):
        raise EvaluationFailed("the averaged network gives no numbers on held-out images")
    return scores
