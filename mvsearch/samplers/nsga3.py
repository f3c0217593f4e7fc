"""Optuna's NSGA-III, which spreads by reference directions; for hundreds of trials and more."""

import warnings

import optuna

from mvsearch.plan import Plan
from mvsearch.samplers._anew import Anew


def make(plan: Plan, seed: int) -> optuna.samplers.BaseSampler:
    """A population of a tenth of the trials, 10 to 50, as for NSGA-II."""
    population = min(50, max(10, plan.search.trials // 10))
    return Anew(lambda seed: _made(population, seed), seed)


def _made(population: int, seed: int) -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.NSGAIIISampler(population_size=population, seed=seed)
