"""How much the loss of an untrained network would change without each of its weights, to first order (Lee et al. 2019,
arXiv 1810.02340, section 4): Σ |w ∂L/∂w| over the weights of convolutions and linear layers.

Summed over the network and not normalised, as Abdelfattah et al. (2021, arXiv 2101.08134, section 3.2) do.
"""

from mvsearch.proxies._probe import Probe, gradients, untrained


def score(network: Probe) -> float:
    """One batch, forward and backward."""
    pairs = zip(network.weights, gradients(network), strict=True)
    return sum(float((weight.detach() * gradient).abs().sum()) for weight, gradient in pairs)


# The largest published model comes to about 10^3.
PROXY = untrained(score, name="snip", label="SNIP", description="SNIP", ideal=1e6, version=2)
