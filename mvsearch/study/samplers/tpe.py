"""Optuna's tree-structured Parzen estimator, choices modelled together; for some tens to hundreds of trials."""

import optuna

from mvsearch.study.plan import Plan
from mvsearch.study.samplers._anew import Reseeded


def make(plan: Plan, seed: int) -> optuna.samplers.BaseSampler:
    """Multivariate: the univariate default proposes two duplicates in three with several objectives."""
    return Reseeded(_made, seed)


def _made(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(multivariate=True, constant_liar=True, n_startup_trials=10, seed=seed)
