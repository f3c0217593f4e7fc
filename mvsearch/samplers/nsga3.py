"""Optuna's NSGA-III, which spreads a generation along fixed directions; for hundreds of trials and more."""

import optuna

from mvsearch.plan import Plan


def make(plan: Plan, seed: int) -> optuna.samplers.BaseSampler:
    """A population of a tenth of the trials, 10 to 50: a study shorter than its first generation is a random search."""
    return optuna.samplers.NSGAIIISampler(population_size=min(50, max(10, plan.search.trials // 10)), seed=seed)
