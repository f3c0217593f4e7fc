"""How little an untrained network's responses to different images are alike (Mellor et al., arXiv 2006.04647 version 1,
section 3): from the eigenvalues of the correlation of its input gradients, -Σ (log(v + k) + 1/(v + k)).

From seed to seed it scatters more than from network to network of this family; look at several seeds. Where a batch
norm without activation is the last before the mean over pixels and the classifier, as in MobileViTv2, the sum of all
outputs over a batch is the same for all images: its gradients are rounding alone, and such a network has no score.
"""

from mvsearch.metrics.record import EvaluationFailed
from mvsearch.proxies._probe import Probe, require_finite, untrained
from mvsearch.utils.units import Unit

_K = 1e-5
_NOTHING = 1e-3  # of the outputs' norm


def score(network: Probe) -> float:
    """One batch: the gradient of the sum of all outputs by each pixel, and how the images' gradients correlate.

    Raises EvaluationFailed where there is no gradient.
    """
    import torch

    images = network.batches[0][0].requires_grad_()
    outputs = network.model(images)
    (jacobian,) = torch.autograd.grad(outputs.sum(), images)
    if jacobian.norm() < _NOTHING * outputs.norm():
        raise EvaluationFailed(
            "the sum of its outputs does not depend on the images, so its gradients are rounding alone"
        )
    related = torch.corrcoef(jacobian.flatten(1).double())
    values = torch.linalg.eigvalsh(require_finite("a correlation of input gradients", related))
    return float(-((values + _K).log() + 1 / (values + _K)).sum())


# log x + 1/x is 1 at least, so the score of B images is -B at most.
PROXY = untrained(
    score,
    name="jacob_cov",
    label="Jacobian cov.",
    description="Jacobian covariance",
    unit=Unit(decimals=3),
    ideal=0.0,
    version=2,
)
