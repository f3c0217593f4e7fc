import io
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from mvsearch.errors import EnvironmentFault, PlanError, StudyError
from mvsearch.models import model_names
from mvsearch.pareto import Objective, front
from mvsearch.record import Record
from mvsearch.report import plot
from mvsearch.report.labels import GAPS, Label, Scene, place
from mvsearch.report.picture import drawn, front_picture
from mvsearch.report.plot import plot_front
from mvsearch.report.sheet import Sheet
from mvsearch.report.table import front_table
from mvsearch.report.units import pretty, scale, short_name, three_digits

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


def candidate(number: int, params: int, macs: int, top1: float, published: str | None = None) -> Record:
    metrics = {"params": params, "macs": macs, "macs_paper": macs * 9 // 10, "top1": top1}
    choices = {"layer4.depth": number % 3 + 2}
    return Record(number, f"{number:012x}", "complete", None, metrics, choices, {}, published, 30.0)


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
    assert scale("loss", [2.0]) == ("proxy loss", 1.0)


def test_every_published_name_has_a_short_form_of_its_own():
    short = [short_name(name) for name in model_names()]

    assert len(set(short)) == len(short)
    assert max(map(len, short)) <= 13
    assert {"v3-XXS", "v3-S-L2", "v2-0.5", "abl. 2", "v3-S-unscaled"} <= set(short)


def printed(table, width: int = 80, encoding: str = "utf-8") -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=stream, width=width).print(table)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


def test_an_error_beside_a_score_is_explained_under_the_table():
    one = candidate(0, 1_000_000, 300_000_000, 0.8)
    several = replace(one, metrics=one.metrics | {"top1_std": 0.02, "top1_sem": 0.014})
    assert "±" not in printed(front_table([one], [one], objectives("top1", "params")))

    shown = printed(front_table([several], [several], objectives("top1", "params")))
    assert "80.0 ± 1.4 %" in shown
    assert "± is the standard error" in shown


def test_the_front_table_has_the_objectives_first_and_stars_the_published(records):
    asked = objectives("macs", "top1")
    table = front_table(records, front(records, asked), asked)

    assert [column.header for column in table.columns[:4]] == ["trial", "architecture", "MACs", "top-1"]
    assert "latency" not in [column.header for column in table.columns]
    text = printed(table)
    assert "★ mobilevitv3_xxs" in text
    assert "79.2 %" in text
    assert "of 17 complete trials; 1 pruned, 1 failed" in text


def test_the_table_fits_eighty_columns_and_loses_no_number(records):
    timed = [replace(record, metrics=record.metrics | {"latency_ms": 12.4}) for record in records[:5]]
    text = printed(front_table(timed, timed, OBJECTIVES))

    assert max(map(len, text.splitlines())) <= 80
    assert text.count("12.4 ms") == 5
    assert "…" not in text


def test_a_terminal_without_the_star_still_gets_a_table(records):
    text = printed(front_table(records, front(records, OBJECTIVES), OBJECTIVES), encoding="cp1252")

    assert "* mobilevitv3_xxs" in text


@pytest.mark.parametrize(
    ("sought", "x", "expected"),
    [
        (("top1", "params", "macs"), None, ("params", "top1", "macs")),
        (("top1", "latency_ms"), None, ("latency_ms", "top1", None)),
        (("top1", "macs", "params"), "macs", ("macs", "top1", "params")),
        (("top1",), None, ("params", "top1", None)),
        (("params", "macs"), None, ("params", "macs", None)),
        (("macs", "params", "loss"), None, ("macs", "params", "loss")),
        (("top1", "latency_ms", "macs", "params"), None, ("params", "top1", "macs")),
    ],
)
def test_top1_is_drawn_against_params_and_macs_are_the_area(sought, x, expected):
    assert drawn(objectives(*sought), x) == expected


def test_one_metric_makes_no_plot():
    with pytest.raises(PlanError, match="params alone"):
        drawn(objectives("params"), "params")


def test_the_picture_shows_every_measured_record_once_in_the_units_of_the_axes(records):
    picture = front_picture(records, OBJECTIVES, title="v3")

    assert len(picture.points) == 17
    assert (picture.points[0].x, picture.points[0].y) == pytest.approx((1.249448, 79.2))
    assert picture.points[0].area == pytest.approx(0.332163072)
    assert picture.subtitle.startswith("17 of 19 trials complete, ")
    assert [point.label for point in picture.named] == ["v3-XXS", "v3-XS", "v3-S", "abl. 3", "abl. 4"]


def test_solid_points_are_the_front_of_all_objectives(records):
    picture = front_picture(records, OBJECTIVES, title="v3")
    members = {f"trial {record.number}" for record in front(records, OBJECTIVES)}

    assert {point.lines[0].split(":")[0] for point in picture.points if point.on_front} == members


@pytest.mark.parametrize(("x", "y"), [("params", "top1"), ("top1", "params"), ("params", "macs")])
def test_the_staircase_goes_through_the_front_of_the_two_axes_and_no_point_is_beyond_it(records, x, y):
    picture = front_picture(records, objectives(y, x), title="v3", x=x)
    pair = objectives(x, y)
    members = {(picture.x.of(record), picture.y.of(record)) for record in front(records, pair)}
    corners = np.array(picture.staircase) * [-1 if objective.maximise else 1 for objective in pair]

    assert members <= set(picture.staircase)
    for point in np.array([(p.x, p.y) for p in picture.points]) * [-1 if o.maximise else 1 for o in pair]:
        assert not (point < corners).all(axis=1).any()
    steps = np.diff(corners, axis=0)
    assert (np.count_nonzero(steps, axis=1) == 1).all()


