import io
import os
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from mvsearch.arch.published import model_names, published, short_name
from mvsearch.errors import EnvironmentFault, PlanError, StudyError
from mvsearch.metrics.constraints import Constraint
from mvsearch.metrics.formatting import pretty, scale
from mvsearch.metrics.pareto import Objective, front
from mvsearch.metrics.record import Record
from mvsearch.report.figures import plot
from mvsearch.report.figures.axes import choose_axes, pairs
from mvsearch.report.figures.front import front_figure
from mvsearch.report.figures.front_plot import layout, plot_fronts
from mvsearch.report.figures.labels import GAPS, Label, Obstacles, place
from mvsearch.report.figures.layout import Frame
from mvsearch.report.figures.palette import DARK, LIGHT
from mvsearch.report.stages import stage_lines
from mvsearch.report.table import front_table
from mvsearch.utils.atomic_write import write_whole
from mvsearch.utils.units import three_digits

OBJECTIVES = tuple(Objective.named(name) for name in ("top1", "params", "macs"))

PUBLISHED = {
    "mobilevitv3_xxs": (1_249_448, 332_163_072, 0.792),
    "mobilevitv3_xs": (2_490_360, 966_618_112, 0.822),
    "mobilevitv3_s": (5_763_912, 1_832_711_680, 0.853),
    "ablation_3_conv1x1_localconcat": (4_785_032, 1_764_148_224, 0.838),
    "ablation_4_conv1x1_localconcat_inputadd": (4_785_032, 1_764_148_224, 0.841),
}


def objectives(*names: str) -> tuple[Objective, ...]:
    return tuple(Objective.named(name) for name in names)


XXS = published("mobilevitv3_xxs").to_dict()


def candidate(number: int, params: int, macs: int, top1: float, published: str | None = None) -> Record:
    metrics = {"params": params, "macs": macs, "macs_paper": macs * 9 // 10, "top1": top1}
    return Record(number, f"{number:012x}", "complete", None, metrics, {"layer4.depth": 2}, XXS, published, 30.0)


@pytest.fixture
def records() -> list[Record]:
    """Five published models, twelve candidates on a rising line, one refused and one failed."""
    named = [candidate(i, *values, name) for i, (name, values) in enumerate(PUBLISHED.items())]
    steps = [candidate(10 + i, 1_500_000 + 300_000 * i, 400_000_000 + 10**8 * i, 0.78 + 0.006 * i) for i in range(12)]
    lost = [replace(steps[0], number=90 + i, state=state, metrics={}) for i, state in enumerate(("pruned", "failed"))]
    return [*named, *steps, *lost]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("params", 1_249_448, "1.25 M"),
        ("macs", 332_163_072, "332 M"),
        ("macs", 1_832_711_680, "1.83 G"),
        ("macs", 999_900_000, "1.00 G"),
        ("params", 12_340, "12.3 k"),
        ("params", 640, "640"),
        ("top1", 0.712, "71.2 %"),
        ("naswot", 183.0812, "183.08"),
        ("jacob_cov", -16.0574, "-16.057"),
        ("latency_ms", 12.4, "12.4 ms"),
        ("latency_ms", 2549.3, "2549 ms"),
        ("loss", 0, "0"),
        ("loss", float("nan"), "-"),
        ("top1", None, "-"),
        ("seconds", 3.14159, "3.14"),
    ],
)
def test_a_number_is_written_for_people(name, value, text):
    assert pretty(name, value) == text


@given(st.floats(1e-6, 1e12))
def test_three_digits_stay_within_half_a_percent_and_have_no_exponent(value):
    text = three_digits(value)

    assert "e" not in text
    assert float(text) == pytest.approx(value, rel=0.005)


def test_an_axis_says_its_unit_and_takes_the_prefix_of_its_largest_value():
    assert scale("params", [1e5, 6e6]) == ("parameters (M)", 1e6)
    assert scale("macs", [3e8, 2e9]) == ("MACs (G)", 1e9)
    assert scale("macs", [2e4]) == ("MACs (k)", 1e3)
    assert scale("latency_ms", [12.0]) == ("latency (ms)", 1.0)
    assert scale("loss", [2.0]) == ("proxy loss on held-out images", 1.0)


