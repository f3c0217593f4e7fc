"""What `front` shows of validations, and that its suggestion follows the verdict; scores and trainings are made up."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from toy import TOY, arithmetic, toy_plan

from mvsearch.metrics.formatting import pretty
from mvsearch.metrics.pareto import Objective
from mvsearch.report.figures.front_plot import RING_LABEL, plot_fronts
from mvsearch.report.findings import Findings, compute_findings
from mvsearch.report.short_list_table import short_list_rows
from mvsearch.report.validated import HEAD, validated_trials
from mvsearch.study.plan import Plan
from mvsearch.study.reader import open_study
from mvsearch.study.short_list import SHORT_LIST
from mvsearch.study.study import Study
from mvsearch.training.trained_network import WEIGHTS
from mvsearch.validation.document import to_document, validated_weights
from mvsearch.validation.outcome import ValidatedNetwork, Validation

CONDITIONS = {
    **{"name": "short_0", "recipe": "short", "epochs": 10, "image_size": 32, "data": "cifar10", "init": None},
    **{"train_images": 50_000, "test_images": 10_000, "classes": 10, "images": {"source": "cifar10"}},
}
SCORES = {"better": (0.73, 0.732, 0.729), "worse": (0.68, 0.682, 0.679), "no difference": (0.7, 0.702, 0.7)}
COSTS = {"params": 1_000_000, "macs": 400}


def validation(study: Findings, outcomes: dict[int, str], *, key: str = "b", against=("base",)) -> Validation:
    """A validation in which each of these trials has the outcome against `base`, and is far above `weak`."""
    keys = {record.number: record.key for record in study.records}
    candidates = [
        ValidatedNetwork(f"toy:{n}", keys[n], COSTS, dict(enumerate(SCORES[outcome])), n, against)
        for n, outcome in outcomes.items()
    ]
    baselines = [
        ValidatedNetwork("base", key, COSTS, dict(enumerate((0.7, 0.702, 0.699)))),
        ValidatedNetwork("weak", "w", COSTS, dict(enumerate((0.5, 0.502, 0.499)))),
    ]
    return Validation("toy", "top1", 3, (*candidates, *baselines[: len(against)]), CONDITIONS, 0, 60.0)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Findings:
    plan = toy_plan(tmp_path_factory.mktemp("studies"), trials=9)
    Study.join(plan).run(arithmetic)
    return compute_findings(Study.read(plan))


def test_a_validation_where_nothing_was_learned_says_nothing_of_its_trials(study):
    found = validation(study, {1: "better"})
    guessed = replace(found, networks=tuple(replace(n, scores=dict.fromkeys(n.scores, 0.1)) for n in found.networks))

    assert list(validated_trials([found], None)) == [1]
    assert validated_trials([guessed], None) == {}
    assert validated_trials([guessed, found], None)[1].outcome == "better"


def test_candidates_whose_scores_look_the_same_are_named_beside_the_suggestion(study):
    first, second, *_ = study._by_score
    equal = replace(second, metrics=second.metrics | {study.score.name: first.metrics[study.score.name] * (1 + 1e-9)})
    same = replace(study, front=tuple(equal if r.number == second.number else r for r in study.front))

    assert same.suggestion.number == first.number
    assert f"as good as {second.number} to" in same.suggestion_words
    assert "as good as" not in study.suggestion_words


def test_a_published_model_with_a_better_score_at_no_more_cost_is_named_beside_the_suggestion(study):
    own = next(record for record in study.front if record.number == study.suggestion.number)
    measured = (*study.objectives, Objective.named("latency_ms"))
    model = replace(own, number=99, published="mobilevitv3_xxs")

    def words(**differing: float) -> str:
        members = (
            replace(own, metrics=own.metrics | {"latency_ms": 9.0}),
            replace(model, metrics=own.metrics | {"latency_ms": 9.5} | differing),
        )
        return replace(study, front=members, objectives=measured).suggestion_words

    better = own.metrics["loss"] / 2
    assert words(loss=better).endswith(f"; v3-XXS has a better one ({pretty('loss', better)}) at no more params")
    assert "v3-XXS" not in words(loss=better, params=own.metrics["params"] + 1) + words(loss=own.metrics["loss"] * 2)


def test_the_suggestion_follows_the_verdict(study):
    first, second, *_ = (record.number for record in study._by_score)

    def suggested(**outcomes: str) -> Findings:
        of = {"first": first, "second": second}
        return replace(study, validations=(validation(study, {of[n]: o for n, o in outcomes.items()}),))

    assert study.suggestion.number == first
    assert "validation" not in study.suggestion_words
    worse = suggested(first="worse")
    assert worse.suggestion.number == second
    assert f"trial {first}, which validation found worse than base" in worse.suggestion_words
    assert suggested(first="no difference", second="better").suggestion.number == second
    equal = suggested(first="no difference", second="worse")
    assert (equal.suggestion.number, "no difference" in equal.suggestion_words) == (first, True)
    both = suggested(first="worse", second="worse")
    assert both.suggestion.number not in (first, second)

    all_worse = replace(study, validations=(validation(study, {r.number: "worse" for r in study.front}),))
    assert all_worse.suggestion.number == first
    assert "validation against base: worse, -2.00" in all_worse.suggestion_words
    reasons = {each.record.number: each.reasons for each in all_worse.recommendations}
    assert all(reason[-1].startswith("validation against base: worse") for reason in reasons.values())
    document = all_worse.to_json()
    assert "is worse than base by 2.0 points" in document["validations"][0]["verdict"]
    assert {trial["validated"]["verdict"] for trial in document["trials"]} == {"worse"}


def test_a_study_keeps_its_validations_when_it_is_exported_imported_and_copied(mvsearch):
    plan = toy_plan(Path("studies"), trials=4)
    Study.join(plan).run(arithmetic)
    own = compute_findings(open_study("toy"))
    number = own.front[0].number
    for name, outcome in (("short_0", "worse"), ("long_0", "better")):
        made = validation(own, {number: outcome})
        made = replace(made, conditions=CONDITIONS | {"name": name})
        folder = Path("studies/toy/validation", name)
        folder.mkdir(parents=True)
        (folder / "validation.json").write_text(json.dumps(to_document(made)), encoding="utf-8")

    assert mvsearch("studies", "export", "toy").code == 0
    assert mvsearch("studies", "import", "toy.jsonl", "--name", "again").code == 0
    assert mvsearch("studies", "copy", "again", "third").code == 0
    first, third = (compute_findings(open_study(name)).validations for name in ("toy", "third"))
    assert [each.conditions["name"] for each in third] == ["long_0", "short_0"]
    assert third == tuple(each.of_study("third") for each in first)

    damaged = Path("toy.jsonl").read_text(encoding="utf-8").replace('"networks":[{', '"networks":[7,{')
    Path("damaged.jsonl").write_text(damaged, encoding="utf-8")
    assert mvsearch("studies", "import", "damaged.jsonl", "--name", "none").code == 1
    assert not Path("studies/none").exists()


def test_the_last_validation_counts_and_in_it_the_least_favourable_baseline(study):
    number = study.front[0].number
    last = validation(study, {number: "worse"}, against=("weak", "base"))
    trial = validated_trials([last, validation(study, {number: "better"})], None)[number]
    assert (trial.outcome, trial.comparison.baseline, trial.mark) == ("worse", "base", "-2.0")
    unfinished = validated_trials([replace(last, open=2)], None)[number]
    assert unfinished.words.endswith("not finished")


@pytest.mark.parametrize("suffix", ["svg", "html"])
def test_a_figure_has_a_ring_and_the_difference(study, tmp_path, suffix):
    number = study.front[0].number
    figure = replace(study, validations=(validation(study, {number: "better"}),)).figure("toy")
    (point,) = figure.validated
    assert point.mark.endswith("+3.0")
    assert point.lines[-1].startswith("validation against base: better, +3.00")
    for each, drawn in ((figure, True), (study.figure("toy"), False)):
        plot_fronts([each], path := tmp_path / f"front.{suffix}")
        assert (RING_LABEL in path.read_text(encoding="utf-8")) is drawn


def test_the_short_list_shows_what_was_validated_and_the_command_prints_the_verdict(mvsearch):
    network = {"name": "middle", "image_size": 64, "num_classes": 10, "blocks": []}
    for row in ("stem, block: conv, out: 24", "down, block: mv2, out: 32", "body, block: mobilevit, out: 32"):
        name, block, out = (part.rpartition(" ")[2] for part in row.split(","))
        more = {"dim": 24, "depth": 2} if block == "mobilevit" else {"stride": 2}
        network["blocks"].append({"name": name, "block": block, "out": int(out)} | more)
    Path("middle.yaml").write_text(json.dumps(network), encoding="utf-8")
    Path("toy.yaml").write_text(TOY + "search: {objectives: [loss], beat: middle.yaml, trials: 9}\n", encoding="utf-8")
    plan = Plan.load("toy.yaml", name="toy", sampler="random", confirm=False)
    Study.join(plan).run(lambda arch, *, repeat=0: arithmetic(arch) | {"loss": 1e6 / arch.cost().params + repeat / 9})
    plain = compute_findings(open_study("toy"))
    first, last = plain.short_list[0].record.number, plain.short_list[-1].record.number
    key = plain.target.arch.key
    folder = Path("studies/toy/validation/short_0")
    folder.mkdir(parents=True)
    trained = validation(plain, {first: "worse", last: "better"}, key=key, against=("weak", "base"))
    (folder / "validation.json").write_text(json.dumps(to_document(trained)), encoding="utf-8")

    findings = compute_findings(open_study("toy"))
    assert len(plain.listed) == SHORT_LIST
    assert [entry.record.number for entry in findings.listed[SHORT_LIST:]] == [last]
    heads, rows = short_list_rows(findings.listed, findings.target, findings.score, findings.validated)
    column = [row[heads.index(HEAD)][0] for row in rows]
    assert (column[0].split()[0], column[1], column[-2].split()[0], column[-1]) == ("-2.00", "", "+3.00", "")

    figure = findings.figure("toy")
    assert [shade.words for shade in figure.shades if not shade.along_x] == [
        f"loss ≤ {findings.target.metrics['loss']:.4g} of middle"
    ]
    assert {p.number: p.mark for p in figure.named if p.mark}[first] == "short list 1, -2.0"

    weights = folder / findings.short_list[0].record.key / "seed_0" / WEIGHTS
    weights.parent.mkdir(parents=True)
    weights.touch()
    assert validated_weights(open_study("toy"), findings.short_list[0].record.key).words.endswith("worse than base")

    done = mvsearch("front", "toy")
    assert done.code == 0, done.err
    assert f"toy:{last} is better than" in done.out
    assert f"mvsearch export toy:{last}" in done.out
    document = mvsearch("front", "toy", "--json").json
    assert document["suggestion"] == last
    assert document["beat"]["short_list"][0]["validated"]["baseline"] == "base"
    assert mvsearch("report", "toy", "-o", "report.html").code == 0
    assert HEAD in Path("report.html").read_text(encoding="utf-8")
