"""How steady the gradients of an untrained network are from batch to batch (Li et al. 2023, arXiv 2301.11300,
section 3): the mean size of each weight's gradient over its deviation, summed in a layer, as a logarithm, summed.

Two batches, as in the source's experiments. Weights whose gradient is the same in both, and layers of none but such,
say nothing of steadiness and are left out, as the authors' own code does. With two batches the pairs that are nearly
alike count most, and their difference has the resolution of float32: other kernels moved scores by up to 0.6 %.
"""

import math

from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet
from mvsearch.metrics.record import Metrics
from mvsearch.metrics.registry import Metric
from mvsearch.proxies import Proxy
from mvsearch.proxies._probe import Settings, finite_score, gradients, probe
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
    """Two batches of `batch` images, forward and backward."""
    total = 0.0
    with probe(arch, settings, data, seed=seed, device=device, batches=2) as network:
        for first, second in zip(gradients(network, 0), gradients(network, 1), strict=True):
            mean, deviation = (first.abs() + second.abs()) / 2, (first - second).abs() / 2
            steady = float((mean / deviation)[deviation > 0].sum())
            total += math.log(steady) if steady > 0 else 0.0
    return finite_score("zico", total)


# A layer adds about ten: beyond several thousand layers.
PROXY = Proxy(
    version=2,
    scores=(
        Metric(
            "zico",
            "score",
            "ZiCo",
            "ZiCo",
            Unit(decimals=1),
            maximise=True,
            ideal=1e5,
            noise="seed",
            tasks=("classification",),
        ),
    ),
    settings=Settings,
    score=score,
)
