"""A study that predicts latency: what is measured, what is predicted, and that the front is measured."""

import random
from dataclasses import replace

import numpy as np
import pytest
from toy import TOY, toy_plan

from mvsearch.errors import DeviceUnavailable, PlanError, StudyError
from mvsearch.metrics.latency_text import predicted_note
from mvsearch.metrics.pareto import front
from mvsearch.metrics.record import EvaluationFailed
from mvsearch.study.archive import lines, restore
from mvsearch.study.latency_prediction import LatencyPredictor, design, spread_out
from mvsearch.study.plan import Plan
from mvsearch.study.reevaluation import replicates
from mvsearch.study.study import Study

PREDICT = TOY + "latency: {predict: 8}\n"
OBJECTIVES = ("loss", "latency_ms")


class Bench:
    """An evaluation by arithmetic, which counts the measurements of latency."""

    def __init__(self, law=lambda metrics: metrics["macs"] ** 0.8 / 1e4):
        self.law, self.measured = law, []

    def __call__(self, arch, *, rung=None, repeat=0, known=None, only=None):
        metrics = arch.metrics()
        if only is not None:
            return self.latency(arch)
        latency = known["latency"] if known else self.latency(arch)
        return {**metrics, "loss": 1e6 / metrics["params"], **latency}

    def latency(self, arch):
        self.measured.append(arch.key)
        ms = self.law(arch.metrics())
        conditions = {"latency_backend": "toy", "latency_device": "cpu: toy"}
        return {"latency_ms": ms, "latency_low_ms": ms, "latency_high_ms": ms, **conditions}


def run(folder, bench, trials=24, **search):
    plan = toy_plan(folder, PREDICT, **{"objectives": OBJECTIVES, "trials": trials, **search})
    Study.join(plan).run(bench)
    return Study.read(plan)


def test_members_of_the_front_are_measured_and_most_others_are_predicted_within_their_interval(tmp_path):
    bench = Bench()
    study = run(tmp_path, bench)
    predicted = [record for record in study.records() if record.metrics.get("latency_predicted")]
    assert len(predicted) >= 5
    assert len(bench.measured) == 8 + 24 - len(predicted)
    truth = [bench.law(record.metrics) for record in predicted]
    inside = [
        r.metrics["latency_low_ms"] <= ms <= r.metrics["latency_high_ms"]
        for r, ms in zip(predicted, truth, strict=True)
    ]
    assert sum(inside) >= 0.8 * len(inside)
    assert all(abs(r.metrics["latency_ms"] / ms - 1) < 0.1 for r, ms in zip(predicted, truth, strict=True))
    assert {r.metrics["latency_device"] for r in predicted} == {"cpu: toy"}

    assert not any(record.metrics.get("latency_predicted") for record in front(study.records(), study.objectives))
    note = predicted_note([r.metrics for r in study.records()])
    assert note.startswith(f"{len(predicted)} of 24 latencies are predicted (~)")
    assert f"{24 - len(predicted)} are in its interval" in note


def test_a_latency_that_the_costs_do_not_explain_is_measured(tmp_path):
    bench = Bench(lambda metrics: 1 + hash(str(metrics["params"])) % 97)
    study = run(tmp_path, bench, trials=9)
    assert not any(record.metrics.get("latency_predicted") for record in study.records())
    assert "9 because the interval is wider than 10 %" in predicted_note([r.metrics for r in study.records()])


def test_a_limit_prunes_by_prediction_only_if_the_whole_interval_is_beyond_it(tmp_path):
    bench = Bench()
    study = run(tmp_path, bench, limits=("latency_ms <= 8",), objectives=("loss", "params"))
    assert not any(member.metrics.get("latency_predicted") for member in front(study.records(), study.objectives))
    for record in study.records():
        low, high = (record.metrics[f"latency_{end}_ms"] for end in ("low", "high"))
        assert (record.state == "pruned") == (bench.law(record.metrics) > 8)
        assert not record.metrics.get("latency_predicted") or not low <= 8 <= high
    pruned = [r for r in study.records() if r.state == "pruned" and r.metrics.get("latency_predicted")]
    assert pruned[0].reason.startswith("predicted latency_ms ")


def test_the_networks_to_predict_from_are_measured_once_for_all_workers_and_runs(tmp_path):
    bench = Bench()
    run(tmp_path, bench, trials=9)
    first = len(bench.measured)
    plan = toy_plan(tmp_path, PREDICT, objectives=OBJECTIVES, trials=10)
    Study.join(plan).run(bench)
    assert len(bench.measured) <= first + 1
    assert len({str(point) for point in design(plan, 8)}) == 8


