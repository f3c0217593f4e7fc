"""Numbers of other images, or of another part of them, are labelled so wherever they stand beside each other."""

from typing import Any

import pytest

from mvsearch.metrics.formatting import image_sizes, labels
from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import Record
from mvsearch.metrics.registry import HELD_OUT, TEST, is_score, metric
from mvsearch.report.figures.front import front_figure
from mvsearch.report.table import front_table

ROW = {"name": "stem", "block": "conv", "out": 16, "stride": 2}


def record(number: int = 0, *, size: int = 256, **metrics: Any) -> Record:
    values = {"params": 1_000_000 + number, "macs": 300_000_000 - number, "top1": 0.5, **metrics}
    architecture = {"image_size": size, "blocks": [ROW]}
    return Record(number, f"{number:012d}", "complete", None, values, {}, architecture, None, 1.0)


AT_224 = {"latency_ms": 5.0, "latency_image_size": 224}
AT_256 = {"latency_ms": 5.0, "latency_image_size": 256}


@pytest.mark.parametrize(
    ("names", "metrics", "sizes"),
    [
        (("macs", "latency_ms"), AT_224, {"macs": "256 px", "latency_ms": "224 px"}),
        (("macs_paper", "energy_mj"), {"energy_mj": 1.0, "energy_image_size": 64}, None),
        (
            ("macs", "memory_mib"),
            {"memory_mib": 1.0, "memory_image_size": 64},
            {"macs": "256 px", "memory_mib": "64 px"},
        ),
        (("macs", "latency_ms"), AT_256, {}),
        (("params", "latency_ms", "top1"), AT_224, {}),
        (("macs", "params", "top1"), AT_224, {}),
        (("macs", "latency_ms"), {}, {}),
    ],
)
def test_costs_of_images_of_different_sizes_name_them(names, metrics, sizes):
    expected = {"macs_paper": "256 px", "energy_mj": "64 px"} if sizes is None else sizes
    assert image_sizes(names, [record(**metrics)]) == expected


def test_records_of_different_image_sizes_name_all_of_them():
    assert image_sizes(["macs"], [record(), record(1, size=64)]) == {"macs": "64 or 256 px"}


def test_a_table_of_networks_for_different_images_has_a_column_of_their_sizes():
    sought = [Objective.named(name) for name in ("top1", "macs")]
    records = [record(), record(1, size=64)]

    table = front_table(records, records, sought)
    heads = [column.header for column in table.columns]
    assert heads[1:5] == ["architecture", "px", "top-1 (held-out)", "MACs"]
    assert list(table.columns[2].cells) == ["256", "64"]
    assert labels(["macs"], records) == ["MACs (64 or 256 px)"]  # of text without such a column
    assert "px" not in [column.header for column in front_table(records, records[:1], sought).columns]


def test_the_image_size_of_a_measurement_is_no_score():
    assert not any(map(is_score, ("latency_image_size", "memory_image_size", "train_memory_image_size")))


def test_tables_and_figures_name_the_sizes():
    records = [record(number, **AT_224 | {"latency_ms": 5.0 + number}) for number in range(3)]
    sought = [Objective.named(name) for name in ("top1", "macs", "latency_ms")]

    heads = [column.header for column in front_table(records, records, sought).columns]
    assert heads[2:5] == ["top-1 (held-out)", "MACs (256 px)", "latency (224 px)"]
    assert labels(["latency_ms"], records) == ["latency"]

    figure = front_figure(records, sought, title="t", x="latency_ms")
    assert (figure.x.label, figure.area.label) == ("latency at 224 px (ms)", "MACs at 256 px (M)")
    assert {"MACs (256 px): 300 M", "latency (224 px): 5.00 ms"} <= set(figure.points[0].lines)


@pytest.mark.parametrize(("name", "quantity"), [("top1", "top-1"), ("miou", "mIoU"), ("map", "mAP"), ("loss", "loss")])
def test_a_score_says_which_part_of_the_images_it_is_of(name, quantity):
    assert metric(name).label == metric(name).label_on(HELD_OUT) == f"{quantity} (held-out)"
    assert metric(name).label_on(TEST) == f"{quantity} (test)"
    assert metric(name).description.endswith("on held-out images")
