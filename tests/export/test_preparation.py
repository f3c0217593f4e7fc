"""What a training did with its images reaches every file that is exported of its weights."""

import gzip
import json
import math
import re
import shutil
from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from labelled import write_voc
from PIL import Image
from safetensors.torch import load_file, save_file
from small import PLAIN, broken_format, job, require_format, small_model

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.heads import head_class
from mvsearch.arch.published import published
from mvsearch.cli._predict_classes import unlabelled_files
from mvsearch.cli._predict_scenes import _load_images
from mvsearch.data import DataSettings, Preparation, find_encoded
from mvsearch.errors import DataError
from mvsearch.export.formats import timm
from mvsearch.export.images import draw_samples, has_other_classes, match_labels
from mvsearch.export.job import ExportJob
from mvsearch.export.model import ExportModel
from mvsearch.export.verify import export_unverified, export_verified
from mvsearch.nn import build
from mvsearch.nn.weights_io import Checkpoint, write_weights
from mvsearch.training.distributed import ProcessGroup
from mvsearch.training.image_samples import ImageSample
from mvsearch.training.job import TrainingJob
from mvsearch.training.preparation import preparation_of
from mvsearch.training.recipe import Recipe
from mvsearch.utils import yaml_document

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = Architecture.from_dict({**PLAIN, "num_classes": 2})
BGR = Preparation((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 32, 0.875, "bgr", ("döner", "apple"), "toy", "bicubic")
AUTHORS = json.loads(gzip.decompress((Path(__file__).parents[1] / "fixtures" / "authors_keys.json.gz").read_bytes()))


def draw_set(folder: Path, classes: dict[str, int]) -> Path:
    """Noise of a brightness for each class."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("test", 10)):
        for name, brightness in classes.items():
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = (rng.normal(0, 15, (40, 40, 3)) + brightness).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MVSEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    """A small network that tells dark from bright, trained with normalisation and without."""
    folder = tmp_path_factory.mktemp("trained")
    images = draw_set(folder / "set", {"low": 60, "high": 110})
    return {normalise: train(folder / f"{normalise}", images, normalise=normalise) for normalise in (True, False)}


@pytest.fixture(params=[True, False], ids=["normalised", "0 to 1"])
def each(request, trainings):
    return trainings[request.param]


@pytest.fixture
def trained(trainings):
    return trainings[True]


def train(folder: Path, images: Path, init: Path | None = None, **settings):
    values = {"epochs": 8, "batch": 12, "ema": 0.2, "crop_area": 1.0, "flip": False, **settings}
    data = DataSettings("folder", str(images))
    training_job = TrainingJob(SMALL, Recipe(**values), data, folder, init=init, decoders=0)
    group, loaded = ProcessGroup(), training_job.load_data()
    training = training_job.start(loaded, group)
    list(training.run.run())
    result = training_job.finish(training, loaded, seconds=0.0)
    return SimpleNamespace(folder=folder, images=images, result=result, notes=training.notes)


def weights_of(trained) -> Path:
    return trained.folder / "weights.safetensors"


def test_every_export_states_what_the_training_did(each, tmp_path):
    alone = tmp_path / "alone.safetensors"  # without the result beside it
    alone.write_bytes(weights_of(each).read_bytes())
    result = json.loads((each.folder / "result.json").read_text(encoding="utf-8"))
    model = ExportModel.of(SMALL, weights=alone)
    assert model.preparation.mean == tuple(result["mean"])
    assert model.preparation.std == tuple(result["std"])
    assert (result["image_size"], result["crop"], result["channel_order"]) == (32, 1.0, "rgb")
    assert result["classes"] == ["high", "low"]
    assert (result["std"] == [1.0] * 3) is not result["settings"]["normalise"]

    sample = draw_samples(DataSettings("folder", str(each.images)), 32, 4, 0, model.expected)[0]
    package = job("package", tmp_path, replace(model, sample=sample))
    export_unverified(package)
    readme = (package.path / "README.md").read_text(encoding="utf-8")
    stated = re.search(r"less the mean \(([^)]*)\), over the deviation \(([^)]*)\)", readme)
    for text, name in zip(stated.groups(), ("mean", "std"), strict=True):
        assert [float(value) for value in text.split(",")] == pytest.approx(result[name], rel=1e-5, abs=1e-6)
    assert "0  high\n1  low\n" in readme
    written = json.loads((package.path / "preparation.json").read_text(encoding="utf-8"))
    assert Preparation.from_json(written) == model.expected
    again = ExportModel.of(SMALL, weights=package.path / "weights.safetensors")
    assert again.preparation == model.expected


def test_the_accuracy_of_an_export_is_that_of_the_training(each, tmp_path):
    model = ExportModel.of(SMALL, weights=weights_of(each))
    sample = draw_samples(DataSettings("folder", str(each.images)), 32, 64, 0, model.expected)[0]
    export_job = ExportJob(broken_format("none"), model, tmp_path / "net.toy")
    report = export_verified(export_job, match_labels(sample, model))

    assert report.top1.eager == report.top1.file == each.result["top1"]
    assert each.result["top1"] == 1
    assert report.notes == ()


def test_onnx_files_state_it_as_json_in_int8_too(trained, tmp_path):
    require_format("onnx")
    import onnx

    model = ExportModel.of(SMALL, weights=weights_of(trained))
    export_job = job("onnx", tmp_path, model)
    calibration = draw_samples(DataSettings("folder", str(trained.images)), 32, 2, 8, model.expected)[1]
    for images in (None, calibration):  # quantising keeps what the float32 file states
        export_unverified(replace(export_job, calibration=images))
        properties = {entry.key: entry.value for entry in onnx.load(export_job.path).metadata_props}
        stated = Preparation.from_json({name: json.loads(properties[name]) for name in model.expected.to_json()})
        assert stated == model.expected
        assert stated.classes == ("high", "low")


def test_timm_is_told_everything_it_has_a_place_for():
    text = timm.source(replace(small_model(PLAIN), preparation=BGR, trained=True), module="net")
    for part in (
        '"input_size": (3, 32, 32),',
        '"interpolation": "bicubic",',
        '"crop_pct": 0.875,',
        '"mean": (0.100000, 0.200000, 0.300000),',
        '"std": (0.400000, 0.500000, 0.600000),',
        '"label_names": (\n                "döner",\n                "apple",\n            ),',
        "expects BGR",
    ):
        assert part in text
    compile(text, "net.py", "exec")


def test_the_framing_says_both_sides_and_the_centre():
    stretched = replace(BGR, fit="stretch")
    assert stretched.describe_framing() == (
        "both sides are resized to 37 px (bicubic), then the centre of 32 x 32 px is cut out"
    )
    assert replace(stretched, crop=1.0).describe_framing() == "both sides are resized to 32 px (bicubic)"


@pytest.mark.parametrize("side", [288, 268, 290, 293])
def test_timm_resizes_images_to_the_side_of_the_training(side):
    prepared = Preparation((0.0,), (1.0,), 256, crop=256 / side)
    model = replace(small_model({**PLAIN, "image_size": 256}), preparation=prepared, trained=True)
    crop = float(re.search('"crop_pct": (.*),', timm.source(model, module="net"))[1])
    assert math.floor(256 / crop) == prepared.resized_side == side  # as timm computes it


@pytest.mark.slow
@pytest.mark.parametrize("name", ["openvino", "coreml"])
def test_other_formats_with_a_place_for_it_state_it(name, tmp_path):
    export_job = job(name, tmp_path, replace(small_model(PLAIN), preparation=BGR, trained=True))
    export_unverified(export_job)
    if name == "openvino":
        import openvino

        info = openvino.Core().read_model(export_job.path).get_rt_info("mvsearch")
        values = {name: info[name] for name in BGR.to_json()}
    else:
        import coremltools

        values = coremltools.models.MLModel(str(export_job.path), skip_model_load=True).user_defined_metadata
    assert Preparation.from_json({name: json.loads(values[name]) for name in BGR.to_json()}) == BGR


# Where nothing is known


@pytest.fixture
def command(mvsearch, tmp_path):
    """The command `export small.yaml`, beside weights of which nothing is known and a set of images."""
    Path("small.yaml").write_text(yaml_document.dump(SMALL.to_dict()), encoding="utf-8")
    save_file(build(SMALL, seed=3).state_dict(), "bare.safetensors")
    draw_set(Path("set"), {"low": 60, "high": 110})
    return lambda *args: mvsearch("export", "small.yaml", "--weights", "bare.safetensors", *args)


def test_an_unknown_preparation_is_said_and_has_no_accuracy(command):
    done = command("--to", "torch", "-o", "net.py", "--no-verify", "--json")
    assert done.code == 0, done.err
    assert done.json["preparation"] is None
    assert any("--normalise" in note for note in done.json["notes"])
    assert "unknown" in Path("net.py").read_text(encoding="utf-8").split('"""')[1]
    model = ExportModel.of(SMALL, weights=Path("bare.safetensors"))
    sample = draw_samples(DataSettings("folder", "set"), 32, 4, 0, model.expected)[0]
    assert sample.classes == ("high", "low")
    assert match_labels(sample, model).classes == ()


def test_what_a_user_states_of_the_images_is_used_and_stored(command):
    stated = ("--normalise", "imagenet", "--channel-order", "bgr")
    done = command("--to", "torch", "-o", "net.py", "--no-verify", "--json", *stated)
    assert done.code == 0, done.err
    assert done.json["preparation"]["mean"] == [0.406, 0.456, 0.485]
    assert json.loads(Path("net.py.report.json").read_text(encoding="utf-8")) == done.json
    again = ExportModel.of(SMALL, weights=Path("net.safetensors"))
    assert (again.preparation.mean[0], again.preparation.channel_order) == (0.406, "bgr")
    sample = draw_samples(DataSettings("folder", "set"), 32, 4, 0, again.expected)[0]
    matched = match_labels(sample, again)
    assert matched.classes == ("high", "low")
    assert "assumes the order of the images: high, low" in matched.notes[0]


@pytest.mark.parametrize(
    "args",
    [
        ("--to", "onnx", "--int8"),
        ("--to", "onnx", "--int8", "--num-classes", "3"),
        ("--to", "torch", "--channel-order", "bgr"),
        ("--to", "torch", "--normalise", "123.7,116.3,103.5/58,57,57"),
        ("--to", "torch", "--normalise", "imagnet"),
    ],
    ids=" ".join,
)
def test_what_needs_a_known_preparation_is_refused(command, args):
    require_format(args[1])
    done = command(*args)
    assert done.code == 1
    assert "--normalise" in done.err
    assert not list(Path().glob("net*"))


def test_int8_is_not_calibrated_on_whatever_images_are_at_hand(command):
    require_format("onnx")
    done = command("--to", "onnx", "--int8", "--normalise", "imagenet")
    assert done.code == 1
    assert "--data" in done.err
    assert not list(Path().glob("net*"))


def test_a_new_head_has_no_classes_and_no_accuracy(trained, tmp_path):
    model = ExportModel.of(SMALL, weights=weights_of(trained), num_classes=3)
    assert (model.preparation.classes, model.head_trained) == ((), False)
    assert model.preparation.mean == tuple(trained.result["mean"])
    sample = ImageSample(np.empty(0), np.arange(3), ("a", "b", "c"), "toy")
    assert match_labels(sample, model).classes == ()


@pytest.mark.parametrize(("given", "random"), [({}, "all"), ({"num_classes": 3}, "head"), ({}, "")])
def test_random_weights_stay_random_in_a_second_export(given, random, trained, tmp_path):
    first = ExportModel.of(SMALL, weights=None if random == "all" else weights_of(trained), **given)
    export_unverified(job("torch", tmp_path, first))
    second = ExportModel.of(first.arch, weights=tmp_path / "net.safetensors")
    assert first.random == second.random == random
    assert (second.trained, second.head_trained) == (random != "all", not random)
    assert second.notes == ()


@pytest.mark.parametrize(("random", "found"), [("all", "its weights are random"), ("head", "its head has random")])
@pytest.mark.parametrize("head", ["", "+deeplabv3"])
def test_predict_refuses_weights_that_were_never_trained(random, found, head, tmp_path, mvsearch):
    arch = SMALL.with_head(head_class(head[1:])()) if head else SMALL
    write_weights(build(arch), arch.key, tmp_path / "net.safetensors", BGR, random=random)
    SMALL.save(tmp_path / "net.yaml")
    done = mvsearch("predict", f"net.yaml{head}", "--weights", "net.safetensors", "--data", "cutouts")
    assert done.code == 1
    assert found in done.err


@pytest.mark.parametrize(("least", "decoded"), [(0, 64), (48, 64), (96, 96)])
def test_the_scenes_of_a_study_are_decoded_at_the_size_of_the_network_or_more(least, decoded, tmp_path):
    write_voc(tmp_path / "own")
    study = SimpleNamespace(settings={"data": asdict(DataSettings("voc", str(tmp_path / "own"), size=64))})
    images = _load_images("segmentation", study, None, None, None, 32, least=least)
    assert images.test.pixels.shape[1:3] == (decoded, decoded)


@pytest.mark.parametrize(("fit", "found"), [("crop", "low"), ("stretch", "high")])
def test_predict_frames_an_image_as_its_weights_expect(fit, found, trained, tmp_path, mvsearch):
    model = ExportModel.of(SMALL, weights=weights_of(trained))
    write_weights(model.model, SMALL.key, tmp_path / "net.safetensors", replace(model.expected, fit=fit))
    SMALL.save(tmp_path / "net.yaml")
    pixels = np.full((32, 128, 3), 170, np.uint8)
    pixels[:, 48:80] = 60  # dark in the centre
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    words = ("net.yaml", "--weights", "net.safetensors", "--data", "wide.png", "--json")
    assert mvsearch("predict", *words).json["predictions"][0]["predicted"][0]["class"] == found


def test_images_without_a_test_part_are_split_as_the_training_split_them(trained, tmp_path, mvsearch):
    for file in ("weights.safetensors", "architecture.yaml"):
        shutil.copy(trained.folder / file, tmp_path / file)
    result = json.loads((trained.folder / "result.json").read_text(encoding="utf-8"))
    assert result["split"] == {"test_fraction": 0.1, "seed": 0}
    result["split"] = {"test_fraction": 0.5, "seed": 3}
    (tmp_path / "result.json").write_text(json.dumps(result), encoding="utf-8")
    images = draw_set(tmp_path / "set", {"low": 60, "high": 110}) / "train"

    done = mvsearch("predict", str(tmp_path), "--data", str(images), "--json")
    own = find_encoded(images, test_fraction=0.5, seed=3).test
    assert [each["image"] for each in done.json["predictions"]] == [own.name(i) for i in range(len(own))]


# Classes


def test_shards_are_a_set_of_images_with_labels(tmp_path):
    for name in ("train.tar", "test.tar"):
        (tmp_path / name).touch()
    assert unlabelled_files(str(tmp_path)) == []


def test_predict_refuses_a_network_that_returns_features(mvsearch):
    features = Architecture.from_dict({**PLAIN, "head": {"linear": False}})
    features.save(Path("net.yaml"))
    write_weights(build(features), features.key, Path("net.safetensors"), BGR)
    done = mvsearch(
        "predict", "net.yaml", "--weights", "net.safetensors", "--data", str(draw_set(Path("set"), {"a": 9}))
    )
    assert done.code == 1
    assert "net.yaml: returns features and no classes" in done.err


@pytest.mark.parametrize(
    ("images", "labels"),
    [(("döner", "apple"), [0, 1]), (("apple", "döner"), [1, 0]), (("apple",), [1]), (("apple", "pear"), None)],
)
def test_the_classes_of_other_images_are_matched_by_name(images, labels):
    model = ExportModel(SMALL, build(SMALL).eval(), "toy", preparation=BGR, trained=True, head_trained=True)
    sample = match_labels(ImageSample(np.empty(0), np.arange(len(images)), images, "toy"), model)
    if labels is None:
        assert sample.classes == ()
        assert "pear" in sample.notes[0]
    else:
        assert sample.labels.tolist() == labels
        assert sample.classes == BGR.classes


def test_images_that_are_cut_where_the_weights_expect_them_whole_are_said():
    stretched = replace(BGR, fit="stretch")
    model = ExportModel(SMALL, build(SMALL).eval(), "toy", preparation=stretched, trained=True, head_trained=True)
    sample = ImageSample(np.empty(0), np.arange(2), BGR.classes, "toy", notes=("One image is broken.",))
    broken, cut = match_labels(sample, model).notes
    assert broken == "One image is broken."
    assert "cut to squares" in cut


def test_images_of_other_classes_do_not_calibrate_unless_they_are_asked_for():
    model = ExportModel(SMALL, build(SMALL).eval(), "toy", preparation=BGR, trained=True, head_trained=True)
    for classes, other in ((("apple", "döner"), False), (("apple",), False), (("apple", "pear"), True)):
        assert has_other_classes(ImageSample(np.empty(0), np.arange(2), classes, "toy"), model) is other
    unnamed = replace(model, preparation=replace(BGR, classes=()))
    assert not has_other_classes(ImageSample(np.empty(0), np.arange(2), ("apple", "pear"), "toy"), unnamed)


def test_a_description_of_another_number_of_classes_is_refused(tmp_path):
    write_weights(build(SMALL), SMALL.key, tmp_path / "net.safetensors", replace(BGR, classes=("a", "b", "c")))
    with pytest.raises(DataError, match=r"net\.safetensors: .*for 2 classes.*toy names 3"):
        ExportModel.of(SMALL, weights=tmp_path / "net.safetensors")
    assert ExportModel.of(SMALL, weights=tmp_path / "net.safetensors", num_classes=5).preparation.classes == ()


# Pixels


def test_channels_crop_and_normalisation_are_those_of_the_weights(tmp_path):
    gradient = np.zeros((64, 64, 3), np.uint8)
    gradient[..., 0], gradient[..., 1], gradient[..., 2] = 200, 100, np.arange(64) * 3
    for part in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            Image.fromarray(gradient).save(tmp_path / part / name / "0.png")
    settings = DataSettings("folder", str(tmp_path))
    wide = draw_samples(settings, 32, 1, 0)[0].images[0]
    image = draw_samples(settings, 32, 1, 0, replace(BGR, crop=0.5))[0].images[0]
    blue, green, red = (channel * std + mean for channel, mean, std in zip(image, BGR.mean, BGR.std, strict=True))
    assert red == pytest.approx(np.full((32, 32), 200 / 255), abs=1e-6)
    assert green == pytest.approx(np.full((32, 32), 100 / 255), abs=1e-6)
    assert (wide[2].min() < 0.05, blue.min() > 0.15, blue.max() < 0.6) == (True, True, True)


def test_another_image_size_is_said(trained):
    model = ExportModel.of(SMALL, weights=weights_of(trained), image_size=64)
    assert (model.preparation.image_size, model.expected.image_size) == (32, 64)
    assert any("32 px" in note and "64 px" in note for note in model.notes)


# Where it is known from


@pytest.mark.parametrize("name", AUTHORS)
def test_the_authors_names_say_bgr_for_v1_and_rgb_for_v2(name):
    arch = published(name)
    preparation = preparation_of(Path("x.pt"), Checkpoint(AUTHORS[name], "all"), arch)
    v1 = any(row["block"] == "mobilevit" for row in arch.to_dict()["blocks"])
    assert preparation.channel_order == ("bgr" if v1 else "rgb")
    assert (preparation.mean, preparation.std) == ((0.0,) * 3, (1.0,) * 3)
    assert (preparation.image_size, preparation.resized_side) == (256, 288)
    fine = preparation_of(Path("x.pt"), Checkpoint(AUTHORS[name], "all"), replace(arch, name="mobilevitv3_0.5_384"))
    assert (fine.image_size, fine.resized_side) == (384, 384)
    model = ExportModel(arch, torch.nn.Identity(), name, preparation=preparation, trained=True)
    assert any("expects BGR" in note for note in model.notes) is v1


@pytest.mark.parametrize(("inside", "crop"), [("attn.qkv.", 0.9), ("attn.qkv_proj.", 0.888), ("mlp.fc1.", None)])
def test_timm_s_names_say_rgb_from_0_to_1(inside, crop):
    names = dict.fromkeys(("stem.conv.weight", f"stages.2.1.transformer.0.{inside}weight", "head.fc.weight"))
    preparation = preparation_of(Path("x.pt"), Checkpoint(names, "all"), SMALL)
    assert (preparation and preparation.crop) == crop
    if preparation:
        assert (preparation.mean, preparation.channel_order, preparation.interpolation) == ((0,) * 3, "rgb", "bicubic")


def test_the_result_beside_older_weights_is_read_for_these_weights_only(tmp_path):
    result = {"mean": [0.25], "std": [0.5], "image_size": 32, "weights": "weights.safetensors"}
    result["settings"] = {"judged_side": 1.25}
    (tmp_path / "result.json").write_text(json.dumps(result), encoding="utf-8")
    state = build(SMALL).state_dict()
    for name in ("weights.safetensors", "other.safetensors"):
        save_file(state, tmp_path / name, {"architecture": SMALL.key})
    known = ExportModel.of(SMALL, weights=tmp_path / "weights.safetensors").preparation
    assert (known.mean, known.std, known.crop) == ((0.25,) * 3, (0.5,) * 3, 0.8)
    assert ExportModel.of(SMALL, weights=tmp_path / "other.safetensors").preparation is None


def test_timm_s_configuration_and_arguments_beside_weights_are_read(tmp_path):
    config = {"mean": [0.5] * 3, "std": [0.25] * 3, "input_size": [3, 96, 96], "crop_pct": 0.95}
    config |= {"crop_mode": "squash", "label_names": ["no", "yes"], "interpolation": "bilinear"}
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "x", "pretrained_cfg": config}), encoding="utf-8")
    save_file(build(SMALL).state_dict(), tmp_path / "model.safetensors", {"format": "pt"})
    known = ExportModel.of(SMALL, weights=tmp_path / "model.safetensors").preparation
    assert (known.mean, known.image_size, known.crop, known.fit) == ((0.5,) * 3, 96, 0.95, "stretch")
    assert known.classes == ("no", "yes")

    arguments = Namespace(mean=[0.1, 0.2, 0.3], std=[0.5] * 3, crop_pct=None, img_size=160, input_size=None)
    torch.save({"state_dict": build(SMALL).state_dict(), "args": arguments}, tmp_path / "last.pth.tar")
    told = ExportModel.of(SMALL, weights=tmp_path / "last.pth.tar").preparation
    assert (told.mean, told.image_size, told.crop) == ((0.1, 0.2, 0.3), 160, 1.0)
    names = dict.fromkeys(("stem.conv.weight", "stages.2.1.transformer.0.attn.qkv.weight", "head.fc.weight"))
    usual = preparation_of(Path("x.pt"), Checkpoint(names, "all", arguments={"mean": None, "crop_pct": 1.0}), SMALL)
    assert (usual.mean, usual.crop) == ((0.0,) * 3, 1.0)


