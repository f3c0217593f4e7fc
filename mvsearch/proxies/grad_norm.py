"""How long the gradients of an untrained network are (Abdelfattah et al. 2021, arXiv 2101.08134, section 3.2): the
Euclidean norm of each layer's gradient, summed over convolutions and linear layers."""

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
        return finite_score("grad_norm", sum(float(gradient.norm()) for gradient in gradients(network)))


# The largest published model comes to about 200.
PROXY = Proxy(
    version=2,
    scores=(
        Metric(
            "grad_norm",
            "score",
            "gradient norm",
            "gradient norm",
            maximise=True,
            ideal=1e6,
            noise="seed",
            tasks=("classification",),
        ),
    ),
    settings=Settings,
    score=score,
)
