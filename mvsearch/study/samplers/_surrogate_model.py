"""Predictions for points that have not been evaluated: exact static costs, and models of the expensive metrics."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.cost import Cost
from mvsearch.metrics.constraints import Constraint
from mvsearch.metrics.registry import STATIC_COSTS
from mvsearch.space.search_space import Codes
from mvsearch.study.plan import Plan
from mvsearch.study.samplers._features import Features
from mvsearch.study.samplers._gaussian_process import GaussianProcess
from mvsearch.study.samplers._observations import Scale

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Prediction:
    """The exact costs of some points, and for each expensive metric its scale, expected distances and deviations."""

    plan: Plan
    exact: Cost
    expensive: dict[str, tuple[Scale, Array, Array]]

    def costs(self, z: Array) -> Array:
        """(levels, n, objectives), lower is better; expensive metrics are `z` (levels, metrics) deviations off."""
        out = np.empty((len(z), len(self.exact.params), len(self.plan.objectives)))
        offsets = dict(zip(self.expensive, z.T, strict=False))
        for i, objective in enumerate(self.plan.objectives):
            if objective.name in STATIC_COSTS:
                out[:, :, i] = getattr(self.exact, objective.name)
            else:
                scale, mean, deviation = self.expensive[objective.name]
                out[:, :, i] = scale.cost(mean + offsets[objective.name][:, None] * deviation)
        return out

    def expected(self) -> Array:
        """(n, objectives), with every expensive metric at its mean."""
        return np.asarray(self.costs(np.zeros((1, len(self.expensive))))[0])

    def bounds(self) -> Array:
        """(objectives,) the costs beyond which values of expensive metrics are outliers; infinite if there are none."""
        return np.array([self._bound(objective.name) for objective in self.plan.objectives])

    def _bound(self, name: str) -> float:
        scale = self.expensive[name][0] if name in self.expensive else None
        return math.inf if scale is None or math.isinf(scale.knee) else float(scale.cost(scale.knee))

    def excess(self) -> Array:
        """(n,) how far the expected metrics exceed their constraints, as distances."""
        over = np.zeros(len(self.exact.params))
        for limit, (scale, mean, _) in self._constrained_metrics():
            over += np.maximum(_beyond(limit, scale, mean), 0)
        return over

    def feasibility(self) -> Array:
        """(n,) the probability that all constraints on expensive metrics are satisfied."""
        probability = np.ones(len(self.exact.params))
        if not (constrained := self._constrained_metrics()):
            return probability
        from scipy.special import ndtr

        for limit, (scale, mean, deviation) in constrained:
            probability *= ndtr(-_beyond(limit, scale, mean) / deviation)
        return probability

    def _constrained_metrics(self) -> list[tuple[Constraint, tuple[Scale, Array, Array]]]:
        return [(limit, self.expensive[limit.name]) for limit in self.plan.limits if limit.name in self.expensive]


def _beyond(limit: Constraint, scale: Scale, mean: Array) -> Array:
    less_is_inside = limit.at_most != scale.objective.maximise
    over = mean - scale.distance(limit.value)
    return np.asarray(over if less_is_inside else -over)


@dataclass(frozen=True)
class SurrogateModel:
    """A Gaussian process for each expensive metric."""

    plan: Plan
    features: Features
    models: dict[str, tuple[Scale, GaussianProcess]]

    def of(self, codes: Codes, *, deviations: bool = True) -> Prediction:
        """The prediction for codes (n, choices); without `deviations`, which take longer than means, they are zero."""
        expensive, cost = {}, self.features.space.costs(codes)
        if self.models:
            points = self.features.of(codes, cost)
            for name, (scale, model) in self.models.items():
                moments = model.predict(points) if deviations else (model.mean(points), np.zeros(len(codes)))
                expensive[name] = (scale, *moments)
        return Prediction(self.plan, cost, expensive)

    def condition_on(self, codes: Codes) -> "SurrogateModel":
        """The model conditioned on these points having their expected values."""
        if not self.models or not len(codes):
            return self
        points = self.features.of(codes)
        models = {name: (scale, model.condition_on(points)) for name, (scale, model) in self.models.items()}
        return SurrogateModel(self.plan, self.features, models)
