"""How much each choice decides about each objective: functional ANOVA (Hutter et al. 2014), as Optuna computes it.

What arithmetic prices is asked of points drawn from the whole space; what had to be trained, of the study's trials,
with resamples of them to tell how far the answer is to be believed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from mvsearch.metrics.pareto import Objective, comparable
from mvsearch.metrics.record import Record
from mvsearch.space.search_space import SearchSpace
from mvsearch.space.variables import Choice

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FEWEST = 10
"""With fewer trials nothing is said."""

ENOUGH = 10
"""Trials a choice: with fewer, what is said is a hint."""

MOST = 500
"""Of more trials so many are drawn: time and memory grow with them, and the answer hardly changes."""

RESAMPLES = 8
DRAWN = 300
"""Points of the space that are priced."""

_PRICED = ("params", "macs", "macs_paper")


@dataclass(frozen=True)
class Share:
    """The share of an objective's variance that one choice alone explains, 0 to 1; the rest is what they do together.

    PED-ANOVA knows no such rest: its shares add up to 1. `low` and `high` are the least and the greatest over resamples
    of the trials; for prices all three are one.
    """

    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Importance:
    """What each choice explains of one objective, over `points` of the `known`.

    `missing` says why nothing is known, and `shares` is empty then.
    """

    objective: str
    method: str
    priced: bool
    points: int
    known: int
    shares: Mapping[str, Share]
    missing: str = ""


Tell = Callable[[float, int], None]
"""Is told how many of how many objectives are done, the one under way in parts."""


def importances(
    space: SearchSpace, records: Sequence[Record], objectives: Sequence[Objective], *, tell: Tell = lambda *_: None
) -> list[Importance]:
    """One for each objective. Same records, same numbers."""
    found = []
    for done, objective in enumerate(objectives):

        def part(share: float, done: int = done) -> None:
            tell(done + share, len(objectives))

        part(0)
        priced = objective.name in _PRICED
        found.append(_priced(space, objective.name) if priced else _learned(space, records, objective, part))
    return found


def method() -> str:
    """The evaluator that is used: fANOVA needs scikit-learn."""
    return "fANOVA" if find_spec("sklearn") else "PED-ANOVA"


def _priced(space: SearchSpace, name: str) -> Importance:
    codes = space.sample(DRAWN, 0)
    values = np.asarray(getattr(space.costs(codes), name), dtype=float)
    if not np.ptp(values):
        return _unknown(name, len(values), f"{name} is the same all over the space.")
    shares = _shares(space.choices, codes.tolist(), values.tolist())
    return Importance(
        name, method(), True, len(values), len(values), {key: Share(s, s, s) for key, s in shares.items()}
    )


def _learned(
    space: SearchSpace, records: Sequence[Record], objective: Objective, tell: Callable[[float], None]
) -> Importance:
    known, rng = comparable(records, [objective]), np.random.default_rng(0)
    rows = [known[i] for i in sorted(rng.permutation(len(known))[:MOST])]
    values = np.array([float(row.metrics[objective.name]) for row in rows])
    if len(rows) < FEWEST:
        return _unknown(objective.name, len(rows), f"{len(rows)} measured trials are too few; {FEWEST} are the least.")
    if not np.ptp(values):
        return _unknown(objective.name, len(rows), f"all {len(rows)} trials came out the same.")
    codes = np.array([space.codes(row.choices) for row in rows])
    found = [_shares(space.choices, codes.tolist(), values.tolist())]
    for done, drawn in enumerate(rng.integers(len(rows), size=(RESAMPLES, len(rows))), 1):
        tell(done / (1 + RESAMPLES))
        if np.ptp(values[drawn]):
            found.append(_shares(space.choices, codes[drawn].tolist(), values[drawn].tolist()))
    spread = {name: [shares[name] for shares in found] for name in found[0]}
    return Importance(
        objective.name,
        method(),
        False,
        len(rows),
        len(known),
        {name: Share(shares[0], min(shares), max(shares)) for name, shares in spread.items()},
    )


def _unknown(name: str, points: int, why: str) -> Importance:
    return Importance(name, method(), False, points, points, {}, why)


def _shares(choices: Sequence[Choice], codes: Sequence[Sequence[int]], values: Sequence[float]) -> dict[str, float]:
    """The share of each choice, by name; `codes` are rows of indices into the choices' values."""
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances

    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    distributions = {choice.name: _distribution(choice) for choice in choices if len(choice.values) > 1}
    study = optuna.create_study()
    for row, value in zip(codes, values, strict=True):
        point: dict[str, Any] = {choice.name: code for choice, code in zip(choices, row, strict=True)}
        params = {name: point[name] for name in distributions}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))
    if method() == "fANOVA":
        # Not get_param_importances: it would share out what choices do together as if each did it alone.
        found = FanovaImportanceEvaluator(seed=0).evaluate(study)
    else:
        found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {choice.name: float(found.get(choice.name, 0.0)) for choice in choices}


def _distribution(choice: Choice) -> "BaseDistribution":
    """Over codes: numbers keep their order, words have none."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    last = len(choice.values) - 1
    return IntDistribution(0, last) if choice.ordered else CategoricalDistribution(tuple(range(last + 1)))
