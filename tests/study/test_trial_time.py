"""How long trials take: what is estimated before the first one, and what the measured ones make of it."""

from dataclasses import replace

import numpy as np
import pytest
from toy import TOY, arithmetic, toy_plan

from mvsearch import published
from mvsearch.metrics.record import EvaluationFailed, Record
from mvsearch.profiling.measurements import load_measurement
from mvsearch.study.plan import Plan
from mvsearch.study.short_list import REPLICATES, SHORT_LIST
from mvsearch.study.study import Study
from mvsearch.study.target import TARGET_REPLICATES, Target
from mvsearch.study.time_left import TimeLeft
from mvsearch.study.trial_time import TrialTime, estimate

SCORED = TOY + "proxy: {name: train, steps: 2, seeds: 1}\n"


def line(plan, measured_s=None, **words) -> TrialTime:
    """10 s for 30 M MACs, whose overhead at 64 px is 18.75 M; the candidates have 20 to 40 M."""
    macs, seconds, candidates = (np.array(values) for values in ([3e7], [10.0], [2e7, 3e7, 4e7]))
    words = {"source": "", "unit": "seconds", "measured_s": measured_s or {}, **words}
    return TrialTime.fit(plan, macs, seconds, candidates, **words)


def record(number: int, seconds: float, **fields) -> Record:
    fields = {"metrics": {"macs": 3e7}, "published": None, **fields}
    return Record(number, f"k{number}", "complete", None, choices={}, architecture={}, seconds=seconds, **fields)


def test_seconds_follow_macs_with_an_overhead_and_measurements_add_theirs(tmp_path):
    alone, beside = (line(toy_plan(tmp_path), measured) for measured in ({}, {"latency": 2.0}))

    assert [alone.seconds(3e7), alone.mean_s] == pytest.approx([10, 10])
    assert alone.seconds(6e7) == pytest.approx(10 * (6e7 + 1.875e7) / (3e7 + 1.875e7))
    assert alone.low_s < alone.mean_s < alone.high_s
    assert beside.seconds(6e7) == pytest.approx(alone.seconds(6e7) + 2)


def test_what_is_left_is_the_estimate_until_trials_progress_and_then_what_they_show(tmp_path):
    plan = toy_plan(tmp_path, trials=6)
    Study.join(plan)
    now = [0.0]
    left = TimeLeft(line(plan), plan, Study.read(plan), 2, lambda: now[0])
    left.workers = 2  # however many cores there are

    def running(share: float) -> list[dict[str, object]]:
        return [{"worker": worker, "number": 0, "name": "x", "share": share} for worker in "ab"]

    assert left.update(0, [], []) == pytest.approx(30)  # 6 trials of 10 s by 2 workers
    assert left.update(0, [], running(0.01)) == pytest.approx(30 - 0.1)
    now[0] = 10.0  # half of both trials in 10 s: they are twice as slow as was thought
    half = left.update(0, [], running(0.51))
    assert half == pytest.approx((60 - 2 * 5.1) * (5 + 2 * 10) / (5 + 2 * 5) / 2)
    done = left.update(2, [record(0, 20.0), record(1, 20.0)], [])
    assert done == pytest.approx(40 * (5 + 40) / (5 + 20) / 2)
    assert left.update(3, [record(2, 0.0, cached=True)], []) == pytest.approx(done * 3 / 4)  # it says nothing of speed
    assert left.update(6, [], []) == 0


def test_more_workers_than_trials_do_not_make_the_last_trial_shorter(tmp_path):
    plan = toy_plan(tmp_path, trials=6)
    Study.join(plan)
    left = TimeLeft(line(plan), plan, Study.read(plan), 4)
    left.workers = 4  # however many cores there are

    last = [{"worker": "a", "number": 5, "name": "x", "share": 0.4}]
    assert left.update(5, [], []) == pytest.approx(10)
    assert left.update(5, [], last) == pytest.approx(10 - 4)
    assert left.update(4, [], []) == pytest.approx(10)  # by two of the four


def test_the_network_to_beat_and_the_short_list_are_measured_in_what_is_left(tmp_path):
    plan = replace(toy_plan(tmp_path, trials=6), target=Target("xxs", published("mobilevitv3_xxs")))
    Study.join(plan)
    for confirm, again in ((False, 0), (True, SHORT_LIST * (REPLICATES - 1))):
        searched = replace(plan, search=replace(plan.search, confirm=confirm))
        left = TimeLeft(line(plan), searched, Study.read(plan), 1)

        assert left.update(0, [], []) == pytest.approx(10 * (TARGET_REPLICATES + 6 + again))
        assert left.measurements == TARGET_REPLICATES + again
        assert left.update(1, [record(0, 10.0)], []) == pytest.approx(10 * (5 + again))


