"""Optuna's Gaussian process with expected hypervolume improvement: careful, and about a second a proposal."""

import warnings

import optuna

from mvsearch.plan import Plan
from mvsearch.samplers._anew import Anew


def make(plan: Plan, seed: int) -> optuna.samplers.BaseSampler:
    """Random until ten trials are known."""
    return Anew(_made, seed)


def _made(seed: int) -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.GPSampler(n_startup_trials=10, seed=seed)
