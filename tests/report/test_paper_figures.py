"""Figures 1 and 3 of the paper, drawn from data: networks, axes, files and errors."""

import tempfile
from types import SimpleNamespace

import pytest
from toy import arithmetic, toy_plan

from mvsearch.baselines import baselines
from mvsearch.baselines.latencies import DeviceLatencies
from mvsearch.cli.front import _compare_with_baselines, _print_dominances
from mvsearch.errors import PlanError
from mvsearch.report.dominance import baseline_networks, family_networks
from mvsearch.report.figures.accuracy_cost import FIGURES, accuracy_cost_figure
from mvsearch.report.figures.accuracy_cost_plot import plot_accuracy_cost
from mvsearch.report.figures.layout import Frame, NameLayout
from mvsearch.report.figures.palette import DARK, LIGHT
from mvsearch.report.figures.static import TITLE, blank, title
from mvsearch.study.study import Study


@pytest.fixture(autouse=True)
def own_lock_files(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("locks")))


FIRST_BYTES = {"png": b"\x89PNG", "svg": b"<?xml", "html": b"<!DOCTYPE html>"}


def all_networks(times_ms=None):
    return [*family_networks(times_ms), *baseline_networks(times_ms)]


NETWORKS = all_networks()
FEW = [network for network in NETWORKS if network.kind is None or network.recipe == "longer"]


def labels(figure, **options):
    return {bubble.label for bubble in accuracy_cost_figure(figure, NETWORKS, **options).bubbles}


def test_figure_1_is_against_transformers_and_figure_3_against_convolutions():
    assert {"v3-XXS", "DeiT-tiny", "Mobile-Former-294M"} <= labels("figure1")
    assert {"v3-XXS", "MobileNetV4-conv-S", "RepViT-M0.9"} <= labels("figure3")
    assert "DeiT-tiny" not in labels("figure3")
    assert "MobileNetV4-conv-S" not in labels("figure1")


def test_every_baseline_is_in_one_of_them():
    bubbles = [bubble for figure in FIGURES for bubble in accuracy_cost_figure(figure, NETWORKS).bubbles]
    assert {bubble.lines[0] for bubble in bubbles} >= {network.name for network in baselines()}


def test_networks_of_one_name_are_distinguished_by_their_training():
    assert {"EfficientNet-B0", "EfficientNet-B0 (longer)"} <= labels("figure3")
    assert len(labels("figure3")) == len(accuracy_cost_figure("figure3", NETWORKS).bubbles)


@pytest.mark.parametrize("x", ["params", "macs"])
@pytest.mark.parametrize("figure", FIGURES)
def test_x_is_the_logarithm_of_the_cost_in_the_unit_of_the_label(figure, x):
    costs = {network.name: getattr(network, x) for network in NETWORKS}
    result = accuracy_cost_figure(figure, NETWORKS, x)
    size = {"M": 1e6, "G": 1e9}[result.x_label[-2]]
    for bubble in result.bubbles:
        assert 10**bubble.x * size == pytest.approx(costs[bubble.lines[0]])
    assert all(result.x_limits[0] <= place <= result.x_limits[1] for place, _ in result.ticks)


def test_networks_that_were_not_timed_are_omitted_and_counted():
    times_ms = {network.name: 10.0 + i for i, network in enumerate(NETWORKS) if not network.name.startswith("t2t")}
    times = DeviceLatencies("cpu: a machine, 1 thread", times_ms)
    result = accuracy_cost_figure("figure1", all_networks(times_ms), "latency_ms", times=times)
    assert "T2T-ViT-7" not in {bubble.label for bubble in result.bubbles}
    sizes = "each at its own image size, 224 to 256 px"
    assert result.subtitle == f"one image on a machine, 1 thread; 3 not timed; {sizes}"


@pytest.mark.parametrize(("kind", "theme"), [("png", DARK), ("svg", LIGHT), ("html", LIGHT)], ids=FIRST_BYTES)
def test_a_figure_is_drawn_as_its_suffix_asks(tmp_path, kind, theme):
    path = tmp_path / f"a.{kind}"
    plot_accuracy_cost(accuracy_cost_figure("figure3", FEW), path, theme)
    assert path.read_bytes().startswith(FIRST_BYTES[kind])


