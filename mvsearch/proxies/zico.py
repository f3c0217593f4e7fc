"""How steady the gradients of an untrained network are from batch to batch (Li et al. 2023, arXiv 2301.11300,
section 3): the mean size of each weight's gradient over its deviation, summed in a layer, as a logarithm, summed.

Two batches, as in the source's experiments. Weights whose gradient is the same in both, and layers of none but such,
say nothing of steadiness and are left out, as the authors' own code does. With two batches the pairs that are nearly
alike count most, and their difference has the resolution of float32: other kernels moved scores by up to 0.6 %.
"""

import math

from mvsearch.proxies._probe import Probe, gradients, untrained
from mvsearch.utils.units import Unit


def score(network: Probe) -> float:
    """Two batches of `batch` images, forward and backward."""
    total = 0.0
    for first, second in zip(gradients(network, 0), gradients(network, 1), strict=True):
        mean, deviation = (first.abs() + second.abs()) / 2, (first - second).abs() / 2
        steady = float((mean / deviation)[deviation > 0].sum())
        total += math.log(steady) if steady > 0 else 0.0
    return total


# A layer adds about ten: beyond several thousand layers.
PROXY = untrained(
    score, name="zico", label="ZiCo", description="ZiCo", unit=Unit(decimals=1), ideal=1e5, version=2, batches=2
)
