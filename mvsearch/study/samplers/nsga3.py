"""Optuna's NSGA-III, which spreads by reference directions; for hundreds of trials and more."""

import optuna

from mvsearch.study.plan import Plan
from mvsearch.study.samplers._anew import Reseeded, generation


def make(plan: Plan, seed: int) -> optuna.samplers.BaseSampler:
    """A population that several generations of fit into the study."""
    return Reseeded(lambda seed: optuna.samplers.NSGAIIISampler(population_size=generation(plan), seed=seed), seed)
