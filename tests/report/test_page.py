"""`mvsearch report`: the page's numbers, its markup, and what a real browser makes of it."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy import TOY, arithmetic, toy_plan, toy_space

from mvsearch.arch.published import published
from mvsearch.cli.main import main
from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import Record
from mvsearch.report import importance
from mvsearch.report.figures.palette import DARK, LIGHT
from mvsearch.report.importance import importances
from mvsearch.report.page import sections
from mvsearch.report.page.findings import gather
from mvsearch.report.page.html import Html, join, tag
from mvsearch.report.page.sections import plan_yaml
from mvsearch.report.proxy_reliability import trust
from mvsearch.study.plan import Plan
from mvsearch.study.reader import open_study
from mvsearch.study.resolve import find_architecture
from mvsearch.study.storage.store import Store
from mvsearch.study.study import Study
from mvsearch.utils.yaml_document import parse

LOSS = Objective.named("loss")
TOP1 = Objective.named("top1")
NASTY = """<script>window.broken = 1</script>"&'<img src=x onerror="window.broken = 1">"""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def studied(trials: int = 30, text: str = TOY, *, finished: int | None = None, **search) -> Plan:
    """A real study in ./studies, of which `finished` trials are."""
    plan = toy_plan(Path("studies"), text, trials=trials, **search)
    Study.join(plan).run(arithmetic, trials=trials if finished is None else finished)
    return plan


def mvsearch(*args: str) -> int:
    sys.argv = ["mvsearch", *args]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def page(name: str = "toy") -> str:
    assert mvsearch("report", name, "-o", "report.html", "--force") == 0
    return Path("report.html").read_text()


