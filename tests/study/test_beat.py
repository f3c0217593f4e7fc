"""A study that is to beat a network: its limits, the measurements of the target, and the short list."""

import json
import math
import random
import threading
import time
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from toy import TOY, toy_plan, toy_space

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import MvsearchError, PlanError, StudyError
from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import Record, mean_metrics
from mvsearch.report.findings import compute_findings
from mvsearch.report.short_list_table import short_list_rows, short_list_sentence
from mvsearch.study.archive import lines, restore
from mvsearch.study.plan import Plan
from mvsearch.study.reader import open_study
from mvsearch.study.short_list import (
    CLEAR,
    REPLICATES,
    SHORT_LIST,
    needs_measurement,
    short_list,
    target_replicates,
)
from mvsearch.study.study import Study
from mvsearch.study.target import MOST_TARGET_REPLICATES, TARGET_REPLICATES, Target
from mvsearch.utils import yaml_document

LOSS = Objective.named("loss")


def network(stem: int = 24, out: int = 32, dim: int = 24, depth: int = 2) -> dict:
    document = yaml_document.parse(TOY, "toy.yaml").data
    del document["vars"], document["where"], document["name"]
    stem_row, down, body = document["blocks"]
    rows = [stem_row | {"out": stem}, down | {"out": out}, body | {"out": out, "dim": dim, "depth": depth}]
    return document | {"blocks": rows}


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    """With the file of a network in the middle of the toy space, of one below it, and of one above it."""
    monkeypatch.chdir(tmp_path)
    for name, fields in (
        ("middle", {}),
        ("small", {"stem": 4, "out": 8, "dim": 8, "depth": 1}),
        ("large", {"stem": 96, "out": 128, "dim": 96, "depth": 4}),
    ):
        Path(f"{name}.yaml").write_text(yaml_document.dump(network(**fields)), encoding="utf-8")


def plan_to_beat(name: str = "middle.yaml", **search) -> Plan:
    return toy_plan(Path("studies"), beat=name, **{"objectives": ("loss",), **search})


def shallow_is_better(arch: Architecture, *, rung: int | None = None, repeat: int = 0) -> dict:
    """A loss that rises with the depth, with noise that depends on the network and the repeat."""
    noise = random.Random(f"{arch.key} {repeat}").gauss(0, 0.01)
    return {**arch.metrics(), "loss": 1 + 0.1 * arch.blocks[-1].depth + noise}


def test_candidates_cost_no_more_than_the_target_which_is_measured_several_times():
    plan = plan_to_beat(trials=20)
    Study.join(plan).run(shallow_is_better)
    study = open_study("toy_beat_middle")
    target, records = study.facts.target, study.records()

    costs = target.arch.metrics()
    assert len(records) == 20
    assert all(record.metrics[name] <= costs[name] for record in records for name in ("params", "macs"))
    expected = [shallow_is_better(target.arch, repeat=repeat)["loss"] for repeat in range(TARGET_REPLICATES)]
    assert [scores["loss"] for scores in target.metrics["repeats"]] == expected
    assert target.metrics["loss"] == pytest.approx(sum(expected) / TARGET_REPLICATES)

    best = compute_findings(study).short_list[:SHORT_LIST]
    assert all(entry.measurements == REPLICATES for entry in best)
    assert all(entry.record.choices["body.depth"] == 1 for entry in best)
    assert best[0].probability > 0.999


def test_all_candidates_that_are_clearly_better_are_counted_also_those_that_are_not_listed(mvsearch):
    Study.join(plan_to_beat(trials=20)).run(shallow_is_better)
    entries = compute_findings(open_study("toy_beat_middle")).short_list
    clear = sum(entry.probability >= CLEAR for entry in entries)
    assert clear > SHORT_LIST
    assert f"{clear} candidates are better than middle" in " ".join(mvsearch("front", "toy_beat_middle").out.split())


