"""The importance of choices for each objective."""

from dataclasses import replace

import numpy as np
import pytest
from report_records import TOP1, measured
from toy import toy_space

from mvsearch.metrics.pareto import Objective
from mvsearch.report import importance
from mvsearch.report.importance import importances
from mvsearch.report.variance_shares import Columns, variance_shares


def depth(point: dict) -> float:
    return point["body.depth"] / 10


def sample_records(space, count: int, score) -> list:
    """Records of sampled points with `score(point)` as their top-1."""
    points = [space.point(codes) for codes in space.sample(count, 1)]
    return [measured(i, None, score(point), **point) for i, point in enumerate(points)]


@pytest.mark.parametrize("method", ["fANOVA", "PED-ANOVA"])
def test_the_choice_that_decides_alone_is_the_most_important(monkeypatch, method):
    monkeypatch.setattr(importance, "method", lambda: method)
    space = toy_space()
    (result,) = importances(space, sample_records(space, 60, depth), [TOP1])

    assert max(result.shares, key=lambda name: result.shares[name].share) == "body.depth"
    assert sum(share.share for share in result.shares.values()) == pytest.approx(1)
    assert all(share.low <= share.share <= share.high for share in result.shares.values())
    assert (result.method, result.points, result.priced) == (method, 60, False)


@pytest.mark.parametrize("name", ["top1", "loss"])
def test_what_makes_the_best_trials_is_important_whether_the_score_is_to_be_high_or_low(monkeypatch, name):
    """Without scikit-learn: PED-ANOVA looks at the best tenth alone."""
    monkeypatch.setattr(importance, "method", lambda: "PED-ANOVA")
    space = toy_space()

    def score(point: dict) -> float:
        return 0.5 + 0.3 * (point["body.depth"] == 3) - 0.3 * (point["dim"] == 16)

    records = [
        replace(record, metrics=record.metrics | {"loss": 1 - record.metrics["top1"]})
        for record in sample_records(space, 200, score)
    ]
    (result,) = importances(space, records, [Objective.named(name)])

    assert max(result.shares, key=lambda choice: result.shares[choice].share) == "body.depth"


def test_an_interaction_of_two_choices_is_attributed_to_neither():
    space = toy_space()
    points = [space.point(codes) for codes in space.sample(200, 1)]
    least = {name: min(point[name] for point in points) for name in ("body.depth", "dim")}
    records = sample_records(
        space, 200, lambda p: float((p["body.depth"] > least["body.depth"]) != (p["dim"] > least["dim"]))
    )
    (result,) = importances(space, records, [TOP1])

    assert sum(share.share for share in result.shares.values()) < 0.6


def test_importance_for_a_cost_needs_no_trials():
    (result,) = importances(toy_space(), [], [Objective.named("params")])

    assert result.priced
    assert result.shares["dim"].share > result.shares["stem.out"].share


@pytest.mark.parametrize(("scores", "reason"), [([0.1, 0.2], "2 measured trials"), ([0.5] * 12, "all 12 trials")])
def test_importance_needs_enough_trials_of_different_scores(scores, reason):
    space, values = toy_space(), iter(scores)
    (result,) = importances(space, sample_records(space, len(scores), lambda _: next(values)), [TOP1])

    assert reason in result.missing
    assert not result.shares


def test_of_very_many_trials_a_sample_is_used_and_progress_is_reported(monkeypatch):
    monkeypatch.setattr(importance, "MOST", 40)
    space, reports = toy_space(), []
    records = sample_records(space, 60, depth)
    (result,) = importances(space, records, [TOP1], progress=lambda done, total, _step: reports.append((done, total)))

    assert (result.points, result.known) == (40, 60)
    assert max(result.shares, key=lambda name: result.shares[name].share) == "body.depth"
    assert reports == sorted(reports)
    assert len(reports) == importance.RESAMPLES + 1  # the bar moves with every resample
    assert (result,) == tuple(importances(space, records, [TOP1]))


def test_the_shares_are_those_of_optuna_for_ordered_and_for_other_values():
    optuna = pytest.importorskip("optuna")
    counts, ordered, rng = [2, 5, 3], [True, True, False], np.random.default_rng(0)
    codes = np.stack([rng.integers(count, size=40) for count in counts], axis=1)
    values = codes[:, 1] + 2.0 * (codes[:, 2] == 1) + codes[:, 0] * codes[:, 1] + 0.1 * rng.normal(size=40)
    distributions = {
        name: optuna.distributions.IntDistribution(0, count - 1)
        if by_size
        else optuna.distributions.CategoricalDistribution(tuple(range(count)))
        for name, count, by_size in zip("abc", counts, ordered, strict=True)
    }
    study = optuna.create_study()
    for row, value in zip(codes.tolist(), values.tolist(), strict=True):
        params = dict(zip("abc", row, strict=True))
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))
    theirs = optuna.importance.FanovaImportanceEvaluator(seed=0).evaluate(study)

    ours = variance_shares(Columns.for_choices(counts, ordered), codes, values)
    assert ours == pytest.approx([theirs[name] for name in "abc"], rel=1e-9)
