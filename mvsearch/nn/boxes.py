"""Boxes: conversion from anchors and offsets and back, overlap, and non-maximum suppression.

A box is (x0, y0, x1, y1), an anchor (centre x, centre y, width, height), both in shares of the image's sides, so that
0.5 is the middle. Offsets are those of SSD (arXiv 1512.02325, section 2.2) with the authors' variances 0.1 and 0.2.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2
_MAX_CANDIDATES = 400  # of each class, by score: the authors' top_k
_MAX_EXPONENT = 10.0  # offsets of an untrained network can be of any size


def decode(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Offsets (..., 4) from anchors (..., 4) → boxes (..., 4)."""
    centres = offsets[..., :2] * CENTRE_VARIANCE * anchors[..., 2:] + anchors[..., :2]
    sizes = (offsets[..., 2:] * SIZE_VARIANCE).clamp(max=_MAX_EXPONENT).exp() * anchors[..., 2:]
    return torch.cat([centres - sizes / 2, centres + sizes / 2], dim=-1)


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Boxes (..., 4), none of them empty → their offsets (..., 4) from anchors (..., 4), the inverse of `decode`."""
    centres, sizes = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    shifts = (centres - anchors[..., :2]) / anchors[..., 2:] / CENTRE_VARIANCE
    return torch.cat([shifts, (sizes / anchors[..., 2:]).log() / SIZE_VARIANCE], dim=-1)


def corners(anchors: Tensor) -> Tensor:
    """Anchors (..., 4) as boxes (..., 4)."""
    return torch.cat([anchors[..., :2] - anchors[..., 2:] / 2, anchors[..., :2] + anchors[..., 2:] / 2], dim=-1)


def areas(boxes: Tensor) -> Tensor:
    """Boxes (..., 4) → (...)."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1)


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of boxes (..., N, 4) and (..., M, 4): (..., N, M); 0 where both are empty."""
    low = torch.maximum(first[..., :, None, :2], second[..., None, :, :2])
    high = torch.minimum(first[..., :, None, 2:], second[..., None, :, 2:])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    union = areas(first)[..., :, None] + areas(second)[..., None, :] - shared
    return shared / union.clamp(min=torch.finfo(union.dtype).tiny)


def suppress(boxes: Tensor, scores: Tensor, max_overlap: float) -> Tensor:
    """Non-maximum suppression of boxes (N, 4) with scores (N): the indices of the selected ones, the best first.

    Of two boxes that overlap by more than `max_overlap` the better is selected; of equal scores, the earlier.
    """
    order = scores.argsort(descending=True, stable=True)
    return order[not_suppressed(boxes[order], max_overlap)]


def not_suppressed(boxes: Tensor, max_overlap: float) -> Tensor:
    """Which boxes (..., N, 4), sorted by score, are not suppressed by a better one: (..., N); in plain torch."""
    overlaps = (iou(boxes, boxes) > max_overlap).triu(1)
    selected = torch.ones(boxes.shape[:-1], dtype=torch.bool, device=boxes.device)
    for i in range(boxes.shape[-2]):
        selected &= ~(overlaps[..., i, :] & selected[..., i, None])
    return selected


@cache
def compiled_suppression() -> Callable[[Tensor, Tensor, float], Tensor] | None:
    """torchvision's compiled suppression, or None where it is not installed or does not fit this torch."""
    try:
        nms: Callable[[Tensor, Tensor, float], Tensor] = importlib.import_module("torchvision.ops").nms
        nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except (ImportError, RuntimeError, AttributeError, NotImplementedError):
        return None
    return nms


@dataclass(frozen=True)
class Detections:
    """The detections in one image, the best first: boxes (N, 4) in shares of its sides, classes (N), scores (N)."""

    boxes: Tensor
    classes: Tensor
    scores: Tensor


@torch.no_grad()
def detections(
    logits: Tensor,
    offsets: Tensor,
    anchors: Tensor,
    *,
    min_score: float = 0.01,
    max_overlap: float = 0.5,
    max_detections: int = 200,
) -> list[Detections]:
    """The detections of a network: its outputs (B, A, classes), (B, A, 4), (B, A, 4) → one Detections per image.

    Class 0 is the background and is never detected. The defaults are the authors' for COCO's mean average precision.
    """
    scores, boxes = logits.softmax(dim=-1), decode(offsets, anchors).clamp(0, 1)
    return [
        _detect_in_image(
            boxes[i], scores[i], min_score=min_score, max_overlap=max_overlap, max_detections=max_detections
        )
        for i in range(len(logits))
    ]


def _detect_in_image(
    boxes: Tensor, scores: Tensor, *, min_score: float, max_overlap: float, max_detections: int
) -> Detections:
    best, anchor = scores[:, 1:].T.topk(min(_MAX_CANDIDATES, len(scores)))  # (classes - 1, candidates), sorted
    confident = best > min_score
    if compiled := compiled_suppression():
        kind, nth = torch.nonzero(confident, as_tuple=True)
        # Boxes are shifted by their class, so that boxes of different classes do not overlap.
        selected = compiled(boxes[anchor[kind, nth]] + 2 * kind[:, None], best[kind, nth], max_overlap)
        kind, nth = kind[selected], nth[selected]
    else:
        candidates = int(confident.sum(dim=1).max())
        free = not_suppressed(boxes[anchor[:, :candidates]], max_overlap) & confident[:, :candidates]
        kind, nth = torch.nonzero(free, as_tuple=True)
    order = best[kind, nth].argsort(descending=True, stable=True)[:max_detections]
    kind, nth = kind[order], nth[order]
    return Detections(boxes[anchor[kind, nth]], kind + 1, best[kind, nth])