def test_where_depth_alone_counts_nothing_is_better_than_a_shallow_network():
    """A network whose noise is lucky in all measurements may pass for better, in one study of some."""
    Path("shallow.yaml").write_text(yaml_document.dump(network(depth=1)), encoding="utf-8")
    found = 0
    for seed in range(6):
        plan = replace(plan_to_beat("shallow.yaml", trials=15, seed=seed), name=f"seed_{seed}")
        Study.join(plan).run(shallow_is_better)
        findings = compute_findings(open_study(plan.name))
        clear = any(entry.probability >= CLEAR for entry in findings.short_list)
        assert clear != ("Nothing found" in short_list_sentence(findings.short_list, findings.target))
        found += clear
    assert found <= 1


def test_of_candidates_with_a_stated_probability_such_a_share_is_better():
    draw, stated, better = random.Random(0), [], []
    for _ in range(150):
        truth = [draw.gauss(0, 1) for _ in range(31)]
        measured = [[t + draw.gauss(0, 0.8) for _ in range(4 if i == 0 else 2)] for i, t in enumerate(truth)]
        for entry in short_list(records_of(measured[1:]), target_of(measured[0]), LOSS):
            stated.append(entry.probability)
            better.append(truth[entry.record.number + 1] < truth[0])
    for low, high in ((0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.0)):
        chosen = [i for i, p in enumerate(stated) if low <= p < high]
        share = sum(better[i] for i in chosen) / len(chosen)
        assert share == pytest.approx(sum(stated[i] for i in chosen) / len(chosen), abs=0.06)


def simulate(draw: random.Random, target: float, noise: float, most: int) -> list[tuple[float, bool]]:
    """A study of 50 candidates N(0, 1): the probability of each of the short list, and whether it is truly better.

    The target is measured up to `most` times.
    """

    def measure(truth: float, times: int) -> list[float]:
        return [truth + draw.gauss(0, noise) for _ in range(times)]

    truths = [draw.gauss(0, 1) for _ in range(50)]
    measured, own = [measure(truth, 1) for truth in truths], measure(target, TARGET_REPLICATES)
    while need := needs_measurement(records_of(measured), target_of(own), LOSS):
        measured[need[0].number] += measure(truths[need[0].number], 1)
    own += measure(target, min(most, target_replicates(records_of(measured), target_of(own), LOSS)) - len(own))
    best = short_list(records_of(measured), target_of(own), LOSS)[:SHORT_LIST]
    return [(entry.probability, truths[entry.record.number] < target) for entry in best]


@pytest.mark.slow
@pytest.mark.parametrize(("target", "noise", "least"), [(-1.5, 0.5, 0.94), (-1.5, 0.8, 0.90)])
def test_where_the_target_is_better_than_most_candidates_the_probability_is_a_little_too_high(target, noise, least):
    draw = random.Random(0)
    entries = [entry for _ in range(300) for entry in simulate(draw, target, noise, MOST_TARGET_REPLICATES)]
    better = [truly for probability, truly in entries if probability >= CLEAR]
    assert sum(better) / len(better) > least


@pytest.mark.parametrize(("noise", "times"), [(0.1, TARGET_REPLICATES), (1.0, MOST_TARGET_REPLICATES)])
def test_the_target_is_measured_more_often_where_the_score_is_noisy(noise, times):
    draw = random.Random(0)
    measured = [[truth + draw.gauss(0, noise) for _ in range(3)] for truth in (draw.gauss(0, 1) for _ in range(40))]
    own = [draw.gauss(0, noise) for _ in range(TARGET_REPLICATES)]
    assert target_replicates(records_of(measured), target_of(own), LOSS) == times
    assert target_replicates(records_of(measured[:3]), target_of(own), LOSS) == TARGET_REPLICATES