def test_every_published_name_has_a_short_form_of_its_own():
    short = [short_name(name) for name in model_names()]

    assert len(set(short)) == len(short)
    assert max(map(len, short)) <= 13
    assert {"v3-XXS", "v3-S-L2", "v2-0.5", "abl. 2", "v3-S-unscaled"} <= set(short)


def render_text(table, width: int = 80, encoding: str = "utf-8") -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=stream, width=width).print(table)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


def test_an_error_beside_a_score_is_explained_under_the_table():
    one = candidate(0, 1_000_000, 300_000_000, 0.8)
    several = replace(one, metrics=one.metrics | {"top1_std": 0.02, "top1_sem": 0.014})
    assert "±" not in render_text(front_table([one], [one], objectives("top1", "params")))

    text = render_text(front_table([several], [several], objectives("top1", "params")))
    assert "80.0 ± 1.4 %" in text
    assert "± is the standard error" in text


def test_the_front_table_has_the_objectives_first_and_stars_the_published(records):
    sought = objectives("macs", "top1")
    table = front_table(records, front(records, sought), sought)

    assert [column.header for column in table.columns[:4]] == ["trial", "architecture", "MACs", "top-1 (held-out)"]
    assert "latency" not in [column.header for column in table.columns]
    text = render_text(table)
    assert "★ mobilevitv3_xxs" in text
    assert "79.2 %" in text
    assert "of 17 complete trials; 1 pruned, 1 failed" in text


def test_the_table_fits_eighty_columns_and_loses_no_number(records):
    timed = [replace(record, metrics=record.metrics | {"latency_ms": 12.4}) for record in records[:5]]
    text = render_text(front_table(timed, timed, OBJECTIVES))

    assert max(map(len, text.splitlines())) <= 80
    assert text.count("12.4 ms") == 5
    assert all(re.search("[a-z]", word) for word in text.split() if "…" in word)  # only names are shortened


def test_a_terminal_without_the_star_still_gets_a_table(records):
    text = render_text(front_table(records, front(records, OBJECTIVES), OBJECTIVES), encoding="cp1252")

    assert "* mobilevitv3_xxs" in text


COSTS = ("params", "macs")


@pytest.mark.parametrize(
    ("sought", "chosen", "expected"),
    [
        (("top1", "params", "macs"), {}, ("params", "top1", "macs")),
        (("top1", "latency_ms"), {}, ("latency_ms", "top1", None)),
        (("top1", "latency_ms"), {"known": COSTS}, ("latency_ms", "top1", "macs")),
        (("top1", "macs", "params"), {"x": "macs"}, ("macs", "top1", "params")),
        (("top1", "macs", "params"), {"y": "macs"}, ("params", "macs", "top1")),
        (
            ("top1", "macs", "params"),
            {"x": "macs", "y": "params", "area": "latency_ms"},
            ("macs", "params", "latency_ms"),
        ),
        (("top1",), {}, ("params", "top1", None)),
        (("top1",), {"known": COSTS}, ("params", "top1", "macs")),
        (("params",), {"known": COSTS}, ("params", "macs", None)),
        (("params",), {"known": ("top1", *COSTS)}, ("params", "top1", "macs")),
        (("macs",), {"known": COSTS}, ("macs", "params", None)),
        (("params", "macs"), {"known": COSTS}, ("params", "macs", None)),
        (("macs", "params", "loss"), {}, ("params", "loss", "macs")),
        (("naswot", "params", "macs"), {}, ("params", "naswot", "macs")),
        (("synflow",), {"known": ("naswot", "synflow", *COSTS)}, ("params", "synflow", "macs")),
        (("top1", "latency_ms", "macs", "params"), {}, ("params", "top1", "macs")),
    ],
)
def test_a_score_is_drawn_against_params_and_macs_are_the_area(sought, chosen, expected):
    assert choose_axes(objectives(*sought), **chosen) == expected


def test_one_metric_makes_no_plot():
    with pytest.raises(PlanError, match="params"):
        choose_axes(objectives("params"), "params")
    with pytest.raises(PlanError, match="macs"):
        choose_axes(objectives("params", "macs"), x="macs", y="macs")


def test_an_unknown_metric_lists_those_of_the_study():
    with pytest.raises(PlanError, match=r"unknown metric 'nope'.*: macs, params, top1\."):
        choose_axes(objectives("top1", "params"), "nope", known=("top1", "params", "macs"))


