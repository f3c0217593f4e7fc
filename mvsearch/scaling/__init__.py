"""Scale an architecture to a budget: by width, depth, resolution, or all three together. Loads no torch.

knobs    the numbers that scaling turns: layer3.out, layer3.dim, layer2.repeat, image_size
path     all architectures that one multiplier makes, from the smallest on: it is a step function, these its steps
search   between which two steps a budget lies; where both are too far off, a few knobs stand a rung beside them
timed    the same for a latency, which is measured
fit      coefficients of compound scaling along the front of a study
"""

from mvsearch.scaling.budget import Budget
from mvsearch.scaling.fit import fitted
from mvsearch.scaling.path import METHODS, Coefficients, Path, Scaling
from mvsearch.scaling.search import Scaled, to_budget
from mvsearch.scaling.timed import to_latency

__all__ = ["METHODS", "Budget", "Coefficients", "Path", "Scaled", "Scaling", "fitted", "to_budget", "to_latency"]