def test_the_result_is_believed_beside_its_own_weights_whose_metadata_is_lost(trained, tmp_path):
    stripped = tmp_path / "weights.safetensors"
    save_file(load_file(weights_of(trained)), stripped)
    for name in ("result.json", "architecture.yaml"):
        shutil.copy(trained.folder / name, tmp_path)
    known = ExportModel.of(SMALL, weights=stripped).preparation
    assert known.mean == pytest.approx(trained.result["mean"])


def test_what_a_package_says_is_read_where_its_weights_lost_it(tmp_path):
    (tmp_path / "preparation.json").write_text(json.dumps(BGR.to_json()), encoding="utf-8")
    save_file(build(SMALL).state_dict(), tmp_path / "weights.safetensors")
    assert ExportModel.of(SMALL, weights=tmp_path / "weights.safetensors").preparation == BGR


@pytest.mark.parametrize(
    "changed",
    [{"key": "abcdef123456"}, {"num_classes": 5}, {"settings": None}, {"weights_checksum": "abcdef123456"}],
)
def test_the_result_of_another_training_beside_weights_is_refused(changed, tmp_path):
    result = {"mean": [0.25], "std": [0.5], "image_size": 32, "key": SMALL.key, "num_classes": 2}
    (tmp_path / "result.json").write_text(json.dumps(result), encoding="utf-8")
    save_file(build(SMALL).state_dict(), tmp_path / "weights.safetensors")
    assert ExportModel.of(SMALL, weights=tmp_path / "weights.safetensors", num_classes=3).preparation.std[0] == 0.5
    (tmp_path / "result.json").write_text(json.dumps(result | changed), encoding="utf-8")
    with pytest.raises(DataError, match=r"weights\.safetensors: "):
        ExportModel.of(SMALL, weights=tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    ("file", "values", "right"),
    [
        ("config.json", {"input_size": [3, 32, 64]}, None),
        ("config.json", {"input_size": 32}, None),
        ("config.json", {"crop_mode": "border", "input_size": None}, (256, 1.0, "crop", "border")),
        ("preprocessor_config.json", {"size": {"height": 32, "width": 48}}, None),
        ("preprocessor_config.json", {"size": {"height": 32, "width": 32}, "rescale_factor": None}, None),
        ("preprocessor_config.json", {"size": {"shortest_edge": 224}, "crop_pct": 0.875}, (224, 0.875, "crop", "")),
        ("preprocessor_config.json", {"size": {"shortest_edge": 384}, "crop_pct": 0.875}, (384, 1.0, "stretch", "")),
        ("preprocessor_config.json", {"size": {"shortest_edge": 32}}, (32, 1.0, "crop", "longer side")),
        (
            "preprocessor_config.json",
            {"size": {"height": 256, "width": 256}, "crop_size": {"height": 224, "width": 224}},
            (224, 0.875, "crop", "resizes both sides"),
        ),
    ],
)
def test_a_framing_that_cannot_be_kept_is_refused_or_said(file, values, right, tmp_path):
    usual = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "mean": [0.5] * 3, "std": [0.5] * 3}
    (tmp_path / file).write_text(json.dumps(usual | values), encoding="utf-8")
    save_file(build(SMALL).state_dict(), tmp_path / "model.safetensors")
    if right is None:
        with pytest.raises(DataError, match=r"model\.safetensors: "):
            ExportModel.of(SMALL, weights=tmp_path / "model.safetensors")
        return
    known = ExportModel.of(SMALL, weights=tmp_path / "model.safetensors").preparation
    assert (known.image_size, known.crop, known.fit) == right[:3]
    assert right[3] in known.source