def test_all_points_lie_within_the_limits_even_a_single_one(records):
    for some in (records, records[:1]):
        picture = front_picture(some, OBJECTIVES, title="v3")
        for point in picture.points:
            assert picture.x.limits[0] < point.x < picture.x.limits[1]
            assert picture.y.limits[0] < point.y < picture.y.limits[1]


def test_hovering_tells_name_numbers_and_choices(records):
    lines = front_picture(records, OBJECTIVES, title="v3").points[0].lines

    assert lines[0] == "trial 0: mobilevitv3_xxs"
    assert {"top-1: 79.2 %", "params: 1.25 M", "MACs: 332 M", "layer4.depth = 2"} <= set(lines)


def test_the_area_key_spans_the_areas_in_round_values(records):
    assert front_picture(records, OBJECTIVES, title="v3").area_key == (0.5, 1.0, 2.0)


def test_a_study_without_the_metric_cannot_be_drawn_and_says_which(records):
    with pytest.raises(StudyError, match="number for latency_ms"):
        front_picture(records, objectives("top1", "latency_ms"), title="v3")


def overlap(a, b) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(60, 540), st.integers(40, 360)), min_size=1, max_size=12, unique=True))
def test_labels_overlap_neither_each_other_nor_a_marker_and_stay_in_the_frame(places):
    labels = [Label(x, y, 6, 60, 12) for x, y in places]
    markers = np.array([(x - 6, y - 6, x + 6, y + 6) for x, y in places], dtype=float)
    centres = place(labels, Scene(markers, np.empty((0, 2)), (0, 0, 600, 400)))
    boxes = [(x - 30, y - 6, x + 30, y + 6) for x, y in centres]

    for i, box in enumerate(boxes):
        assert overlap(box, (0, 0, 600, 400)) == pytest.approx(60 * 12)
        assert not any(overlap(box, marker) > 1 for marker in markers)
        assert not any(overlap(box, other) > 1 for other in boxes[:i])
        assert abs(centres[i][0] - places[i][0]) <= 30 + 6 + max(GAPS)


def test_a_sheet_maps_to_pixels_and_back(records):
    sheet = Sheet(front_picture(records, OBJECTIVES, title="v3"), (50, 60, 850, 560), 10)
    places = np.array([(point.x, point.y) for point in sheet.picture.points])

    assert sheet.units(sheet.pixels(list(map(tuple, places)))) == pytest.approx(places)
    assert sheet.pixels([(sheet.picture.x.limits[1], sheet.picture.y.limits[0])]) == pytest.approx(
        np.array([[850, 60]])
    )


def test_a_png_of_its_size_has_the_colours_of_front_and_landmarks(records, tmp_path):
    picture = plot_front(records, OBJECTIVES, tmp_path / "front.png", title="v3")
    image = Image.open(tmp_path / "front.png").convert("RGB")

    assert image.size == (1040, 715)
    colours = {colour for _, colour in image.getcolors(1 << 20)}
    assert any(np.abs(np.array(colour) - (0, 114, 178)).max() < 20 for colour in colours)
    assert any(np.abs(np.array(colour) - (213, 94, 0)).max() < 20 for colour in colours)
    assert picture.title == "v3"


def test_an_svg_is_well_formed_and_the_same_each_time(records, tmp_path):
    for name in ("a.svg", "b.svg"):
        plot_front(records, OBJECTIVES, tmp_path / name, title="50 $ & <more>")

    assert ElementTree.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_an_html_file_needs_no_network_and_says_what_a_point_is(records, tmp_path):
    plot_front(records, OBJECTIVES, tmp_path / "front.html", title="<v3>")
    html = (tmp_path / "front.html").read_text(encoding="utf-8")

    assert "<script src" not in html
    assert "<link" not in html
    assert "mobilevitv3_xxs" in html
    assert "layer4.depth = 2" in html


@pytest.mark.parametrize("name", ["front.jpg", "front"])
def test_another_suffix_is_refused_before_anything_is_drawn(name, records, tmp_path):
    with pytest.raises(PlanError, match=r"use \.png, \.svg or \.html"):
        plot_front(records, OBJECTIVES, tmp_path / name, title="v3")


@pytest.mark.parametrize("kind", [".png", ".html"])
def test_a_study_of_one_trial_or_of_unnamed_trials_can_be_drawn(kind, records, tmp_path):
    for some in (records[:1], records[5:]):
        plot_front(some, objectives("top1", "params"), tmp_path / f"few{kind}", title="v3")

    assert (tmp_path / f"few{kind}").stat().st_size > 10_000


def test_a_folder_that_is_not_there_is_named(records, tmp_path):
    with pytest.raises(EnvironmentFault, match=r"missing.front\.png: cannot be written"):
        plot_front(records, OBJECTIVES, tmp_path / "missing" / "front.png", title="v3")


def test_a_write_that_fails_leaves_the_old_file_whole_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "front.png"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(EnvironmentFault, match="No space left"):
        plot.write_whole(path, b"new")

    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"old"
