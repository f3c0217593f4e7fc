"""Heads: what they cost is what is built, to the integer; what they compute is what the authors' code computes.

`tests/fixtures/published_heads.json` and `tests/fixtures/authors_heads.json.gz` say which code gave the figures.
"""

import csv
import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from authors import made_up
from click.testing import CliRunner
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import ROWS, row
from small import broken_format, job
from torch.utils.flop_counter import FlopCounterMode

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.cost import Cost
from mvsearch.arch.heads import BaseHead, head_class
from mvsearch.arch.published import model, model_names, published, published_keys
from mvsearch.arch.strides import row_strides
from mvsearch.cli.main import cli
from mvsearch.errors import ArchitectureError, MvsearchError, SpaceError
from mvsearch.export.images import draw_samples, select_images
from mvsearch.export.job import ExportJob
from mvsearch.export.model import ExportModel
from mvsearch.export.stages import first_differing_stage
from mvsearch.export.verify import export_verified, verify
from mvsearch.nn import build, load_checkpoint
from mvsearch.nn.features import taps
from mvsearch.nn.network import instantiate
from mvsearch.profiling.counters import dispatch
from mvsearch.space.exact_front import exact_front
from mvsearch.space.search_space import SearchSpace
from mvsearch.study.resolve import find_architecture
from mvsearch.utils import plugins, yaml_document
from mvsearch.utils.yaml_document import Document, parse

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).parents[2]
COUNTED = json.loads((ROOT / "tests" / "fixtures" / "published_heads.json").read_text())["models"]
AUTHORS = json.loads(gzip.decompress((ROOT / "tests" / "fixtures" / "authors_heads.json.gz").read_bytes()))["networks"]


def head(kind: str, **fields) -> BaseHead:
    return head_class(kind)(**fields)


# ---- the published networks


def test_every_network_that_was_counted_is_published_here_and_no_other():
    assert {*model_names("segmentation"), *model_names("detection")} == set(COUNTED)


@pytest.mark.parametrize("name", COUNTED)
def test_a_published_network_costs_what_the_authors_code_does_to_the_integer(name):
    arch, counted = published(name), COUNTED[name]
    cost, training = arch.cost(), arch.training_cost()
    rows = [stage for stage in arch.stages() if not stage.name.startswith("head.")]

    assert arch.image_size == counted["input"]
    assert cost.params + training.params == counted["params"]
    assert cost.macs == counted["macs"]
    assert round(cost.params, -3) == counted["params_deployed"]
    children = counted["children"]
    assert sum(stage.cost.params for stage in rows) == children["encoder"]
    assert cost.params + training.params - children["encoder"] == sum(children.values()) - children["encoder"]


@pytest.mark.parametrize("name", COUNTED)
def test_the_stages_of_a_published_backbone_have_the_authors_shapes_and_costs(name):
    stages = {}
    for stage in published(name).stages():
        stages.setdefault(
            stage.name.removesuffix("_down").replace("layer", "layer_").replace("stem", "conv_1"), []
        ).append(stage)
    for stage, (shape, params, macs) in COUNTED[name]["stages"].items():
        rows = stages[stage]
        last = rows[-1].out
        assert [last.channels, last.height, last.width] == shape
        assert sum((row.cost for row in rows), Cost()).params == params
        assert sum((row.cost for row in rows), Cost()).macs == macs


@pytest.mark.parametrize("name", model_names("segmentation"))
def test_the_count_of_the_paper_is_that_of_the_authors_profile(name):
    assert abs(published(name).cost().macs_paper - COUNTED[name]["macs_authors"]) <= 500  # it prints thousands


def test_the_authors_profile_of_a_detector_rounds_the_smallest_maps_down():
    apart = {published(n).cost().macs_paper - COUNTED[n]["macs_authors"] for n in model_names("detection")}

    assert max(apart) - min(apart) <= 1000
    assert min(apart) > 0


@pytest.mark.parametrize("name", [*model_names("segmentation"), *model_names("detection")])
def test_parameters_are_those_that_the_paper_prints(name):
    printed = model(name).figures.get("params_m")
    misprinted = {"mobilevitv1_xxs_ssdlite": 1.5}  # Table 4; built, it is 1.76 M

    if printed is not None and name not in misprinted:
        decimals = len(str(printed).partition(".")[2])
        assert abs(published(name).cost().params / 1e6 - printed) < 10**-decimals


@pytest.mark.parametrize("name", ["mobilevitv3_0.5_deeplabv3_ade20k", "mobilevitv3_xxs_ssdlite"])
def test_a_published_network_is_recognised_by_its_key(name):
    arch = published(name)

    assert published_keys(arch.task)[arch.key] == name
    assert Architecture.from_dict(arch.to_dict()) == arch


