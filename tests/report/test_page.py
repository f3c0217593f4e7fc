"""`mvsearch report`: the page's numbers and its markup."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from command import assert_one_sentence
from hypothesis import example, given, settings
from hypothesis import strategies as st
from toy import TOY, arithmetic, toy_plan

from mvsearch.report import importance
from mvsearch.report.findings import Findings, compute_findings
from mvsearch.report.importance import importances
from mvsearch.report.page import charts
from mvsearch.report.page.page import page
from mvsearch.report.page.plan_sections import plan_yaml
from mvsearch.report.proxy_reliability import ProxyReliability
from mvsearch.space.search_space import SearchSpace
from mvsearch.space.variables import Choice
from mvsearch.study.plan import Plan
from mvsearch.study.reader import open_study
from mvsearch.study.storage.store import Store
from mvsearch.study.study import Study
from mvsearch.utils.yaml_document import parse

NASTY = """<script>window.broken = 1</script>"&'<img src=x onerror="window.broken = 1">"""


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    """Importance takes seconds, and has its own tests."""
    monkeypatch.setattr(importance, "RESAMPLES", 1)
    monkeypatch.setattr(importance, "POINTS", 30)


def run_study(folder: Path, trials: int = 12, text: str = TOY, *, finished: int | None = None, **search) -> Plan:
    """A real study in a folder, of which `finished` trials are."""
    plan = toy_plan(folder, text, trials=trials, **search)
    Study.join(plan).run(arithmetic, trials=trials if finished is None else finished)
    return plan


@pytest.fixture(scope="module")
def finished_study(tmp_path_factory) -> Path:
    """A folder of studies that holds one, `toy`."""
    folder = tmp_path_factory.mktemp("studies")
    run_study(folder)
    return folder


@pytest.fixture
def toy(mvsearch, finished_study) -> Path:
    """A copy of the finished study in ./studies."""
    return Path(shutil.copytree(finished_study, "studies"))


def findings_of(name: str = "toy") -> Findings:
    return compute_findings(open_study(name), allow_empty=True)


def report(mvsearch, name: str = "toy", *args: str) -> str:
    done = mvsearch("report", name, "-o", "report.html", "--force", *args)
    assert done.code == 0, done.err
    return Path("report.html").read_text(encoding="utf-8")


