"""Boxes: from anchors and offsets to boxes and back, how much two overlap, and which of many are kept.

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
_MOST_CANDIDATES = 400  # of each class, by score: the authors' top_k
_EXP_MOST = 10.0  # untrained offsets may be anything; e^10 images are wide enough


def decode(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Offsets (..., 4) from anchors (..., 4) → boxes (..., 4)."""
    centres = offsets[..., :2] * CENTRE_VARIANCE * anchors[..., 2:] + anchors[..., :2]
    sizes = (offsets[..., 2:] * SIZE_VARIANCE).clamp(max=_EXP_MOST).exp() * anchors[..., 2:]
    return torch.cat([centres - sizes / 2, centres + sizes / 2], dim=-1)


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Boxes (..., 4), none of them empty → their offsets (..., 4) from anchors (..., 4): what `decode` undoes."""
    centres, sizes = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    moved = (centres - anchors[..., :2]) / anchors[..., 2:] / CENTRE_VARIANCE
    return torch.cat([moved, (sizes / anchors[..., 2:]).log() / SIZE_VARIANCE], dim=-1)


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


def suppress(boxes: Tensor, scores: Tensor, most_overlap: float) -> Tensor:
    """Non-maximum suppression of boxes (N, 4) with scores (N): the numbers of those kept, the best first.

    Of two that overlap by more than `most_overlap` the better is kept; of equal scores the earlier.
    """
    order = scores.argsort(descending=True, stable=True)
    return order[uncovered(boxes[order], most_overlap)]


def uncovered(boxes: Tensor, most_overlap: float) -> Tensor:
    """Which boxes (..., N, 4), the best first, no better one that is kept covers: (..., N); in plain torch."""
    covers = (iou(boxes, boxes) > most_overlap).triu(1)
    kept = torch.ones(boxes.shape[:-1], dtype=torch.bool, device=boxes.device)
    for i in range(boxes.shape[-2]):
        kept &= ~(covers[..., i, :] & kept[..., i, None])
    return kept


@cache
def compiled_suppression() -> Callable[[Tensor, Tensor, float], Tensor] | None:
    """torchvision's compiled suppression, or None where it is absent or does not work beside this torch."""
    try:
        found: Callable[[Tensor, Tensor, float], Tensor] = importlib.import_module("torchvision.ops").nms
        found(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except (ImportError, RuntimeError, AttributeError, NotImplementedError):
        return None
    return found


@dataclass(frozen=True)
class Detections:
    """What was found in one image, the best first: boxes (N, 4) in shares of its sides, classes (N), scores (N)."""

    boxes: Tensor
    classes: Tensor
    scores: Tensor


@torch.no_grad()
def detections(
    logits: Tensor,
    offsets: Tensor,
    anchors: Tensor,
    *,
    least_score: float = 0.01,
    most_overlap: float = 0.5,
    most: int = 200,
) -> list[Detections]:
    """What a detection network found: its outputs (B, A, classes), (B, A, 4), (B, A, 4) → one Detections an image.

    Class 0 is the background and never among them. The defaults are the authors' for COCO's mean average precision.
    """
    scores, boxes = logits.softmax(dim=-1), decode(offsets, anchors).clamp(0, 1)
    return [
        _of_image(boxes[i], scores[i], least_score=least_score, most_overlap=most_overlap, most=most)
        for i in range(len(logits))
    ]


def _of_image(boxes: Tensor, scores: Tensor, *, least_score: float, most_overlap: float, most: int) -> Detections:
    best, anchor = scores[:, 1:].T.topk(min(_MOST_CANDIDATES, len(scores)))  # (classes - 1, candidates), sorted
    told = best > least_score
    if compiled := compiled_suppression():
        kind, nth = torch.nonzero(told, as_tuple=True)
        # Moved apart by their class, boxes of different classes do not overlap.
        kept = compiled(boxes[anchor[kind, nth]] + 2 * kind[:, None], best[kind, nth], most_overlap)
        kind, nth = kind[kept], nth[kept]
    else:
        candidates = int(told.sum(dim=1).max())
        free = uncovered(boxes[anchor[:, :candidates]], most_overlap) & told[:, :candidates]
        kind, nth = torch.nonzero(free, as_tuple=True)
    order = best[kind, nth].argsort(descending=True, stable=True)[:most]
    kind, nth = kind[order], nth[order]
    return Detections(boxes[anchor[kind, nth]], kind + 1, best[kind, nth])
