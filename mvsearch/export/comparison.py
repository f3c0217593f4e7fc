"""How far the outputs of an exported file are from those of PyTorch, and whether that is close enough."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import Runner, to_arrays
from mvsearch.training.image_samples import ImageSample

TOLERANCE = 1e-3
"""The largest difference allowed for float32 sums in another order, as a share of the outputs' deviation."""

MAX_DROP = 0.05
"""The share of images that int8 may get wrong beyond those that float32 gets wrong."""

_EAGER_BATCH = 8


@dataclass(frozen=True)
class OutputComparison:
    """A file's outputs compared with those of eager PyTorch, at a batch size.

    `worst` is the largest difference, `ratio` the largest one over the outputs' standard deviation.
    """

    batch: int
    worst: float
    ratio: float
    top1_agreement: float | None


@dataclass(frozen=True)
class Accuracy:
    """Top-1 of eager PyTorch and of the file against the sample's labels; the change with its standard error."""

    eager: float
    file: float
    change: float
    change_sem: float


def run_eager(model: nn.Module, images: np.ndarray) -> list[np.ndarray]:
    """The network's outputs for (N, 3, H, W), in float32 on the CPU."""

    def run(batch: np.ndarray) -> list[np.ndarray]:
        return to_arrays(model(torch.from_numpy(batch)))

    with torch.inference_mode():
        return run_batches(run, images, _EAGER_BATCH)


def run_batches(run: Runner, images: np.ndarray, batch: int) -> list[np.ndarray]:
    """The outputs for (N, 3, H, W), computed in batches."""
    parts = [run(np.ascontiguousarray(images[i : i + batch])) for i in range(0, len(images), batch)]
    return [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]


def add_colour(images: np.ndarray) -> np.ndarray:
    """Grey images and some of them with channels of different images: else a file could confuse the channels."""
    if (images != images[:, :1]).any():
        return images
    coloured = images[:_EAGER_BATCH].copy()
    for channel in (1, 2):
        coloured[:, channel] = np.roll(coloured[:, channel], channel, axis=0)
    return np.concatenate((images, coloured))


def compare(
    expected: Sequence[np.ndarray], outputs: Sequence[np.ndarray], batch: int, *, classes: int | None
) -> OutputComparison:
    """Compare a file's outputs with the expected ones. NaN, inf and other shapes are infinitely far away.

    `classes` is the axis of the first output that holds the classes (see `ExportModel.class_axis`).
    """
    if [array.shape for array in expected] != [array.shape for array in outputs]:
        return OutputComparison(batch, math.inf, math.inf, None)
    worst, ratio = 0.0, 0.0
    for ours, theirs in zip(expected, outputs, strict=True):
        difference = float(np.abs(ours - theirs).max()) if np.isfinite(theirs).all() else math.inf
        # In float64: outputs of random weights may be as small as 1e-26, whose squares are 0 in float32.
        deviation = float(ours.std(dtype=np.float64)) or 1e-12
        worst, ratio = max(worst, difference), max(ratio, difference / deviation)
    same = None if classes is None else float((expected[0].argmax(classes) == outputs[0].argmax(classes)).mean())
    return OutputComparison(batch, worst, ratio, same)


def compare_accuracy(
    ours: np.ndarray, theirs: np.ndarray, sample: ImageSample, export_model: ExportModel
) -> Accuracy | None:
    """Top-1 of both against the labels; None where the network's classes are not those of the sample."""
    classifies = "num_classes" in export_model.facts()
    if not classifies or ours.shape != theirs.shape or ours.shape[1:] != (len(sample.classes),):
        return None
    correct, correct_after = ours.argmax(1) == sample.labels, theirs.argmax(1) == sample.labels
    changes = correct_after.astype(float) - correct
    sem = float(changes.std() / math.sqrt(len(changes)))
    return Accuracy(float(correct.mean()), float(correct_after.mean()), float(changes.mean()), sem)


def assess_float32(comparisons: Sequence[OutputComparison]) -> tuple[bool, str]:
    """Whether a float32 file passes, and why: its largest difference decides."""
    worst = _worst(comparisons)
    if not math.isfinite(worst.ratio):
        return False, _NOT_COMPARABLE
    reason = f"its outputs differ from eager by up to {worst.worst:.2g}, {worst.ratio:.2g} of their standard deviation"
    passes = worst.ratio <= TOLERANCE
    return passes, reason + ("" if passes else f" ({TOLERANCE:g} is allowed)")


def assess_int8(
    comparisons: Sequence[OutputComparison], top1: Accuracy | None, *, num_classes: int | None, max_drop: float
) -> tuple[bool | None, str]:
    """Whether an int8 file passes, and why: the accuracy that it costs decides. None where that is not known."""
    worst = _worst(comparisons)
    if not math.isfinite(worst.ratio):
        return False, _NOT_COMPARABLE
    allowed = f"({100 * max_drop:g} points may be lost)"
    if top1 is not None and num_classes is not None and top1.eager > 2 / num_classes:
        change = f"int8 changes top-1 by {100 * top1.change:+.1f} ± {100 * top1.change_sem:.1f} points"
        return -top1.change <= max_drop, f"{change} {allowed}"
    if worst.top1_agreement is None:
        return None, "int8 is not assessed: that needs a class for each image or pixel and no other output"
    # A network that does not know these classes has no accuracy to lose, but its predictions must stay the same.
    return (
        1 - worst.top1_agreement <= max_drop,
        f"int8 keeps eager's prediction on {worst.top1_agreement:.1%} {allowed}",
    )


_NOT_COMPARABLE = "its outputs hold NaN or inf, or have other shapes than the network's"


def _worst(comparisons: Sequence[OutputComparison]) -> OutputComparison:
    return max(comparisons, key=lambda comparison: comparison.ratio)
