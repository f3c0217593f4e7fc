"""What is known and what is expected of points that nobody has paid for: exact costs, models of the rest."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from mvsearch.arch.cost import Cost
from mvsearch.metrics.constraints import Limit
from mvsearch.metrics.registry import STATIC_COSTS
from mvsearch.space.search_space import Codes
from mvsearch.study.plan import Plan
from mvsearch.study.samplers._model import Features, GaussianProcess
from mvsearch.study.samplers._scores import Scale

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Prediction:
    """Of some points: their exact costs; of each bought metric its scale, expected distances and deviations."""

    plan: Plan
    exact: Cost
    bought: dict[str, tuple[Scale, Array, Array]]

    def costs(self, z: Array) -> Array:
        """(levels, n, objectives), less is better; each bought metric `z` (levels, metrics) deviations off its mean."""
        out = np.empty((len(z), len(self.exact.params), len(self.plan.objectives)))
        offsets = dict(zip(self.bought, z.T, strict=False))
        for i, objective in enumerate(self.plan.objectives):
            if objective.name in STATIC_COSTS:
                out[:, :, i] = getattr(self.exact, objective.name)
            else:
                scale, mean, deviation = self.bought[objective.name]
                out[:, :, i] = scale.cost(mean + offsets[objective.name][:, None] * deviation)
        return out

    def expected(self) -> Array:
        """(n, objectives), every bought metric at its mean."""
        return np.asarray(self.costs(np.zeros((1, len(self.bought))))[0])

    def excess(self) -> Array:
        """(n,) how far the expected metrics lie beyond the limits, as distances."""
        over = np.zeros(len(self.exact.params))
        for limit, (scale, mean, _) in self._limited():
            over += np.maximum(_beyond(limit, scale, mean), 0)
        return over

    def chance(self) -> Array:
        """(n,) the probability that all limits on bought metrics hold."""
        found = np.ones(len(self.exact.params))
        for limit, (scale, mean, deviation) in self._limited():
            found *= norm.cdf(-_beyond(limit, scale, mean) / deviation)
        return found

    def _limited(self) -> list[tuple[Limit, tuple[Scale, Array, Array]]]:
        return [(limit, self.bought[limit.name]) for limit in self.plan.limits if limit.name in self.bought]


def _beyond(limit: Limit, scale: Scale, mean: Array) -> Array:
    less_is_inside = limit.at_most != scale.objective.maximise
    over = mean - scale.distance(limit.value)
    return np.asarray(over if less_is_inside else -over)


@dataclass(frozen=True)
class SurrogateModel:
    """A model of each bought metric, and the arithmetic for the rest."""

    plan: Plan
    features: Features
    models: dict[str, tuple[Scale, GaussianProcess]]

    def of(self, codes: Codes, *, deviations: bool = True) -> Prediction:
        """What to expect of codes (n, choices); `deviations` cost more than means, and are zero if not asked for."""
        bought = {}
        if self.models:
            points = self.features.of(codes)
            for name, (scale, model) in self.models.items():
                found = model.predict(points) if deviations else (model.mean(points), np.zeros(len(codes)))
                bought[name] = (scale, *found)
        return Prediction(self.plan, self.plan.space.costs(codes), bought)

    def believing(self, codes: Codes) -> "SurrogateModel":
        """As if these had been measured and had come out as expected."""
        if not self.models or not len(codes):
            return self
        points = self.features.of(codes)
        models = {name: (scale, model.believing(points)) for name, (scale, model) in self.models.items()}
        return SurrogateModel(self.plan, self.features, models)