def test_a_noisy_target_is_measured_again_at_the_end_of_a_study():
    def noisy(arch: Architecture, *, repeat: int = 0) -> dict:
        return {**arch.metrics(), "loss": random.Random(f"{arch.key} {repeat}").gauss(1, 0.1)}

    Study.join(plan_to_beat(trials=8)).run(noisy)
    target = open_study("toy_beat_middle").facts.target
    expected = [noisy(target.arch, repeat=repeat)["loss"] for repeat in range(MOST_TARGET_REPLICATES)]
    assert [scores["loss"] for scores in target.metrics["repeats"]] == expected


def test_a_study_that_is_imported_has_the_measurements_of_its_target():
    Study.join(plan_to_beat(trials=4)).run(shallow_is_better)
    study = open_study("toy_beat_middle")
    copy = restore(list(lines(study)), "sqlite:///copy.db")
    Study.join(Plan.of_study(copy, workers=1)).run(lambda arch, **_: pytest.fail(f"{arch.key} is measured again"))
    assert open_study("toy_beat_middle", storage="sqlite:///copy.db").facts.target == study.facts.target


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), MemoryError("4 GiB")])
def test_an_error_while_the_target_is_measured_is_one_sentence(error):
    def evaluate(arch: Architecture, *, repeat: int = 0) -> dict:
        raise error

    with pytest.raises(StudyError, match=f"cannot be measured: {type(error).__name__}: {error}"):
        Study.join(plan_to_beat(trials=4)).run(evaluate)


def test_an_evaluation_may_return_the_score_alone():
    calls = Counter()

    def evaluate(arch: Architecture, *, repeat: int = 0) -> dict:
        calls[arch.key, repeat] += 1
        assert max(calls.values()) == 1
        return {"loss": shallow_is_better(arch, repeat=repeat)["loss"]}

    Study.join(plan_to_beat(trials=4)).run(evaluate)
    assert all(record.metrics["params"] > 0 for record in open_study("toy_beat_middle").records())


@pytest.mark.parametrize(("loss", "value"), [({"loss": math.nan}, "nan"), ({}, "None")])
def test_a_target_without_a_number_is_an_error(loss, value):
    with pytest.raises(StudyError, match=f"cannot be measured: the objective loss is {value}"):
        Study.join(plan_to_beat(trials=4)).run(lambda arch, *, repeat=0: arch.metrics() | loss)


def metrics_of(losses: list[float]) -> dict:
    scores = [{"loss": loss} for loss in losses]
    return mean_metrics(scores) | {"repeats": scores}


@cache
def unmeasured() -> Target:
    return Target("t", Architecture.from_dict(network()))


def target_of(own: list[float]) -> Target:
    return unmeasured().with_measurements([{"loss": value} for value in own])


def records_of(measured: list[list[float]]) -> list[Record]:
    return [
        Record(i, f"key{i}", "complete", None, metrics_of(values), {}, {}, None, 0.0)
        for i, values in enumerate(measured)
    ]


def short_list_of(measured: list[list[float]], own: list[float]) -> list:
    return list(short_list(records_of(measured), target_of(own), LOSS))


def test_a_single_candidate_has_the_error_of_its_measurements():
    (entry,) = short_list_of([[1.0, 1.2]], [1.0, 1.2])
    assert entry.expected == pytest.approx(1.1)
    assert entry.error == pytest.approx(0.1)  # the standard deviation of one measurement is 0.1 * sqrt(2)
    assert entry.probability == pytest.approx(0.5)


def test_where_nothing_was_measured_twice_nothing_is_better_beyond_noise():
    entries = short_list_of([[1.0], [1.1], [0.9]], [1.05])
    assert [entry.record.number for entry in entries] == [2, 0, 1]
    assert {entry.probability for entry in entries} == {0.5}
    assert "Nothing found" in short_list_sentence(entries, target_of([1.05]))


def test_where_noise_hides_the_differences_the_best_measured_is_still_first():
    losses = [0.3, 0.2, 0.1, 0.5, 0.4, 0.0]
    entries = short_list_of([[loss] for loss in losses], [-2.0, 2.0, -2.0, 2.0])
    assert [entry.record.number for entry in entries] == [5, 2, 1, 0, 4, 3]
    assert len({entry.expected for entry in entries}) == 6
    assert all(entry.error > 0 for entry in entries)
    # B = (6 - 3) / (6 - 1), as noise explains all of the spread
    assert entries[0].expected == pytest.approx(0.25 * 3 / 5)


