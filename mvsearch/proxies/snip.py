"""How much the loss of an untrained network would change without each of its weights, to first order (Lee et al. 2019,
arXiv 1810.02340, section 4): Σ |w ∂L/∂w| over the weights of convolutions and linear layers.

Summed over the network and not normalised, as Abdelfattah et al. (2021, arXiv 2101.08134, section 3.2) do.
"""

from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet
from mvsearch.metrics.record import Metrics
from mvsearch.metrics.registry import Metric
from mvsearch.proxies import Proxy
from mvsearch.proxies._probe import Settings, finite_score, gradients, probe
from mvsearch.utils.progress import Progress


def score(
    arch: Architecture,
    settings: Settings,
    data: DataSet,
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Metrics:
    """One batch, forward and backward."""
    with probe(arch, settings, data, seed=seed, device=device) as network:
        pairs = zip(network.weights, gradients(network), strict=True)
        return finite_score("snip", sum(float((weight.detach() * gradient).abs().sum()) for weight, gradient in pairs))


# The largest published model comes to about 10^3.
PROXY = Proxy(
    version=2,
    scores=(
        Metric("snip", "score", "SNIP", "SNIP", maximise=True, ideal=1e6, noise="seed", tasks=("classification",)),
    ),
    settings=Settings,
    score=score,
)
