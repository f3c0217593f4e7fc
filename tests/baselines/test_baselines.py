"""Networks outside the family: their data, their figures counted again, and who dominates whom."""

import json
import re
import sys
import tempfile
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from torch.utils.flop_counter import FlopCounterMode

from mvsearch.arch.published import published
from mvsearch.baselines import KINDS, baseline, baselines, catalogue, read_catalogue
from mvsearch.baselines import build as builder
from mvsearch.cli.main import cli
from mvsearch.errors import ArchitectureError, EnvironmentFault, YamlError
from mvsearch.profiling import protocols
from mvsearch.profiling.protocols import EVEN, load_network, time_networks
from mvsearch.report.dominance import (
    Network,
    baseline_networks,
    dominance,
    dominances,
    family_networks,
    speed_comparison,
)
from mvsearch.utils.installation import install_hint


@pytest.fixture(autouse=True)
def own_lock_files(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


BUILT = [entry for entry in baselines() if entry.timm]
FAMILIES = {entry.name.split("_")[0]: entry.name for entry in reversed(BUILT)}
"""The first network of each family; the others differ from it in their sizes."""

GOOD = """
recipes: {supervised: labels alone}
sources: {paper: "a paper, Table 1"}
networks:
  - {name: a, label: A, kind: cnn, image_size: 224, params: 1000, macs: 2000, top1: 70.5, recipe: supervised,
     sources: {params: paper, macs: paper, top1: paper}}
"""


def test_every_figure_has_a_source_in_words():
    for entry in baselines():
        assert set(entry.sources) == {"params", "macs", "top1"}
        assert all(len(text) > 20 for text in entry.sources.values())


def test_networks_of_all_kinds_and_recipes_are_there():
    assert len(baselines()) >= 20
    assert {entry.kind for entry in baselines()} == set(KINDS)
    assert {entry.recipe for entry in baselines()} == set(catalogue().recipes)


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(entry, id=entry.name, marks=() if entry.name in FAMILIES.values() else pytest.mark.slow)
        for entry in BUILT
    ],
)
def test_what_timm_builds_has_the_parameters_and_macs_of_the_file(entry):
    with torch.device("meta"):
        network = builder.build(entry).requires_grad_(False)
    images = torch.empty(1, 3, entry.image_size, entry.image_size, device="meta")
    with FlopCounterMode(display=False) as counter:
        logits = network(images)

    assert logits.shape == (1, 1000)
    params = sum(parameter.numel() for parameter in network.parameters())
    assert params == entry.params
    assert entry.reparameterised or params / 1e6 == pytest.approx(entry.printed_params_m, abs=0.0051)
    assert counter.get_total_flops() // 2 == entry.macs


@pytest.mark.parametrize("entry", [entry for entry in BUILT if entry.reparameterised], ids=lambda entry: entry.name)
def test_in_training_it_has_the_parameters_that_timm_prints(entry):
    with torch.device("meta"):
        network = builder.build(replace(entry, reparameterised=False))
    params = sum(parameter.numel() for parameter in network.parameters())
    assert params / 1e6 == pytest.approx(entry.printed_params_m, abs=0.0051)


def test_a_baseline_that_timm_does_not_have_cannot_be_built():
    with pytest.raises(EnvironmentFault, match="t2t_vit_7"):
        builder.build(baseline("t2t_vit_7"))


def test_without_timm_one_sentence_says_what_brings_it(monkeypatch):
    monkeypatch.setattr(builder, "find_spec", lambda _name: None)
    with pytest.raises(EnvironmentFault, match=re.escape(install_hint("timm"))):
        builder.build(baseline("ghostnet_100"))


def test_a_timm_that_cannot_be_imported_says_why(monkeypatch):
    def broken():
        raise ImportError("no such library")

    monkeypatch.setattr(builder, "_import_timm", broken)
    with pytest.raises(EnvironmentFault, match="no such library"):
        builder.build(baseline("ghostnet_100"))


def test_the_error_for_a_misspelt_baseline_suggests_the_nearest():
    with pytest.raises(ArchitectureError, match="'ghostnet_100'"):
        baseline("ghostnet_10")


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "value"),
    [
        ("params: 1000", "params: -1", 5, "networks.a.params", "-1"),
        ("params: 1000", "parms: 1000", 5, "networks.a.parms", "'params'"),
        ("params: 1000, ", "", 5, "networks.a", "`params`"),
        ("kind: cnn", "kind: rnn", 5, "networks.a.kind", "'cnn'"),
        ("recipe: supervised", "recipe: lucky", 5, "networks.a.recipe", "'lucky'"),
        (", top1: paper", "", 6, "networks.a.sources", "params, macs"),
        ("top1: paper", "top1: hearsay", 6, "networks.a.sources.top1", "'hearsay'"),
        ("networks:", "nets:", None, None, "`networks:`"),
        ("top1: 70.5", "top1: true", 5, "networks.a.top1", "True"),
    ],
)
def test_an_error_in_a_file_has_the_line_and_the_key(tmp_path, old, new, line, key, value):
    path = tmp_path / "baselines.yaml"
    path.write_text(GOOD)
    assert [*read_catalogue(path).baselines] == ["a"]
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(YamlError, match=value) as raised:
        read_catalogue(path)
    assert (raised.value.file, raised.value.line, raised.value.key) == (str(path), line, key)


