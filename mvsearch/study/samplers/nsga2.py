"""Optuna's NSGA-II; for hundreds of trials and more."""

import optuna

from mvsearch.study.plan import Plan
from mvsearch.study.samplers._anew import Reseeded, generation


def make(plan: Plan, seed: int) -> optuna.samplers.BaseSampler:
    """A population that several generations of fit into the study."""
    return Reseeded(lambda seed: optuna.samplers.NSGAIISampler(population_size=generation(plan), seed=seed), seed)
