"""How differently an untrained network's activations switch for different images (Mellor et al. 2021, arXiv 2006.04647,
section 3): the log-determinant of the kernel that counts the units two images agree on.

The source has ReLU, whose code is whether a unit is on. Other activations (SiLU, ReLU6, hard swish, GELU) are taken by
the sign of what goes in too, as is the ReLU of separable attention; softmax switches nothing and is left out.
"""

from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet
from mvsearch.metrics.record import Metrics
from mvsearch.metrics.registry import Metric
from mvsearch.proxies import Proxy
from mvsearch.proxies._probe import Settings, finite_score, probe, require_finite
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
    """log |K|, with K of (B, B), K_ij the number of units that are equally on or off for the images i and j."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    aten = torch.ops.aten
    functions = (aten.silu, aten.relu, aten.gelu, aten.hardtanh, aten.hardswish)  # ReLU6 is a hard tanh
    activations = {function.default for function in functions}

    class Codes(TorchDispatchMode):
        """Adds to the kernel whatever goes into an activation."""

        def __init__(self, batch: int) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.kernel = torch.zeros(batch, batch, dtype=torch.float64, device=device)

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func in activations:
                signs = (args[0] > 0).reshape(len(self.kernel), -1).float() * 2 - 1
                # Equal signs less unequal ones is the product; equal ones are half of that and of all.
                self.kernel += (signs @ signs.T).double() / 2 + signs.shape[1] / 2
            return func(*args, **(kwargs or {}))

    with probe(arch, settings, data, seed=seed, device=device) as network, torch.no_grad():
        images, _ = network.batches[0]
        with Codes(len(images)) as codes:
            require_finite("an output", network.model(images))
    return finite_score("naswot", float(torch.linalg.slogdet(codes.kernel).logabsdet))


# B images and N units: at most B log N, by Hadamard's inequality. Beyond 400 images of ten thousand million units.
PROXY = Proxy(
    version=3,
    scores=(
        Metric(
            "naswot",
            "score",
            "NASWOT",
            "NASWOT",
            Unit(decimals=2),
            maximise=True,
            ideal=1e4,
            noise="seed",
            tasks=("classification",),
        ),
    ),
    settings=Settings,
    score=score,
)