def test_each_score_is_paired_with_each_cost_and_costs_with_each_other_only_where_there_is_no_score():
    assert pairs(objectives("top1", "params", "macs")) == [("params", "top1"), ("macs", "top1")]
    assert pairs(objectives("loss", "macs", "top1")) == [("macs", "loss"), ("macs", "top1")]
    assert pairs(objectives("params", "macs", "latency_ms")) == [
        ("params", "macs"),
        ("params", "latency_ms"),
        ("macs", "latency_ms"),
    ]
    assert pairs(objectives("params")) == []


def test_a_study_of_one_objective_is_drawn_against_what_else_is_known(records):
    figure = front_figure(records, objectives("params"), title="v3")

    assert (figure.x.name, figure.y.name, figure.area.name) == ("params", "top1", "macs")
    assert [axis.title.rpartition(", ")[2] for axis in (figure.x, figure.y)] == ["lower is better", "higher is better"]
    assert [point.label for point in figure.points if point.on_front] == ["v3-XXS"]


@pytest.mark.parametrize(
    ("text", "x", "along_x", "forbidden"),
    [
        ("params <= 6M", "params", True, (6.0, None)),
        ("params >= 1M", "params", True, (None, 1.0)),
        ("params <= 6M", "macs", None, None),
        ("top1 >= 0.77", "params", False, (None, 77.0)),
        ("params <= 60M", "params", None, None),
    ],
)
def test_the_forbidden_side_of_a_limit_is_shaded_up_to_the_edge_of_the_plot(records, text, x, along_x, forbidden):
    figure = front_figure(records, OBJECTIVES, title="v3", limits=[Constraint.parse(text)], x=x)
    if forbidden is None:
        assert figure.shades == ()
        assert figure.subtitle.endswith(f"; limited to {text.replace('<=', '≤')}")
        return
    (shade,) = figure.shades
    ends = (figure.x if along_x else figure.y).limits

    assert shade.along_x == along_x
    assert (shade.low, shade.high) == pytest.approx([f or end for f, end in zip(forbidden, ends, strict=True)])
    assert ends[0] < shade.edge < ends[1]
    assert shade.high - shade.low >= 0.04 * (ends[1] - ends[0])
    assert "limited" not in figure.subtitle


def test_the_figure_shows_every_measured_record_once_in_the_units_of_the_axes(records):
    figure = front_figure(records, OBJECTIVES, title="v3")

    assert len(figure.points) == 17
    assert (figure.points[0].x, figure.points[0].y) == pytest.approx((1.249448, 79.2))
    assert figure.points[0].area == pytest.approx(0.332163072)
    assert figure.subtitle.startswith("17 of 19 trials complete, ")
    named = [point for point in figure.named if point.label]
    assert [point.text for point in named] == ["v3-XXS", "v3-XS", "v3-S", "abl. 3", "abl. 4"]


def test_members_of_the_front_have_their_trial_numbers_beside_them_and_their_marks(records):
    figure = front_figure(records, OBJECTIVES, title="v3", marks={14: "S"})
    own = {record.number for record in front(records, OBJECTIVES) if not record.published}

    assert {point.text for point in figure.named if not point.label} == {f"{n}, S" if n == 14 else str(n) for n in own}
    assert "(numbers are trials)" in figure.subtitle
    many = [candidate(i, 10**6 + i, 10**8, 0.5 + i / 1000) for i in range(50)]
    crowded = front_figure(many, OBJECTIVES, title="v3", marks={7: "knee"})
    assert [point.text for point in crowded.named] == ["7, knee"]
    assert "numbers" not in crowded.subtitle


