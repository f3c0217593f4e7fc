"""Optuna's tree-structured Parzen estimator, multivariate; for tens to hundreds of trials."""

from functools import partial

import optuna

from mvsearch.study.plan import Plan
from mvsearch.study.samplers._reseeded import Reseeded


def make(plan: Plan, seed: int) -> optuna.samplers.BaseSampler:
    """Multivariate, because with several objectives two of three proposals of the univariate default are duplicates."""
    tpe = partial(optuna.samplers.TPESampler, multivariate=True, constant_liar=True, n_startup_trials=10)
    return Reseeded(tpe, seed)
