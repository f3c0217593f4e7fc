"""The importance of each choice for each objective: functional ANOVA (Hutter et al. 2014), as Optuna defines it.

For costs in closed form it is computed over points sampled from the whole space; for measured objectives over the
study's trials, with resamples of them to show how uncertain it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mvsearch.metrics.pareto import Objective, comparable
from mvsearch.metrics.record import Record
from mvsearch.metrics.registry import STATIC_COSTS
from mvsearch.report.variance_shares import Columns, variance_shares
from mvsearch.space.search_space import Codes, SearchSpace
from mvsearch.space.variables import Choice
from mvsearch.utils.progress import Progress, no_progress

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FEWEST = 10
"""The fewest trials for which importance is computed."""

ENOUGH = 10
"""Trials per choice; with fewer, the importance is only a hint."""

MOST = 500
"""Of more trials, this many are sampled: time and memory grow with them, and the result hardly changes."""

RESAMPLES = 8
POINTS = 300
"""Points of the space whose cost is computed."""


@dataclass(frozen=True)
class VarianceShare:
    """The share of an objective's variance that one choice alone explains, 0 to 1; the rest are interactions.

    PED-ANOVA has no such rest: its shares add up to 1. `low` and `high` are the minimum and the maximum over resamples
    of the trials; for costs in closed form all three are equal.
    """

    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Importance:
    """What each choice explains of one objective, over `points` of the `known` trials.

    `priced` is true for a cost in closed form. Without a result, `missing` is the reason and `shares` is empty.
    """

    objective: str
    method: str
    priced: bool
    points: int
    known: int
    shares: Mapping[str, VarianceShare]
    missing: str = ""


def importances(
    space: SearchSpace,
    records: Sequence[Record],
    objectives: Sequence[Objective],
    *,
    progress: Progress = no_progress,
) -> list[Importance]:
    """One for each objective. The same records give the same numbers."""
    results = []
    for done, objective in enumerate(objectives):

        def report(share: float, done: int = done) -> None:
            progress(done + share, len(objectives), "importance of choices")

        report(0)
        in_closed_form = objective.name in STATIC_COSTS
        results.append(
            _of_cost(space, objective.name) if in_closed_form else _of_trials(space, records, objective, report)
        )
    return results


def method() -> str:
    """The evaluator in use: fANOVA needs scikit-learn."""
    return "fANOVA" if find_spec("sklearn") else "PED-ANOVA"


def _of_cost(space: SearchSpace, name: str) -> Importance:
    codes = space.sample(POINTS, 0)
    values = np.asarray(getattr(space.costs(codes), name), dtype=float)
    if not np.ptp(values):
        return _unknown(name, len(values), f"{name} is the same everywhere in the space.")
    shares = _shares(space.choices, codes, values)
    return Importance(
        name, method(), True, len(values), len(values), {key: VarianceShare(s, s, s) for key, s in shares.items()}
    )


def _of_trials(
    space: SearchSpace, records: Sequence[Record], objective: Objective, report: Callable[[float], None]
) -> Importance:
    known, rng = comparable(records, [objective]), np.random.default_rng(0)
    rows = [known[i] for i in sorted(rng.permutation(len(known))[:MOST])]
    values = np.array([objective.cost(row.metrics[objective.name]) for row in rows])  # PED-ANOVA: low is good
    if len(rows) < FEWEST:
        return _unknown(objective.name, len(rows), f"{len(rows)} measured trials are too few; {FEWEST} are needed.")
    if not np.ptp(values):
        return _unknown(objective.name, len(rows), f"all {len(rows)} trials have the same value.")
    codes = np.array([space.codes(row.choices) for row in rows])
    resamples = [_shares(space.choices, codes, values)]
    for done, sample in enumerate(rng.integers(len(rows), size=(RESAMPLES, len(rows))), 1):
        report(done / (1 + RESAMPLES))
        if np.ptp(values[sample]):
            resamples.append(_shares(space.choices, codes[sample], values[sample]))
    spread = {name: [resample[name] for resample in resamples] for name in resamples[0]}
    shares = {name: VarianceShare(row[0], min(row), max(row)) for name, row in spread.items()}
    return Importance(objective.name, method(), False, len(rows), len(known), shares)


def _unknown(name: str, points: int, reason: str) -> Importance:
    return Importance(name, method(), False, points, points, {}, reason)


def _shares(choices: Sequence[Choice], codes: Codes, values: NDArray[np.float64]) -> dict[str, float]:
    """The share of each choice, by name; `codes` are rows of indices into the choices' values."""
    if method() != "fANOVA":
        return _ped_anova(choices, codes.tolist(), values.tolist())
    # By name, as Optuna orders them: a forest depends on the order of its columns.
    varied = sorted((i for i, choice in enumerate(choices) if len(choice.values) > 1), key=lambda i: choices[i].name)
    columns = Columns.for_choices([len(choices[i].values) for i in varied], [choices[i].ordered for i in varied])
    shares = variance_shares(columns, codes[:, varied], values)
    return dict.fromkeys((choice.name for choice in choices), 0.0) | {
        choices[i].name: share for i, share in zip(varied, shares, strict=True)
    }


def _ped_anova(choices: Sequence[Choice], codes: Sequence[Sequence[int]], values: Sequence[float]) -> dict[str, float]:
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    distributions = {choice.name: _distribution(choice) for choice in choices if len(choice.values) > 1}
    study = optuna.create_study()
    for row, value in zip(codes, values, strict=True):
        point: dict[str, Any] = {choice.name: code for choice, code in zip(choices, row, strict=True)}
        params = {name: point[name] for name in distributions}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))
    importance = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {choice.name: float(importance.get(choice.name, 0.0)) for choice in choices}


def _distribution(choice: Choice) -> "BaseDistribution":
    """Over codes: numbers are ordered, words are not."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    last = len(choice.values) - 1
    return IntDistribution(0, last) if choice.ordered else CategoricalDistribution(tuple(range(last + 1)))