class _Words(HTMLParser):
    """What a person reads: text outside scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.silent = False

    def handle_starttag(self, name, attributes):
        self.silent = name in ("script", "style")

    def handle_endtag(self, name):
        self.silent = False

    def handle_data(self, data):
        if not self.silent:
            self.found.append(data)


def words(html: str) -> str:
    parser = _Words()
    parser.feed(html)
    return " ".join(" ".join(parser.found).split())


# ---- markup


@given(st.text(), st.text())
def test_no_text_becomes_markup(text, value):
    made = tag("td", text, title=value)

    seen = []
    parser = HTMLParser(convert_charrefs=True)
    parser.handle_starttag = lambda name, attributes: seen.append(name)
    parser.feed(made)
    assert seen == ["td"]
    assert made.count("<") == 2


def test_markup_is_put_into_markup_as_it_is():
    assert tag("p", tag("b", "a"), " & b", class_="note") == '<p class="note"><b>a</b> &amp; b</p>'
    assert isinstance(join(["a", Html("<br>")]), Html)
    assert tag("td", title=None) == "<td></td>"


# ---- numbers


def measured(number: int, name: str | None, top1: float, **choices) -> Record:
    architecture = published(name or "mobilevitv3_xxs").to_dict()
    metrics = {"top1": top1, "params": 10}
    return Record(number, f"{number:012x}", "complete", None, metrics, choices, architecture, name, 1.0)


MODELS = ("mobilevitv3_xxs", "mobilevitv3_xs", "mobilevitv1_s", "mobilevitv3_s")
"""In the order of their printed Top-1."""


def test_trust_is_kendalls_tau_over_the_published_models():
    records = [measured(i, name, top1) for i, (name, top1) in enumerate(zip(MODELS, (0.5, 0.7, 0.6, 0.8), strict=True))]
    found = trust([*records, measured(9, None, 0.1), measured(10, "ablation_2_conv1x1", 0.1)], [TOP1])

    assert found.tau == pytest.approx(4 / 6)  # five pairs agree, one does not
    assert found.low < found.tau < found.high == 1
    assert [row[0] for row in found.models] == list(MODELS)
    assert found == trust([*records, measured(9, None, 0.9)], [TOP1])


def test_a_network_at_another_image_size_is_not_another_network():
    one, same = ([measured(0, name, 0.7)] for name in ("mobilevitv3_0.5", "mobilevitv3_0.5_384"))
    beside = {"mobilevitv3_0.5": {"top1": 0.6}, "mobilevitv3_xxs": {"top1": 0.5}}
    assert trust(one, [TOP1], beside).models == trust(same, [TOP1], beside).models
    assert len(trust(same, [TOP1], beside).models) == 2


def test_trust_has_the_number_of_parameters_beside_the_proxy_on_the_same_models():
    scores = [(name, published(name).cost().params) for name in MODELS]
    same = trust([measured(i, name, params / 1e7) for i, (name, params) in enumerate(scores)], [TOP1])
    worse = trust([measured(i, name, 1 - params / 1e7) for i, (name, params) in enumerate(scores)], [TOP1])

    assert [row[3] for row in same.models] == [params for _, params in scores]
    assert same.baseline == same.tau == worse.baseline == 1  # these four are printed in the order of their size
    assert worse.tau == -1
    assert "parameters alone, which costs no training, has 1.00" in sections._tau(same)
    assert "All pairs agree" in sections._tau(same)
    assert "tells no more than size does" in sections._tau(same)
    assert "All pairs are the wrong way round" in sections._tau(worse)


def test_trust_of_a_loss_counts_less_as_better():
    records = [replace(measured(i, name, 0), metrics={"loss": 4.0 - i}) for i, name in enumerate(MODELS)]

    assert trust(records, [LOSS]).tau == 1


@pytest.mark.parametrize("scores", [(0.5, 0.6, 0.7), (0.5, 0.5, 0.5, 0.5), ()])
def test_trust_is_not_measured_where_too_few_or_equal_scores_are_known(scores):
    records = [measured(i, name, top1) for i, (name, top1) in enumerate(zip(MODELS, scores, strict=False))]

    assert trust(records, [TOP1]).tau is None


def test_networks_for_another_task_are_not_held_against_imagenet():
    architecture = find_architecture("mobilevitv3_xxs+deeplabv3").to_dict()
    assert (
        trust([replace(measured(0, None, 0), metrics={"loss": 1.0}, architecture=architecture)], [LOSS]).score is None
    )


def test_a_search_for_costs_alone_has_no_proxy_to_trust():
    assert trust([measured(0, "mobilevitv3_s", 0.5)], [Objective.named("params")]).score is None


def chosen(number: int, point: dict, top1: float) -> Record:
    return measured(number, None, top1, **point)


@pytest.mark.parametrize("method", ["fANOVA", "PED-ANOVA"])
def test_the_choice_that_decides_alone_is_the_most_important(monkeypatch, method):
    monkeypatch.setattr(importance, "method", lambda: method)
    space = toy_space()
    points = [space.point(codes) for codes in space.sample(60, 1)]
    records = [chosen(i, point, point["body.depth"] / 10) for i, point in enumerate(points)]
    (found,) = importances(space, records, [TOP1])

    assert max(found.shares, key=lambda name: found.shares[name].share) == "body.depth"
    assert sum(share.share for share in found.shares.values()) == pytest.approx(1)
    assert all(share.low <= share.share <= share.high for share in found.shares.values())
    assert (found.method, found.points, found.priced) == (method, 60, False)


def test_what_two_choices_do_only_together_is_not_put_down_to_either():
    space = toy_space()
    points = [space.point(codes) for codes in space.sample(200, 1)]
    deep, wide = ([point[name] > min(p[name] for p in points) for point in points] for name in ("body.depth", "dim"))
    records = [chosen(i, point, float(d != w)) for i, (point, d, w) in enumerate(zip(points, deep, wide, strict=True))]
    (found,) = importances(space, records, [TOP1])

    assert sum(share.share for share in found.shares.values()) < 0.6


def test_importance_for_a_cost_needs_no_trials():
    (found,) = importances(toy_space(), [], [Objective.named("params")])

    assert found.priced
    assert found.shares["dim"].share > found.shares["stem.out"].share


@pytest.mark.parametrize(("scores", "says"), [([0.1, 0.2], "2 measured trials are too few"), ([0.5] * 12, "the same")])
def test_importance_is_not_made_up(scores, says):
    space = toy_space()
    points = [space.point(codes) for codes in space.sample(len(scores), 1)]
    (found,) = importances(
        space, [chosen(i, p, s) for i, (p, s) in enumerate(zip(points, scores, strict=True))], [TOP1]
    )

    assert says in found.missing
    assert not found.shares


def test_of_very_many_trials_some_are_weighed(monkeypatch):
    monkeypatch.setattr(importance, "MOST", 40)
    space, told = toy_space(), []
    points = [space.point(codes) for codes in space.sample(60, 1)]
    records = [chosen(i, point, point["body.depth"] / 10) for i, point in enumerate(points)]
    (found,) = importances(space, records, [TOP1], tell=lambda done, of: told.append((done, of)))

    assert (found.points, found.known) == (40, 60)
    assert max(found.shares, key=lambda name: found.shares[name].share) == "body.depth"
    assert told == sorted(told)
    assert len(told) == importance.RESAMPLES + 1  # the bar moves with every answer
    assert (found,) == tuple(importances(space, records, [TOP1]))


def test_the_plan_on_the_page_is_the_plan_that_ran():
    plan = studied(12, seed=3, limits=("params <= 1M",))
    again = Plan.of(parse_space(plan_yaml(gather(open_study("toy")))), name="toy")

    assert replace(again.search, workers=plan.search.workers) == plan.search
    assert (again.space_key, again.settings_key) == (plan.space_key, plan.settings_key)


def parse_space(text: str):
    from mvsearch.space.search_space import SearchSpace

    return SearchSpace.parse(parse(text, "plan.yaml"))


# ---- the command


def test_the_page_tells_a_study_in_words():
    studied(30)
    said = words(page())
    found = gather(open_study("toy"))

    assert f"{len(found.front)} of 30 candidates are on the front" in said
    assert f"{found.space.size:,} architectures at 64 px" in said
    assert "random, seed 0" in said
    assert "Not measured: 0 published models" in said
    assert "mvsearch run toy.yaml --name toy" in said
    assert found.machines[0]["cpu"] in said
    for record in found.front:
        assert f"mvsearch export toy:{record.number} --to torch" in said


def test_the_stages_of_a_member_are_spelled_as_a_file_spells_them():
    studied(12, TOY.replace("dim: dim, depth", "fusion: none, add_input: {choose: [true, false]}, dim: dim, depth"))
    said = words(page())

    assert "body.add_input true, false" in said  # the space, in the words of the plan below it

    assert "conv stride 2" in said
    assert "fusion none" in said
    assert "add_input" in said
    assert "10 classes" in said


def test_what_takes_a_member_along_finds_it_again_wherever_the_study_was_found(capsys):
    plan = studied(12)
    Path("studies", "toy").rename(Path("studies", "my toy"))
    url = plan.url.replace("/toy/", "/my toy/")
    number = gather(open_study("my toy")).front[0].number

    assert f"mvsearch export 'my toy:{number}' --to torch" in words(page("my toy"))
    assert mvsearch("show", f"my toy:{number}") == 0
    assert mvsearch("report", "toy", "--storage", url, "-o", "report.html", "--force") == 0
    assert f"mvsearch export toy:{number} --storage '{url}' --to torch" in words(Path("report.html").read_text())
    capsys.readouterr()
    assert mvsearch("front", "toy", "--storage", url) == 0
    assert " --storage '" in capsys.readouterr().out


def test_no_name_can_break_out(capsys):
    plan = studied(12, TOY.replace("name: toy", f"name: {json.dumps(NASTY)}"), name="toy")
    store, reader = Store(plan.url, create=False), open_study("toy")
    store.add_study(NASTY, dict(reader.facts))
    for record in reader.records():
        store.save(NASTY, replace(record, published=NASTY), settings="s", machine={"cpu": NASTY})

    assert mvsearch("report", NASTY, "--storage", plan.url, "-o", "report.html") == 0
    html = Path("report.html").read_text()
    assert NASTY in words(html)
    assert "<script>window.broken" not in html
    assert "<img" not in html.partition('<script id="data"')[0]


def test_a_study_without_a_trial_says_so():
    Study.join(toy_plan(Path("studies"), trials=7))
    said = words(page())

    assert "It has no front yet" in said
    assert "has no finished trial yet" in said
    assert "0 of 7 trials so far" in said
    assert "Nothing was measured yet" in said


def test_a_study_that_runs_is_shown_as_it_stands(capsys):
    studied(40, finished=15)

    assert "not at its end: 15 of 40 trials so far" in words(page())


def test_a_study_that_keeps_to_no_limit_says_so(capsys):
    studied(12, limits=("loss <= 0.001",))

    assert "was measured" in words(page())
    assert "it shows no front" in capsys.readouterr().err


def test_one_objective_has_a_page_too():
    studied(12, objectives=("loss",))

    assert "1 of 12 candidates is on the front" in words(page())


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("toy", "-o", "there.html"), "there.html: is there already; --force writes over it."),
        (("toy", "-o", "report.pdf"), "report.pdf: cannot write .pdf; use .html"),
        (("toy", "-o", "nowhere/report.html"), "nowhere/report.html: cannot be written"),
        (("nobody",), "there is no study 'nobody' here"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(capsys, args, says):
    studied(3)
    Path("there.html").write_text("mine")

    assert mvsearch("report", *args) == 1
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert Path("there.html").read_text() == "mine"
    assert not list(Path().glob("*report*"))


def test_json_has_the_numbers_of_the_page(capsys):
    studied(20)
    assert mvsearch("report", "toy", "--json") == 0
    facts = json.loads(capsys.readouterr().out)

    found = gather(open_study("toy"))
    assert facts["front"] == [record.number for record in found.front]
    assert facts["hypervolumes"][-1] == found.hypervolumes[-1]
    assert facts["file"] == "report.html"
    assert facts["trust"]["tau"] is facts["trust"]["baseline"] is None
    assert facts["importance"][1]["shares"]["dim"]["share"] == found.importances[1].shares["dim"].share


def test_a_report_loads_no_torch():
    studied(12)
    code = "import sys; from mvsearch.cli.main import cli; cli(['report', 'toy'], standalone_mode=False); "
    code += "sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert Path("report.html").stat().st_size > 1_000_000  # plotly is in it


# ---- in a browser


@pytest.fixture(scope="session")
def chromium():
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no chromium on this machine; `apt-get install chromium` brings one")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory) -> Path:
    """A finished study's page, with landmarks on its front."""
    folder = tmp_path_factory.mktemp("report")
    plan = replace(
        Plan.load(SPACES / "quick.yaml", trials=30, sampler="random", objectives=("top1", "params", "macs")),
        studies=folder,
    )
    Study.join(plan).run(lambda arch: {**arch.metrics(), "top1": arch.cost().params / 1e7}, trials=30)
    from mvsearch.report.page.page import page

    path = folder / "report.html"
    path.write_bytes(page(gather(Study.read(plan))))
    return path


