"""`detection`: boxes with classes, judged by COCO's mean average precision, `map`."""

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mvsearch.data import DataSet, Images, Scene
from mvsearch.errors import DataError, EnvironmentFault
from mvsearch.nn.boxes import Detections, corners, detections, encode, iou
from mvsearch.training.images import moved
from mvsearch.training.recipe import Recipe
from mvsearch.training.tasks._scenes import HELD_BATCH, SceneTask, parts

LEAST_IOU = 0.5  # of an anchor with a box that it is to predict; every box has its best anchor besides
NEGATIVES = 3  # for each positive (arXiv 1512.02325, section 2.2)

SURE = 0.3
"""The least score of a box that is shown to a person; the mean average precision counts others too."""


class Detection(SceneTask):
    """Labels are boxes, (N, K, 5): a class and corners in shares of the sides; class 0 fills up to the same K."""

    score = "map"

    @classmethod
    def check(cls, data: DataSet) -> None:
        """Whether there are boxes, and the tool that judges: now, not after the training."""
        _tools()
        if data.train.boxes is None or not len(data.train.boxes):
            raise DataError(f"{data.name}: has no boxes to learn detection from.")

    @classmethod
    def labels_of(cls, part: Images, size: int) -> Tensor:
        """The boxes, (N, K, 5)."""
        return padded(np.zeros((0, 6)) if part.boxes is None else part.boxes, len(part.pixels))

    @classmethod
    def cropped(cls, labels: Tensor, boxes: Tensor, mirrored: Tensor, size: int) -> Tensor:
        """Boxes (B, K, 5), of which those stay whose centre does (arXiv 1512.02325, section 2.2)."""
        centre = (labels[..., 1:3] + labels[..., 3:]) / 2
        start, extent = boxes[:, None, :2], boxes[:, None, 2:]
        stays = ((centre >= start) & (centre <= start + extent)).all(-1, keepdim=True)
        seen = torch.cat([labels[..., :1], (labels[..., 1:] - start.repeat(1, 1, 2)) / extent.repeat(1, 1, 2)], -1)
        return moved_boxes(seen, torch.zeros(2, len(labels), device=labels.device), mirrored) * stays

    def batches(self, recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, 3, H, W) and boxes (B, K, 5), shifted and mirrored together."""
        for chosen, shift, mirror in self.draws(recipe):
            x = moved(self.train_pixels[chosen], shift, mirror, recipe.crop_padding)
            yield (
                self.normalised(x),
                moved_boxes(self.train_labels[chosen], (shift - recipe.crop_padding) / recipe.image_size, mirror),
            )

    def loss(self, outputs: Any, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """SSD's loss of classes and boxes; no label smoothing."""
        logits, offsets, anchors = outputs
        return multibox_loss(logits, offsets, anchors, labels)

    def judge(self, model: Callable[[Tensor], Any]) -> dict[str, float]:
        """`map`, over overlaps from 0.5 to 0.95, and `map_50`, at 0.5, as shares; and the loss of held-out images."""
        found: list[Detections] = []
        loss = 0.0
        for x, boxes in self.held_batches(HELD_BATCH):
            logits, offsets, anchors = (each.float() for each in model(x))
            loss += len(x) * float(multibox_loss(logits, offsets, anchors, boxes))
            found += detections(logits, offsets, anchors, most=100)
        precision, at_half = mean_average_precision(found, list(self.held_labels), self.classes)
        return {"map": precision, "map_50": at_half, "loss": loss / len(self.held_labels)}

    def found(self, outputs: Any) -> list[Scene]:
        """The boxes that the network is SURE of."""
        logits, offsets, anchors = outputs
        kept = detections(logits, offsets, anchors, least_score=SURE)
        return [Scene(boxes=torch.cat([each.classes[:, None], each.boxes], 1).cpu().numpy()) for each in kept]

    def true(self, labels: Tensor) -> list[Scene]:
        """What images show, given their boxes."""
        return [Scene(boxes=boxes[boxes[:, 0] > 0].cpu().numpy()) for boxes in labels]


def of(data: DataSet, recipe: Recipe, device: str) -> Detection:
    """The task on a data set that has boxes."""
    Detection.check(data)
    return Detection(**parts(data, Detection.labels_of(data.train, recipe.image_size), recipe, device))


SCENES = Detection


def padded(boxes: np.ndarray, images: int) -> Tensor:
    """(box, 6), each with the number of its image → (images, K, 5), filled with zeros to the most that an image has."""
    owner = boxes[:, 0].astype(int)
    counts = np.bincount(owner, minlength=images)
    order = np.argsort(owner, kind="stable")
    nth = np.arange(len(boxes)) - np.repeat(counts.cumsum() - counts, counts)
    made = np.zeros((images, max(int(counts.max()), 1), 5), np.float32)
    made[owner[order], nth] = boxes[order, 1:]
    return torch.from_numpy(made)


