"""Scale an architecture to a budget: by width, depth, resolution, or all three (compound). Loads no torch.

fields   the numbers of an architecture that scaling changes: layer3.out, layer3.dim, layer2.repeat, image_size
path     all architectures that one multiplier produces, from the smallest on: a step function of the scale
search   the steps next to a budget; where both are too far off, a few fields take their next allowed value
timed    the same for a latency, which is measured
several  the scale that is within several budgets
fit      coefficients of compound scaling, fitted to the front of a study
"""

from mvsearch.scaling.budget import Budget
from mvsearch.scaling.fit import fit_coefficients
from mvsearch.scaling.path import METHODS, Coefficients, Path, Scaling
from mvsearch.scaling.search import Scaled, scale_to_cost
from mvsearch.scaling.several import scale_to_all
from mvsearch.scaling.timed import scale_to_latency

__all__ = [
    "METHODS",
    "Budget",
    "Coefficients",
    "Path",
    "Scaled",
    "Scaling",
    "fit_coefficients",
    "scale_to_all",
    "scale_to_cost",
    "scale_to_latency",
]
