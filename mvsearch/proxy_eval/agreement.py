"""How well a score orders the networks of a ground truth: over all, within equal cost, beyond size. NumPy alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mvsearch.arch.cost import Cost
from mvsearch.proxy_eval.ground_truth import TrainedNetwork
from mvsearch.proxy_eval.rank_correlation import Estimate, estimate, ranks, tau, within

Values = NDArray[np.float64]

FEWEST_BEYOND_SIZE = 8
"""Two lines through fewer networks leave too little to correlate."""

_DRAWS = 2000


@dataclass(frozen=True)
class Agreement:
    """How a score orders `networks`, of which `pairs` pairs are of about equal cost.

    `beyond_size` is the partial correlation of ranks (Spearman's) of score and top-1 for given logarithms of parameters
    and MACs: what the score knows that size does not; None for fewer than eight networks.
    """

    networks: int
    pairs: int
    tau: Estimate
    within: Estimate
    beyond_size: Estimate


@dataclass(frozen=True)
class Difference:
    """How much larger the two taus of a score are than another's, over the same resamples of the networks."""

    tau: Estimate
    within: Estimate


def agreement(scores: Mapping[str, float], networks: Sequence[TrainedNetwork], costs: Mapping[str, Cost]) -> Agreement:
    """The agreement of a score, of which higher is better, with the top-1 of those networks that have one."""
    known = [network for network in networks if np.isfinite(scores.get(network.name, np.nan))]
    x, y, groups = _columns(scores, known)
    sizes = [(costs[network.name].params, costs[network.name].macs) for network in known]
    size = np.log(np.array(sizes, dtype=float).reshape(-1, 2))
    count = len(known)
    enough = count >= FEWEST_BEYOND_SIZE
    beyond = estimate(lambda weights: partial_rho(x, y, size, weights), count) if enough else Estimate()
    return Agreement(
        networks=count,
        pairs=sum(a == b for i, a in enumerate(groups) for b in groups[:i]),
        tau=estimate(lambda weights: tau(x, y, weights), count),
        within=estimate(lambda weights: within(x, y, groups, weights), count),
        beyond_size=beyond,
    )


def difference(
    scores: Mapping[str, float], others: Mapping[str, float], networks: Sequence[TrainedNetwork]
) -> Difference:
    """How much better one score agrees than another, over the networks that have both."""
    known = [n for n in networks if np.isfinite(scores.get(n.name, np.nan) + others.get(n.name, np.nan))]
    x, y, groups = _columns(scores, known)
    other, _, _ = _columns(others, known)

    def estimate_difference(statistic: Callable[[Values, Values], Values]) -> Estimate:
        return estimate(lambda weights: statistic(x, weights) - statistic(other, weights), len(known))

    return Difference(
        tau=estimate_difference(lambda values, weights: tau(values, y, weights)),
        within=estimate_difference(lambda values, weights: within(values, y, groups, weights)),
    )


def chance(networks: Sequence[TrainedNetwork]) -> tuple[Estimate, Estimate]:
    """The two taus of random scores: their means, and the intervals that 95 % of random scores lie in."""
    rng = np.random.default_rng(0)
    y, groups = np.array([network.mean for network in networks]), [network.network.group for network in networks]
    draws = rng.standard_normal((_DRAWS, len(y)))
    return (
        _spread([float(tau(draw, y)) for draw in draws]),
        _spread([float(within(draw, y, groups)) for draw in draws]),
    )


def partial_rho(x: ArrayLike, y: ArrayLike, given: Values, weights: ArrayLike) -> Values:
    """The correlation of the ranks of x and y, less what straight lines in `given` (networks, columns) predict of them.

    NaN where nothing is left of one of them.
    """
    drawn = np.asarray(weights, dtype=float)
    design = np.hstack([np.ones((len(given), 1)), given - given.mean(0)])
    # The weighted normal equations, for all resamples at once.
    normal = np.einsum("...n,ni,nj->...ij", drawn, design, design)
    inverse = np.linalg.pinv(normal, rcond=1e-9, hermitian=True)
    rests = []
    for values in (x, y):
        column = np.broadcast_to(ranks(values, drawn), drawn.shape)
        moments = np.einsum("...n,ni->...i", drawn * column, design)
        fitted = np.einsum("ni,...ij,...j->...n", design, inverse, moments)
        rests.append(column - fitted)
    across, up = rests
    total = np.sqrt((drawn * across**2).sum(-1) * (drawn * up**2).sum(-1))
    tiny = 1e-9 * drawn.sum(-1) ** 2
    return np.asarray(np.where(total > tiny, (drawn * across * up).sum(-1) / np.maximum(total, tiny), np.nan))


def _columns(scores: Mapping[str, float], networks: Sequence[TrainedNetwork]) -> tuple[Values, Values, list[str]]:
    """Scores, top-1 and groups of networks."""
    x, y = (np.array(v, dtype=float) for v in ([scores[n.name] for n in networks], [n.mean for n in networks]))
    return x, y, [network.network.group for network in networks]


def _spread(values: Sequence[float]) -> Estimate:
    finite = np.array(values)[np.isfinite(values)]
    if not finite.size:
        return Estimate()
    low, high = np.quantile(finite, [0.025, 0.975])
    return Estimate(float(finite.mean()), float(low), float(high))