class _Words(HTMLParser):
    """What a person reads: text outside scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.hidden = False

    def handle_starttag(self, name, attributes):
        self.hidden = name in ("script", "style")

    def handle_endtag(self, name):
        self.hidden = False

    def handle_data(self, data):
        if not self.hidden:
            self.words.append(data)


def words(html: str) -> str:
    parser = _Words()
    parser.feed(html)
    return " ".join(" ".join(parser.words).split())


# ---- markup


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []

    def handle_starttag(self, name, attributes):
        self.tags.append(name)


def tags(html: bytes) -> list[str]:
    parser = _Tags()
    parser.feed(html.decode())
    return parser.tags


@pytest.fixture(scope="module")
def empty_study(tmp_path_factory) -> Findings:
    return compute_findings(Study.join(toy_plan(tmp_path_factory.mktemp("empty"), trials=7)), allow_empty=True)


@settings(max_examples=20, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
@example(NASTY)
def test_no_text_becomes_markup(empty_study, text):
    named = replace(empty_study, name=text, no_front=text, machines=({"cpu": text},))

    assert tags(page(named, [])) == tags(page(replace(named, name="a", no_front="a", machines=({"cpu": "a"},)), []))


def test_the_plan_on_the_page_is_the_plan_that_ran(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = run_study(Path("studies"), 3, seed=3, limits=("params <= 1M",))
    text = plan_yaml(findings_of())
    again = Plan.of(SearchSpace.parse(parse(text, "plan.yaml")), name="toy")

    assert replace(again.search, workers=plan.search.workers) == plan.search
    assert (again.space_digest, again.settings_digest) == (plan.space_digest, plan.settings_digest)


def shown_settings(findings: Findings) -> str:
    text = words(page(findings, []).decode())
    return text[text.index("re-evaluation") :]


def test_the_settings_count_the_members_that_were_evaluated_again(finished_study, monkeypatch):
    monkeypatch.chdir(finished_study.parent)
    findings = compute_findings(open_study(finished_study / "toy"))
    requested = replace(findings, facts=replace(findings.facts, search=replace(findings.facts.search, confirm=True)))
    first, *others = findings.front
    repeated = replace(first, metrics={**first.metrics, "repeats": [{"top1": 0.5}, {"top1": 0.6}]})

    assert shown_settings(findings).startswith("re-evaluation none")
    assert shown_settings(requested).startswith("re-evaluation requested, none yet")
    once = shown_settings(replace(requested, front=(repeated, *others)))
    assert once.startswith(f"re-evaluation 1 of {len(findings.front)} members")


def test_the_settings_have_the_rungs(empty_study):
    document = {**empty_study.facts.document, "proxy": {"name": "train", "rungs": [25, 50], "keep": 0.25}}
    halving = replace(empty_study, facts=replace(empty_study.facts, document=document))

    assert "rungs 25, 50 steps, keep 0.25" in shown_settings(halving)
    assert "rungs" not in shown_settings(empty_study)


def with_reliability(findings: Findings, tau: float, baseline: float, low: float, high: float) -> str:
    models = (("mobilevitv3_xxs", 0.5, 71.0, 1_200_000),) * 4
    reliability = ProxyReliability("loss", models, tau, low, high, baseline)
    return words(page(replace(findings, reliability=reliability), []).decode())


def test_the_page_explains_how_reliable_the_proxy_is(empty_study):
    same = with_reliability(empty_study, 1, 1, 1, 1)
    assert "The number of parameters alone, which costs no training, reaches 1.00" in same
    assert "All pairs agree" in same
    assert "no better than size alone" in same
    assert "All pairs are reversed" in with_reliability(empty_study, -1, 1, -1, -1)
    better = with_reliability(empty_study, 0.7, 0.5, 0.4, 0.9)
    assert "0.70 over 4 models (95 % of resamples from 0.40 to 0.90)" in better
    assert "no better than size alone" not in better


# ---- the command


def test_the_page_describes_a_study_in_words(mvsearch, toy):
    text = words(report(mvsearch))
    findings = findings_of()

    assert f"{len(findings.front)} of 12 candidates are on the front" in text
    assert f"{findings.space.size:,} architectures at 64 px" in text
    assert "random, seed 0" in text
    assert "Not measured: 0 published models" in text
    assert "mvsearch run toy.yaml --name toy" in text
    assert findings.machines[0]["cpu"] in text
    for record in findings.front:
        assert f"mvsearch export toy:{record.number} --to torch" in text


def test_the_stages_of_a_member_are_spelled_as_a_file_spells_them(mvsearch):
    run_study(
        Path("studies"),
        12,
        TOY.replace("dim: dim, depth", "fusion: none, add_input: {choose: [true, false]}, dim: dim, depth"),
    )
    text = words(report(mvsearch))

    assert "body.add_input true, false" in text  # the space, in the words of the plan below it

    assert "conv stride 2" in text
    assert "fusion none" in text
    assert "add_input" in text
    assert "10 classes" in text


def test_the_export_command_works_wherever_the_study_is_stored(mvsearch, toy):
    url = f"sqlite:///{toy.resolve() / 'my toy' / 'study.db'}"
    Path("studies", "toy").rename(Path("studies", "my toy"))
    number = findings_of("my toy").front[0].number

    assert f"mvsearch export 'my toy:{number}' --to torch" in words(report(mvsearch, "my toy"))
    assert mvsearch("show", f"my toy:{number}").code == 0
    command = f"mvsearch export toy:{number} --storage '{url}' --to torch"
    assert command in words(report(mvsearch, "toy", "--storage", url))
    assert " --storage '" in mvsearch("front", "toy", "--storage", url).out


def rename_study(folder: Path, name: str) -> str:
    """The URL of a database in which the study's copy has another name, also as the name of every network."""
    url = f"sqlite:///{folder / 'toy' / 'study.db'}"
    store, reader = Store(url, create=False), open_study("toy")
    store.add_study(name, reader.facts.to_json() | {"document": {**reader.facts.document, "name": name}})
    for record in reader.records():
        store.save_record(name, replace(record, published=name), settings="s", machine={"cpu": name})
    return url


