"""How much flows through an untrained network whose weights are all positive (Tanaka et al. 2020, arXiv 2006.05467,
section 4, R = Σ |θ ∂1ᵀf(1)/∂θ|), without data; its decimal logarithm.

Batch norms are passed over, as Abdelfattah et al. (2021, arXiv 2101.08134) do: they would scale away what is measured.
Layer and group norms stay, since without them the products of attention go beyond what float64 holds; so blocks without
a way around their attention (MobileViTv2) score low.
"""

import math

from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet
from mvsearch.metrics.record import Metrics
from mvsearch.metrics.registry import Metric
from mvsearch.proxies import Proxy
from mvsearch.proxies._probe import Settings, finite_score, probe
from mvsearch.utils.progress import Progress
from mvsearch.utils.units import Unit


def score(
    arch: Architecture,
    settings: Settings,
    data: DataSet,
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Metrics:
    """log10 R of one image of ones, in float64: the flow grows by orders of magnitude a block."""
    import torch
    from torch import nn

    with probe(arch, settings, data, seed=seed, device=device) as network:
        model = network.model.double().eval()
        with torch.no_grad():
            for weight in model.parameters():
                weight.abs_()
        for parent in list(model.modules()):
            for name, child in parent.named_children():
                if isinstance(child, nn.BatchNorm2d):
                    setattr(parent, name, nn.Identity())
        images, _ = network.batches[0]
        flow = model(torch.ones_like(images[:1], dtype=torch.float64)).sum()
        through = torch.autograd.grad(flow, network.weights)
        total = sum(float((w.detach() * g).abs().sum()) for w, g in zip(network.weights, through, strict=True))
    return finite_score("synflow", math.log10(total) if total > 0 else -math.inf)


# A flow beyond float64, 10^308.3, is not finite.
PROXY = Proxy(
    version=1,
    scores=(
        Metric(
            "synflow",
            "score",
            "SynFlow",
            "SynFlow, log10",
            Unit(decimals=2),
            maximise=True,
            ideal=309.0,
            noise="seed",
            tasks=("classification",),
        ),
    ),
    settings=Settings,
    score=score,
)
