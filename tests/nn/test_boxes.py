"""Boxes: decoding undoes encoding, and suppression keeps what a plain double loop keeps."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mvsearch.arch.published import published
from mvsearch.nn import boxes, build
from mvsearch.nn.ssdlite import anchors_at


def overlap(a: list[float], b: list[float]) -> float:
    """Intersection over union of two boxes, spelt out."""
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - wide * high
    return wide * high / area if area else 0.0


def plain(found: list[list[float]], scores: list[float], most: float) -> list[int]:
    """Non-maximum suppression as it is told: take the best, strike out what it covers, go on."""
    left = sorted(range(len(found)), key=lambda i: -scores[i])
    kept = []
    while left:
        best, *left = left
        kept.append(best)
        left = [i for i in left if overlap(found[best], found[i]) <= most]
    return kept


def drawn(seed: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes on a coarse grid, so that many touch, coincide and overlap by exactly a half; scores with ties."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 6, (n, 2))
    found = np.concatenate([low, low + rng.integers(0, 5, (n, 2))], axis=1)
    return torch.tensor(found, dtype=torch.float64), torch.tensor(rng.integers(0, 8, n) / 8)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(0, 40), st.sampled_from([0.0, 0.3, 0.5, 0.9]))
def test_suppression_keeps_what_a_plain_double_loop_keeps(seed, n, most):
    found, scores = drawn(seed, n)

    assert boxes.suppress(found, scores, most).tolist() == plain(found.tolist(), scores.tolist(), most)


def test_suppression_keeps_what_torchvision_keeps():
    compiled = boxes.compiled_suppression()
    if compiled is None:
        pytest.skip("torchvision is absent, or its operators do not work beside this torch")
    for seed in range(20):
        rng = np.random.default_rng(seed)
        low = rng.random((200, 2))
        found = torch.tensor(np.concatenate([low, low + rng.random((200, 2))], axis=1))
        scores = torch.tensor(rng.permutation(200) / 200)
        assert boxes.suppress(found, scores, 0.5).tolist() == compiled(found, scores, 0.5).tolist()


def test_overlap_is_that_of_two_boxes():
    found, _ = drawn(1, 30)
    table = boxes.iou(found[:10], found[10:])

    assert table.shape == (10, 20)
    for i in range(10):
        for j in range(20):
            assert float(table[i, j]) == pytest.approx(overlap(found[i].tolist(), found[10 + j].tolist()))


def test_decoding_undoes_encoding():
    anchors = anchors_at(2, torch.zeros(1, 1, 5, 7))
    rng = np.random.default_rng(0)
    low = rng.random((len(anchors), 2)) * 0.6
    wanted = torch.tensor(np.concatenate([low, low + 0.05 + 0.3 * rng.random((len(anchors), 2))], axis=1)).float()

    torch.testing.assert_close(boxes.decode(boxes.encode(wanted, anchors), anchors), wanted)
    torch.testing.assert_close(boxes.decode(torch.zeros_like(anchors), anchors), boxes.corners(anchors))


def test_anchors_stand_in_the_middle_of_the_pixels_of_their_map():
    anchors = anchors_at(0, torch.zeros(1, 1, 2, 4)).reshape(2, 4, 6, 4)

    assert anchors[0, :, 0, 0].tolist() == [0.125, 0.375, 0.625, 0.875]
    assert anchors[:, 0, 0, 1].tolist() == [0.25, 0.75]
    assert anchors[0, 0, 0, 2:].tolist() == pytest.approx([0.1, 0.1])
    wide, high = anchors[0, 0, 2, 2:].tolist()
    assert wide / high == pytest.approx(2)


def test_what_is_found_is_the_best_of_each_place_and_class():
    anchors = torch.tensor([[[0.5, 0.5, 0.4, 0.4], [0.5, 0.5, 0.42, 0.42], [0.2, 0.2, 0.1, 0.1], [0.8, 0.8, 0.9, 0.9]]])
    logits = torch.full((1, 4, 3), -9.0)
    logits[0, :, 0] = 0.0
    logits[0, 0, 1], logits[0, 1, 1], logits[0, 1, 2], logits[0, 2, 2] = 5.0, 4.0, 3.0, 6.0
    found = boxes.detections(logits, torch.zeros(1, 4, 4), anchors, min_score=0.2)[0]

    # The second anchor's class 1 is covered by the first's; its class 2 is another class. The fourth is background.
    assert found.classes.tolist() == [2, 1, 2]
    assert found.boxes[0].tolist() == pytest.approx([0.15, 0.15, 0.25, 0.25])
    assert found.boxes[1].tolist() == pytest.approx([0.3, 0.3, 0.7, 0.7])
    assert (found.scores[:-1] >= found.scores[1:]).all()


def test_detections_are_the_same_by_a_suppression_of_one_list_as_torchvision_s_is(monkeypatch):
    rng = torch.Generator().manual_seed(0)
    anchors = anchors_at(1, torch.zeros(1, 1, 6, 6))[None]
    outputs = 3 * torch.randn(1, 216, 5, generator=rng), torch.randn(1, 216, 4, generator=rng), anchors
    monkeypatch.setattr(boxes, "compiled_suppression", lambda: None)
    expected = boxes.detections(*outputs)[0]
    monkeypatch.setattr(boxes, "compiled_suppression", lambda: boxes.suppress)
    found = boxes.detections(*outputs)[0]

    assert torch.equal(found.classes, expected.classes)
    assert torch.equal(found.boxes, expected.boxes)


@pytest.mark.parametrize("images", [1, 3])
def test_an_untrained_detector_finds_boxes_inside_the_image(images):
    network = build(published("mobilevitv3_xxs_ssdlite").at(image_size=96, num_classes=4), seed=0).eval()
    with torch.no_grad():
        found = boxes.detections(*network(torch.randn(images, 3, 96, 96)))

    assert len(found) == images
    assert all(0 < len(each.boxes) == len(each.classes) == len(each.scores) <= 200 for each in found)
    assert all(((each.boxes >= 0) & (each.boxes <= 1)).all() and (each.classes > 0).all() for each in found)
    assert boxes.detections(*network(torch.randn(1, 3, 96, 96)), min_score=1.0)[0].boxes.shape == (0, 4)