def network(name, *, params=1, macs=1, top1=70.0, latency_ms=None, recipe="supervised"):
    return Network(name, name, None, "cnn", recipe, 224, params, macs, top1, latency_ms)


def test_a_network_dominates_what_is_no_better_anywhere_and_worse_somewhere():
    one = network("one", params=2, macs=2)
    worse, equal, other = (
        network("worse", params=3, macs=2),
        replace(one, name="equal"),
        network("other", params=1, macs=3),
    )
    comparison = dominance(one, [worse, equal, other])
    assert (comparison.dominates, comparison.dominated_by) == ((worse,), ())
    assert dominance(worse, [one]).dominated_by == (one,)


def test_the_sentence_names_how_a_baseline_was_trained():
    taught = network("taught", top1=80.0, recipe="distilled")
    assert "is dominated by taught (distilled)" in dominance(network("one"), [taught]).words


def test_only_what_was_timed_is_compared_in_time():
    slow, quick = network("slow", latency_ms=40.0), network("quick", top1=71.0, latency_ms=10.0)
    untimed = network("untimed", top1=99.0)
    assert [row.costs for row in dominances([slow], [quick])] == [("params", "macs"), ("latency_ms",)]
    assert speed_comparison([slow], [quick, untimed]) == [
        "quick (71.0 %, 10.0 ms) is 4.0 times as fast as slow (70.0 %, 40.0 ms)."
    ]
    assert speed_comparison([slow], [quick], {"slow": "qnn_dlc", "quick": "onnx"}) == [
        "quick (71.0 %, 10.0 ms with onnx) is 4.0 times as fast as slow (70.0 %, 40.0 ms with qnn_dlc)."
    ]
    assert speed_comparison([quick], [slow]) == [
        "No timed baseline is at least as accurate as quick (71.0 %, 10.0 ms) and faster."
    ]


def test_the_family_is_compared_with_the_baselines_by_exact_costs():
    ours = {row.name: row for row in family_networks()}
    assert ours["mobilevitv3_xs"].macs == published("mobilevitv3_xs").cost().macs
    comparison = dominance(ours["mobilevitv3_s"], baseline_networks())
    assert "efficientnet_b0.ra4_e3600_r224_in1k" in {row.name for row in comparison.dominated_by}
    assert "botnet26t_256" in {row.name for row in comparison.dominates}


@pytest.mark.slow
def test_the_timings_of_both_sides_are_interleaved():
    networks = [load_network(name) for name in ("mobilevitv3_xxs_l2", "mobilenetv3_small_100")]
    session = time_networks(networks, [EVEN], repeats=3)
    rows = {timing.network: timing for timing in session.timings}
    assert rows["mobilevitv3_xxs_l2"].latency.image_size == 256
    assert rows["mobilenetv3_small_100"].latency.image_size == 224
    assert {len(timing.times_ms) for timing in session.timings} == {3}


def test_latency_accepts_the_name_of_a_baseline(brief_timing, monkeypatch):
    monkeypatch.setattr(protocols, "QUICK", protocols.Rounds(repeats=3, throughput_repeats=3, limit_s=5.0))
    run = CliRunner().invoke(cli, ["latency", "mobilenetv3_small_100", "--quick", "--batch", "0", "--json"])
    assert [row["name"] for row in json.loads(run.stdout)["latency"]["timed"]] == ["mobilenetv3_small_100"] * 2


def test_the_table_is_one_document_with_sources():
    run = CliRunner().invoke(cli, ["baselines", "--json"])
    facts = json.loads(run.stdout)
    assert len(facts["baselines"]) == len(baselines())
    assert all(row["sources"]["top1"] for row in facts["baselines"])
    assert {row["name"] for row in facts["standings"]} == {row.name for row in family_networks()}


def test_the_table_says_who_dominates_whom_and_where_figures_are_from():
    run = CliRunner().invoke(cli, ["baselines", "--sources"])
    assert "EfficientNet-B0 (longer)" in run.stdout
    assert "results-imagenet.csv" in run.stdout


def test_importing_timm_leaves_no_operator_behind():
    builder.build(baseline("mobilenetv3_small_100"))
    assert "timm" in sys.modules
    library = torch.library.Library("torchvision", "DEF")  # raises if there is one already
    library._destroy()
