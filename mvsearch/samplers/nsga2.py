"""Optuna's NSGA-II; for hundreds of trials and more."""

import optuna

from mvsearch.plan import Plan
from mvsearch.samplers._anew import Anew


def make(plan: Plan, seed: int) -> optuna.samplers.BaseSampler:
    """A population of a tenth of the trials, 10 to 50: a study shorter than its first generation is a random search."""
    population = min(50, max(10, plan.search.trials // 10))
    return Anew(lambda seed: optuna.samplers.NSGAIISampler(population_size=population, seed=seed), seed)