SPACES = Path(__file__).parents[2] / "spaces"


@pytest.fixture
def opened(chromium, report):
    """Opens a page offline, and fails at the end if the browser complained or asked for anything."""
    trouble: list[str] = []
    contexts = []

    def open_(path: Path = report, *, width: int = 1280, scheme: str = "light"):
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        context.set_offline(True)
        tab = context.new_page()
        tab.on("console", lambda said: trouble.append(f"{said.type}: {said.text}"))
        tab.on("pageerror", lambda error: trouble.append(str(error)))
        tab.on("request", lambda asked: None if asked.url.startswith("file:") else trouble.append(asked.url))
        tab.goto(path.as_uri())
        tab.wait_for_selector("[data-figure=front0] .points path")
        return tab

    yield open_
    for context in contexts:
        context.close()
    assert trouble == []


def hover(tab, figure: str) -> str:
    """What is said when one points at a candidate on the front."""
    point = tab.locator(f"[data-figure={figure}] .points path").last
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    return tab.locator(f"[data-figure={figure}] .hoverlayer .hovertext").first.text_content()


def column(tab, head: str) -> list[str]:
    place = tab.locator("#members .sortable thead th").first.evaluate(
        "(th, head) => [...th.parentNode.cells].findIndex((c) => c.innerText.startsWith(head))", head
    )
    return tab.locator("#members .sortable").first.locator(f"tbody td:nth-child({place + 1})").all_inner_texts()


