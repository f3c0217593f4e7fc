"""Markers that tell families of networks apart."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.markers import MarkerStyle

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.published import published
from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import Record
from mvsearch.report.figures.front import Family, front_figure
from mvsearch.report.figures.front_families import PLAIN, family, legend_styles, marker_groups, with_families
from mvsearch.report.figures.front_plot import plot_fronts, traces
from mvsearch.report.figures.palette import SHAPES, THEMES

STEM = {"name": "stem", "block": "conv", "out": 16, "stride": 2}
STAR = {"name": "layer1", "block": "star", "out": 16}
REPVIT = {"name": "layer2", "block": "repvit", "out": 16, "repeat": 4}


def network(*rows):
    return Architecture.from_dict({"image_size": 64, "num_classes": 10, "blocks": [STEM, *rows]})


NETWORKS = {
    Family("star", False): network(STAR),
    Family("repvit", True): network(STAR, REPVIT),
    Family("repvit", False): network(REPVIT),
    Family(PLAIN, False): network(),
    Family("mobilevit", False): published("mobilevitv3_xxs"),
    Family("uib", False): published("mobilenetv4_conv_s"),
}


@pytest.mark.parametrize("expected", NETWORKS, ids=str)
def test_a_family_is_the_kind_of_all_stages_or_that_with_most_macs(expected):
    assert family(NETWORKS[expected].to_dict()) == expected


@pytest.fixture
def figure():
    records = [
        Record(
            i,
            arch.key,
            "complete",
            None,
            {**arch.metrics(), "top1": i / 10},
            {},
            arch.to_dict(),
            arch.name or None,
            1.0,
        )
        for i, arch in enumerate(NETWORKS.values())
    ]
    objectives = [Objective("top1", True), Objective("params", False)]
    return with_families(front_figure(records, objectives, title="mixed"), records)


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_each_candidate_is_drawn_once_and_families_differ_by_shape_and_colour(figure, theme):
    groups = marker_groups(figure, theme)

    assert sorted(point.number for _, points in groups for point in points) == [*range(len(NETWORKS))]
    pure = {points[0].family.kind: style for style, points in groups if not points[0].family.mixed}
    assert len({style.shape for style in pure.values()}) == len(pure)
    assert len({style.bar for style in pure.values()}) == len(pure)
    mixed = [style for style, points in groups if points[0].family.mixed]
    assert [(style.marker, style.bar) for style in mixed] == [("circle", pure["repvit"].bar)]


def area(corners):
    x, y = np.transpose(corners)
    return abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2


@pytest.mark.parametrize("name", SHAPES)
def test_the_area_of_a_marker_is_what_matplotlib_draws(name):
    marker = MarkerStyle(SHAPES[name].matplotlib)
    [corners] = marker.get_path().transformed(marker.get_transform()).to_polygons()

    assert SHAPES[name].of_s == pytest.approx(area(corners), rel=0.01)


def test_equal_costs_have_equal_areas_in_html_whatever_the_family(figure):
    same = replace(figure, points=tuple(replace(point, area=1.0) for point in figure.points))
    of_square = {shape.plotly: shape.of_square for shape in SHAPES.values()}
    markers = [trace["marker"] for trace in traces(same, THEMES["light"]) if trace.get("showlegend") is False]
    areas = {marker["symbol"]: of_square[marker["symbol"]] * marker["size"][0] ** 2 for marker in markers}

    assert len(areas) > 3
    assert list(areas.values()) == pytest.approx([areas["circle"]] * len(areas))


def test_the_legend_has_each_kind_once_and_hovering_names_the_family(figure):
    words = [style.words for style in legend_styles(figure, THEMES["light"])]

    assert len(words) == len(set(words))
    assert {"star", "repvit", "uib", "mobilevit", PLAIN} <= set(words)
    shown = [trace["name"] for trace in traces(figure, THEMES["light"]) if trace.get("showlegend", True)]
    assert set(words) <= set(shown)
    assert "mixed, most MACs in repvit" in figure.points[1].lines


def test_it_is_drawn(figure, tmp_path):
    plot_fronts([figure], tmp_path / "front.svg")
    assert (tmp_path / "front.svg").read_bytes().startswith(b"<?xml")