def test_a_candidate_that_is_a_network_of_the_design_is_neither_predicted_nor_measured_again(tmp_path):
    plan = toy_plan(tmp_path, PREDICT, objectives=OBJECTIVES, limits=("params <= 9k",), trials=100)
    Study.join(plan).run(bench := Bench())
    designed = bench.measured[:8]
    records = [record for record in Study.read(plan).records() if record.key in designed]
    assert len(records) == 8
    assert not any(record.metrics.get("latency_predicted") for record in records)
    assert len(set(bench.measured)) == len(bench.measured)


def test_a_score_is_not_computed_again_where_the_latency_was_predicted_or_the_device_went_away(tmp_path):
    class Phone(Bench):
        def __init__(self):
            super().__init__()
            self.scored, self.away = [], False

        def __call__(self, arch, *, only=None, **options):
            if only is None:
                self.scored.append(arch.key)
            return super().__call__(arch, only=only, **options)

        def latency(self, arch):
            if self.away:
                raise DeviceUnavailable("the phone does not answer")
            return super().latency(arch)

    def join(name, **search):
        plan = toy_plan(tmp_path, PREDICT, objectives=OBJECTIVES, **search)
        return Study.join(replace(plan, name=name, storage=f"sqlite:///{tmp_path / 'shared.db'}"))

    bench = Phone()
    join("one", trials=14).run(bench)
    bench.away = True
    for _ in range(3):
        with pytest.raises(DeviceUnavailable):
            join("one", trials=24).run(bench)
    bench.away = False
    join("one", trials=24).run(bench)
    join("two", trials=24).run(bench)
    assert len(bench.scored) == len(set(bench.scored))
    one, two = ({r.key: r.metrics["loss"] for r in join(name, trials=24).records()} for name in ("one", "two"))
    shared = one.keys() & two.keys()
    assert len(shared) > 14
    assert all(one[key] == two[key] for key in shared)


def test_what_another_worker_finishes_late_is_learned_from_too(tmp_path):
    bench, plan = Bench(), toy_plan(tmp_path, PREDICT, objectives=OBJECTIVES, trials=9)
    one, two = Study.join(plan), Study.join(plan)
    predictor = LatencyPredictor(one, bench.latency)
    predictor.measure_design()
    known = set(bench.measured)
    with one.worker.running(), two.worker.running():
        early, late = two.scheduler.next(9), one.scheduler.next(9)
        for study, candidate in ((one, late), (two, early)):  # the larger number is finished first
            study.save(replace(candidate.record(), metrics=bench(candidate.architecture)))
            known.add(candidate.key)
            assert predictor.predict(late).metrics["latency_measured_networks"] == len(known)


def test_the_front_is_that_within_the_limits_of_this_run(tmp_path):
    Study.join(toy_plan(tmp_path, PREDICT, objectives=OBJECTIVES, trials=9)).run(
        lambda arch, **options: Bench()(arch, **options) | {"loss": 0.0, "latency_ms": 0.1}
    )
    metrics = {"loss": 1.0, "latency_ms": 1.0, "latency_low_ms": 0.9, "latency_high_ms": 1.1, "latency_predicted": True}
    for limits, reached in ((), False), (("params <= 5k",), True):
        study = Study.join(toy_plan(tmp_path, PREDICT, objectives=OBJECTIVES, trials=9, limits=limits))
        assert LatencyPredictor(study, Bench().latency).reaches_front(metrics) == reached
        assert bool(study.within_limits(study.records())) != reached


def test_members_of_the_front_are_measured_whatever_the_limits_of_an_earlier_run(tmp_path):
    run(tmp_path, Bench())
    before = {r.number: bool(r.metrics.get("latency_predicted")) for r in run(tmp_path, Bench()).records()}
    study = run(tmp_path, bench := Bench(), limits=("params <= 20k",))
    members = front(study.within_limits(study.records()), study.objectives)
    assert not any(member.metrics.get("latency_predicted") for member in members)
    new = [member for member in members if before[member.number]]
    assert sorted(member.key for member in new) == sorted(bench.measured) != []
    assert {member.metrics["latency_measured_because"] for member in new} == {"it could be on the front"}


def test_members_of_the_front_are_measured_also_after_re_evaluations(tmp_path):
    class Noisy(Bench):
        def __call__(self, arch, *, repeat=0, **options):
            metrics = super().__call__(arch, repeat=repeat, **options)
            noise = random.Random(f"{arch.key} {repeat}").gauss(0, 20)
            return metrics | {"loss": metrics["loss"] + noise} if "loss" in metrics else metrics

    study = run(tmp_path, Noisy(), trials=40, confirm=True)
    members = front(study.records(), study.objectives)
    assert not any(member.metrics.get("latency_predicted") for member in members)
    assert all(len(replicates(member)) > 1 for member in members)
    assert any(record.metrics.get("latency_predicted") for record in study.records())


