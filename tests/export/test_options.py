"""The options of `mvsearch export`: weights, other classes, other image sizes, feature maps."""

import json
import pickle
from argparse import Namespace
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from effort import wider_are_slow
from labelled import write_coco
from safetensors.torch import load_file, save_file
from small import PLAIN, SOFTMAX

from mvsearch.arch.architecture import Architecture, Head
from mvsearch.arch.published import model_names, published
from mvsearch.errors import ArchitectureError, CheckpointError, PlanError
from mvsearch.export.formats import format_names, load_format
from mvsearch.export.formats import torch as exporter
from mvsearch.export.model import ExportModel
from mvsearch.nn import build
from mvsearch.nn.features import backbone_rows, taps
from mvsearch.utils import yaml_document

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = Architecture.from_dict(SOFTMAX)


@pytest.fixture
def weights(tmp_path):
    """The weights of the small network for its ten classes, and where they lie."""
    state = build(SMALL, seed=7).state_dict()
    save_file(state, tmp_path / "trained.safetensors")
    return SimpleNamespace(path=tmp_path / "trained.safetensors", state=state)


# Weights and classes


def test_without_weights_the_seed_is_named_and_the_network_is_in_eval_mode():
    export_model = ExportModel.of(SMALL, seed=3)
    assert export_model.weights == "random, seed 3"
    assert not export_model.model.training
    assert equal(export_model.model.state_dict(), build(SMALL, seed=3).state_dict())


def test_weights_come_from_safetensors_and_from_pt_alike(weights, tmp_path):
    torch.save({"state_dict": weights.state}, tmp_path / "trained.pt")
    for name in ("trained.safetensors", "trained.pt"):
        export_model = ExportModel.of(SMALL, weights=tmp_path / name)
        assert export_model.weights == name
        assert equal(export_model.model.state_dict(), weights.state)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("kept_under", ["state_dict", "model_state_dict", "model"])
def test_a_checkpoint_of_a_training_script_is_read_as_the_script_left_it(kept_under, prefix, weights, tmp_path):
    state = {prefix + name: tensor for name, tensor in weights.state.items()}
    rest = {"epoch": 3, "args": Namespace(lr=0.1), "optimizer": {"state": {0: {"step": torch.ones(1)}}}}
    torch.save({**rest, kept_under: state}, tmp_path / "last.pth.tar")
    assert equal(ExportModel.of(SMALL, weights=tmp_path / "last.pth.tar").model.state_dict(), weights.state)


def test_a_file_that_does_not_map_names_to_tensors_is_refused(tmp_path):
    for content in ([torch.ones(1)], {3: torch.ones(1)}, {"epoch": 3}, torch.ones(1)):
        torch.save(content, tmp_path / "odd.pt")
        with pytest.raises(CheckpointError, match=r"odd\.pt: .*state_dict"):
            ExportModel.of(SMALL, weights=tmp_path / "odd.pt")


