"""The training loop. Plain PyTorch; stops at the first loss that is no number, and says at which step."""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import nn

from mvsearch.record import Failed
from mvsearch.training.images import Task
from mvsearch.training.recipe import Recipe

Progress = Callable[[int, int], None]

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

    Raises Failed if the loss stops being a number. Mixed precision is used where the device has it.
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

    Raises Failed if a loss is no number.
    """
    optimiser = _optimiser(model, recipe)
    scaler = torch.amp.GradScaler("cuda", enabled=_half(device) is torch.float16)
    for step, (x, labels) in enumerate(task.batches(recipe)):
        for group in optimiser.param_groups:
            group["lr"] = recipe.lr * schedule(step, recipe)
        with _precision(device):
            loss = task.loss(model(x), labels, recipe)
        if not math.isfinite(found := loss.item()):
            raise Failed(f"the training loss became {found} at step {step + 1} of {recipe.steps}")
        optimiser.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.unscale_(optimiser)
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        scaler.step(optimiser)
        scaler.update()
        _follow(average, model, min(recipe.ema, (1 + step) / (10 + step)))
        yield found


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


def _optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.lr, fused=True)


def _half(device: str) -> torch.dtype | None:
    """What a GPU multiplies in: bfloat16 where it can, else float16, gradients scaled; a CPU loses time by either."""
    if not device.startswith("cuda"):
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _precision(device: str) -> torch.autocast:
    """Mixed precision where the device has it."""
    return torch.autocast(device.partition(":")[0], dtype=_half(device), enabled=_half(device) is not None)


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the averaged weights towards the model's."""
    for ours, theirs in zip(average.parameters(), model.parameters(), strict=True):
        ours.lerp_(theirs, 1 - decay)


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
    """What the task judges a trained network by on held-out images; raises Failed if that is no number."""
    with _precision(device):
        scores = task.judge(model)
    if not all(map(math.isfinite, scores.values())):
        raise Failed("the averaged network gives no numbers on held-out images")
    return scores