def test_keys_of_classifiers_in_a_finished_study_are_as_they_were():
    data = yaml_document.read(ROOT / "studies" / "reference" / "v3" / "settings.yaml").data
    space = SearchSpace.parse(Document(data["space"]))
    with (ROOT / "studies" / "reference" / "v3" / "front.csv").open() as file:
        members = list(csv.DictReader(file))
    assert len(members) > 10
    for member in members:
        values = {c.name: next(v for v in c.values if str(v) == member[c.name]) for c in space.choices}
        assert space.architecture(values).key == member["key"]


# ---- what they compute


@pytest.mark.parametrize("name", AUTHORS)
def test_the_same_weights_by_the_authors_names_give_the_same_outputs_as_in_their_code(name):
    theirs = AUTHORS[name]
    network = build(published(name)).eval()
    load_checkpoint(network, {key: made_up(key, shape) for key, shape in theirs["shapes"].items()})
    size = theirs["size"]
    image = torch.from_numpy(np.random.RandomState(0).standard_normal((1, 3, size, size)).astype(np.float32))
    auxiliary = []
    if hasattr(network.head, "context") and network.head.auxiliary is not None:
        network.head.auxiliary.register_forward_hook(lambda _module, _inputs, output: auxiliary.append(output))
        network.head.training = True  # of the head itself alone: what it is made of stays in eval mode
    with torch.no_grad():
        result = network(image)
    outputs = [result[0], *auxiliary] if auxiliary else [result] if isinstance(result, torch.Tensor) else list(result)

    assert [list(output.shape) for output in outputs] == [expected["shape"] for expected in theirs["outputs"]]
    for output, expected in zip(outputs, theirs["outputs"], strict=True):
        values = torch.tensor(expected["values"])
        assert (output.flatten()[::997][: len(values)] - values).abs().max() < 1e-5 * output.abs().max()
        assert abs(float(output.double().norm()) / expected["norm"] - 1) < 1e-5


SMALL = """name: small
image_size: 64
num_classes: 5
blocks:
  - {name: stem, block: conv, out: 8, stride: 2}
  - {name: layer1, block: mv2, out: 8, stride: 2, expand: 2}
  - {name: layer2, block: mv2, out: 16, stride: 2, expand: 2}
  - {name: layer3, block: mv2, out: 16, stride: 2, repeat: 2, expand: 2}
  - {name: layer4, block: mv2, out: 32, stride: 2, expand: 2}
  - {name: layer5, block: mobilevitv2, out: 32, dim: 16, depth: 1}
head: {kind: deeplabv3, out: 16, aux: true}
"""


def small(**fields) -> Architecture:
    arch = Architecture.parse(parse(SMALL, "small.yaml"))
    return arch.with_head(head(**fields), image_size=64, num_classes=5) if fields else arch


@pytest.mark.parametrize("kind", ["deeplabv3", "pspnet"])
def test_a_class_for_every_pixel_comes_at_the_size_of_the_image(kind):
    network = build(small(kind=kind, out=16, aux=True), seed=0)
    images = torch.randn(2, 3, 70, 50)
    logits, auxiliary = network.train()(images)

    assert logits.shape == auxiliary.shape == network.eval()(images).shape == (2, 5, 70, 50)


def test_a_network_learns_where_its_loss_says():
    network = build(small(kind="ssdlite"), seed=0).train()
    logits, offsets, anchors = network(torch.randn(2, 3, 64, 64))
    (logits.square().mean() + offsets.square().mean()).backward()

    assert logits.shape[:2] == offsets.shape[:2] == anchors.shape[:2]
    assert not anchors.requires_grad
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


# ---- the contract of every head

FIELDS = {
    "classification": {"pool": st.sampled_from(["mean", "max"]), "linear": st.booleans()},
    "deeplabv3": {
        "out": st.integers(1, 40),
        "output_stride": st.sampled_from([8, 16, 32]),
        "rate": st.integers(1, 12),
        "aux": st.booleans(),
    },
    "pspnet": {"out": st.integers(1, 40), "output_stride": st.sampled_from([8, 16, 32]), "aux": st.booleans()},
    "ssdlite": {},
}