@pytest.mark.parametrize("name", ["small.yaml", "large.yaml", "nowhere", "mobilevitv3_xxs+deeplabv3"])
def test_what_cannot_be_beaten_in_a_space_is_refused(name):
    with pytest.raises(MvsearchError):
        plan_to_beat(name)


def test_another_objective_is_refused_and_one_of_the_file_is_left_out():
    with pytest.raises(PlanError):
        plan_to_beat(objectives=("loss", "params"))
    text = TOY + "search: {objectives: [loss, params], limits: [params <= 15k], beat: middle.yaml}\n"
    plan = Plan.of(toy_plan(Path(), text, objectives=()).space)
    assert plan.search.objectives == ("loss",)
    assert plan.search.confirm
    macs = Architecture.load("middle.yaml").metrics()["macs"]
    assert plan.search.limits == ("params <= 15k", f"macs <= {macs}")


ON_LATENCY = ("params", "macs", "latency_ms")


def latency_of(ms: float) -> dict:
    return {"latency_ms": ms, "latency_low_ms": 0.9 * ms, "latency_high_ms": 1.1 * ms}


def slow_is_better(arch: Architecture, *, rung: int | None = None, repeat: int = 0) -> dict:
    """A loss that falls with the latency, which grows with the depth, and is measured with 10 % of noise."""
    timed = {} if repeat else latency_of(arch.blocks[-1].depth + arch.blocks[0].out / 100)
    return shallow_is_better(arch, repeat=repeat) | {"loss": 2 - 0.1 * arch.blocks[-1].depth} | timed


def test_candidates_have_no_more_latency_than_the_target_as_far_as_its_noise_lets_decide():
    plan = plan_to_beat(beat_on=("latency_ms",), trials=12)
    assert plan.limits[-1].text == "latency_ms <= that of middle"
    Study.join(plan).run(slow_is_better)
    findings = compute_findings(study := open_study("toy_beat_middle"))

    target = study.facts.target
    assert target.costs == ON_LATENCY
    assert (target.metrics["latency_low_ms"], target.metrics["latency_high_ms"]) == pytest.approx((2.016, 2.464))
    assert study.limits[-1].text == "latency_ms <= 2.24 of middle"
    by_state = {state: {r.choices["body.depth"] for r in findings.records if r.state == state} for state in STATES}
    assert by_state == {"complete": {1, 2}, "pruned": {3}}
    assert "2.24 of middle" in next(r.reason for r in findings.records if r.state == "pruned")
    kept = {record.number for record in findings.records if record.choices["body.depth"] == 2}
    assert kept == set(findings.to_json()["undecided"])
    heads, rows = short_list_rows(findings.listed, target, findings.score, {})
    assert (heads[-1], rows[-1][-1][0]) == ("latency", "2.24 ms")

    again = Study.join(plan_to_beat(beat_on=("latency_ms",), trials=13))
    assert again.plan.limits[-1].measured == target.metrics
    assert open_study("toy_beat_middle").override_limits(["latency_ms <= 9"])[-1].text == "latency_ms <= 9"
    with pytest.raises(StudyError, match="--beat-on latency_ms"):
        Study.join(plan_to_beat())


STATES = ("complete", "pruned")


