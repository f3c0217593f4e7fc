"""How far a study's proxy is to be believed: does it rank the published models as ImageNet does?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvsearch import models
from mvsearch.pareto import Objective, comparable, scores
from mvsearch.record import Record

FEWEST = 4
"""Of so few models there are six pairs; below, a rank correlation says nothing."""

_RESAMPLES = 2000


@dataclass(frozen=True)
class Trust:
    """Kendall's tau-b between the proxy's score and the ImageNet-1k Top-1 that the papers print.

    `models` are (published name, proxy score, printed Top-1 in %, parameters). `tau` is None where there are too few of
    them; `low` to `high` is the 95 % percentile interval over resamples of the models. `baseline` is the tau of the
    number of parameters, which costs no training: a proxy has to do better.
    """

    score: str | None
    models: tuple[tuple[str, float, float, int], ...]
    tau: float | None = None
    low: float | None = None
    high: float | None = None
    baseline: float | None = None


def trust(records: Sequence[Record], objectives: Sequence[Objective]) -> Trust:
    """What is known of the study's own score from the published models that it evaluated; each counts once."""
    score = next((objective for objective in objectives if objective.name in scores()), None)
    if score is None:
        return Trust(None, ())
    known = {record.published: record for record in comparable(records, [score]) if _printed(record.published)}
    rows = tuple(
        (str(name), float(r.metrics[score.name]), _printed(name) or 0.0, models.published(str(name)).cost().params)
        for name, r in known.items()
    )
    if len(rows) < FEWEST:
        return Trust(score.name, rows)
    pairs = np.array([(-score.cost(value), printed) for _, value, printed, _ in rows])
    tau = _tau(pairs)
    if math.isnan(tau):  # all scores are one
        return Trust(score.name, rows)
    drawn = np.random.default_rng(0).integers(len(pairs), size=(_RESAMPLES, len(pairs)))
    found = [tau for tau in (_tau(pairs[rows_]) for rows_ in drawn) if not math.isnan(tau)]
    low, high = np.quantile(found, [0.025, 0.975])
    size = _tau(np.array([(params, printed) for _, _, printed, params in rows]))
    return Trust(score.name, rows, tau, float(low), float(high), None if math.isnan(size) else size)


def _printed(name: str | None) -> float | None:
    """The Top-1 of the paper's own recipe; figures for other batch sizes and fewer epochs are not comparable."""
    return models.model(name).figures.get("top1") if name in models.model_names() else None


def _tau(pairs: NDArray[np.float64]) -> float:
    """Kendall's tau-b by counting pairs: 7 models are 21, and resamples are many."""
    x, y = (np.sign(column[:, None] - column[None]) for column in pairs.T)
    norm = math.sqrt(float((x != 0).sum()) * float((y != 0).sum()))
    return float((x * y).sum()) / norm if norm else math.nan
