"""Limits and other settings of an existing study: what a command replaces, adds or cannot check is printed."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from toy import TOY, toy_space

from mvsearch.errors import PlanError
from mvsearch.metrics.constraints import override_limits
from mvsearch.report.figures.front import front_figure
from mvsearch.report.findings import compute_findings
from mvsearch.space.shipped import find_space
from mvsearch.study.plan import Plan
from mvsearch.study.reader import open_study
from mvsearch.study.study import Study

COSTS = ("--objective", "params", "--objective", "macs")


@pytest.fixture
def quick(mvsearch) -> Plan:
    """A finished study of eight trials, whose file limits `params <= 1.4M`; two trials have macs above 250 M."""
    plan = Plan.load("quick.yaml", objectives=("params", "macs"), trials=8)
    Study.join(plan).run(lambda arch: arch.metrics())
    return plan


@pytest.mark.parametrize(
    ("given", "merged"),
    [
        (("macs <= 1G",), ("params <= 6M", "macs >= 9k", "macs <= 1G")),
        (("params<=4M",), ("macs >= 9k", "params<=4M")),
        (("params >= 9k",), ("params <= 6M", "macs >= 9k", "params >= 9k")),
        (("latency_ms <= 9", "macs >= 1M"), ("params <= 6M", "latency_ms <= 9", "macs >= 1M")),
        ((), ("params <= 6M", "macs >= 9k")),
    ],
)
def test_limits_of_the_command_add_to_the_files_and_override_those_of_one_metric_and_direction(given, merged):
    assert override_limits(("params <= 6M", "macs >= 9k"), given) == merged

    space = toy_space(TOY + "search: {objectives: [params], limits: [params <= 6M, macs >= 9k]}\n")
    assert Plan.of(space, limits=given).search.limits == merged


@pytest.mark.parametrize(
    "limits",
    [
        ("params <= 1M", "params >= 2M"),
        ("latency_ms <= 5", "latency_ms >= 7"),
        ("top1 >= 0.9", "top1 <= 0.5"),
    ],
)
def test_limits_that_contradict_each_other_are_refused_by_name(limits):
    with pytest.raises(PlanError) as refused:
        Plan.of(toy_space(TOY), objectives=("loss", "params"), limits=limits)

    assert all(limit in str(refused.value) for limit in limits)


@pytest.mark.parametrize(
    ("limit", "value"), [("top1 >= 90", "0.9"), ("latency_ms <= 5k", "ms"), ("memory_mib <= 1G", "MiB")]
)
def test_a_limit_in_another_unit_than_its_metrics_is_refused(limit, value):
    with pytest.raises(PlanError, match=value):
        Plan.of(toy_space(TOY), objectives=("loss", "params"), limits=(limit,))


def test_a_run_keeps_the_files_limits_and_prints_what_it_changes(mvsearch, quick):
    done = mvsearch("run", "quick.yaml", *COSTS, "--trials", "5", "--limit", "macs <= 250M", "--workers", "1")

    assert done.code == 0, done.err
    changes = [line for line in done.err.splitlines() if line.startswith("study quick: ")]
    assert [line.split()[2] for line in changes] == ["trials", "limits", "workers"]
    assert all(number in changes[0] for number in "85")
    assert "params <= 1.4M, macs <= 250M, was params <= 1.4M" in changes[1]
    assert open_study("quick").facts.search.limits == ("params <= 1.4M", "macs <= 250M")
    assert "2 complete beyond" in " ".join(done.out.split())


def test_the_same_command_again_changes_nothing(quick):
    assert Study.join(quick).changes == ()


def test_a_file_that_changed_changes_the_study_with_words(quick):
    text = Path("quick.yaml").read_text(encoding="utf-8")
    changed = text.replace("held_out: 1000", "held_out: 1000, rungs: [20], keep: 0.25").replace(
        "  - mobilevitv3_xxs\n", ""
    )
    Path("quick.yaml").write_text(changed, encoding="utf-8")
    study = Study.join(Plan.load("quick.yaml", objectives=("params", "macs"), trials=8))

    assert {change.split()[0] for change in study.changes} == {"proxy.rungs", "proxy.keep", "contains"}
    assert study.facts.document["proxy"]["rungs"] == [20]
    assert [*study.facts.published] == ["mobilevitv3_xxs_l2"]


def test_a_worker_takes_the_limits_of_the_study_and_not_those_of_the_file(quick):
    Study.join(Plan.load("quick.yaml", objectives=("params", "macs"), trials=8, limits=("params <= 2M",)))

    assert Plan.of_study(open_study("quick"), workers=1).search.limits == ("params <= 2M",)


def numbers(document: dict[str, Any]) -> list[int]:
    return [trial["number"] for trial in document["trials"]]


def test_front_adds_limits_to_those_of_the_study_and_counts_what_is_beyond(mvsearch, quick):
    everything = mvsearch("front", "quick", "--json").json
    limited = mvsearch("front", "quick", "--limit", "params >= 1M", "--json").json

    assert (everything["limits"], everything["beyond_limits"]) == (["params <= 1.4M"], 0)
    assert limited["limits"] == ["params <= 1.4M", "params >= 1M"]
    assert limited["beyond_limits"] == 5
    assert min(trial["params"] for trial in limited["trials"]) >= 1e6
    assert numbers(limited) != numbers(everything)
    assert open_study("quick").facts.search.limits == ("params <= 1.4M",)


def test_front_refuses_a_limit_that_it_cannot_check(printed, quick):
    assert "latency_ms" in printed("front", "quick", "--limit", "latency_ms <= 5", code=1)


def test_an_exported_table_says_which_trials_are_within_the_limits(printed, quick):
    Study.join(Plan.load("quick.yaml", objectives=("params", "macs"), trials=8, limits=("macs <= 250M",)))
    printed("studies", "export", "quick", "-o", "quick.csv")
    with Path("quick.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    assert [row["within_limits"] for row in rows].count("False") == 2
    assert all((int(row["macs"]) <= 250e6) == (row["within_limits"] == "True") for row in rows)


def test_the_figure_counts_what_is_beyond_the_limits(printed, quick):
    findings = compute_findings(open_study("quick"), limits=("params >= 1M",))
    figure = front_figure(
        findings.measured, findings.objectives, title="", limits=findings.limits, beyond=findings.beyond
    )

    assert "5 beyond the limits not drawn" in figure.subtitle


# ---- limits that nothing was measured for


@pytest.fixture
def timed(mvsearch) -> None:
    text = Path("quick.yaml").read_text(encoding="utf-8")
    Path("quick.yaml").write_text(
        text.replace("[params <= 1.4M]", "[params <= 1.2M, latency_ms <= 0.001]"), encoding="utf-8"
    )


def test_space_names_the_limits_that_it_did_not_check(mvsearch, timed):
    facts = mvsearch("space", "quick.yaml", "--json").json
    assert (facts["limits_checked"], facts["limits_not_checked"]) == (["params <= 1.2M"], ["latency_ms <= 0.001"])
    assert 0 < facts["within_limits"] < 1

    lines = mvsearch("space", "quick.yaml").out.splitlines()
    assert [line for line in lines if " are within params <= 1.2M (" in line and "latency" not in line]
    assert [line for line in lines if line.startswith("not checked: latency_ms <= 0.001")]


def test_space_gives_no_share_where_it_checked_no_limit(mvsearch, timed):
    text = Path("quick.yaml").read_text(encoding="utf-8")
    Path("quick.yaml").write_text(text.replace("params <= 1.2M, ", ""), encoding="utf-8")

    assert mvsearch("space", "quick.yaml", "--json").json["within_limits"] is None
    assert "% are within" not in mvsearch("space", "quick.yaml").out


def test_the_exact_front_names_the_limits_that_it_did_not_check(mvsearch, timed):
    facts = mvsearch("space", "quick.yaml", "--front", "--json").json
    assert (facts["limits"], facts["limits_not_checked"]) == (["params <= 1.2M"], ["latency_ms <= 0.001"])
    assert facts["objectives_left_out"] == ["scaled_loss"]
    assert "not checked: latency_ms <= 0.001" in mvsearch("space", "quick.yaml", "--front").out


def test_a_limit_of_the_exact_front_overrides_that_of_the_file(mvsearch):
    facts = mvsearch("space", "quick.yaml", "--front", "--limit", "params <= 1.3M", "--json").json
    assert facts["limits"] == ["params <= 1.3M"]


# ---- the suggested export


def scored(arch) -> dict[str, Any]:
    """A loss that falls with size: the largest network on the front is the best."""
    metrics = arch.metrics()
    return {**metrics, "scaled_loss": 1e6 / metrics["params"], "top1": 0.5}


def test_the_suggested_export_is_the_best_score_of_the_searchs_own(printed):
    plan = Plan.load("quick.yaml", trials=6)
    Study.join(plan).run(scored)
    records = [record for record in open_study("quick").records() if not record.published]
    best = min(records, key=lambda record: record.metrics["scaled_loss"])

    assert f"`mvsearch export quick:{best.number} " in printed("front", "quick")
    assert f'"suggestion": {best.number},' in printed("front", "quick", "--json")


def test_a_published_model_is_suggested_only_where_nothing_else_is(printed):
    plan = Plan.load("quick.yaml", trials=2)
    Study.join(plan).run(scored)

    assert all(record.published for record in open_study("quick").records())
    assert "`mvsearch export quick:0 " in printed("front", "quick")


def test_without_a_score_the_suggestion_is_a_compromise(printed):
    plan = Plan.load("quick.yaml", trials=5, objectives=("params", "macs"))
    numbers = iter(range(10))

    def evaluate(_arch) -> dict[str, Any]:
        params, macs = {2: (1, 10), 3: (2, 3), 4: (9, 1)}.get(number := next(numbers), (99, 99 + number))
        return {"params": params, "macs": macs}

    Study.join(plan).run(evaluate)
    assert "`mvsearch export quick:3 " in printed("front", "quick")


# ---- studies


def test_studies_lists_with_and_without_the_word(mvsearch, quick):
    assert mvsearch("studies", "list", "--json").json == mvsearch("studies", "--json").json
    assert mvsearch("studies", "list").out == mvsearch("studies").out


@pytest.mark.parametrize("option", [("--json",), ("--storage", "sqlite:///elsewhere.db")])
def test_an_option_in_front_of_a_word_is_refused_instead_of_ignored(mvsearch, quick, option):
    done = mvsearch("studies", *option, "rename", "quick", "other")

    assert done.code == 2
    assert option[0] in done.err
    assert open_study("quick").name == "quick"


def test_space_names_contained_models_beyond_the_limits(mvsearch, tmp_path):
    text = find_space("quick").read_text(encoding="utf-8")
    (tmp_path / "small.yaml").write_text(text.replace("params <= 1.4M", "params <= 1.2M"))

    summary = json.loads(mvsearch("space", str(tmp_path / "small.yaml"), "--json").out)

    assert (summary["contains"], summary["contains_beyond_limits"]) == (
        ["mobilevitv3_xxs", "mobilevitv3_xxs_l2"],
        ["mobilevitv3_xxs"],
    )