def test_every_plot_is_drawn_and_pointing_shows_the_architecture(opened):
    tab = opened()

    assert tab.locator(".plot .main-svg").count() >= 4
    for figure in ("front0", "front1"):
        said = hover(tab, figure)
        assert "trial" in said
        assert "mobilevit" in said
        assert "dim" in said


def test_no_button_uploads_a_plot(opened):
    titles = opened().locator(".modebar-btn").evaluate_all("buttons => buttons.map((b) => b.dataset.title)")

    assert "Pan" in titles
    assert not [title for title in titles if "hare" in title]


def test_a_click_on_a_head_sorts_and_another_turns_it_round(opened):
    tab = opened()
    before = column(tab, "params")
    head = tab.locator("#members .sortable").first.get_by_role("button", name="top-1")
    head.click()
    rising = [float(text.removesuffix(" %")) for text in column(tab, "top-1")]
    head.click()
    falling = [float(text.removesuffix(" %")) for text in column(tab, "top-1")]

    assert len(before) > 2
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert tab.locator("#members th[aria-sort=descending]").count() == 1


def test_a_trial_in_the_table_opens_its_stages(opened):
    tab = opened()
    link = tab.locator("#members .sortable tbody a").nth(1)
    member = tab.locator(f"#trial-{link.inner_text()}")
    assert not member.locator("table").is_visible()
    link.click()

    member.locator("table").wait_for(state="visible")  # the browser tells the page of it in a moment
    assert "head" in member.locator("tbody tr").last.inner_text()


