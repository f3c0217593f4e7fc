"""`detection`: boxes with classes, judged by COCO's mean average precision, `map`."""

import contextlib
import io
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mvsearch.data import DataSet, Images, Scene
from mvsearch.errors import DataError, EnvironmentFault
from mvsearch.nn.boxes import Detections, corners, detections, encode, iou
from mvsearch.training.loop import LabelledBatch
from mvsearch.training.tasks import Model, Sum, Task
from mvsearch.training.tasks._scenes import EVALUATION_BATCH, SceneTask
from mvsearch.utils.installation import install_hint

LEAST_IOU = 0.5  # of an anchor with the box it has to predict; every box also has its best anchor
NEGATIVES = 3  # for each positive (arXiv 1512.02325, section 2.2)

SHOWN_SCORE = 0.3
"""The lowest score of a box that is shown to a person; the mean average precision counts the others too."""

_SIDE = 1000  # pixels of an image, for COCO's tool
_DIFFICULT = 0.5


class Detection(SceneTask):
    """Labels are boxes, (N, K, 5): a class and corners in shares of the sides; class 0 fills up to the same K.

    Below 0 are boxes that are not trained on, and whose detection is neither right nor wrong: -3 is a crowd of class 3,
    and -3.5 a difficult object of class 3.
    """

    metric: str = "map"

    def check(self, data: DataSet) -> None:
        """There are boxes, and the package for the metric: better now than after the training."""
        _coco_tools()
        if data.train.boxes is None or not len(data.train.boxes):
            raise DataError("has no boxes, which detection needs.", at=data.name)

    def labels(self, part: Images, size: int) -> Tensor:
        """The boxes, (N, K, 5)."""
        boxes = np.zeros((0, 6)) if part.boxes is None else part.boxes
        if part.ignored is not None:
            ignored, crowd = part.ignored[:, :6].copy(), part.ignored[:, 6]
            ignored[:, 1] = -ignored[:, 1] - np.where(crowd, 0, _DIFFICULT)
            boxes = np.concatenate((boxes, ignored))
        return pad_boxes(boxes, len(part.pixels))

    def shift(self, labels: Tensor, shift: Tensor, mirrored: Tensor, padding: int, size: int) -> Tensor:
        """Boxes that follow their images."""
        return shift_boxes(labels, (shift - padding) / size, mirrored)

    def crop(self, labels: Tensor, boxes: Tensor, mirrored: Tensor, size: int) -> Tensor:
        """Boxes (B, K, 5) whose centre is in the crop (arXiv 1512.02325, section 2.2)."""
        centre = (labels[..., 1:3] + labels[..., 3:]) / 2
        start, extent = boxes[:, None, :2], boxes[:, None, 2:]
        inside = ((centre >= start) & (centre <= start + extent)).all(-1, keepdim=True)
        moved = torch.cat([labels[..., :1], (labels[..., 1:] - start.repeat(1, 1, 2)) / extent.repeat(1, 1, 2)], -1)
        return shift_boxes(moved, torch.zeros(2, len(labels), device=labels.device), mirrored) * inside

    def loss(self, outputs: Any, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """SSD's loss of classes and boxes; no label smoothing."""
        logits, offsets, anchors = outputs
        return multibox_loss(logits, offsets, anchors, labels)

    def evaluation_batch(self, classes: int, size: int) -> int:
        """Always the same."""
        return EVALUATION_BATCH

    def evaluate(
        self, model: Model, batches: Iterable[LabelledBatch], classes: int, sum_over_processes: Sum = list
    ) -> dict[str, float]:
        """`map`, over overlaps from 0.5 to 0.95, and `map_50`, at 0.5, as shares; and the loss."""
        predicted: list[Detections] = []
        truth: list[Tensor] = []
        loss = 0.0
        for x, boxes in batches:
            logits, offsets, anchors = (tensor.float() for tensor in model(x))
            loss += len(x) * float(multibox_loss(logits, offsets, anchors, boxes))
            predicted += detections(logits, offsets, anchors, max_detections=100)
            truth += list(boxes)
        precision, at_half = mean_average_precision(predicted, truth, classes)
        return {"map": precision, "map_50": at_half, "loss": loss / len(truth)}

    def predictions(self, outputs: Any) -> list[Scene]:
        """The boxes with a score of at least SHOWN_SCORE."""
        logits, offsets, anchors = outputs
        images = detections(logits, offsets, anchors, min_score=SHOWN_SCORE)
        return [Scene(boxes=torch.cat([image.classes[:, None], image.boxes], 1).cpu().numpy()) for image in images]

    def truth(self, labels: Tensor) -> list[Scene]:
        """The boxes."""
        return [Scene(boxes=boxes[boxes[:, 0] > 0].cpu().numpy()) for boxes in labels]


TASK: Task = Detection()


def pad_boxes(boxes: np.ndarray, images: int) -> Tensor:
    """(box, 6), each with the number of its image → (images, K, 5), filled with zeros to the most boxes of an image."""
    owner = boxes[:, 0].astype(int)
    counts = np.bincount(owner, minlength=images)
    order = np.argsort(owner, kind="stable")
    column = np.arange(len(boxes)) - np.repeat(counts.cumsum() - counts, counts)
    padded = np.zeros((images, max(int(counts.max()), 1), 5), np.float32)
    padded[owner[order], column] = boxes[order, 1:]
    return torch.from_numpy(padded)


def shift_boxes(boxes: Tensor, shift: Tensor, mirrored: Tensor) -> Tensor:
    """Boxes (B, K, 5) of images moved up and left by (2, B), in shares of the sides, and then mirrored.

    Boxes are clipped at the border; one that is outside entirely becomes class 0.
    """
    kind, box = boxes[..., :1], boxes[..., 1:] - shift.flip(0).T.repeat(1, 2)[:, None]
    x0, y0, x1, y1 = box.clamp(0, 1).unbind(-1)
    x0, x1 = torch.where(mirrored[:, None], 1 - x1, x0), torch.where(mirrored[:, None], 1 - x0, x1)
    visible = ((x1 > x0) & (y1 > y0))[..., None]
    return torch.cat([kind, torch.stack([x0, y0, x1, y1], -1)], -1) * visible


def multibox_loss(logits: Tensor, offsets: Tensor, anchors: Tensor, boxes: Tensor) -> Tensor:
    """SSD's loss (arXiv 1512.02325, section 2.2) of a network's outputs with boxes (B, K, 5), per positive anchor.

    Smooth L1 over the offsets of the positive anchors; cross-entropy over these and over NEGATIVES times as many
    others, those with the highest loss.
    """
    logits, offsets, anchors = logits.float(), offsets.float(), anchors.float()
    kinds, matched = match(anchors, boxes)
    positive = kinds > 0
    entropy = F.cross_entropy(logits.transpose(1, 2), kinds, reduction="none")
    with torch.no_grad():
        hardness = entropy.masked_fill(positive, -torch.inf)
        rank = hardness.argsort(1, descending=True).argsort(1)
        negative = ~positive & (rank < NEGATIVES * positive.sum(1, keepdim=True))
    targets = encode(matched[positive], anchors[positive])
    location = F.smooth_l1_loss(offsets[positive], targets, reduction="sum")
    return (entropy[positive | negative].sum() + location) / positive.sum().clamp(min=1)


@torch.no_grad()
def match(anchors: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """The targets of anchors (B, A, 4) among boxes (B, K, 5): classes (B, A), 0 for background, and boxes (B, A, 4).

    An anchor is matched to the box it overlaps most with, if by LEAST_IOU; every box is matched to its best anchor.
    """
    objects = (boxes[..., 0] > 0)[:, None]  # no anchor has to predict a crowd or a difficult object
    overlap = iou(corners(anchors), boxes[..., 1:]) * objects  # (B, A, K)
    best, chosen = overlap.max(2)
    image, column = torch.nonzero(boxes[..., 0] > 0, as_tuple=True)
    best_anchor = overlap.argmax(1)[image, column]
    chosen[image, best_anchor], best[image, best_anchor] = column, 1.0
    matched = boxes.gather(1, chosen[..., None].expand(-1, -1, 5))
    return torch.where(best >= LEAST_IOU, matched[..., 0], 0.0).long(), matched[..., 1:]


def mean_average_precision(predicted: list[Detections], truth: list[Tensor], classes: int) -> tuple[float, float]:
    """COCO's mAP over overlaps from 0.5 to 0.95, and at 0.5, by its own tool; `truth` is boxes (K, 5) an image.

    A detection of a crowd or a difficult object does not count; it is one if the share of it inside the crowd, or its
    overlap with the difficult object, is high enough. Sides count as 1000 pixels. Raises DataError if there are no true
    boxes at all.
    """
    coco, evaluation = _coco_tools()
    images = [{"id": i, "width": _SIDE, "height": _SIDE} for i in range(len(truth))]
    header = {"images": images, "categories": [{"id": i} for i in range(1, classes)]}
    true = [
        {
            "image_id": i,
            "category_id": int(abs(kind)),
            "iscrowd": int(kind < 0),
            "difficult": kind % 1,
            **_coco_box(box),
        }
        for i, boxes in enumerate(truth)
        for kind, *box in boxes[boxes[:, 0] != 0].tolist()
    ]
    if all(box["iscrowd"] for box in true):
        raise DataError("the held-out images contain no boxes; hold out more of them.")
    found = [
        {"image_id": i, "category_id": int(kind), "score": score, "iscrowd": 0, **_coco_box(box)}
        for i, image in enumerate(predicted)
        for box, kind, score in zip(image.boxes.tolist(), image.classes.tolist(), image.scores.tolist(), strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):  # the tool prints on its own
        result = evaluation(_index(coco, header, true), _index(coco, header, found), "bbox")
        result.evaluate()
        result.accumulate()
        result.summarize()
    return float(result.stats[0]), float(result.stats[1])


def _coco_box(box: list[float]) -> dict[str, Any]:
    x0, y0, x1, y1 = (_SIDE * value for value in box)
    return {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}


def _index(coco: Any, header: dict[str, Any], annotations: list[dict[str, Any]]) -> Any:
    index = coco()
    index.dataset = header | {"annotations": [box | {"id": i} for i, box in enumerate(annotations, 1)]}
    index.createIndex()
    return index


def _coco_tools() -> tuple[Any, Any]:
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise EnvironmentFault(
            "detection: the mean average precision needs pycocotools, which is not installed; use "
            f"`{install_hint('detection')}`."
        ) from None

    class Evaluation(COCOeval):  # type: ignore[misc]
        """COCO's, which takes difficult objects for crowds but for their overlap: VOC's is that of other objects."""

        def computeIoU(self, imgId: int, catId: int) -> Any:  # noqa: N802  its own name
            difficult = [box for box in self._gts[imgId, catId] if box["difficult"]]
            for box in difficult:
                box["iscrowd"] = 0
            overlaps = super().computeIoU(imgId, catId)
            for box in difficult:
                box["iscrowd"] = 1
            return overlaps

    return COCO, Evaluation
