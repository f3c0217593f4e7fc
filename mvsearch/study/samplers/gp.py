"""Optuna's Gaussian process with expected hypervolume improvement: careful, and about a second a proposal."""

import optuna

from mvsearch.study.plan import Plan
from mvsearch.study.samplers._anew import Reseeded


def make(plan: Plan, seed: int) -> optuna.samplers.BaseSampler:
    """Random until ten trials are known."""
    return Reseeded(_made, seed)


def _made(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.GPSampler(n_startup_trials=10, seed=seed)