def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path, recwarn):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"stem": Evil()}))
    with pytest.raises(CheckpointError, match=r"evil\.pt: "):
        ExportModel.of(SMALL, weights=tmp_path / "evil.pt")
    torch.save({"stem": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match=r"evil\.pt: "):
        ExportModel.of(SMALL, weights=tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()
    assert not list(recwarn)


def test_the_classifier_of_as_many_classes_is_kept(weights):
    export_model = ExportModel.of(SMALL, weights=weights.path, num_classes=10)
    assert export_model.weights == "trained.safetensors"
    assert equal(export_model.model.state_dict(), weights.state)


def test_the_classifier_for_other_classes_is_fresh_and_the_rest_is_kept(weights):
    export_model = ExportModel.of(SMALL, weights=weights.path, num_classes=3, seed=5)
    assert export_model.weights == "trained.safetensors; the classifier for 3 classes is random, seed 5"
    state = export_model.model.state_dict()
    assert export_model.arch.num_classes == 3
    assert equal({name: state[name] for name in state if "head" not in name}, without_head(weights.state))
    assert torch.equal(
        state["head.linear.weight"], build(SMALL.at(num_classes=3), seed=5).state_dict()["head.linear.weight"]
    )


def test_weights_for_other_classes_are_refused_unless_classes_are_asked_for(weights):
    with pytest.raises(CheckpointError, match=r"trained\.safetensors: .*10 classes.*for 4.*--num-classes 10"):
        ExportModel.of(SMALL.at(num_classes=4), weights=weights.path)


def test_weights_of_another_network_are_refused_though_its_classifier_may_differ(weights):
    wider = Architecture.from_dict({**SOFTMAX, "blocks": [{**SOFTMAX["blocks"][0], "out": 24}, *SOFTMAX["blocks"][1:]]})
    with pytest.raises(CheckpointError, match=r"trained\.safetensors: '(stem|down)\."):
        ExportModel.of(wider, weights=weights.path, num_classes=3)


def test_classes_of_a_network_without_a_classifier_are_refused():
    for arguments in ({"features": True}, {}):
        arch = SMALL if arguments else replace(SMALL, head=Head(linear=False))
        with pytest.raises(PlanError, match="num_classes=3: "):
            ExportModel.of(arch, num_classes=3, **arguments)


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def without_head(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.startswith("head.")}


# Feature maps


@pytest.mark.parametrize("name", wider_are_slow(model_names()))
def test_every_published_network_gives_a_map_at_each_stride_with_the_channels_it_lists(name):
    arch = published(name)
    with torch.device("meta"):
        model = ExportModel.of(arch, features=True).model
        report = model(torch.zeros(1, 3, 256, 256))
    total = 64 if name.startswith("shvit") else 32
    assert [tap.reduction for tap in taps(arch)] == [stride for stride in (4, 8, 16, 32, 64) if stride <= total]
    assert [tuple(dimension.shape) for dimension in report] == [
        (1, tap.channels, 256 // tap.reduction, 256 // tap.reduction) for tap in taps(arch)
    ]


def test_maps_are_what_the_whole_network_makes_on_its_way():
    whole = build(published("mobilevitv3_xxs"), seed=0).eval()
    export_model = ExportModel.of(published("mobilevitv3_xxs"), features=True)
    x = images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    expected = OrderedDict()
    with torch.no_grad():
        for name, row in whole[:-1].named_children():
            expected[name] = x = row(x)
        for tap, report in zip(taps(export_model.arch), export_model.model(images), strict=True):
            assert torch.equal(report, expected[tap.row])


def test_strides_that_a_network_does_not_reach_are_left_out_and_rows_behind_the_last_map_are_not_kept():
    assert [(tap.row, tap.reduction) for tap in taps(SMALL)] == [("body", 4)]
    rows = [*SOFTMAX["blocks"], *({"name": f"d{i}", "block": "conv", "out": 8, "stride": 2} for i in range(5))]
    deep = Architecture.from_dict({**SOFTMAX, "blocks": rows})
    assert [tap.reduction for tap in taps(deep)] == [4, 8, 16, 32, 64]
    assert backbone_rows(deep)[-1] == "d3"
    assert "Conv(8, 8, stride=2)" in exporter.source(deep, features=True)
    assert "self.d4" not in exporter.source(deep, features=True)

    shallow = Architecture.from_dict({**SOFTMAX, "blocks": SOFTMAX["blocks"][:1]})
    with pytest.raises(ArchitectureError, match=r"stride of 2 .* 4, 8, 16, 32, 64"):
        ExportModel.of(shallow, features=True)


def test_features_take_weights_with_any_classifier_or_none(weights, tmp_path):
    save_file(without_head(weights.state), tmp_path / "backbone.safetensors")
    for path in (weights.path, tmp_path / "backbone.safetensors"):
        export_model = ExportModel.of(SMALL.at(num_classes=4), weights=path, features=True)
        assert export_model.weights == path.name
        assert equal(export_model.model.state_dict(), without_head(weights.state))


def test_the_exported_source_of_a_backbone_says_its_maps_and_has_no_class_that_it_does_not_use():
    text = exporter.source(published("mobilevitv3_xxs"), features=True)
    assert "class ClassificationHead" not in text
    assert "def forward(self, x: Tensor) -> list[Tensor]:" in text
    assert "736,448 parameters" in text
    assert "stride 32: 512 channels, after final" in text
    assert "return [stride_4, stride_8, stride_16, stride_32]" in text


# The command


@pytest.fixture
def run(mvsearch):
    """The command `export small.yaml`, in a folder with that file."""
    Path("small.yaml").write_text(yaml_document.dump(SMALL.to_dict()), encoding="utf-8")
    return lambda *args: mvsearch("export", "small.yaml", *args)


def test_the_weights_that_a_network_is_built_with_are_not_replaced(run, weights):
    before = weights.path.read_bytes()
    finished = run("-o", "trained.py", "--weights", "trained.safetensors", "--no-verify", "--force")
    assert finished.code == 1
    assert "trained.safetensors: would replace the weights" in finished.err
    assert weights.path.read_bytes() == before


def test_the_terminal_says_that_the_classifier_is_fresh(run, weights):
    finished = run("-o", "net.py", "--weights", "trained.safetensors", "--num-classes", "3", "--no-verify")
    assert finished.code == 0, finished.err
    assert "weights: trained.safetensors; the classifier for 3 classes is random, seed 0" in finished.out
    assert load_file("net.safetensors")["head.linear.bias"].shape == (3,)


def test_export_names_the_weights_that_it_read_and_what_it_passed_over(run, weights):
    raw = build(SMALL, seed=1).state_dict()
    average = {name: tensor for name, tensor in weights.state.items() if not name.endswith("num_batches_tracked")}
    torch.save({"state_dict": raw, "state_dict_ema": average}, "both.pt")
    options = ("--weights", "both.pt", "--no-verify", "-o", "net.py")
    finished = run(*options)
    assert "weights: both.pt (state_dict_ema, the moving average)" in finished.out
    assert f"passed over: state_dict ({len(raw)} tensors)" in finished.out
    assert f"{len(raw) - len(average)} missing counters" in finished.out
    assert equal(load_file("net.safetensors"), weights.state)
    report = json.loads(run(*options, "--force", "--json").out)
    assert report["weights"] == "both.pt (state_dict_ema, the moving average)"
    assert report["weights_origin"] == "state_dict_ema, the moving average"
    assert report["weights_ignored"] == [f"state_dict ({len(raw)} tensors)"]
    assert len(report["weights_converted"]) == 1


def test_the_terminal_lists_the_maps_with_their_channels(run):
    finished = run("-o", "net.py", "--features", "--no-verify")
    assert [line.split() for line in finished.out.splitlines() if "after" in line] == [["after", "body", "16", "4"]]
    report = json.loads(run("-o", "net.py", "--features", "--images", "4", "--json", "--force").out)
    assert report["features"] == [{"row": "body", "channels": 16, "reduction": 4}]
    assert report["verified"] is True
    assert report == json.loads(Path("net.py.report.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", format_names())
def test_formats_that_take_one_image_at_a_time_are_named_in_terminal_and_help(run, name, monkeypatch):
    export_format = load_format(name)
    one = export_format.runtime is not None and export_format.runtime.takes_one_image
    [line] = [line for line in run("--help").out.split(".") if "take one image at a time" in " ".join(line.split())]
    assert (name in line.replace(",", " ").split()) is one
    written = replace(export_format, packages=(), export=lambda _export_model, path: path.touch())
    monkeypatch.setattr(f"mvsearch.export.formats.{name}.FORMAT", written)
    finished = run("--to", name, "-o", f"net{export_format.suffix}", "--no-verify", "--images", "4")
    assert ("batch: one image at a time" in finished.out) is one
    assert ("batch: any number of images" in finished.out) is (not one and name != "yaml")


def test_a_file_of_rows_states_no_weights(run):
    assert run("--to", "yaml", "-o", "net.yaml").out == "wrote net.yaml\nnot verified: yaml has no runtime of its own\n"
    assert json.loads(run("--to", "yaml", "-o", "net.yaml", "--force", "--json").out)["weights"] is None


def test_a_file_of_rows_keeps_what_only_training_needs(run):
    rows = [PLAIN["blocks"][0], {"name": "branches", "block": "repvit", "out": 16}]
    rows.append({"name": "body", "block": "mobilevit", "out": 16, "dim": 16, "depth": 1, "norm": "batch"})
    arch = Architecture.from_dict({**PLAIN, "blocks": rows})
    arch.save("small.yaml")
    report = json.loads(run("--to", "yaml", "-o", "net.yaml", "--json").out)
    assert report["key"] == Architecture.load("net.yaml").key == arch.key != arch.deploy().key


def test_another_image_size_is_that_of_the_file(run):
    Path("small.yaml").write_text(yaml_document.dump(PLAIN), encoding="utf-8")
    report = json.loads(run("-o", "net.py", "--image-size", "64", "--no-verify", "--json").out)
    assert report["image_size"] == 64
    if not load_format("onnx").missing_packages():
        run("--to", "onnx", "-o", "net.onnx", "--image-size", "64", "--no-verify")
        import onnx

        [images] = onnx.load("net.onnx").graph.input
        assert [dimension.dim_value for dimension in images.type.tensor_type.shape.dim][2:] == [64, 64]


@pytest.mark.parametrize("name", format_names())
def test_options_that_contradict_each_other_are_one_sentence(run, name, monkeypatch):
    monkeypatch.setattr(f"mvsearch.export.formats.{name}.FORMAT", replace(load_format(name), packages=()))
    finished = run("--to", name, "--features", "--num-classes", "3")
    assert finished.code == 1
    assert ("mvsearch: yaml" if name == "yaml" else "num_classes=3") in finished.err
    assert len(finished.err.splitlines()) == 1


def test_a_scene_network_takes_its_images_from_a_folder_of_scenes(tmp_path, monkeypatch, mvsearch):
    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path / "cache"))
    for part in ("train", "val"):
        write_coco(tmp_path / "scenes", part)
    command = ["export", "mobilevitv3_xxs+ssdlite", "--to", "package", "-o", str(tmp_path / "net"), "--no-verify"]
    command += ["--image-size", "64", "--data", "coco"]
    assert "--path" in mvsearch(*command).err
    done = mvsearch(*command, "--path", str(tmp_path / "scenes"))
    assert done.code == 0, done.err
    assert "coco, test part" in (tmp_path / "net" / "README.md").read_text(encoding="utf-8")