@st.composite
def architectures(draw: st.DrawFn, kind: str) -> Architecture:
    """Five rows of stride 2, behind each a row of any kind."""
    rows, width = [], 3
    for i in range(5):
        width = draw(st.integers(16, 48))
        rows.append(
            row(
                draw(st.sampled_from(["conv", "mv2"])),
                name=f"down{i}",
                out=width,
                stride=2,
                repeat=draw(st.integers(1, 2)),
            )
        )
        rows.append(replace(draw(ROWS[draw(st.sampled_from(sorted(ROWS)))](f"row{i}", width)), stride=1))
        width = rows[-1].out
    fields = {name: draw(values) for name, values in FIELDS[kind].items()}
    size, classes = draw(st.integers(32, 150)), draw(st.integers(2, 30))
    return Architecture(blocks=tuple(rows), head=head(kind, **fields), image_size=size, num_classes=classes)


def test_every_kind_of_head_is_drawn():
    assert set(FIELDS) == set(plugins.names("head"))


@pytest.mark.parametrize("kind", FIELDS)
def test_parameters_macs_and_shapes_of_any_network_with_a_head_are_those_of_the_built_one(kind):
    @settings(max_examples=examples(5, 12), deadline=None, derandomize=True)
    @given(architectures(kind))
    def holds(arch: Architecture) -> None:
        assert Architecture.from_dict(arch.to_dict()) == arch
        shapes = {}
        with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
            trained = instantiate(arch)
            network = instantiate(arch.deploy()).eval()
            for name, module in list(network.named_children())[:-1]:
                module.register_forward_hook(lambda _m, _i, out, name=name: shapes.update({name: tuple(out.shape[1:])}))
            result = network(torch.zeros(2, 3, arch.image_size, arch.image_size))
        params = {name: sum(p.numel() for p in module.parameters()) for name, module in network.named_children()}
        rows = [stage for stage in arch.stages() if stage.name in shapes]
        assert {s.name: (s.out.channels, s.out.height, s.out.width) for s in rows} == shapes
        assert {s.name: s.cost.params for s in rows} == {name: n for name, n in params.items() if name != "head"}
        assert arch.cost().params == sum(params.values())
        assert arch.cost().params + arch.training_cost().params == sum(p.numel() for p in trained.parameters())
        assert 2 * arch.cost().macs == counter.get_total_flops() // 2, "of two images"
        first = result if isinstance(result, torch.Tensor) else result[0]
        assert len(first) == 2

    holds()


@pytest.mark.parametrize("kind", ["deeplabv3", "pspnet", "ssdlite"])
def test_what_a_network_gives_is_what_is_said_of_it(kind):
    arch = small(kind=kind)
    result = build(arch, seed=0).eval()(torch.zeros(1, 3, 64, 64))
    summary = arch.head.output_summary(arch.head_parts([stage.out for stage in arch.stages()]), 5)

    if kind == "ssdlite":
        assert summary == f"{result[0].shape[1]} boxes, 5 classes"
    else:
        assert summary == " x ".join(map(str, result.shape[1:]))


def test_a_counter_leaves_out_what_only_training_uses():
    assert dispatch.count(small()).params == small().cost().params


# ---- output stride


def test_a_stride_beyond_the_output_stride_becomes_dilation_of_what_follows():
    def strides(rows: list[int], max_stride: int) -> list[tuple[int, int, int]]:
        return [(s.stride, s.dilation_first, s.dilation) for s in row_strides(rows, max_stride)]

    assert strides([2, 2, 1, 2, 2, 1], 8)[:4] == [(2, 1, 1), (2, 1, 1), (1, 1, 1), (2, 1, 1)]
    assert strides([2, 2, 1, 2, 2, 1], 8)[4:] == [(1, 1, 2), (1, 2, 2)]
    assert strides([2, 2, 2, 2], 4)[2:] == [(1, 1, 2), (1, 2, 4)]


def test_dilated_rows_are_built_as_the_authors_build_them():
    network = build(published("mobilevitv3_0.5_deeplabv3_ade20k"))

    assert network.layer4_down.depthwise.conv.dilation == (1, 1)
    assert network.layer4.local.conv.dilation == (2, 2)
    assert network.layer5_down.depthwise.conv.dilation == (2, 2)
    assert network.layer5.local.conv.dilation == (4, 4)
    assert [branch.conv.dilation[0] for branch in network.head.branches] == [1, 12, 24, 36]
    assert build(published("mobilevitv3_s_deeplabv3")).layer5.local.conv.dilation == (1, 1)


def test_feature_maps_of_a_dilated_backbone_are_taken_where_it_has_them():
    assert [(tap.row, tap.reduction) for tap in taps(published("mobilevitv3_s_deeplabv3"))] == [
        ("layer2", 4), ("layer3", 8), ("layer5", 16),
    ]  # fmt: skip


