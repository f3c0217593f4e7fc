"""What weights expect of their images, as a value: written, read, matched with the classes of other images."""

import json

import numpy as np
import pytest

from mvsearch.data import IGNORED, Images, Preparation, class_positions, parse_normalise
from mvsearch.errors import DataError

FULL = Preparation((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 96, 0.875, "bgr", ("cat", "dög"), "toy", "bicubic")


def test_a_preparation_is_written_and_read_unchanged():
    assert Preparation.from_json(json.loads(json.dumps(FULL.to_json()))) == FULL
    assert FULL.resized_side == 110


def test_one_number_stands_for_the_three_channels_of_a_grey_set():
    assert Preparation((0.25,), (0.5,), 32).mean == (0.25, 0.25, 0.25)
    assert Preparation.from_json({"mean": [0.0], "std": [1.0], "image_size": 32}).std == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    "changed",
    [
        {"mean": (123.7, 116.3, 103.5)},
        {"mean": (0.1, 0.2)},
        {"mean": ("a",)},
        {"mean": None},
        {"std": (0.0,)},
        {"std": (float("nan"),)},
        {"crop": 0},
        {"channel_order": "grb"},
        {"fit": "squash"},
        {"image_size": 0},
    ],
    ids=str,
)
def test_values_that_describe_no_preparation_are_refused(changed):
    with pytest.raises(DataError):
        Preparation.from_json(FULL.to_json() | changed)


@pytest.mark.parametrize(
    ("classes", "outputs", "positions"),
    [
        (("a", "b"), ("a", "b"), [0, 1]),
        (("a", "b"), ("b", "a"), [1, 0]),
        (("c", "a"), ("a", "b", "c"), [2, 0]),
        (("a", "d"), ("a", "b"), None),
        (("a", "b", "c"), ("a", "b"), None),
        (("cafe\u0301",), ("tea", "caf\u00e9"), [1]),
        (("crane", "owl"), ("crane", "crane", "owl"), None),
        (("crane", "crane"), ("crane", "crane"), [0, 1]),
    ],
)
def test_classes_are_matched_by_name(classes, outputs, positions):
    assert class_positions(classes, outputs) == positions


def test_labels_of_scenes_follow_their_classes():
    boxes = np.array([[0, 1, 0.1, 0.2, 0.3, 0.4], [0, 2, 0.0, 0.0, 1.0, 1.0]])
    masks = np.array([[[0, 1], [2, IGNORED]]], np.uint8)
    images = Images(np.zeros((1, 2, 2, 3), np.uint8), np.array([2]), ("background", "a", "b"), masks, boxes, boxes)
    changed = images.relabel([0, 3, 1], ("background", "b", "c", "a"))
    assert changed.labels.tolist() == [1]
    assert changed.masks.tolist() == [[[0, 3], [1, IGNORED]]]
    assert changed.boxes[:, 1].tolist() == changed.ignored[:, 1].tolist() == [3, 1]
    assert (changed.boxes[:, 2:] == boxes[:, 2:]).all()


def test_what_a_user_writes_is_read_or_refused():
    assert parse_normalise("ImageNet")[0] == (0.485, 0.456, 0.406)
    assert parse_normalise("0.5/0.25") == ((0.5,), (0.25,))
    for text in ("imagnet", "0.5", "0.5,0.5/1", "123.7,116.3,103.5/58,57,57", "0.5/0", "0.5/nan", ""):
        with pytest.raises(DataError):
            parse_normalise(text)
