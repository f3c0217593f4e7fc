"""The report page in a real browser, offline."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mvsearch.report import importance
from mvsearch.report.figures.palette import DARK, LIGHT
from mvsearch.report.findings import Findings, compute_findings
from mvsearch.report.importance import importances
from mvsearch.report.page.page import page
from mvsearch.study.plan import Plan
from mvsearch.study.study import Study

SPACES = Path(__file__).parents[2] / "spaces"
NASTY = """<script>window.broken = 1</script>"&'<img src=x onerror="window.broken = 1">"""


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


@pytest.fixture(scope="module")
def findings(tmp_path_factory) -> Findings:
    """A finished study with published models on its front."""
    plan = Plan.load(SPACES / "quick.yaml", trials=16, sampler="random", objectives=("top1", "params", "macs"))
    plan = replace(plan, studies=tmp_path_factory.mktemp("studies"))
    study = Study.join(plan)
    study.run(lambda arch: {**arch.metrics(), "top1": arch.cost().params / 1e7}, trials=16)
    return compute_findings(Study.read(plan))


@pytest.fixture(scope="module")
def report(tmp_path_factory, findings) -> Path:
    """The page of the study, in which everything that has a name has a nasty one."""
    records = {record.number: replace(record, published=NASTY) for record in findings.records}
    renamed = {
        field: tuple(records[record.number] for record in getattr(findings, field))
        for field in ("records", "measured", "front")
    }
    nasty = replace(findings, name=NASTY, machines=({"cpu": NASTY},), **renamed)
    path = tmp_path_factory.mktemp("report") / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importance, "RESAMPLES", 1)
        patch.setattr(importance, "POINTS", 30)
        results = importances(nasty.space, nasty.records, nasty.objectives)
    path.write_bytes(page(nasty, results))
    return path


@pytest.fixture
def opened(chromium, report):
    """Opens the page offline, and fails at the end if the browser complained or requested anything."""
    trouble: list[str] = []
    contexts = []

    def open_(*, width: int = 1280, scheme: str = "light"):
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        context.set_offline(True)
        context.set_default_timeout(120_000)  # a busy machine
        tab = context.new_page()
        tab.on("console", lambda said: trouble.append(f"{said.type}: {said.text}"))
        tab.on("pageerror", lambda error: trouble.append(str(error)))
        tab.on("request", lambda request: None if request.url.startswith("file:") else trouble.append(request.url))
        tab.goto(report.as_uri())
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


def test_every_plot_is_drawn_and_hovering_shows_the_architecture_and_no_button_uploads_a_plot(opened):
    tab = opened()

    assert tab.locator(".plot .main-svg").count() >= 4
    for figure in ("front0", "front1"):
        text = hover(tab, figure)
        assert "trial" in text
        assert "mobilevit" in text
        assert "dim" in text
        assert "window.broken" in text, "a name is text"
    assert tab.evaluate("window.broken") is None, "and nothing of it is run"
    assert tab.locator("h1").inner_text() == NASTY
    titles = tab.locator(".modebar-btn").evaluate_all("buttons => buttons.map((b) => b.dataset.title)")
    assert "Pan" in titles
    assert not [title for title in titles if "hare" in title]


@pytest.mark.slow
def test_a_click_on_a_head_sorts_and_a_second_one_reverses_the_order(opened):
    tab = opened()
    before = column(tab, "params")
    head = tab.locator("#members .sortable").first.get_by_role("button", name="top-1 (held-out)")
    head.click()
    ascending = [float(text.removesuffix(" %")) for text in column(tab, "top-1 (held-out)")]
    head.click()
    descending = [float(text.removesuffix(" %")) for text in column(tab, "top-1 (held-out)")]

    assert len(before) > 2
    assert ascending == sorted(ascending)
    assert descending == sorted(descending, reverse=True)
    assert tab.locator("#members th[aria-sort=descending]").count() == 1


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_hangs_over_the_edge_of_the_screen(opened, width):
    tab = opened(width=width)

    assert tab.evaluate("document.documentElement.scrollWidth") == width
    right = tab.locator("[data-figure=front0] .main-svg").first.evaluate("svg => svg.getBoundingClientRect().right")
    assert right <= width


@pytest.mark.parametrize("width", [360, pytest.param(800, marks=pytest.mark.slow)])
def test_parallel_coordinates_are_whole_on_every_screen(opened, findings, width):
    outside = """box => { const edge = box.getBoundingClientRect();
        return [...box.querySelectorAll(".ytick text, .annotation-text, .legendtext")].filter(text => {
            const r = text.getBoundingClientRect();
            return r.left < edge.left || r.right > edge.right || r.top < edge.top || r.bottom > edge.bottom; })
        .map(text => text.textContent) }"""
    figure = opened(width=width).locator("[data-figure=choices]")

    assert figure.locator(".ytick text").all_text_contents() == [choice.name for choice in findings.space.choices]
    assert figure.evaluate(outside) == []
    assert figure.evaluate("box => box.getBoundingClientRect().right") <= width