def test_trials_that_are_pruned_failed_or_beyond_a_limit_are_drawn_when_asked(records, tmp_path):
    lost = [
        replace(candidate(50, 9_000_000, 10**9, 0.0), state="pruned", reason="rung 75", metrics={"params": 9_000_000}),
        replace(candidate(51, 3_000_000, 10**9, 0.0), state="failed", reason="loss is nan", metrics={}),
        candidate(52, 8_000_000, 10**9, 0.9),
    ]
    plain = front_figure(records[:17], OBJECTIVES, title="v3")
    figure = front_figure(records[:17], OBJECTIVES, title="v3", left_out=lost)
    pruned, beyond = figure.left_out

    assert plain.left_out == ()
    assert [point.number for point in figure.points] == [point.number for point in plain.points]
    assert (pruned.kind, pruned.x, pruned.at_edge) == ("pruned", 9.0, True)
    assert figure.y.limits[0] < pruned.y < min(point.y for point in figure.points)  # a higher top-1 is better
    assert pruned.lines[-1] == "pruned: rung 75"
    assert (beyond.kind, beyond.x, beyond.y, beyond.at_edge) == ("trial beyond a limit", 8.0, 90.0, False)
    assert figure.x.limits[1] > 9.0
    words = "1 pruned, 1 beyond a limit (at the edge: without top-1 (held-out)), 1 without a place not drawn"
    assert figure.subtitle.endswith(f"; {words}")
    for name in ("front.svg", "front.html"):
        plot_fronts([figure], tmp_path / name)
        assert "pruned" in (tmp_path / name).read_text(encoding="utf-8")


def test_an_optional_label_without_room_is_left_out():
    at = [Label(300, 200, 6, 60, 12), Label(300, 200, 6, 60, 12, optional=True)]
    markers = np.array([[0, 0, 294, 400], [306, 0, 600, 400], [294, 0, 306, 194], [294, 206, 306, 400]], dtype=float)

    assert [centre is None for centre in place(at, Obstacles(markers, np.empty((0, 2)), (0, 0, 600, 400)))] == [
        False,
        True,
    ]


def test_what_lacks_the_metric_of_an_axis_still_dominates_and_is_counted():
    trials = [candidate(i, params, 10**9, top1) for i, params, top1 in ((0, 10**6, 0.9), (1, 2 * 10**6, 0.8))]
    trials += [candidate(2, 3 * 10**6, 10**9, 0.95)]
    trials[1:] = [replace(trial, metrics=trial.metrics | {"memory_mib": 5.0}) for trial in trials[1:]]
    figure = front_figure(trials, OBJECTIVES, title="v3", x="memory_mib")

    assert {point.number: point.on_front for point in figure.points} == {1: False, 2: True}
    assert figure.subtitle.startswith("3 trials, 2 on the front")
    assert figure.subtitle.endswith("; 1 without memory not drawn")


def test_solid_points_are_the_front_of_all_objectives(records):
    figure = front_figure(records, OBJECTIVES, title="v3")
    members = {f"trial {record.number}" for record in front(records, OBJECTIVES)}

    assert {point.lines[0].split(":")[0] for point in figure.points if point.on_front} == members


@pytest.mark.parametrize(("x", "y"), [("params", "top1"), ("top1", "params"), ("params", "macs")])
def test_the_staircase_goes_through_the_front_of_the_two_axes_and_no_point_is_beyond_it(records, x, y):
    figure = front_figure(records, objectives(y, x), title="v3", x=x)
    pair = objectives(x, y)
    members = {(figure.x.of(record), figure.y.of(record)) for record in front(records, pair)}
    corners = np.array(figure.staircase) * [-1 if objective.maximise else 1 for objective in pair]

    assert members <= set(figure.staircase)
    for point in np.array([(p.x, p.y) for p in figure.points]) * [-1 if o.maximise else 1 for o in pair]:
        assert not (point < corners).all(axis=1).any()
    steps = np.diff(corners, axis=0)
    assert (np.count_nonzero(steps, axis=1) == 1).all()


def test_all_points_lie_within_the_limits_even_a_single_one(records):
    for some in (records, records[:1]):
        figure = front_figure(some, OBJECTIVES, title="v3")
        for point in figure.points:
            assert figure.x.limits[0] < point.x < figure.x.limits[1]
            assert figure.y.limits[0] < point.y < figure.y.limits[1]


def test_hovering_tells_name_numbers_and_stages(records):
    lines = front_figure(records, OBJECTIVES, title="v3").points[0].lines

    assert lines[0] == "trial 0: mobilevitv3_xxs"
    assert {"top-1 (held-out): 79.2 %", "params: 1.25 M", "MACs: 332 M"} <= set(lines)
    assert "layer4: mobilevit 80, dim 80, depth 4, ffn 160" in lines
    assert lines[-1] == "local depthwise, fusion 1, concat local, add_input true"
    assert len(lines) < 20