def test_no_name_can_break_out(mvsearch, toy):
    url = rename_study(toy, NASTY)
    html = report(mvsearch, NASTY, "--storage", url)
    assert NASTY in words(html)
    assert "<script>window.broken" not in html
    assert "<img" not in html.partition('id="data"')[0]


def test_the_page_has_the_sentences_on_latencies_that_front_prints(mvsearch):
    """Every second latency is predicted, and the others were measured on a busy machine."""

    def evaluate(arch):
        macs, even = arch.cost().macs, arch.cost().params // 8 % 2 == 0
        ends = {"latency_low_ms": macs / 1.1e4, "latency_high_ms": macs / 0.9e4}
        busy = {"latency_busy": True, "latency_load": 8.4, "latency_measured_because": "it would be on the front"}
        expected = {"latency_expected_low_ms": macs / 1.2e4, "latency_expected_high_ms": macs / 1.1e4}
        how = {"latency_predicted": True} if even else busy | expected
        return {**arithmetic(arch), "latency_ms": macs / 1e4, **ends, **how}

    plan = toy_plan(Path("studies"), objectives=("loss", "latency_ms"), trials=6)
    Study.join(plan).run(evaluate)

    page, printed = report(mvsearch), " ".join(mvsearch("front", "toy").out.split())
    notes = findings_of().latency_notes

    assert len(notes) == 2
    for note in notes:
        assert escape(note[1:]) in page
        assert note in printed
    assert "of 6 latencies are predicted (~), nine in ten within" in notes[1]


def test_a_study_without_a_trial_has_a_page(mvsearch):
    Study.join(toy_plan(Path("studies"), trials=7))
    text = words(report(mvsearch))

    assert "It has no front yet" in text
    assert "has no finished trial yet" in text
    assert "0 of 7 trials so far" in text
    assert "Nothing was measured yet" in text


def test_a_running_study_is_shown_as_it_stands(mvsearch):
    run_study(Path("studies"), 40, finished=5)

    assert "not finished: 5 of 40 trials so far" in words(report(mvsearch))


def test_a_study_without_a_feasible_trial_has_a_page_and_the_command_reports_it(mvsearch):
    run_study(Path("studies"), 3, limits=("loss <= 0.001",))

    assert "was measured" in words(report(mvsearch))
    assert "it shows no front" in mvsearch("report", "toy", "--force").err


def test_one_objective_has_a_page_too(mvsearch):
    run_study(Path("studies"), 3, objectives=("loss",))

    assert "1 of 3 candidates is on the front" in words(report(mvsearch))


@pytest.mark.parametrize(
    ("args", "decisive"),
    [
        (("toy", "-o", "there.html"), "there.html"),
        (("toy", "-o", "report.pdf"), ".pdf"),
        (("toy", "-o", "nowhere/report.html"), "nowhere/report.html"),
        (("nobody",), "nobody"),
    ],
)
def test_a_report_that_cannot_be_written_is_one_sentence(mvsearch, toy, args, decisive):
    Path("there.html").write_text("mine", encoding="utf-8")

    done = mvsearch("report", *args)
    assert done.code == 1
    assert decisive in done.err
    assert_one_sentence(done.err)
    assert Path("there.html").read_text(encoding="utf-8") == "mine"
    assert not list(Path().glob("*report*"))


