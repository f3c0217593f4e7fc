"""What the scores of untrained networks share: a fresh network, some real images, and gradients."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet
from mvsearch.errors import PlanError
from mvsearch.metrics.record import EvaluationFailed, Metrics
from mvsearch.metrics.registry import Metric
from mvsearch.proxies import Proxy
from mvsearch.utils.progress import Progress
from mvsearch.utils.units import PLAIN, Unit

if TYPE_CHECKING:
    from torch import Tensor, nn

_LEAST = {"batch": 2, "image_size": 32}


@dataclass(frozen=True)
class Settings:
    """The images that an untrained network is given."""

    image_size: int = 64
    """The side of the images in pixels."""
    batch: int = 16
    """Images of a batch."""
    seed: int = 0
    """Draws the images and the weights."""

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise PlanError(f"{name}={getattr(self, name)} is too small; use {least} or more.")


@dataclass(frozen=True)
class Probe:
    """A fresh network in training mode without dropout, and batches of images, (B, 3, H, W), and labels, (B,)."""

    model: "nn.Module"
    batches: "Sequence[tuple[Tensor, Tensor]]"

    @property
    def weights(self) -> "list[Tensor]":
        """The weights of convolutions and linear layers, which the sources sum over."""
        return [weight for weight in self.model.parameters() if weight.ndim > 1]


@contextmanager
def probe(
    arch: Architecture, settings: Settings, data: DataSet, *, seed: int, device: str, batches: int = 1
) -> Iterator[Probe]:
    """A network for the data's classes and some batches. Enables gradients inside, and restores the state on exit."""
    import torch
    from torch import nn

    from mvsearch.nn import build
    from mvsearch.training.image_samples import sample_images

    seed = settings.seed + seed
    _, sample = sample_images(data, settings.image_size, held_out=1, training=settings.batch * batches, seed=seed)
    if len(sample.labels) < settings.batch * batches:
        raise EvaluationFailed(
            f"{data.name} has {len(sample.labels)} training images, and {settings.batch * batches} are needed"
        )
    model = build(arch.at(image_size=settings.image_size, num_classes=len(sample.classes)), seed=seed)
    model = model.to(device).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    order = np.random.default_rng(seed).permutation(len(sample.labels))  # the sample is sorted
    images, labels = torch.from_numpy(sample.images[order]), torch.from_numpy(np.asarray(sample.labels)[order]).long()
    pairs = zip(images.to(device).split(settings.batch), labels.to(device).split(settings.batch), strict=True)
    with torch.enable_grad():
        yield Probe(model, list(pairs))


def gradients(probe: Probe, batch: int = 0) -> "list[Tensor]":
    """The gradients of the cross-entropy of a batch by each weight; raises EvaluationFailed if one is not finite."""
    import torch
    import torch.nn.functional as F

    images, labels = probe.batches[batch]
    loss = F.cross_entropy(probe.model(images), labels)
    return [require_finite("a gradient", gradient) for gradient in torch.autograd.grad(loss, probe.weights)]


def require_finite(name: str, values: "Tensor") -> "Tensor":
    """The values; raises EvaluationFailed if one is not finite, which a comparison or a sort would hide."""
    if not values.isfinite().all():
        raise EvaluationFailed(f"{name} of the untrained network is NaN or inf")
    return values


def finite_score(name: str, value: float) -> dict[str, float]:
    """The score by its name; raises EvaluationFailed if it is not finite."""
    if not np.isfinite(value):
        raise EvaluationFailed(f"the score {name} is {value}")
    return {name: float(value)}


def untrained(
    compute: Callable[[Probe], float],
    *,
    name: str,
    label: str,
    description: str,
    ideal: float,
    version: int,
    unit: Unit = PLAIN,
    batches: int = 1,
) -> Proxy:
    """A proxy whose score, higher is better, is computed from an untrained classifier and some batches of images."""

    def score(
        arch: Architecture,
        settings: Settings,
        data: DataSet,
        *,
        seed: int = 0,
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> Metrics:
        with probe(arch, settings, data, seed=seed, device=device, batches=batches) as network:
            return finite_score(name, compute(network))

    tasks = ("classification",)
    metric = Metric(name, "score", label, description, unit, maximise=True, ideal=ideal, noise="seed", tasks=tasks)
    return Proxy(version=version, scores=(metric,), settings=Settings, score=score)