def paper(tab) -> tuple[str, str]:
    body = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    plot = tab.locator("[data-figure=front0] .main-svg").first.evaluate("svg => getComputedStyle(svg).backgroundColor")
    return body, plot


def rgb(colour: str) -> str:
    return f"rgb({', '.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))})"


def test_page_and_plots_are_dark_where_the_reader_is_and_light_on_paper(opened):
    tab = opened(scheme="dark")
    assert paper(tab) == (rgb(DARK.paper), rgb(DARK.paper))
    tab.emulate_media(media="print")
    tab.wait_for_timeout(300)

    assert paper(tab) == (rgb(LIGHT.paper), rgb(LIGHT.paper))
    assert tab.locator("details:not([open])").count() == 0
    tab.emulate_media(media="screen")
    tab.wait_for_timeout(300)
    assert paper(tab) == (rgb(DARK.paper), rgb(DARK.paper))
    assert tab.locator("details[open]").count() == 0


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_hangs_over_the_edge_of_the_screen(opened, width):
    tab = opened(width=width)

    assert tab.evaluate("document.documentElement.scrollWidth") == width
    right = tab.locator("[data-figure=front0] .main-svg").first.evaluate("svg => svg.getBoundingClientRect().right")
    assert right <= width


def test_a_page_of_nasty_names_runs_nothing_of_them(opened, chromium):
    plan = studied(12)
    store, reader = Store(plan.url, create=False), open_study("toy")
    store.add_study(NASTY, dict(reader.facts) | {"document": reader.facts["document"] | {"name": NASTY}})
    for record in reader.records():
        store.save(NASTY, replace(record, published=NASTY), settings="s", machine={"cpu": NASTY})
    assert mvsearch("report", NASTY, "--storage", plan.url, "-o", "nasty.html") == 0
    tab = opened(Path("nasty.html").resolve())

    assert "window.broken" in hover(tab, "front0")
    assert tab.evaluate("window.broken") is None
    assert tab.locator("h1").inner_text() == NASTY
