"""Optuna's tree-structured Parzen estimator, multivariate; for tens to hundreds of trials."""

import optuna

from mvsearch.study.plan import Plan
from mvsearch.study.samplers._reseeded import Reseeded


def make(plan: Plan, seed: int) -> optuna.samplers.BaseSampler:
    """Multivariate, because with several objectives two of three proposals of the univariate default are duplicates."""
    return Reseeded(_make_sampler, seed)


def _make_sampler(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(multivariate=True, constant_liar=True, n_startup_trials=10, seed=seed)