def moved_boxes(boxes: Tensor, shift: Tensor, mirror: Tensor) -> Tensor:
    """Boxes (B, K, 5) of images moved up and left by (2, B), in shares of the sides, and then mirrored.

    What is cut off at the border is cut off the box; of a box that is cut away wholly class 0 is left.
    """
    kind, box = boxes[..., :1], boxes[..., 1:] - shift.flip(0).T.repeat(1, 2)[:, None]
    x0, y0, x1, y1 = box.clamp(0, 1).unbind(-1)
    x0, x1 = torch.where(mirror[:, None], 1 - x1, x0), torch.where(mirror[:, None], 1 - x0, x1)
    left = ((x1 > x0) & (y1 > y0))[..., None]
    return torch.cat([kind, torch.stack([x0, y0, x1, y1], -1)], -1) * left


def multibox_loss(logits: Tensor, offsets: Tensor, anchors: Tensor, boxes: Tensor) -> Tensor:
    """SSD's loss (arXiv 1512.02325, section 2.2) of a network's outputs with boxes (B, K, 5), a positive anchor.

    Smooth L1 over the offsets of the positive anchors; cross-entropy over these and over NEGATIVES times as many
    others, those that are least taken for the background.
    """
    logits, offsets, anchors = logits.float(), offsets.float(), anchors.float()
    kinds, matched = match(anchors, boxes)
    positive = kinds > 0
    entropy = F.cross_entropy(logits.transpose(1, 2), kinds, reduction="none")
    with torch.no_grad():
        hardness = entropy.masked_fill(positive, -torch.inf)
        rank = hardness.argsort(1, descending=True).argsort(1)
        negative = ~positive & (rank < NEGATIVES * positive.sum(1, keepdim=True))
    aims = encode(matched[positive], anchors[positive])
    located = F.smooth_l1_loss(offsets[positive], aims, reduction="sum")
    return (entropy[positive | negative].sum() + located) / positive.sum().clamp(min=1)


@torch.no_grad()
def match(anchors: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """What anchors (B, A, 4) are to predict of boxes (B, K, 5): classes (B, A), 0 the background, and boxes (B, A, 4).

    An anchor has the box it overlaps most with, if by LEAST_IOU; and every box has the anchor that fits it best.
    """
    overlap = iou(corners(anchors), boxes[..., 1:])  # (B, A, K)
    best, chosen = overlap.max(2)
    image, nth = torch.nonzero(boxes[..., 0] > 0, as_tuple=True)
    fittest = overlap.argmax(1)[image, nth]
    chosen[image, fittest], best[image, fittest] = nth, 1.0
    taken = boxes.gather(1, chosen[..., None].expand(-1, -1, 5))
    return torch.where(best >= LEAST_IOU, taken[..., 0], 0.0).long(), taken[..., 1:]


def mean_average_precision(found: list[Detections], boxes: list[Tensor], classes: int) -> tuple[float, float]:
    """COCO's, as its own tool has it, over overlaps from 0.5 to 0.95 and at 0.5; boxes (K, 5) an image are the truth.

    Sides are taken for 1000 pixels. Raises DataError if there are no true boxes at all.
    """
    coco, evaluation = _tools()
    images = [{"id": i, "width": _SIDE, "height": _SIDE} for i in range(len(boxes))]
    about = {"images": images, "categories": [{"id": i} for i in range(1, classes)]}
    true = [
        {"id": 0, "image_id": i, "category_id": int(kind), "iscrowd": 0, **_placed(box)}
        for i, each in enumerate(boxes)
        for kind, *box in each[each[:, 0] > 0].tolist()
    ]
    said = [
        {"id": 0, "image_id": i, "category_id": int(kind), "score": score, "iscrowd": 0, **_placed(box)}
        for i, each in enumerate(found)
        for box, kind, score in zip(each.boxes.tolist(), each.classes.tolist(), each.scores.tolist(), strict=True)
    ]
    if not true:
        raise DataError("the held-out images show nothing to be found; hold out more of them.")
    with contextlib.redirect_stdout(io.StringIO()):  # the tool reports on its own
        judged = evaluation(_indexed(coco, about, true), _indexed(coco, about, said), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return float(judged.stats[0]), float(judged.stats[1])


_SIDE = 1000


def _placed(box: list[float]) -> dict[str, Any]:
    x0, y0, x1, y1 = (_SIDE * value for value in box)
    return {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}


def _indexed(coco: Any, about: dict[str, Any], annotations: list[dict[str, Any]]) -> Any:
    made = coco()
    made.dataset = about | {"annotations": [each | {"id": i} for i, each in enumerate(annotations, 1)]}
    made.createIndex()
    return made


def _tools() -> tuple[Any, Any]:
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise EnvironmentFault(
            "detection: the mean average precision needs pycocotools; install the extra `detection`: "
            "pip install -e '.[detection]'."
        ) from None
    return COCO, COCOeval
