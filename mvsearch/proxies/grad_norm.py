"""How long the gradients of an untrained network are (Abdelfattah et al. 2021, arXiv 2101.08134, section 3.2): the
Euclidean norm of each layer's gradient, summed over convolutions and linear layers."""

from mvsearch.proxies._probe import Probe, gradients, untrained


def score(network: Probe) -> float:
    """One batch, forward and backward."""
    return sum(float(gradient.norm()) for gradient in gradients(network))


# The largest published model comes to about 200.
PROXY = untrained(score, name="grad_norm", label="gradient norm", description="gradient norm", ideal=1e6, version=2)
