"""Optuna's NSGA-III, with reference directions; for hundreds of trials and more."""

from functools import partial

import optuna

from mvsearch.study.plan import Plan
from mvsearch.study.samplers._reseeded import Reseeded, population_size


def make(plan: Plan, seed: int) -> optuna.samplers.BaseSampler:
    """A population small enough for several generations within the study."""
    return Reseeded(partial(optuna.samplers.NSGAIIISampler, population_size=population_size(plan)), seed)