def test_networks_that_differ_in_their_head_alone_have_keys_of_their_own():
    heads = [
        {"kind": "deeplabv3", "out": 16},
        {"kind": "deeplabv3", "out": 16, "output_stride": 8},
        {"kind": "deeplabv3", "out": 16, "aux": True},
        {"kind": "pspnet", "out": 16},
        {"kind": "ssdlite"},
        {"kind": "classification"},
    ]
    assert len({small(**fields).key for fields in heads}) == len(heads)


# ---- files, spaces and names

LAST_ROWS = SMALL[SMALL.index("  - {name: layer4") :]
WRONG = {
    "another task": ("name: small", "task: detection", 1, "task", "segmentation"),
    "no such task": ("name: small", "task: segmentatio", 1, "task", "'segmentation'"),
    "no such head": ("deeplabv3", "deeplabv4", 11, "head.kind", "'deeplabv3'"),
    "another's field": ("deeplabv3, out: 16, aux: true", "ssdlite, out: 16", 11, "head.out", "'out'"),
    "no such stride": ("aux: true", "output_stride: 4", 11, "head.output_stride", "4"),
    "no map to read": (LAST_ROWS, "head: {kind: ssdlite}", 9, "head", "32"),
}


@pytest.mark.parametrize(("old", "new", "line", "key", "value"), WRONG.values(), ids=WRONG)
def test_an_error_in_a_head_has_the_line_and_the_key(old, new, line, key, value):
    with pytest.raises(ArchitectureError) as raised:
        Architecture.parse(parse(SMALL.replace(old, new, 1), "small.yaml"))

    error = raised.value
    assert (error.file, error.line, error.key) == ("small.yaml", line, key)
    assert value in str(error)


def test_the_task_may_stand_in_the_file():
    assert Architecture.parse(parse("task: segmentation\n" + SMALL, "small.yaml")) == small()


SPACE = (
    SMALL.replace(
        "blocks:", "vars: {w: {choose: [8, 16, 24]}}  # wide early costs MACs, wide late costs parameters\nblocks:"
    )
    .replace("layer1, block: mv2, out: 8", "layer1, block: mv2, repeat: 2, out: w")
    .replace("out: 32, stride: 2, expand: 2", "out: 40 - w, stride: 2, expand: {choose: [2, 3]}")
    .replace("out: 32, dim: 16", "out: 40 - w, dim: {choose: [16, 24]}")
    .replace("stride: 2, repeat: 2", "stride: 2, repeat: {choose: [1, 2]}")
)


@pytest.mark.parametrize(
    "kind",
    [
        "deeplabv3, out: 16, aux: true",
        "deeplabv3, out: 16, output_stride: 8",
        "pspnet, out: 16, output_stride: 8",
        "ssdlite",
    ],
)
def test_a_space_with_a_head_is_priced_in_bulk_and_its_front_is_exact(kind):
    space = SearchSpace.parse(parse(SPACE.replace("deeplabv3, out: 16, aux: true", kind), "space.yaml"))
    codes = space.enumerate_codes(range(len(space.choices)))
    bulk = space.costs(codes)
    single = [space.architecture(space.point(point_codes)).cost() for point_codes in codes]

    assert [cost.params for cost in single] == bulk.params.tolist()
    assert [cost.macs for cost in single] == bulk.macs.tolist()
    assert [cost.macs_paper for cost in single] == bulk.macs_paper.tolist()
    points = np.column_stack([bulk.params, bulk.macs])
    beaten = [((points <= p).all(1) & (points < p).any(1)).any() for p in points]
    assert len(set(map(tuple, points[~np.array(beaten)].tolist()))) > 1
    front = exact_front(space, ["params", "macs"])
    assert {(m.cost.params, m.cost.macs) for m in front} == set(map(tuple, points[~np.array(beaten)].tolist()))


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("out: w, stride: 2", "out: w, stride: {choose: [1, 2]}", "blocks.layer1.stride"),
        ("v3, out: 16", "v3, out: {choose: [16, 32]}", "head.out"),
    ],
)
def test_the_strides_under_a_head_and_the_head_itself_cannot_be_open(old, new, key):
    with pytest.raises(SpaceError) as raised:
        SearchSpace.parse(parse(SPACE.replace(old, new, 1), "space.yaml"))

    assert raised.value.key == key


def test_a_space_contains_a_published_network_with_its_head():
    arch = published("mobilevitv3_xxs_ssdlite")
    document = arch.to_dict() | {"contains": [arch.name], "task": "detection"}
    document["blocks"][1]["out"] = {"choose": [16, 24]}

    assert [name for name, _ in SearchSpace.parse(Document(document)).published_points()] == [arch.name]
    document["head"] = {"kind": "deeplabv3"}
    with pytest.raises(MvsearchError):
        SearchSpace.parse(Document(document))