@pytest.mark.parametrize("words", [1, 12, 25, 60])
def test_a_long_title_and_subtitle_are_not_cut_off(words):
    figure = blank(5)
    title(figure, "a title " * words, "subtitle " * words, LIGHT)
    width, height = figure.get_size_inches() * figure.dpi
    extents = [text.get_window_extent() for text in figure.texts]
    assert max(extent.x1 for extent in extents) <= 0.99 * width
    assert min(extent.y0 for extent in extents) >= height - TITLE * figure.dpi
    assert max(extent.y1 for extent in extents) <= height


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        plot_accuracy_cost(accuracy_cost_figure("figure3", FEW), tmp_path / f"{name}.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize("figure", FIGURES)
def test_no_name_covers_another(tmp_path, monkeypatch, figure):
    place, boxes = NameLayout.place, []

    def watched(layout, box, sizes, scale):
        names = place(layout, box, sizes, scale)
        frame = Frame(layout.x, layout.y, box)
        boxes.extend((*frame.pixels([name.centre])[0], *size) for name, size in zip(names, sizes, strict=True))
        return names

    monkeypatch.setattr(NameLayout, "place", watched)
    plot_accuracy_cost(accuracy_cost_figure(figure, NETWORKS), tmp_path / f"{figure}.png")

    assert len(boxes) > 30
    for i, (x, y, width, height) in enumerate(boxes):
        for x2, y2, width2, height2 in boxes[:i]:
            assert abs(x - x2) * 2 > width + width2 - 8 or abs(y - y2) * 2 > height + height2 - 8


@pytest.fixture
def few_baselines(monkeypatch):
    """Placing sixty names takes seconds, and has its own test."""
    few = [baseline for baseline in baselines() if baseline.kind == "cnn"][:3] + [
        b for b in baselines() if b.kind == "vit"
    ][:3]
    monkeypatch.setattr("mvsearch.report.dominance.baselines", lambda: few)


@pytest.fixture
def run(mvsearch):
    """The command `paper-figures`, in an empty folder."""
    return lambda *args: mvsearch("paper-figures", *args)


def test_both_figures_are_written_and_the_dominated_networks_are_printed(few_baselines, run, tmp_path):
    done = run()
    assert done.code == 0
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["figure1.png", "figure3.png"]
    assert "v3-S (79.3 %, 5.76 M, 1.83 G), in parameters and MACs: dominates" in done.out.replace("\n", " ")


def test_existing_figures_are_not_overwritten_without_force(few_baselines, run, tmp_path):
    figure = tmp_path / "figures/figure1.png"
    figure.parent.mkdir()
    figure.write_bytes(b"mine")
    refused = run("--theme", "dark")
    assert refused.code == 1
    assert "figures/figure1.png" in refused.err
    assert figure.read_bytes() == b"mine"
    assert run("--theme", "dark", "--force").code == 0
    assert figure.read_bytes().startswith(FIRST_BYTES["png"])


def test_latency_is_measured_once_and_drawn_again_from_its_file(run, tmp_path, monkeypatch, brief_timing):
    from mvsearch.profiling import protocols

    few, load = ["mobilevitv3_xxs_l2", "mobilevitv3_xxs", "mobilenetv3_large_100", "levit_128s"], protocols.load_network
    measure = protocols.time_networks
    monkeypatch.setattr(protocols, "load_network", lambda name: name)
    monkeypatch.setattr(
        protocols, "time_networks", lambda _names, *args, **options: measure([*map(load, few)], *args, **options)
    )
    done = run("--x", "latency_ms", "--repeats", "3", "--json")
    assert done.code == 0, done.err
    facts = done.json
    timed = {row["name"]: row["latency_ms"] for row in facts["networks"] if row["latency_ms"]}
    assert set(timed) == set(few)
    assert facts["device"].startswith("cpu: ")
    again = run("--x", "latency_ms", "--times", "figures/latency.json", "--json", "--force")
    assert {row["name"]: row["latency_ms"] for row in again.json["networks"] if row["latency_ms"]} == timed


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("", "times.json"),
        ('{"latencies": {}}', "times.json"),
        ('{"latencies": {"a": {"latency_ms": -1, "latency_device": "x"}}}', "times.json"),
        (
            '{"latencies": {"a": {"latency_ms": 1, "latency_device": "x"}, '
            '"b": {"latency_ms": 1, "latency_device": "y"}}}',
            "x and y",
        ),
        (None, "times.json"),
    ],
)
def test_a_file_without_latencies_is_an_error(run, tmp_path, content, value):
    if content is not None:
        (tmp_path / "times.json").write_text(content)
    done = run("--x", "latency_ms", "--times", "times.json")
    assert done.code == 1
    assert value in done.err
    assert not (tmp_path / "figures").exists()


def test_a_figure_without_any_timed_network_is_an_error():
    with pytest.raises(PlanError, match="latency_ms"):
        accuracy_cost_figure("figure1", NETWORKS, "latency_ms")


def test_a_figure_without_two_timed_networks_is_left_out_and_named(run, tmp_path):
    done = run("--x", "latency@galaxy_s25:w8a8", "--format", "svg")  # no transformer was timed in int8
    assert done.code == 0
    figure1 = "figure1 (MobileViT among vision transformers and hybrids)"
    assert f"not drawn: {figure1} needs two of these networks with a latency on Samsung Galaxy S25" in done.err
    assert "No network of the family has a published latency" in done.out
    assert [file.name for file in (tmp_path / "figures").iterdir()] == ["figure3_latency_galaxy_s25_w8a8.svg"]
    neither = run("--x", "latency@galaxy_s25:w8a8_mixed_int16", "-o", "others")  # LeViT alone
    assert neither.code == 1
    assert "there is one" in neither.err
    assert not (tmp_path / "others").exists()


def test_the_published_members_of_a_front_stand_among_the_baselines():
    front = [SimpleNamespace(published="mobilevitv3_xs"), SimpleNamespace(published=None)]
    [found] = _compare_with_baselines(SimpleNamespace(front=front))
    assert (found.network.name, found.dominated_by) == ("mobilevitv3_xs", ())


def test_published_members_that_are_not_compared_are_named(capsys):
    front = [SimpleNamespace(published=name) for name in ("starnet_s1", None, "shvit_s1")]
    findings = SimpleNamespace(front=front)
    _print_dominances(_compare_with_baselines(findings), findings)
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.startswith("not compared with the baselines: shvit_s1, starnet_s1; only the MobileViT models")
    assert "No published model" not in printed


def test_a_front_without_published_members_has_no_baselines(mvsearch, tmp_path):
    Study.join(toy_plan(tmp_path)).run(arithmetic, trials=3)
    assert "No published model is on this front" in mvsearch("front", "toy", "--baselines").out
    assert mvsearch("front", "toy", "--baselines", "--json").json["baselines"] == []
