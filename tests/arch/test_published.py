"""The published models have the numbers of the authors' code, stage by stage, to the integer.

`tests/fixtures/published.json` says which code was counted. A stage there is `[shape, parameters, MACs]`.
"""

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from mvsearch import published
from mvsearch.arch.architecture import Architecture
from mvsearch.arch.published import FOLDER, model, model_names, published_keys
from mvsearch.cli.main import cli
from mvsearch.nn import build
from mvsearch.utils import yaml_document

ROOT = Path(__file__).parents[2]
FAMILIES = ("mobilenetv4", "repvit", "shvit", "starnet")
"""The families of other authors; `tests/nn/test_timm_networks.py` compares them with timm's networks."""

COUNTED = json.loads((ROOT / "tests" / "fixtures" / "published.json").read_text())["models"]
MISPRINTED = {("mobilevitv2_1.0", "flops_m")}  # Table 2 prints 1851 for 1815; Table 7 has the same rows right


def answer(*words: str):
    result = CliRunner().invoke(cli, list(words))
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def row_of(stage: str) -> str:
    """The authors' `layer_3.1` is the second of their stage 3, which are the rows `layer3_down` and `layer3` here."""
    names = {"conv_1": "stem", "conv_1x1_exp": "final", "classifier": "head"}
    return names.get(stage) or re.sub(r"layer_(\d)\.\d", r"layer\1", stage)


def authors_rows(name: str, arch: Architecture) -> dict[str, tuple[list[int], int, int]]:
    """The authors' stages, those of a repeated row added up; the v2 family widens by an empty stage."""
    counted = COUNTED[name]["stages"]
    stages = iter((stage, parts) for stage, parts in counted.items() if parts[1] or stage != "conv_1x1_exp")
    rows = {}
    for row, repeat in [*((block.name, block.repeat) for block in arch.blocks), ("head", 1)]:
        names, parts = zip(*(next(stages) for _ in range(repeat)), strict=True)
        assert {row_of(stage) for stage in names} == {row.removesuffix("_down")}
        rows[row] = (parts[-1][0], sum(params for _, params, _ in parts), sum(macs for _, _, macs in parts))
    assert next(stages, None) is None
    return rows


def our_rows(arch: Architecture) -> dict[str, tuple[list[int], int, int]]:
    shapes = {stage.name: [stage.out.channels, stage.out.height, stage.out.width] for stage in arch.stages()}
    shapes["head"] = shapes["head"][:1]
    return {stage.name: (shapes[stage.name], stage.cost.params, stage.cost.macs) for stage in arch.stages()}


def test_every_model_that_was_counted_is_published_here_and_no_other():
    assert {name for name in model_names() if not name.startswith(FAMILIES)} == set(COUNTED)
    assert len(COUNTED) == 27


@pytest.mark.parametrize("name", COUNTED)
def test_the_closed_form_is_what_the_authors_code_counts(name):
    arch, counted = published(name), COUNTED[name]
    assert arch.metrics().items() >= {key: counted[key] for key in ("params", "macs", "macs_paper")}.items()
    assert arch.image_size == counted["image_size"]


@pytest.mark.parametrize("name", COUNTED)
def test_every_stage_has_the_authors_shape_parameters_and_macs(name):
    arch = published(name)
    assert our_rows(arch) == authors_rows(name, arch)


@pytest.mark.parametrize("name", COUNTED)
def test_the_built_network_has_as_many_parameters(name):
    with torch.device("meta"):
        network = build(published(name))
    built = {row: sum(p.numel() for p in module.parameters()) for row, module in network.named_children()}
    assert built == {stage.name: stage.cost.params for stage in published(name).stages()}
    assert sum(built.values()) == COUNTED[name]["params"]


@pytest.mark.parametrize("name", COUNTED)
def test_every_printed_figure_has_its_table(name):
    figures = model(name).figures
    assert re.fullmatch(r"arXiv 2209\.15159(, Table \d)+", figures["source"])
    assert figures.keys() & {"top1", "top1_100_epochs"}
    allowed = {"source", "flops_m", "params_m", "latency_ms", "throughput_images_s"}
    assert all(key in allowed or re.match(r"top1($|_)", key) for key in figures)


