"""How differently an untrained network's activations switch for different images (Mellor et al. 2021, arXiv 2006.04647,
section 3): the log-determinant of the kernel that counts the units two images agree on.

The source has ReLU, whose code is whether a unit is on. Other activations (SiLU, ReLU6, hard swish, GELU) are taken by
the sign of what goes in too, as is the ReLU of separable attention; softmax switches nothing and is left out.
"""

from typing import Any

from mvsearch.proxies._probe import Probe, require_finite, untrained
from mvsearch.utils.units import Unit


def score(network: Probe) -> float:
    """log |K|, with K of (B, B), K_ij the number of units that are equally on or off for the images i and j."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    aten = torch.ops.aten
    functions = (aten.silu, aten.relu, aten.gelu, aten.hardtanh, aten.hardswish)  # ReLU6 is a hard tanh
    activations = {function.default for function in functions}

    class Codes(TorchDispatchMode):
        """Adds to the kernel whatever goes into an activation."""

        def __init__(self, batch: int, device: torch.device) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.kernel = torch.zeros(batch, batch, dtype=torch.float64, device=device)

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func in activations:
                signs = (args[0] > 0).reshape(len(self.kernel), -1).float() * 2 - 1
                # Equal signs less unequal ones is the product; equal ones are half of that and of all.
                self.kernel += (signs @ signs.T).double() / 2 + signs.shape[1] / 2
            return func(*args, **(kwargs or {}))

    images, _ = network.batches[0]
    with torch.no_grad(), Codes(len(images), images.device) as codes:
        require_finite("an output", network.model(images))
    return float(torch.linalg.slogdet(codes.kernel).logabsdet)


# B images and N units: at most B log N, by Hadamard's inequality. Beyond 400 images of ten thousand million units.
PROXY = untrained(
    score, name="naswot", label="NASWOT", description="NASWOT", unit=Unit(decimals=2), ideal=1e4, version=3
)