def test_a_damaged_description_is_an_error_that_names_the_file(tmp_path):
    content = json.dumps({"preparation": {"mean": [0.1], "std": [0.0], "image_size": 32}})
    save_file(build(SMALL).state_dict(), tmp_path / "odd.safetensors", {"mvsearch": content})
    with pytest.raises(DataError, match=r"odd\.safetensors"):
        ExportModel.of(SMALL, weights=tmp_path / "odd.safetensors")


def test_weights_with_a_preparation_are_the_same_bytes_each_time(tmp_path):
    model = build(SMALL)
    for n in range(8):
        write_weights(model, SMALL.key, tmp_path / str(n), BGR)
    assert len({(tmp_path / str(n)).read_bytes() for n in range(8)}) == 1
    assert load_file(tmp_path / "0").keys() == model.state_dict().keys()


# Initial weights


def test_a_training_says_what_its_initial_weights_expect_otherwise(trained, tmp_path):
    other = train(
        tmp_path / "same",
        trained.images,
        weights_of(trained),
        epochs=1,
        normalise=trained.result["settings"]["normalise"],
    )
    assert other.notes == ()
    write_weights(build(SMALL), SMALL.key, tmp_path / "bgr.safetensors", replace(BGR, classes=("low", "high")))
    changed = train(tmp_path / "changed", trained.images, tmp_path / "bgr.safetensors", epochs=1)
    assert "RGB instead of BGR" in changed.notes[0]
    assert "matched by name" in changed.notes[1]
    assert changed.result["init"]["notes"] == changed.notes
    save_file(build(SMALL).state_dict(), tmp_path / "bare.safetensors")
    assert "unknown" in train(tmp_path / "bare", trained.images, tmp_path / "bare.safetensors", epochs=1).notes[0]