@pytest.mark.parametrize("name", COUNTED)
def test_what_the_paper_prints_is_macs_paper_and_params_rounded_or_cut(name):
    cost, figures = published(name).cost(), model(name).figures
    for key, exact in (("flops_m", cost.macs_paper / 1e6), ("params_m", cost.params / 1e6)):
        if key in figures and (name, key) not in MISPRINTED:
            digits = len(str(figures[key]).partition(".")[2])
            cut = math.floor(exact * 10**digits) / 10**digits
            assert figures[key] in (round(exact, digits), cut)


def test_the_misprint_is_kept_as_printed():
    assert model("mobilevitv2_1.0").figures["flops_m"] == 1851
    assert round(published("mobilevitv2_1.0").cost().macs_paper / 1e6) == 1815


def test_a_published_model_is_recognised_by_its_key():
    for name in model_names():
        arch = published(published_keys()[published(name).key])
        assert replace(arch, name=name) == published(name)


def test_two_networks_have_two_names_the_first_and_the_last_of_the_ablation():
    keys = {}
    for name in model_names():
        keys.setdefault(published(name).key, set()).add(name)
    shared = [names for names in keys.values() if len(names) > 1]
    assert sorted(map(sorted, shared)) == [
        ["ablation_1_baseline_v1_s", "mobilevitv1_s"],
        ["ablation_5_all_s_unscaled", "mobilevitv3_s_unscaled"],
    ]


def test_models_lists_these_numbers_beside_the_printed_ones():
    listed = {entry["name"]: entry for entry in answer("models", "--json")}
    assert listed.keys() == set(model_names())
    assert all(listed[name]["printed"] == model(name).figures for name in listed)
    for name, entry in ((name, listed[name]) for name in COUNTED):
        expected = {key: COUNTED[name][key] for key in ("params", "macs", "macs_paper", "image_size")}
        assert {key: entry[key] for key in expected} == expected
        assert entry["key"] == published(name).key
        assert entry["printed"] == model(name).figures


@pytest.mark.parametrize("name", COUNTED)
def test_profile_gives_these_numbers_whole_and_by_stage(name):
    facts = answer("profile", name, "--json")
    expected = {key: COUNTED[name][key] for key in ("params", "macs", "macs_paper", "image_size")}
    assert {key: facts[key] for key in expected} == expected
    assert facts["key"] == published(name).key
    stages = {stage["name"]: (stage["out"], stage["params"], stage["macs"]) for stage in facts["stages"]}
    out, params, macs = stages["head"]
    assert stages | {"head": (out[:1], params, macs)} == authors_rows(name, published(name))
    assert sum(stage["macs_paper"] for stage in facts["stages"]) == facts["macs_paper"]


def test_profile_prints_what_only_training_needs():
    printed = CliRunner().invoke(cli, ["profile", "repvit_m0_9"]).stdout
    assert "Training uses 16,320 more parameters, which are dropped or merged for inference." in printed


def test_profile_at_another_size_changes_the_macs_and_not_the_parameters():
    facts = answer("profile", "mobilevitv2_0.5", "--image-size", "384", "--json")
    expected = COUNTED["mobilevitv2_0.5_384"]
    assert (facts["params"], facts["macs"], facts["image_size"]) == (expected["params"], expected["macs"], 384)


@pytest.mark.parametrize(
    "words",
    [
        ("profile", "mobilevitv3_xxs"),
        ("profile", "mobilevitv3_xxs", "--json"),
        ("models",),
        ("space", "spaces/v3.yaml"),
        ("--help",),
        ("profile", "--help"),
    ],
    ids=" ".join,
)
def test_commands_that_only_calculate_load_no_torch(words):
    code = (
        "import sys; from mvsearch.cli.main import cli; "
        f"cli.main({list(words)!r}, standalone_mode=False); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_fast_reader_finds_in_every_file_what_the_reader_of_spaces_finds():
    for path in FOLDER.rglob("*.yaml"):
        assert yaml_document.read_shipped(path) == yaml_document.read(path), path