def test_findings_are_computed_once_for_a_screen(mvsearch, toy, monkeypatch):
    from mvsearch.report import findings

    calls = []
    compute = findings.proxy_reliability
    monkeypatch.setattr(findings, "proxy_reliability", lambda *args: calls.append(args) or compute(*args))
    assert mvsearch("front", "toy").code == 0
    assert len(calls) == 1


def test_json_has_the_numbers_of_the_page(mvsearch, toy):
    facts = json.loads(mvsearch("report", "toy", "--json").out)

    findings = findings_of()
    assert facts["front"] == [record.number for record in findings.front]
    assert facts["hypervolumes"][-1] == pytest.approx(findings.hypervolume) == findings.hypervolumes[-1]
    assert facts["file"] == "report.html"
    assert facts["trust"]["tau"] is facts["trust"]["baseline"] is None
    (_, params) = importances(findings.space, findings.records, findings.objectives)
    assert facts["importance"][1]["shares"]["dim"]["share"] == params.shares["dim"].share


def test_a_report_loads_no_torch(mvsearch):
    run_study(Path("studies"), 3, objectives=("loss",))
    code = "import sys; from mvsearch.cli.main import cli; cli(['report', 'toy'], standalone_mode=False); "
    code += "sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert Path("report.html").stat().st_size > 1_000_000  # plotly is in it


# ---- parallel coordinates


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((4, 3, 2), [2, 3, 4]),
        ((0.5, 2, 1), [0.5, 1, 2]),
        ((3, 1, "none"), [1, 3, "none"]),
        (("depthwise", "dense"), ["depthwise", "dense"]),
        ((True, False), [True, False]),
        ((7,), [7]),
    ],
)
def test_numbers_ascend_along_an_axis_whatever_their_order_in_the_file(values, expected):
    assert charts.axis_values(Choice("x", values)) == expected


def test_each_score_is_in_the_legend_of_the_choices_once(tmp_path):
    findings = compute_findings(Study.read(run_study(tmp_path, 8, TOY)))
    lines = charts.choices(findings)["data"]
    legend = [line["name"] for line in lines if line.get("showlegend", True)]
    assert len(set(legend)) == len(legend)
    assert {line["name"] for line in lines} == set(legend)


def test_a_choice_whose_neighbours_have_no_effect_is_a_stroke(tmp_path):
    body = "block: {choose: [mv2, conv]}, out: 16, mv2: {expand: {choose: [1, 2]}}, conv: {kernel: {choose: [1, 3]}}"
    text = f"name: toy\nimage_size: 64\nblocks:\n  - {{name: stem, block: conv, out: 8}}\n  - {{name: body, {body}}}\n"
    findings = compute_findings(Study.read(run_study(tmp_path, 4, text)))
    place = [choice.name for choice in findings.space.choices].index("body.conv.kernel")
    lines = charts.choices(findings)["data"]
    drawn = [y for line in lines for y, text in zip(line["y"], line["text"], strict=True) if "conv.kernel" in text]
    assert sorted(drawn) == pytest.approx([place - 0.15] * 2 + [place + 0.15] * 2)


def test_lines_pass_through_the_labels_of_their_values(tmp_path):
    plan = run_study(tmp_path, 8, TOY.replace("[1, 2, 3]", "[3, 1, 2]"))
    findings = compute_findings(Study.read(plan))
    figure = charts.choices(findings)
    row = [choice.name for choice in findings.space.choices].index("body.depth")
    ticks = {tick["text"]: tick["x"] for tick in figure["layout"]["annotations"] if tick["y"] == row}
    points = [
        (x, text.rpartition(": ")[2])
        for line in figure["data"]
        for x, y, text in zip(line["x"], line["y"], line["text"], strict=True)
        if y == row
    ]

    assert ticks == {"1": 0, "2": 0.5, "3": 1}
    assert len(points) == len(findings.measured)
    assert all(x == pytest.approx(ticks[value], abs=0.03) for x, value in points)
