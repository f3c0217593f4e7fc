"""Coefficients of compound scaling, fitted to the front of a search."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import StudyError
from mvsearch.scaling.fields import DIMENSIONS
from mvsearch.scaling.path import Coefficients

Logs = NDArray[np.float64]


def fit_coefficients(front: Sequence[Architecture]) -> Coefficients:
    """How depth, width and resolution grow along a front of architectures of one space.

    For each dimension the mean log of its numbers (all widths; all depths and repeats; the image size) is fitted by
    least squares as a line over log MACs; where rows differ in kind or number, depth is the number of all layers. The
    slope is the power of the MACs that the dimension follows. The slopes are scaled so that depth x width² x
    resolution², which the MACs follow, doubles for one unit, as in EfficientNet. A dimension that shrinks along the
    front, or is constant, gets the coefficient 1. Raises StudyError for fewer than three sizes, or if nothing grows.
    """
    macs = np.log([arch.cost().macs for arch in front])
    sizes = len(np.unique(macs))
    if sizes < 3:
        raise StudyError(f"the front has {sizes} different sizes; a fit needs 3 or more.")
    slopes = {dimension: max(0.0, float(np.polyfit(macs, _logs(front, dimension), 1)[0])) for dimension in DIMENSIONS}
    growth = slopes["depth"] + 2 * slopes["width"] + 2 * slopes["resolution"]
    if growth < 1e-9:
        raise StudyError("neither depth, width nor resolution grows along the front, so no coefficients can be fitted.")
    return Coefficients(**{dimension: float(2 ** (slope / growth)) for dimension, slope in slopes.items()})


def _logs(front: Sequence[Architecture], dimension: str) -> Logs:
    """(architectures,): the mean log of the numbers of a dimension."""
    if dimension == "resolution":
        return np.log([arch.image_size for arch in front])
    if len({tuple((row.name, row.kind()) for row in arch.blocks) for arch in front}) > 1:
        return np.array([_log_of_own_rows(arch, dimension) for arch in front])
    rows = list(zip(*(arch.blocks for arch in front), strict=True))
    if dimension == "width":
        numbers = [[row.out for row in same] for same in rows]
        inside = ([getattr(row, name) for row in same] for same in rows for name in same[0].width_fields)
        numbers += [widths for widths in inside if all(widths)]  # 0: a row without attention
    else:
        numbers = [[row.layer_count for row in same] for same in rows if any(row.scales_in_depth for row in same)]
    return np.log(numbers).mean(axis=0) if numbers else np.zeros(len(front))


def _log_of_own_rows(arch: Architecture, dimension: str) -> float:
    """The mean log of the widths of a network, or the log of the number of its layers, whatever its rows are."""
    if dimension == "depth":
        return float(np.log(sum(row.layer_count for row in arch.blocks)))
    fields = [getattr(row, name) for row in arch.blocks for name in ("out", *row.width_fields)]
    return float(np.mean(np.log([value for value in fields if value])))