def test_a_predicted_member_that_cannot_be_measured_is_told(tmp_path):
    class Broken(Bench):
        def latency(self, arch):
            if len(self.measured) >= 8:
                raise EvaluationFailed("the phone refuses it")
            return super().latency(arch)

    study = run(tmp_path, Broken(), limits=("latency_ms <= 100",), objectives=("loss", "params"))
    members = front(study.records(), study.objectives)
    assert {member.metrics.get("unconfirmed") for member in members} == {"the phone refuses it"}


def test_a_study_that_is_imported_has_the_measurements_to_predict_from(tmp_path):
    study = run(tmp_path, bench := Bench(), trials=9)
    designed = set(bench.measured[:8])
    copy = restore(list(lines(study)), f"sqlite:///{tmp_path / 'copy.db'}")
    plan = Plan.of_study(copy, workers=1)
    Study.join(replace(plan, search=replace(plan.search, trials=10))).run(bench := Bench())
    assert Study.read(plan).count() == 10
    assert not designed & set(bench.measured)


def test_a_known_backend_measures_four_times_as_many_networks_and_more_is_predicted(tmp_path, monkeypatch):
    def law(metrics):
        return metrics["macs"] ** 0.8 / 1e4 * (1 + (metrics["params"] % 7) / 20)

    def measure_on(backend, _settings, arch):
        known.append(arch.key)
        return {"latency_ms": 3 * law(arch.metrics())}

    known = []
    monkeypatch.setattr("mvsearch.study.latency_prediction.measure_on", measure_on)
    monkeypatch.setattr("mvsearch.study.latency_prediction.device_of", lambda *_: "cpu: toy")
    bench, text = Bench(), TOY + "latency: {backend: openvino, predict: 8, known: [torch_cpu]}\n"
    for trials in (9, 10):
        Study.join(toy_plan(tmp_path, text, objectives=OBJECTIVES, trials=trials)).run(bench)
    assert len(known) == len(set(known)) == 32
    assert set(bench.measured[:8]) <= set(known)


def test_networks_to_predict_from_that_cannot_be_measured_are_counted_in_a_warning(tmp_path, caplog):
    class Broken(Bench):
        def latency(self, arch):
            if not self.measured:
                self.measured.append(arch.key)
                raise EvaluationFailed("the first one fails")
            return super().latency(arch)

    run(tmp_path, Broken(), trials=9)
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert warning.args[:2] == (1, 8)


def test_networks_to_predict_from_are_found_where_a_limit_admits_hardly_any():
    def plan(limit):
        return Plan.load("v3_small", name="tight", objectives=("params", "latency_ms"), limits=(limit,))

    tight = plan("params <= 650k")
    points = design(tight, 8)
    assert len(points) == 8
    assert all(tight.space.architecture(point).cost().params <= 650_000 for point in points)
    assert design(plan("params <= 500k"), 8) == []


def test_networks_to_predict_from_lie_far_from_each_other():
    points = np.array([[0.0, 0], [0.1, 0], [5, 0], [0, 5], [5, 5], [2.4, 2.6]])
    first, *corners = spread_out(points, 5)
    assert first == 5
    assert set(corners) == {2, 3, 4, 0}
    assert spread_out(np.zeros((4, 2)), 3) == [0]


@pytest.mark.parametrize(
    ("latency", "search", "value"),
    [
        ("{predict: 0}", {}, "found 0"),
        ("{predict: 4}", {}, "5 or more"),
        ("{predict: 50}", {"trials": 40}, "40 trials"),
        ("{predict: 8}", {"objectives": ("loss", "params")}, "latency_ms"),
        ("{predict: many}", {}, "many"),
        ("{known: [torch_cpu], backend: openvino}", {}, "predict: 20"),
        ("{predict: 8, known: [torch_cpu]}", {}, "found torch_cpu"),
        ("{predict: 8, known: [command]}", {}, "found command"),
        ("{predict: 8, known: [torch_gpu]}", {}, "torch_cpu"),
    ],
)
def test_contradictory_settings_name_the_value_and_the_line(latency, search, value):
    with pytest.raises(PlanError, match=value) as error:
        toy_plan(None, f"{TOY}latency: {latency}\n", **{"objectives": OBJECTIVES, **search})
    assert error.value.line == 12
    assert "\n" not in str(error.value)


def test_an_evaluation_without_the_arguments_is_refused(tmp_path):
    with pytest.raises(StudyError, match=r"latency\.predict"):
        Study.join(toy_plan(tmp_path, PREDICT, objectives=OBJECTIVES)).run(lambda arch: arch.metrics())
