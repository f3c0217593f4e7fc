"""Latencies that others measured on phones and boards: the table, the names of devices, tables and figures of them."""

import pytest

from mvsearch.arch.published import published
from mvsearch.baselines import baselines
from mvsearch.baselines.published_latencies import (
    devices,
    latencies_in,
    latencies_on,
    published_latencies,
    rows_of,
)
from mvsearch.errors import PlanError
from mvsearch.report.dominance import baseline_networks, family_networks
from mvsearch.report.figures.accuracy_cost import accuracy_cost_figure


def test_every_row_names_a_network_of_ours_its_device_precision_runtime_and_tools():
    family = {"mobilevitv1_s": published("mobilevitv1_s").image_size}
    sizes = {entry.name: entry.image_size for entry in baselines()} | family
    for row in published_latencies():
        assert 0.05 < row.latency_ms < 200
        assert 0 < row.on_npu <= row.operators
        assert row.device
        runtimes = {
            "onnx": "ONNX Runtime 1.",
            "qnn_dlc": "QAIRT 2.",
            "tflite": "LiteRT (version not published) + QAIRT 2.",
        }
        assert row.tools.startswith(runtimes[row.runtime])
        assert row.precision == "float" or row.precision.startswith(("w8a8", "w8a16"))
        assert row.runtime in ("onnx", "qnn_dlc", "tflite")
        assert row.image_size == sizes[row.network]  # that of its Top-1
    assert len({(row.network, row.device, row.precision, row.runtime) for row in published_latencies()}) == 932


@pytest.mark.parametrize(
    ("text", "network", "ms"),
    [
        ("galaxy_s25:float:qnn_dlc", "mobilevitv1_s", 2.233),
        ("galaxy_s25:float:qnn_dlc", "mobilenetv4_conv_medium", 0.625),
        ("galaxy_s25", "mobilenetv4_conv_medium", 0.503),
        ("Samsung Galaxy S25:w8a8", "mobilenetv4_conv_medium", 0.241),
        ("galaxy_s26:float:qnn_dlc", "mobilevitv1_s", 1.851),
    ],
)
def test_the_fastest_runtime_counts_unless_one_is_named(text, network, ms):
    found = latencies_in(text)
    assert found.rows[network].latency_ms == pytest.approx(ms, abs=0.002)
    assert found.times.latency_ms[network] == found.rows[network].latency_ms
    assert found.words.startswith("Samsung Galaxy S2")
    assert "QAIRT 2.50" in found.words


def test_a_device_alone_has_all_its_precisions():
    assert {"float", "w8a16", "w8a8"} <= {each.precision for each in latencies_on("galaxy_s25")}
    assert "mobilevitv1_s" not in latencies_in("galaxy_s25:w8a8").rows


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("galaxy_s22", "'galaxy_s22_5g'"),
        ("rb3", "'dragonwing_rb3_gen_2_vision_kit'"),
        ("galaxy", "one of: galaxy_s22_5g, galaxy_s24, galaxy_s25, galaxy_s26.$"),
        ("galaxy_s2_5", "did you mean 'galaxy_s25'. All: arduino"),
        ("iphone_12", "galaxy_s26"),
        ("", "galaxy_s26"),
        ("galaxy_s25:w8a4", "'w8a8'"),
        ("galaxy_s25:", "float"),
        ("galaxy_s25:w8a8:lite", "'tflite'"),
        ("galaxy_s25:w8a8:tflite:1", "DEVICE:PRECISION:RUNTIME"),
    ],
)
def test_the_error_for_what_is_not_in_the_table_suggests_or_lists_what_is(text, value):
    with pytest.raises(PlanError, match=value) as error:
        latencies_on(text)
    assert "\n" not in str(error.value)


def test_every_device_has_a_name_that_finds_its_rows():
    for name, title in devices().items():
        assert {row.device for row in rows_of(name)} == {title} == {row.device for row in rows_of(title)}


def test_the_table_shows_what_each_number_depends_on(mvsearch):
    shown = mvsearch("baselines", "--device", "galaxy_s25:float:qnn_dlc")
    assert shown.code == 0
    for value in ("Samsung Galaxy S25 (NPU), float", " 256 ", "2.23 ms", "457", "QAIRT 2.50", "qai-hub-models"):
        assert value in shown.out
    [row] = [row for row in mvsearch("baselines", "--device", "galaxy_s25:w8a16", "--json").json["latencies"]
             if row["network"] == "mobilevitv1_s"]  # fmt: skip
    assert (row["latency_ms"], row["runtime"], row["image_size"]) == (2.025, "onnx", 256)
    assert mvsearch("baselines", "--device", "galaxy").code == 1
    assert mvsearch("baselines", "--device", "galaxy_s25", "--sources").code == 2


def test_a_figure_against_a_phone_shows_the_networks_with_a_latency_and_counts_the_others():
    times = latencies_in("galaxy_s25").times
    networks = [*family_networks(times.latency_ms), *baseline_networks(times.latency_ms)]
    figure = accuracy_cost_figure("figure3", networks, "latency_ms", times=times)
    assert {"v1-S", "MobileNetV4-conv-M", "ResNet-50"} <= {bubble.label for bubble in figure.bubbles}
    for value in ("own image size, 224 to 256 px", "Samsung Galaxy S25 (NPU), float", "29 have no published latency"):
        assert value in figure.subtitle


def test_bad_devices_are_refused_before_anything_is_drawn(mvsearch, tmp_path):
    assert "'galaxy_s25'" in mvsearch("paper-figures", "--x", "latency@galaxy_s2_5").err
    assert mvsearch("paper-figures", "--x", "latency@galaxy_s25", "--times", "latency.json").code == 2
    assert mvsearch("front", "toy", "--device", "galaxy_s25").code == 2
    assert not (tmp_path / "figures").exists()