def test_no_candidate_is_evaluated_before_the_measured_costs_of_the_target_are_known():
    plan = plan_to_beat(beat_on=("latency_ms",), trials=6)
    middle, known, early = plan.target.arch.key, threading.Event(), []

    def evaluate(arch: Architecture, *, repeat: int = 0) -> dict:
        if arch.key == middle and not repeat:
            time.sleep(0.3)
            known.set()
        elif arch.key != middle and not known.is_set():
            early.append(arch)
        return slow_is_better(arch, repeat=repeat)

    Study.join(plan)
    threads = [threading.Thread(target=lambda: Study.join(plan, as_worker=True).run(evaluate)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert open_study("toy_beat_middle").count() == 6
    assert not early


def test_the_costs_to_beat_a_network_on_are_in_the_file_or_on_the_command_line():
    text = TOY + "search: {beat: {arch: middle.yaml, metrics: [params, macs, latency_ms]}}\n"
    plan = Plan.of(toy_space(text))
    assert plan.target.costs == plan_to_beat(beat_on=("latency_ms",)).target.costs == ON_LATENCY
    assert plan.uses_metric("latency_ms")


@pytest.mark.parametrize("metrics", ["[top1]", "[latency]", "latency_ms", "[throughput_images_s]"])
def test_what_is_no_cost_is_refused(metrics):
    with pytest.raises(PlanError) as caught:
        Plan.of(toy_space(TOY + f"search: {{beat: {{arch: middle.yaml, metrics: {metrics}}}}}\n"))
    assert caught.value.line is not None


def test_costs_need_a_network_to_beat():
    with pytest.raises(PlanError, match="--beat ARCH"):
        toy_plan(Path("studies"), beat_on=("latency_ms",))


@pytest.mark.parametrize("other", [{"name": "small_enough.yaml"}, {"name": ""}])
def test_a_study_keeps_its_target(other):
    Path("small_enough.yaml").write_text(yaml_document.dump(network(stem=16)), encoding="utf-8")
    Study.join(plan_to_beat(trials=2)).run(shallow_is_better)
    with pytest.raises(StudyError):
        Study.join(replace(plan_to_beat(**other), name="toy_beat_middle"))
    Path("middle.yaml").unlink()
    study = open_study("toy_beat_middle")
    assert Plan.of_study(study, workers=1).target == study.facts.target


def test_a_target_may_be_a_trial_or_a_file_of_any_name():
    Path("middle.yaml").rename("_the middle.yaml")
    Study.join(toy_plan(Path("studies"), trials=1)).run(shallow_is_better)
    for name, title, slug in (("toy:0", "toy:0", "toy-0"), ("_the middle.yaml", "_the middle", "the-middle")):
        target = Target.find(name, toy_space())
        assert (target.name, target.slug) == (title, slug)
        assert Target.from_json(json.loads(json.dumps(target.to_json()))) == target


def test_the_command_ends_with_the_short_list(mvsearch):
    """Under a limit that the target itself does not keep."""
    Path("tiny.yaml").write_text(
        TOY + "proxy: {name: naswot, image_size: 32, batch: 4}\nsearch: {trials: 2, sampler: random}\n",
        encoding="utf-8",
    )
    flags = ("--beat", "middle.yaml", "--limit", "params <= 12k", "--workers", "1", "--json")
    done = mvsearch("run", "tiny.yaml", *flags)
    assert done.code == 0, done.err
    document = done.json
    assert document["limits"][0] == "params <= 12k"
    assert all(trial["params"] <= 12_000 for trial in document["trials"])
    assert document["beat"]["metrics"]["params"] == 18_002
    assert document["objectives"] == ["naswot"]
    assert document["beat"]["name"] == "middle"
    assert len(document["beat"]["metrics"]["repeats"]) == TARGET_REPLICATES
    listed = document["beat"]["short_list"]
    assert {entry["number"] for entry in listed} == {0, 1}
    assert all(0 <= entry["probability"] <= 1 and entry["measurements"] == REPLICATES for entry in listed)
    assert document["suggestion"] == listed[0]["number"]

    front = mvsearch("front", "toy_beat_middle")
    assert "middle (to beat)" in front.out
    assert mvsearch("report", "toy_beat_middle", "-o", "report.html").code == 0
    assert "Short list" in Path("report.html").read_text(encoding="utf-8")
    assert json.loads(mvsearch("front", "toy_beat_middle", "--objective", "params", "--json").out)["beat"] is None
