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
    """Intersection over union of two boxes, by definition."""
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - wide * high
    return wide * high / area if area else 0.0


def plain(detected: list[list[float]], scores: list[float], max_overlap: float) -> list[int]:
    """Non-maximum suppression as it is defined: select the best, remove what it covers, repeat."""
    left = sorted(range(len(detected)), key=lambda i: -scores[i])
    selected = []
    while left:
        best, *left = left
        selected.append(best)
        left = [i for i in left if overlap(detected[best], detected[i]) <= max_overlap]
    return selected


def draw_boxes(seed: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes on a coarse grid, so that many touch, coincide and overlap by exactly a half; scores with ties."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 6, (n, 2))
    detected = np.concatenate([low, low + rng.integers(0, 5, (n, 2))], axis=1)
    return torch.tensor(detected, dtype=torch.float64), torch.tensor(rng.integers(0, 8, n) / 8)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(0, 40), st.sampled_from([0.0, 0.3, 0.5, 0.9]))
def test_suppression_keeps_what_a_plain_double_loop_keeps(seed, n, max_overlap):
    detected, scores = draw_boxes(seed, n)

    assert boxes.suppress(detected, scores, max_overlap).tolist() == plain(
        detected.tolist(), scores.tolist(), max_overlap
    )


def test_suppression_keeps_what_torchvision_keeps():
    compiled = boxes.compiled_suppression()
    if compiled is None:
        pytest.skip("torchvision is absent, or its operators do not work beside this torch")
    for seed in range(20):
        rng = np.random.default_rng(seed)
        low = rng.random((200, 2))
        detected = torch.tensor(np.concatenate([low, low + rng.random((200, 2))], axis=1))
        scores = torch.tensor(rng.permutation(200) / 200)
        assert boxes.suppress(detected, scores, 0.5).tolist() == compiled(detected, scores, 0.5).tolist()


def test_overlap_is_that_of_two_boxes():
    detected, _ = draw_boxes(1, 30)
    table = boxes.iou(detected[:10], detected[10:])

    assert table.shape == (10, 20)
    for i in range(10):
        for j in range(20):
            assert float(table[i, j]) == pytest.approx(overlap(detected[i].tolist(), detected[10 + j].tolist()))


def test_decoding_undoes_encoding():
    anchors = anchors_at(2, torch.zeros(1, 1, 5, 7))
    rng = np.random.default_rng(0)
    low = rng.random((len(anchors), 2)) * 0.6
    targets = torch.tensor(np.concatenate([low, low + 0.05 + 0.3 * rng.random((len(anchors), 2))], axis=1)).float()

    torch.testing.assert_close(boxes.decode(boxes.encode(targets, anchors), anchors), targets)
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
    detected = boxes.detections(logits, torch.zeros(1, 4, 4), anchors, min_score=0.2)[0]

    # The second anchor's class 1 is covered by the first's; its class 2 is another class. The fourth is background.
    assert detected.classes.tolist() == [2, 1, 2]
    assert detected.boxes[0].tolist() == pytest.approx([0.15, 0.15, 0.25, 0.25])
    assert detected.boxes[1].tolist() == pytest.approx([0.3, 0.3, 0.7, 0.7])
    assert (detected.scores[:-1] >= detected.scores[1:]).all()


def test_detections_are_the_same_by_a_suppression_of_one_list_as_torchvision_s_is(monkeypatch):
    rng = torch.Generator().manual_seed(0)
    anchors = anchors_at(1, torch.zeros(1, 1, 6, 6))[None]
    outputs = 3 * torch.randn(1, 216, 5, generator=rng), torch.randn(1, 216, 4, generator=rng), anchors
    monkeypatch.setattr(boxes, "compiled_suppression", lambda: None)
    expected = boxes.detections(*outputs)[0]
    monkeypatch.setattr(boxes, "compiled_suppression", lambda: boxes.suppress)
    detected = boxes.detections(*outputs)[0]

    assert torch.equal(detected.classes, expected.classes)
    assert torch.equal(detected.boxes, expected.boxes)


@pytest.mark.parametrize("images", [1, 3])
def test_an_untrained_detector_finds_boxes_inside_the_image(images):
    network = build(published("mobilevitv3_xxs_ssdlite").at(image_size=96, num_classes=4), seed=0).eval()
    with torch.no_grad():
        detected = boxes.detections(*network(torch.randn(images, 3, 96, 96)))

    assert len(detected) == images
    assert all(
        0 < len(detection.boxes) == len(detection.classes) == len(detection.scores) <= 200 for detection in detected
    )
    assert all(
        ((detection.boxes >= 0) & (detection.boxes <= 1)).all() and (detection.classes > 0).all()
        for detection in detected
    )
    assert boxes.detections(*network(torch.randn(1, 3, 96, 96)), min_score=1.0)[0].boxes.shape == (0, 4)
