"""Successive halving over candidates, and re-evaluation of the front: the real store, and a known score."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from toy import TOY, toy_plan

from mvsearch.errors import PlanError, StudyError
from mvsearch.metrics.pareto import Objective, front, hypervolume, places
from mvsearch.metrics.record import EvaluationFailed, Record
from mvsearch.report.table import tally
from mvsearch.study.executors.progress import check_finished
from mvsearch.study.plan import Plan
from mvsearch.study.reader import Reader
from mvsearch.study.reevaluation import MAX_REPLICATES, needs_reevaluation, replicates
from mvsearch.study.storage.store import Store
from mvsearch.study.study import Study

RUNGS = TOY + "proxy: {steps: 300, rungs: [30, 100], keep: 0.5}\n"
LOSS, PARAMS = Objective.named("loss"), Objective.named("params")


class Trainings:
    """A score whose noise falls with the steps. Counts the trainings by rung and repeat."""

    def __init__(self, noise: float = 0.0) -> None:
        self.noise, self.counts = noise, Counter()

    def __call__(self, arch, *, rung=300, repeat=0):
        self.counts[rung, repeat] += 1
        metrics = arch.metrics()
        rng = np.random.default_rng([metrics["params"], metrics["macs"], rung, repeat])
        true = 1e4 / metrics["params"] + 0.3 * (arch.blocks[0].out % 16 == 0)
        return metrics | {"loss": true + 30 / rung + self.noise * rng.normal()}


@pytest.fixture(scope="module")
def halved(tmp_path_factory):
    """The records of a study with rungs whose score has no noise, and its trainings."""
    plan, train = toy_plan(tmp_path_factory.mktemp("halved"), RUNGS), Trainings()
    Study.join(plan).run(train, trials=40)
    return Study.read(plan).records(), train


def test_each_rung_keeps_a_share_of_the_one_before_and_prunes_the_rest_with_its_place(halved):
    records, train = halved
    assert train.counts[30, 0] == 40
    assert 20 <= train.counts[100, 0] <= 30
    assert train.counts[300, 0] < train.counts[100, 0]
    stopped = [record for record in records if record.state == "pruned"]
    assert len(stopped) == 40 - train.counts[300, 0]
    for record in stopped:
        assert "loss" not in record.metrics
        assert record.reason.startswith(f"stopped after {max(map(int, record.metrics['rungs']))} of 300 steps: number ")
    complete = [record for record in records if record.state == "complete"]
    assert all(set(record.metrics["rungs"]) == {"30", "100"} for record in complete)


def test_the_stopped_candidates_are_those_that_add_least(halved):
    """Without noise, no stopped candidate would be on the front of the others."""
    records, _ = halved
    trained = [
        replace(r, state="complete", metrics=r.metrics | {"loss": r.metrics["rungs"]["30"]["loss"] - 1 + 0.1})
        for r in records
    ]
    reference = {"loss": 3.0, "params": 1e5}
    complete = [r for r in trained if records[r.number].state == "complete"]
    assert hypervolume(complete, (LOSS, PARAMS), reference) > 0.98 * hypervolume(trained, (LOSS, PARAMS), reference)


@pytest.mark.parametrize("objectives", [("loss",), ("loss", "params"), ("loss", "params", "macs")])
def test_rungs_halve_whatever_the_number_of_objectives(tmp_path, objectives):
    plan, train = toy_plan(tmp_path, RUNGS, objectives=objectives), Trainings()
    Study.join(plan).run(train, trials=24)

    states = Counter(record.state for record in Study.read(plan).records())
    assert states["failed"] == 0
    assert states["pruned"] >= 6
    assert train.counts[300, 0] == states["complete"] < train.counts[30, 0] == 24


def test_candidates_beyond_the_limits_of_this_run_do_not_count_at_a_rung(tmp_path):
    """The larger networks of an earlier run have better scores than all that are within the limits now."""
    train = Trainings()
    for trials, limits in ((20, ()), (40, ("params <= 15k",))):
        study = Study.join(toy_plan(tmp_path, RUNGS, objectives=("loss",), trials=trials, limits=limits))
        study.run(train)

    states = Counter(record.state for record in study.records()[20:])
    assert states["complete"] >= 5


def test_places_by_a_single_objective_are_its_order():
    rows = [{"loss": 2.0}, {"loss": 1.0}, {"loss": 3.0}]
    assert places(rows, (LOSS,)) == [2, 1, 3]
    top1 = [{"top1": 0.2}, {"top1": 0.9}, {"top1": 0.5}]
    assert places(top1, (Objective.named("top1"),)) == [3, 1, 2]


def test_a_candidate_pruned_after_the_full_training_keeps_its_rungs(tmp_path):
    plan, train = toy_plan(tmp_path, RUNGS, objectives=("params", "macs"), limits=("loss <= 0.5",)), Trainings()

    def evaluate(arch, *, rung=300, repeat=0):
        metrics = train(arch, rung=rung, repeat=repeat)
        if rung == 300:
            plan.check_constraints(metrics)
        return metrics

    Study.join(plan).run(evaluate, trials=20)
    records = Study.read(plan).records()
    refused = [record for record in records if "breaks the limit" in (record.reason or "")]
    assert refused
    assert all(set(record.metrics["rungs"]) == {"30", "100"} for record in refused)
    assert train.counts[300, 0] < 16


def test_a_rung_without_a_number_fails_its_candidate_and_no_other(tmp_path):
    plan, train = toy_plan(tmp_path, RUNGS), Trainings()

    def evaluate(arch, *, rung=300, repeat=0):
        metrics = train(arch, rung=rung, repeat=repeat)
        return metrics | {"loss": float("nan")} if arch.blocks[0].out == 16 and rung == 100 else metrics

    Study.join(plan).run(evaluate, trials=20)
    failed = [record for record in Study.read(plan).records() if record.state == "failed"]
    assert {record.reason for record in failed} == {"the objective loss is nan"}
    assert all(set(record.metrics["rungs"]) == {"30"} for record in failed)


def test_a_run_with_rungs_never_reads_all_records(tmp_path, monkeypatch):
    plan, train = toy_plan(tmp_path, RUNGS), Trainings()
    study = Study.join(plan)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "records", lambda *_: pytest.fail("all records were read"))
        study.run(train, trials=8)
    assert study.count() == 8


def test_a_trial_that_fails_after_a_rung_without_an_objective_does_not_count_at_that_rung(tmp_path):
    plan, train = toy_plan(tmp_path, RUNGS, objectives=("loss", "latency_ms")), Trainings()

    def evaluate(arch, *, rung=300, repeat=0):
        if rung == 100 and train.counts[100, 0] == 1:
            train.counts[100, 0] += 1
            raise EvaluationFailed("crashed")
        return train(arch, rung=rung, repeat=repeat) | {"latency_ms": 1.0}

    Study.join(plan).run(evaluate, trials=12)
    failed = [record for record in Study.read(plan).records() if record.state == "failed"]
    assert [(record.reason, "latency_ms" in record.metrics) for record in failed] == [("crashed", False)]


def test_published_models_are_measured_in_full_whatever_their_place_at_a_rung(tmp_path):
    plan = Plan.load("spaces/fusion.yaml", objectives=("loss", "params"), sampler="random")
    plan = replace(plan, studies=tmp_path, proxy=replace(plan.proxy, rungs=(30,), keep=0.1))
    Study.join(plan).run(Trainings(noise=3.0), trials=16)

    records = Study.read(plan).records()
    assert all(record.state == "complete" for record in records if record.published)
    assert any(record.state == "pruned" for record in records)


def test_the_full_training_of_a_later_study_comes_from_the_cache_of_a_rung(tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    Study.join(replace(toy_plan(tmp_path, RUNGS), storage=url)).run(Trainings(), trials=12)
    short = replace(toy_plan(tmp_path, TOY + "proxy: {steps: 100}\n"), name="short", storage=url)
    train = Trainings()
    Study.join(short).run(lambda arch: train(arch, rung=100), trials=12)

    records = Reader("short", Store(url, create=False)).records()
    assert sum(record.cached for record in records) == 12 - sum(train.counts.values()) > 0


def test_a_rung_measured_before_the_worker_ended_is_not_measured_again(tmp_path):
    plan, train = toy_plan(tmp_path, RUNGS), Trainings()

    def interrupt(arch, *, rung=300):
        if rung == 100:
            raise KeyboardInterrupt
        return train(arch, rung=rung)

    with pytest.raises(KeyboardInterrupt):
        Study.join(plan).run(interrupt, trials=3)
    Study.join(plan).run(train, trials=3)
    assert train.counts[30, 0] == 3


@pytest.mark.parametrize(
    ("proxy", "key"),
    [
        ("{rungs: [50, 30]}", "proxy.rungs"),
        ("{rungs: [600]}", "proxy.rungs"),
        ("{rungs: [0]}", "proxy.rungs"),
        ("{rungs: 30}", "proxy.rungs"),
        ("{rungs: [a]}", "proxy.rungs"),
        ("{keep: 0}", "proxy.keep"),
        ("{keep: 2}", "proxy.keep"),
    ],
)
def test_invalid_rungs_are_an_error_with_their_place(tmp_path, proxy, key):
    with pytest.raises(PlanError) as error:
        toy_plan(tmp_path, f"{TOY}proxy: {proxy}\n")
    assert (error.value.file, error.value.line, error.value.key) == ("toy.yaml", 12, key)


def test_places_follow_the_front_then_the_hypervolume_contribution():
    rows = [
        {"loss": 1.0, "params": 4},  # on the front, at its end
        {"loss": 2.0, "params": 3.9},  # on the front, adds a sliver
        {"loss": 3.0, "params": 1},  # on the front
        {"loss": 3.5, "params": 3.95},  # dominated by two
        {"loss": 2.5, "params": 4.5},  # dominated
    ]
    found = places(rows, (LOSS, PARAMS))
    assert sorted(found[:3]) == [1, 2, 3]
    assert found[1] == 3
    assert set(found[3:]) == {4, 5}


# ---- re-evaluation


def test_the_front_is_measured_until_noise_cannot_change_it(tmp_path):
    plan, train = toy_plan(tmp_path, confirm=True), Trainings(noise=0.05)
    Study.join(plan).run(train, trials=20)

    records = Study.read(plan).records()
    best = front(records, plan.objectives)
    assert needs_reevaluation(records, plan.objectives) == []
    for record in best:
        losses = [repeat["loss"] for repeat in replicates(record)]
        assert 2 <= len(losses) <= MAX_REPLICATES
        assert record.metrics["loss"] == pytest.approx(np.mean(losses))
        assert record.metrics["loss_sem"] == pytest.approx(np.std(losses, ddof=1) / np.sqrt(len(losses)))
    assert sum(n for (_, repeat), n in train.counts.items() if repeat == 0) == 20
    assert any(len(replicates(record)) == 1 for record in records)


def test_without_noise_two_measurements_are_enough(tmp_path):
    plan, train = toy_plan(tmp_path, confirm=True), Trainings()
    Study.join(plan).run(train, trials=20)

    records = Study.read(plan).records()
    members = {record.number for record in front(records, plan.objectives)}
    assert {record.number: len(replicates(record)) for record in records} == {
        record.number: 2 if record.number in members else 1 for record in records
    }


def test_a_second_reevaluation_measures_nothing_and_a_larger_study_continues_from_the_means(tmp_path):
    plan, train = toy_plan(tmp_path, confirm=True, sampler="surrogate"), Trainings(noise=0.05)
    Study.join(plan).run(train, trials=12)
    before = train.counts.copy()
    Study.join(plan).run(train, trials=12)
    assert train.counts == before

    study = Study.join(plan)
    study.run(train, trials=13)
    means = {record.number: record.metrics["loss"] for record in study.records()[:12]}
    seen = study.scheduler.sampler.trials[:12]
    assert {trial.number: trial.values[0] for trial in seen} == means


def test_a_failed_reevaluation_is_recorded_and_tried_again_by_the_next_run(tmp_path):
    plan = toy_plan(tmp_path, confirm=True)
    train = Trainings()

    def fail(arch, *, repeat=0):
        if repeat:
            raise EvaluationFailed("the training loss became nan at step 3 of 300")
        return train(arch)

    Study.join(plan).run(fail, trials=8)
    members = front(Study.read(plan).records(), plan.objectives)
    assert {record.metrics["unconfirmed"] for record in members} == {"the training loss became nan at step 3 of 300"}
    assert f"{members[0].number} (the training loss became nan at step 3 of 300)" in tally(members, members)

    Study.join(plan).run(train, trials=8)
    members = front(Study.read(plan).records(), plan.objectives)
    assert not any("unconfirmed" in record.metrics for record in members)
    assert all(len(replicates(record)) == 2 for record in members)


def test_a_reevaluation_without_a_number_leaves_the_score_as_it_was(tmp_path):
    plan = toy_plan(tmp_path, confirm=True)
    Study.join(plan).run(lambda arch, *, repeat=0: Trainings()(arch) | ({"loss": math.nan} if repeat else {}), trials=8)

    members = front(Study.read(plan).records(), plan.objectives)
    assert {record.metrics["unconfirmed"] for record in members} == {"the objective loss is nan"}
    assert all(len(replicates(record)) == 1 for record in members)


@pytest.mark.parametrize(("more", "name"), [("", "repeat"), ("proxy: {rungs: [30]}", "rung")])
def test_an_evaluation_without_a_needed_argument_is_an_error_before_it_is_called(tmp_path, more, name):
    plan = toy_plan(tmp_path, f"{TOY}{more}\n", confirm=not more)
    with pytest.raises(StudyError, match=f"with {name}="):
        Study.join(plan).run(lambda arch: pytest.fail("called"))


def test_exact_objectives_are_not_reevaluated(tmp_path):
    plan, train = toy_plan(tmp_path, objectives=("params", "macs"), confirm=True), Trainings()
    Study.join(plan).run(lambda arch: arch.metrics(), trials=8)
    assert train.counts == Counter()


def record(number: int, params: int, *losses: float) -> Record:
    replicates = [{"loss": loss} for loss in losses]
    metrics = {"params": params, "loss": float(np.mean(losses)), "repeats": replicates}
    return Record(number, f"k{number}", "complete", None, metrics, {}, {}, None, 1.0)


def test_only_gaps_that_decide_membership_count():
    small, large = record(0, 100, 2.0, 2.1), record(1, 200, 1.0, 1.1)
    worse = record(2, 300, 1.08, 1.09)  # dominated by `large`, by less than its noise
    assert needs_reevaluation([small, large], (LOSS, PARAMS)) == []
    assert [r.number for r in needs_reevaluation([small, large, worse], (LOSS, PARAMS))] == [1]


def test_the_noise_of_both_counts_where_both_are_on_the_front():
    pair = [record(0, 100, 1.12, 1.12, 1.12), record(1, 200, 1.05, 0.95)]
    deviation = math.sqrt(0.005 / 3)  # pooled: three degrees of freedom
    assert needs_reevaluation(pair, (LOSS, PARAMS)) == []
    near = [record(0, 100, 1.031, 1.031, 1.031), record(1, 200, 1.05, 0.95)]
    assert deviation / math.sqrt(2) < 0.031 < deviation * math.sqrt(1 / 2 + 1 / 3)
    assert [r.number for r in needs_reevaluation(near, (LOSS, PARAMS))] == [0, 1]


def test_an_error_of_a_re_evaluation_is_told_unless_another_worker_ended_it(tmp_path):
    """All trials are finished, so their number does not show it."""
    plan = toy_plan(tmp_path, confirm=True, trials=5)
    Study.join(plan).run(Trainings())
    reader = Study.read(plan)

    check_finished(plan, reader, ["gone"], succeeded=True)
    with pytest.raises(StudyError, match="gone"):
        check_finished(plan, reader, ["gone"], succeeded=False)