def test_any_architecture_goes_under_another_head_by_its_name(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)

    assert find_architecture("mobilevitv3_s+ssdlite").key == published("mobilevitv3_s_ssdlite").key
    assert find_architecture(f"{file}+pspnet").name == "small_pspnet"
    assert "final" not in [block.name for block in find_architecture("mobilevitv3_s+pspnet").blocks]
    file.write_text(SMALL.replace("out: 32, stride: 2", "out: 32"))
    with pytest.raises(ArchitectureError, match=r"^small: ssdlite reads a map at stride 32"):
        find_architecture(f"{file}+ssdlite")


def answer(*words: str):
    result = CliRunner().invoke(cli, list(words))
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_models_lists_what_is_for_a_task():
    by_name = {row["name"]: row for row in answer("models", "--task", "segmentation", "--json")}

    assert set(by_name) == set(model_names("segmentation"))
    entry = by_name["mobilevitv3_0.5_deeplabv3_ade20k"]
    assert (entry["task"], entry["dataset"], entry["num_classes"]) == ("segmentation", "ADE20K", 150)
    assert entry["params"] + entry["training_params"] == 6_608_677
    assert entry["printed"]["miou"] == 33.57
    assert {row["task"] for row in answer("models", "--json")} == {"classification"}


def test_a_profile_shows_the_parts_of_the_head():
    profile = answer("profile", "mobilevitv3_s_deeplabv3", "--json")
    stages = {stage["name"]: stage for stage in profile["stages"]}

    assert stages["head.classifier"]["out"] == [21, 512, 512]
    assert sum(stage["params"] for stage in stages.values()) == profile["params"] == 7_205_621


# ---- exports


def tiny(kind: str, **fields) -> Architecture:
    """Five convolutions and a head: the export of other blocks is tested with these."""
    rows = tuple(row("conv", name=f"layer{i}", out=8, stride=2) for i in range(1, 6))
    return Architecture(blocks=rows, head=head(kind, **fields), image_size=64, num_classes=5, name="tiny")


EXPORTED = {
    "deeplabv3": tiny("deeplabv3", out=16, aux=True),
    "ssdlite": tiny("ssdlite"),
    "pspnet": tiny("pspnet", out=16),
}


@pytest.mark.parametrize("arch", EXPORTED.values(), ids=EXPORTED)
def test_a_file_read_back_gives_what_the_network_gives(arch, tmp_path):
    """In ONNX; `test_export.py` has the Python file of every head."""
    sample = draw_samples(select_images(None), 64, 5, 0)[0]
    model = ExportModel.of(arch)
    export = job("onnx", tmp_path, model)
    report = export_verified(export, sample)

    assert report.verified
    assert all(row.ratio < 1e-4 for row in report.comparisons)
    assert model.arch == arch.deploy()
    assert sum(p.numel() for p in model.model.parameters()) == arch.cost().params
    assert report.network["task"] == arch.task


def test_the_backbone_of_a_network_with_a_head_is_exported_as_feature_maps(tmp_path):
    sample = draw_samples(select_images(None), 64, 3, 0)[0]
    export = job("torch", tmp_path, ExportModel.of(small(), features=True))
    report, run_file = verify(export, export.path, sample)

    assert report.verified
    assert [(row["row"], row["reduction"], row["channels"]) for row in report.network["features"]] == [
        ("layer1", 4, 8), ("layer2", 8, 16), ("layer5", 16, 32),
    ]  # fmt: skip
    assert [output.shape[1:] for output in run_file(sample.images[:2])] == [
        (8, 16, 16), (16, 8, 8), (32, 4, 4),
    ]  # fmt: skip


def test_weights_with_the_auxiliary_classifier_are_exported_without_it(tmp_path):
    trained = build(small(), seed=3)
    torch.save(trained.state_dict(), tmp_path / "trained.pt")
    model = ExportModel.of(small(), weights=tmp_path / "trained.pt")
    image = torch.randn(1, 3, 64, 64)

    assert not any("auxiliary" in name for name in model.model.state_dict())
    assert torch.equal(model.model(image), trained.eval()(image))


def test_the_stage_that_differs_may_be_a_head(tmp_path):
    export = ExportJob(broken_format("head"), ExportModel.of(tiny("ssdlite")), tmp_path / "net.toy")
    images = draw_samples(select_images(None), 64, 2, 0)[0].images

    assert first_differing_stage(export, images) == "head"
