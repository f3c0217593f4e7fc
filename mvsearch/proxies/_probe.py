"""What the scores of untrained networks share: a fresh network, a few real images, and gradients."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet
from mvsearch.errors import PlanError
from mvsearch.metrics.record import EvaluationFailed

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Settings:
    """So many images of `image_size` pixels a batch; `seed` draws them and the weights."""

    image_size: int = 64
    batch: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in {"batch": 2, "image_size": 32}.items():
            if getattr(self, name) < low:
                raise PlanError(f"proxy: {name}={getattr(self, name)} is too little to look at; use {low} or more.")


@dataclass(frozen=True)
class Probe:
    """A fresh network in training mode without dropout, and the images, (B, 3, H, W), and labels, (B,), of a batch."""

    model: "nn.Module"
    batches: "Sequence[tuple[Tensor, Tensor]]"

    @property
    def weights(self) -> "list[Tensor]":
        """The weights of convolutions and linear layers, which is what the sources sum over."""
        return [weight for weight in self.model.parameters() if weight.ndim > 1]


@contextmanager
def probed(
    arch: Architecture, settings: Settings, data: DataSet, *, seed: int, device: str, batches: int = 1
) -> Iterator[Probe]:
    """A network for the data's classes and its batches; gradients are on inside, and everything is as before after."""
    import torch
    from torch import nn

    from mvsearch.nn import build
    from mvsearch.training.sample import samples

    seed = settings.seed + seed
    _, drawn = samples(data, settings.image_size, held_out=1, training=settings.batch * batches, seed=seed)
    if len(drawn.labels) < settings.batch * batches:
        raise EvaluationFailed(
            f"{data.name} has {len(drawn.labels)} training images, and {settings.batch * batches} are needed"
        )
    model = build(arch.at(image_size=settings.image_size, num_classes=len(drawn.classes)), seed=seed).to(device).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    mixed = np.random.default_rng(seed).permutation(len(drawn.labels))  # the sample is sorted
    images, labels = torch.from_numpy(drawn.images[mixed]), torch.from_numpy(np.asarray(drawn.labels)[mixed]).long()
    pairs = zip(images.to(device).split(settings.batch), labels.to(device).split(settings.batch), strict=True)
    with torch.enable_grad():
        yield Probe(model, list(pairs))


def gradients(probe: Probe, batch: int = 0) -> "list[Tensor]":
    """Gradients of the cross-entropy of one batch by each weight; raises EvaluationFailed if they are not finite."""
    import torch
    import torch.nn.functional as F

    images, labels = probe.batches[batch]
    found = torch.autograd.grad(F.cross_entropy(probe.model(images), labels), probe.weights)
    return [finite("a gradient", gradient) for gradient in found]


def finite(what: str, values: "Tensor") -> "Tensor":
    """The values; raises EvaluationFailed if one is no number. For where a comparison or a sort would hide it."""
    if not values.isfinite().all():
        raise EvaluationFailed(f"{what} of the untrained network is no number")
    return values


def number(name: str, value: float) -> dict[str, float]:
    """The score by its name; raises EvaluationFailed if it is no number."""
    if not np.isfinite(value):
        raise EvaluationFailed(f"{name} came out as {value}")
    return {name: float(value)}