def test_rows_that_are_fused_in_different_ways_are_told_with_every_way():
    rows = [{"name": name, "block": "mobilevit", "out": 64, "dim": 64, "fusion": f} for name, f in (("a", 1), ("b", 3))]

    assert stage_lines({"blocks": rows}) == ("a: mobilevit 64, dim 64", "b: mobilevit 64, dim 64", "fusion 1 / 3")


def test_the_area_key_spans_the_areas_in_round_values(records):
    assert front_figure(records, OBJECTIVES, title="v3").area_key == (0.5, 1.0, 2.0)
    assert front_figure(records, OBJECTIVES, title="v3", x="macs").area_key == (1.0, 2.0, 5.0)
    alike = [candidate(i, 10**6, macs, 0.7) for i, macs in enumerate((210_000_000, 330_000_000, 410_000_000))]
    assert front_figure(alike, OBJECTIVES, title="v3").area_key == (150.0, 250.0, 400.0)
    near = [candidate(i, 10**6, macs, 0.7) for i, macs in enumerate((145_000_000, 180_000_000))]
    assert front_figure(near, OBJECTIVES, title="v3").area_key == (125.0, 150.0, 175.0)


@pytest.mark.parametrize("areas", [(10**9, 10**9), (10**9, 2 * 10**9)])
def test_a_figure_has_a_size_legend_if_its_areas_differ(areas, tmp_path, monkeypatch):
    records = [candidate(i, (i + 1) * 10**6, macs, 0.7 + i / 10) for i, macs in enumerate(areas)]
    figure, drawn = front_figure(records, OBJECTIVES, title="v3"), []
    monkeypatch.setattr("matplotlib.figure.Figure.legend", lambda _, **look: drawn.append(str(look.get("title"))))
    plot_fronts([figure], tmp_path / "front.png")

    differ = len(set(areas)) > 1
    assert any("area: " in title for title in drawn) == differ
    assert ("area: " in str(layout(figure, LIGHT))) == differ


def test_a_study_without_the_metric_cannot_be_drawn_and_says_which(records):
    with pytest.raises(StudyError, match="latency_ms"):
        front_figure(records, objectives("top1", "latency_ms"), title="v3")


def overlap(a, b) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0)


@settings(deadline=None, max_examples=examples(20, 50))
@given(st.lists(st.tuples(st.integers(60, 540), st.integers(40, 360)), min_size=1, max_size=12, unique=True))
def test_labels_overlap_neither_each_other_nor_a_marker_and_stay_in_the_frame(places):
    labels = [Label(x, y, 6, 60, 12) for x, y in places]
    markers = np.array([(x - 6, y - 6, x + 6, y + 6) for x, y in places], dtype=float)
    centres = place(labels, Obstacles(markers, np.empty((0, 2)), (0, 0, 600, 400)))
    boxes = [(x - 30, y - 6, x + 30, y + 6) for x, y in centres]

    for i, box in enumerate(boxes):
        assert overlap(box, (0, 0, 600, 400)) == pytest.approx(60 * 12)
        assert not any(overlap(box, marker) > 1 for marker in markers)
        assert not any(overlap(box, other) > 1 for other in boxes[:i])
        assert abs(centres[i][0] - places[i][0]) <= 30 + 6 + max(GAPS)


def test_a_frame_maps_to_pixels_and_back(records):
    figure = front_figure(records, OBJECTIVES, title="v3")
    frame = Frame(figure.x.limits, figure.y.limits, (50, 60, 850, 560))
    places = [(point.x, point.y) for point in figure.points]

    assert frame.units(frame.pixels(places)) == pytest.approx(np.array(places))
    assert frame.pixels([(figure.x.limits[1], figure.y.limits[0])]) == pytest.approx(np.array([[850, 60]]))


def contrast(one: str, other: str) -> float:
    """Between two colours, as WCAG 2 defines it."""

    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722])) + 0.05

    return max(light(one), light(other)) / min(light(one), light(other))


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_markers_stand_out_from_their_paper(theme):
    assert contrast(theme.ink, theme.paper) >= 7
    assert contrast(theme.faint, theme.paper) >= 4.5
    assert min(contrast(colour, theme.paper) for colour in (theme.primary, theme.secondary, theme.grey)) >= 3


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_a_dozen_studies_in_one_plot_all_look_different(theme):
    assert len(set(theme.series(12))) == 12


