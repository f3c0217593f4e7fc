"""What model hubs and timm's script say of the images for weights, in files beside them and in the checkpoint."""

import json
from argparse import Namespace

import pytest
import torch
from safetensors.torch import save_file
from small import PLAIN

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import DataError
from mvsearch.export.model import ExportModel
from mvsearch.nn import build

SMALL = Architecture.from_dict({**PLAIN, "num_classes": 2})


@pytest.mark.parametrize("store", [dict, lambda values: Namespace(**values)])
def test_arguments_are_read_as_a_dictionary_too_with_all_that_they_say_of_images(store, tmp_path):
    arguments = {"mean": [0.1, 0.2, 0.3], "std": [0.5] * 3, "interpolation": "bicubic", "crop_mode": "squash"}
    torch.save({"state_dict": build(SMALL).state_dict(), "args": store(arguments)}, tmp_path / "last.pth.tar")
    told = ExportModel.of(SMALL, weights=tmp_path / "last.pth.tar").preparation
    assert (told.mean, told.interpolation, told.fit) == ((0.1, 0.2, 0.3), "bicubic", "stretch")


_HUB = {"do_rescale": True, "rescale_factor": 1 / 255, "size": {"shortest_edge": 36}, "crop_size": {"height": 32}}
_SQUARE = {"do_normalize": True, "size": {"height": 32, "width": 32}, "resample": 3}


@pytest.mark.parametrize(
    ("file", "values", "right"),
    [
        ("config.json", {"mean": [0.5] * 3, "std": [0.2] * 3, "crop_pct": 0.9}, ("rgb", 0.5, 0.2, 256, 0.9, "crop")),
        (
            "preprocessor_config.json",
            {"feature_extractor_type": "MobileViTFeatureExtractor", "size": 288, "crop_size": 256, "resample": 2},
            ("bgr", 0.0, 1.0, 256, 256 / 288, "crop"),
        ),
        ("preprocessor_config.json", _HUB | {"do_flip_channel_order": True}, ("bgr", 0.0, 1.0, 32, 32 / 36, "crop")),
        (
            "preprocessor_config.json",  # the order is changed after the normalisation, whose means are of RGB
            _HUB | {"do_flip_channel_order": True, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4] * 3},
            ("bgr", 0.3, 0.4, 32, 32 / 36, "crop"),
        ),
        (
            "preprocessor_config.json",
            _SQUARE | {"image_mean": [0.4] * 3, "image_std": [0.2] * 3},
            ("rgb", 0.4, 0.2, 32, 1.0, "stretch"),
        ),
        (
            "preprocessor_config.json",  # pixels from 0 to 255
            _SQUARE | {"do_rescale": False, "image_mean": [127.5] * 3, "image_std": [51.0] * 3},
            ("rgb", 0.5, 0.2, 32, 1.0, "stretch"),
        ),
        (
            "preprocessor_config.json",  # pixels from -1 to 1, then (x - 0.2) / 0.4
            _SQUARE
            | {"rescale_factor": 1 / 127.5, "rescale_offset": True, "image_mean": [0.2] * 3, "image_std": [0.4] * 3},
            ("rgb", 0.6, 0.2, 32, 1.0, "stretch"),
        ),
        (
            "preprocessor_config.json",  # without do_rescale the offset has no effect
            {**_SQUARE, "do_normalize": False, "do_rescale": False, "rescale_offset": True},
            ("rgb", 0.0, 1 / 255, 32, 1.0, "stretch"),
        ),
    ],
)
def test_configurations_of_a_model_hub_beside_weights_are_read(file, values, right, tmp_path):
    (tmp_path / file).write_text(json.dumps(values), encoding="utf-8")
    save_file(build(SMALL).state_dict(), tmp_path / "model.safetensors", {"format": "pt"})
    known = ExportModel.of(SMALL, weights=tmp_path / "model.safetensors").preparation
    found = (known.channel_order, known.mean[0], known.std[0], known.image_size, known.crop, known.fit)
    assert found[0::5] == right[0::5]
    assert found[1:5] == pytest.approx(right[1:5])
    assert file in known.source


@pytest.mark.parametrize("step", ["do_pad", "include_top"])
def test_an_image_processor_with_a_step_that_is_unknown_here_is_refused(step, tmp_path):
    save_file(build(SMALL).state_dict(), tmp_path / "model.safetensors", {"format": "pt"})
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(_HUB | {step: False}), encoding="utf-8")
    assert ExportModel.of(SMALL, weights=tmp_path / "model.safetensors").preparation is not None
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(_HUB | {step: True}), encoding="utf-8")
    with pytest.raises(DataError, match=step):
        ExportModel.of(SMALL, weights=tmp_path / "model.safetensors")


def test_names_of_classes_are_those_of_the_model_hub(tmp_path):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(_HUB), encoding="utf-8")
    save_file(build(SMALL).state_dict(), tmp_path / "model.safetensors", {"format": "pt"})
    for labels, right in (({"1": "yes", "0": "no"}, ("no", "yes")), ({"0": "LABEL_0", "1": "LABEL_1"}, ())):
        (tmp_path / "config.json").write_text(json.dumps({"id2label": labels}), encoding="utf-8")
        assert ExportModel.of(SMALL, weights=tmp_path / "model.safetensors").preparation.classes == right
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(_HUB | {"size": {}}), encoding="utf-8")
    with pytest.raises(DataError, match="preprocessor_config"):
        ExportModel.of(SMALL, weights=tmp_path / "model.safetensors")