def test_the_time_of_a_finished_trial_is_not_counted_again_with_the_next_one_of_its_worker(tmp_path):
    plan = toy_plan(tmp_path, trials=4)
    Study.join(plan)
    now = [0.0]
    left = TimeLeft(line(plan), plan, Study.read(plan), 1, lambda: now[0])

    def at(number: int, share: float) -> list[dict[str, object]]:
        return [{"worker": "a", "number": number, "name": "x", "share": share}]

    left.update(0, [], at(0, 0.01))
    now[0] = 10.0
    assert left.update(1, [record(0, 10.0)], at(0, 1.0)) == pytest.approx(30)  # its worker has no other trial yet
    now[0] = 15.0
    assert left.update(1, [], at(1, 0.5)) == pytest.approx(25)  # when it was first seen, half of it was done
    now[0] = 20.0
    assert left.update(1, [], at(1, 1.0)) == pytest.approx(20)


def test_a_busy_machine_is_seen_in_what_is_left_before_the_first_trial(tmp_path):
    plan = toy_plan(tmp_path, trials=4)
    Study.join(plan)

    assert TimeLeft(line(plan, stretch=3.0), plan, Study.read(plan), 1).update(0, [], []) == pytest.approx(4 * 10 * 3)


def test_trials_of_the_study_are_what_its_others_are_estimated_from(tmp_path):
    plan = toy_plan(tmp_path, SCORED, objectives=("loss", "params"), trials=5)
    study = Study.join(plan)
    study.run(arithmetic, trials=3)
    known = estimate(plan, study, None, "cpu")

    assert known is not None
    assert known.source == "as in 3 finished trials on this machine"
    records = study.records()
    assert sum(map(known.seconds, (r.metrics["macs"] for r in records))) == pytest.approx(
        sum(r.seconds for r in records)
    )


def test_networks_that_latency_is_predicted_from_come_on_top_before_the_first_trial_alone(tmp_path, monkeypatch):
    def seconds(_arch, settings):
        return {"torch_cpu": 2.0, "openvino": 3.0}[settings.backend]

    monkeypatch.setattr(load_measurement("latency"), "seconds", seconds)

    def joined(latency: str) -> tuple[Plan, Study]:
        plan = toy_plan(
            tmp_path / latency, f"{TOY}latency: {{{latency}}}\n", objectives=("params", "latency_ms"), trials=9
        )
        return plan, Study.join(plan)

    first = estimate(*joined("predict: 8, known: [openvino]"), None, "cpu")
    assert first.predicting_s == 8 * 2 + 4 * 8 * 3
    assert (first.measured_s, first.mean_s) == ({"latency": 2.0}, 2.0)

    plan, study = joined("predict: 8")
    study.run(lambda arch, **_: {**arithmetic(arch), "latency_ms": 1.0}, trials=1)
    again = estimate(plan, study, None, "cpu")
    assert (again.predicting_s, TimeLeft(again, plan, study, 1).update(1, [], [])) == (0, pytest.approx(8 * 2))


@pytest.mark.parametrize("objectives", [("params", "latency_ms"), ("params", "rss_mib")], ids=["fails", "no estimate"])
def test_nothing_is_estimated_where_nothing_of_a_trial_can_be_timed(tmp_path, monkeypatch, objectives):
    def seconds(*_):
        raise EvaluationFailed("the format cannot express this network")

    monkeypatch.setattr(load_measurement("latency"), "seconds", seconds)
    plan = toy_plan(tmp_path, objectives=objectives, trials=2)
    assert estimate(plan, Study.join(plan), None, "cpu") is None


@pytest.mark.parametrize(
    ("objectives", "trials"), [(("params", "macs"), 5), (("loss", "params"), 1)], ids=["costs alone", "none left"]
)
def test_nothing_is_estimated_of_trials_that_take_no_time_or_are_finished(tmp_path, objectives, trials):
    plan = toy_plan(tmp_path, SCORED, objectives=objectives, trials=1)
    study = Study.join(plan)
    study.run(arithmetic)
    assert estimate(replace(plan, search=replace(plan.search, trials=trials)), study, None, "cpu") is None