def figures(records, *names: str, **chosen) -> list:
    return [front_figure(records, objectives(*names) or OBJECTIVES, title="50 $ & <more>", **chosen)]


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_a_png_of_its_size_has_the_colours_of_background_front_and_published_models(records, tmp_path, theme):
    plot_fronts(figures(records), tmp_path / "front.png", theme)
    image = Image.open(tmp_path / "front.png").convert("RGB")

    assert image.size == (1040, 715)
    colours = np.array([colour for _, colour in image.getcolors(1 << 20)])
    for colour in (theme.paper, theme.primary, theme.secondary):
        assert np.abs(colours - [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).max(axis=1).min() < 20


def test_an_svg_is_well_formed_and_the_same_each_time(records, tmp_path):
    several = figures(records) + figures(records, x="macs", limits=[Constraint.parse("macs <= 2G")])
    for name in ("a.svg", "b.svg"):
        plot_fronts(several, tmp_path / name)

    assert ElementTree.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_an_html_file_needs_no_network_and_says_what_a_point_is(records, tmp_path):
    plot_fronts(figures(records) + figures(records, x="macs"), tmp_path / "front.html", DARK)
    html = (tmp_path / "front.html").read_text(encoding="utf-8")

    assert "<script src" not in html
    assert "<link" not in html
    assert "<title>50 $ &amp; &lt;more&gt;</title>" in html
    assert "mobilevitv3_xxs" in html
    assert "layer4: mobilevit 80, dim 80, depth 4" in html
    assert html.count("Plotly.newPlot(") == 2
    assert html.count("* plotly.js v") == 1
    assert html.count('"modeBarButtonsToRemove": ["sendChartToCloud"]') == 2


def test_an_html_file_has_a_circle_for_each_value_of_the_size_legend_and_none_without(records):
    (sized,), (plain,) = figures(records), figures(records, "params", "macs")
    circles = [shape for shape in layout(sized, LIGHT)["shapes"] if shape["type"] == "circle"]
    widths = [circle["x1"] - circle["x0"] for circle in circles]

    assert np.square(widths) / np.square(widths[-1]) == pytest.approx([0.25, 0.5, 1.0])
    assert layout(plain, LIGHT)["shapes"] == []


@pytest.mark.parametrize("name", ["front.jpg", "front"])
def test_another_suffix_is_refused_before_anything_is_drawn(name, tmp_path):
    with pytest.raises(PlanError, match=r"use \.png, \.svg or \.html"):
        plot.refuse_to_draw(tmp_path / name, force=False)


def test_a_file_that_is_there_is_drawn_over_only_by_force(tmp_path):
    (tmp_path / "front.png").write_bytes(b"old")

    plot.refuse_to_draw(tmp_path / "front.png", force=True)
    with pytest.raises(EnvironmentFault, match=r"front\.png"):
        plot.refuse_to_draw(tmp_path / "front.png", force=False)


@pytest.mark.parametrize("kind", [".png", ".html"])
def test_a_study_of_one_trial_or_of_unnamed_trials_can_be_drawn(kind, records, tmp_path):
    for some in (records[:1], records[5:]):
        plot_fronts(figures(some, "top1", "params"), tmp_path / f"few{kind}")

    assert (tmp_path / f"few{kind}").stat().st_size > 10_000


def test_a_folder_that_is_not_there_is_named(records, tmp_path):
    with pytest.raises(EnvironmentFault, match=r"missing.front\.png: cannot be written"):
        plot_fronts(figures(records), tmp_path / "missing" / "front.png")


def test_a_write_that_fails_leaves_the_old_file_whole_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "front.png"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(EnvironmentFault, match="No space left"):
        write_whole(path, b"new")

    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"old"


def test_a_file_is_on_the_disk_before_it_takes_the_place_of_another(tmp_path, monkeypatch):
    path, synced = tmp_path / "front.png", []
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", lambda file: synced.append((os.fstat(file).st_size, path.read_bytes())))
    write_whole(path, b"newer")

    assert synced == [(5, b"old")]
    assert path.read_bytes() == b"newer"
