"""How much flows through an untrained network whose weights are all positive (Tanaka et al. 2020, arXiv 2006.05467,
section 4, R = Σ |θ ∂1ᵀf(1)/∂θ|), without data; its decimal logarithm.

Batch norms are passed over, as Abdelfattah et al. (2021, arXiv 2101.08134) do: they would scale away what is measured.
Layer and group norms stay, since without them the products of attention go beyond what float64 holds; so blocks without
a way around their attention (MobileViTv2) score low.
"""

import math

from mvsearch.proxies._probe import Probe, untrained
from mvsearch.utils.units import Unit


def score(network: Probe) -> float:
    """log10 R of one image of ones, in float64: the flow grows by orders of magnitude a block."""
    import torch
    from torch import nn

    model = network.model.double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.abs_()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # becomes the identity
            module.reset_parameters()
            module.eps = 0.0
    images, _ = network.batches[0]
    flow = model(torch.ones_like(images[:1], dtype=torch.float64)).sum()
    through = torch.autograd.grad(flow, network.weights)
    total = sum(float((w.detach() * g).abs().sum()) for w, g in zip(network.weights, through, strict=True))
    return math.log10(total) if total > 0 else -math.inf


# A flow beyond float64, 10^308.3, is not finite.
PROXY = untrained(
    score, name="synflow", label="SynFlow", description="SynFlow, log10", unit=Unit(decimals=2), ideal=309.0, version=1
)
