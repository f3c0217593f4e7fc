"""Coefficients of compound scaling from architectures that a search found good."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import StudyError
from mvsearch.scaling.knobs import DIALS, deepens
from mvsearch.scaling.path import Coefficients

Logs = NDArray[np.float64]


def fitted(members: Sequence[Architecture]) -> Coefficients:
    """How depth, width and resolution grow along members of a front, architectures of one space.

    For each of the three the mean log of its numbers (all widths; all depths and repeats; the image size) is fitted by
    least squares as a line over log MACs. The slopes say which power of the MACs each one follows; they are scaled
    so that depth x width² x resolution², which MACs go with, doubles for a unit of the scale, as in EfficientNet. What
    shrinks along the front, or is the same throughout, gets the coefficient 1. Raises StudyError for fewer than three
    sizes, or if nothing grows.
    """
    macs = np.log([member.cost().macs for member in members])
    if len(np.unique(macs)) < 3:
        raise StudyError(f"different sizes on the front: {len(np.unique(macs))}; three are needed to fit how it grows.")
    slopes = {dial: max(0.0, float(np.polyfit(macs, _logs(members, dial), 1)[0])) for dial in DIALS}
    doubling = slopes["depth"] + 2 * slopes["width"] + 2 * slopes["resolution"]
    if doubling < 1e-9:
        raise StudyError("neither depth, width nor resolution grows along this front; there is nothing to fit.")
    return Coefficients(**{dial: float(2 ** (slope / doubling)) for dial, slope in slopes.items()})


def _logs(members: Sequence[Architecture], dial: str) -> Logs:
    """(members,): the mean log of a dial's numbers."""
    if dial == "resolution":
        return np.log([member.image_size for member in members])
    rows = list(zip(*(member.blocks for member in members), strict=True))
    if dial == "width":
        numbers = [[row.out for row in same] for same in rows]
        numbers += [[row.dim for row in same] for same in rows if hasattr(same[0], "dim")]
    else:
        numbers = [[getattr(row, "depth", row.repeat) for row in same] for same in rows if any(map(deepens, same))]
    return np.log(numbers).mean(axis=0) if numbers else np.zeros(len(members))
