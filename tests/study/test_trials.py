"""Trials in Optuna's storage: each written in one transaction, under the number that the claim expects."""

import sqlite3
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from optuna.trial import TrialState
from toy import arithmetic, toy_plan

from mvsearch.errors import DatabaseUnavailable, StudyError
from mvsearch.study.plan import Plan
from mvsearch.study.storage.sampler_study import SamplerStudy
from mvsearch.study.storage.trials import OptunaTrialStore, as_running
from mvsearch.study.study import Study


@pytest.fixture
def plan(storage: str, tmp_path: Path) -> Plan:
    return replace(toy_plan(tmp_path), storage=storage)


def suggest(plan: Plan, trials: OptunaTrialStore):
    sampler = SamplerStudy(plan, {})
    sampler.sync(trials.all(), lambda numbers: {})
    return sampler.suggest()


def test_a_trial_is_written_with_all_its_values_in_one_transaction(plan):
    trials, commits = OptunaTrialStore.open(plan, new=True), []
    sa.event.listen(trials.engine, "commit", lambda connection: commits.append(connection))
    suggested = suggest(plan, trials)
    commits.clear()
    trials.create(0, suggested, worker="w", architecture="a")

    written = sum(1 for _ in commits)
    (trial,) = OptunaTrialStore.open(plan).all()
    assert trial.params == suggested.params
    assert trial.user_attrs == {"worker": "w", "architecture": "a"}
    assert written <= 2  # the insert, and the query for its number


def test_trials_share_what_is_equal_in_all_of_them(plan):
    Study.join(plan).run(arithmetic, trials=3)
    trials = OptunaTrialStore.open(plan).all()
    assert len({id(trial.distributions) for trial in trials}) == 1
    names = [list(trial.params) for trial in trials]
    assert all(one is other for one, other in zip(names[0], names[1], strict=True))


def test_a_trial_that_another_worker_came_before_is_released(plan):
    trials, other = OptunaTrialStore.open(plan, new=True), OptunaTrialStore.open(plan)
    first, second = suggest(plan, trials), suggest(plan, trials)
    other.create(0, first, worker="other", architecture="a")
    with pytest.raises(DatabaseUnavailable):
        trials.create(0, second, worker="mine", architecture="a")

    running, released = trials.all()
    assert (running.state, running.user_attrs["worker"]) == (TrialState.RUNNING, "other")
    assert (released.state, released.user_attrs["worker"]) == (TrialState.FAIL, "mine")
    assert OptunaTrialStore.was_released(released)


@pytest.mark.parametrize("twin", [True, False])
def test_a_number_that_is_taken_costs_no_trial_and_repeats_none(plan, monkeypatch, twin):
    """Optuna writes a trial twice if the answer to the first was lost; another worker comes first if the lock was."""
    study = Study.join(plan)
    store, create = study.trials._storage, study.trials._storage.create_new_trial
    extra = iter([True])

    def create_late(study_id, template):
        if next(extra, False):
            other = template if twin else as_running(template, worker="dead")
            create(study_id, other)
        return create(study_id, template)

    monkeypatch.setattr(store, "create_new_trial", create_late)
    monkeypatch.setattr("mvsearch.study.storage.faults.time.sleep", lambda _: None)
    study.run(arithmetic, trials=8)

    records = study.records()
    assert len(records) == len({record.key for record in records}) == 8
    assert Counter(trial.state.name for trial in study.trials.all()) == {
        "COMPLETE": 8,
        "FAIL": 1 if twin else 2,
    }


def test_a_lost_point_is_due_again_unless_it_is_tried_in_another_trial(tmp_path):
    plan = toy_plan(tmp_path)
    trials = Study.join(plan).trials
    first = suggest(plan, trials)
    trials.create(0, first, worker="w", architecture="a")
    trials.mark_lost(0)
    assert suggest(plan, trials).params == first.params

    trials.create(1, first, worker="w", architecture="a")
    assert suggest(plan, trials).params != first.params


def test_a_lost_twin_of_a_finished_trial_is_not_due_and_a_lost_pair_is_due_once(tmp_path):
    plan = toy_plan(tmp_path)
    trials = Study.join(plan).trials
    first = suggest(plan, trials)
    for number in (0, 1):
        trials.create(number, first, worker="w", architecture="a")
    trials.mark_lost(1)
    seen = SamplerStudy(plan, {})
    seen.sync(trials.all(), lambda numbers: {})
    assert seen.suggest().params != first.params  # trial 0 still runs

    trials.mark_lost(0)
    measured, lost = SamplerStudy(plan, {}), SamplerStudy(plan, {})
    measured.sync(trials.all(), lambda numbers: {0: {"loss": 1.0, "params": 1}} if 0 in numbers else {})
    assert measured.suggest().params != first.params
    lost.sync(trials.all(), lambda numbers: {})
    assert lost.suggest().params == first.params


def test_tables_of_another_version_of_optuna_are_an_error_in_a_sentence(tmp_path):
    plan = toy_plan(tmp_path)
    Study.join(plan)
    with sqlite3.connect(plan.folder / "study.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v99'")
    with pytest.raises(StudyError, match="optuna"):
        Study.join(plan)
