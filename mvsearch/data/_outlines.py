"""Masks of objects from their outlines: polygons and run lengths, as COCO has them. Polygons need pycocotools."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np

from mvsearch.data._values import identifier, number, numbers
from mvsearch.errors import EnvironmentFault
from mvsearch.utils.installation import install_hint

PART_OF = "parts of "
"""The reasons begin with these words if the rest of an object is drawn."""


def tools() -> Any:
    """The package for polygons; raises EnvironmentFault if it is not installed."""
    try:
        from pycocotools import mask
    except ImportError:
        raise EnvironmentFault(
            f"masks need pycocotools; install it with `{install_hint('detection')}`.", at="coco"
        ) from None
    return mask


def draw(outline: Any, height: int, width: int) -> tuple[np.ndarray | None, str]:
    """The pixels of an object, bool (row, column), and what is wrong with its outline, if anything.

    None if nothing of it can be drawn. Of several polygons, those that are right are drawn.
    """
    if isinstance(outline, dict):
        return _draw_runs(outline, height, width)
    if not isinstance(outline, list) or not outline:
        return None, "objects without an outline"
    if number(outline[0]) is not None:  # one polygon that is not in a list of its own
        outline = [outline]
    read = [numbers(each, len(each)) if isinstance(each, list) else None for each in outline]
    far = 10 * max(height, width)  # the package needs memory for every pixel of the way around
    polygons = [
        list(each)
        for each in read
        if each is not None and len(each) >= 6 and len(each) % 2 == 0 and max(map(abs, each)) <= far
    ]
    fault = "" if len(polygons) == len(outline) else "outlines that are not x, y of three or more points"
    if not polygons:
        return None, fault
    if not fault and any(
        min(each) < -1 or max(each[::2]) > width + 1 or max(each[1::2]) > height + 1 for each in polygons
    ):
        fault = "outlines that reach beyond their images"
    fault = fault and PART_OF + fault
    library = tools()
    inside = library.decode(library.merge(library.frPyObjects(polygons, height, width))) > 0
    return (inside, fault) if inside.any() else (None, "outlines that contain no pixel")


def in_shares(outlines: Iterable[Any]) -> bool:
    """Whether there are polygons, and all of their values are shares of the sides, from 0 to 1."""
    polygons = (each for outline in outlines if isinstance(outline, list) for each in outline)
    values = (value for each in polygons if isinstance(each, list) for value in numbers(each, len(each)) or ())
    first = next(values, None)
    return first is not None and all(-0.001 <= value <= 1.001 for value in chain((first,), values))


def _draw_runs(outline: dict[str, Any], height: int, width: int) -> tuple[np.ndarray | None, str]:
    if numbers(outline.get("size"), 2) != (height, width):
        return None, "outlines in run lengths of another size than their images"
    runs = _runs(outline.get("counts"))
    if runs is None or runs.sum() != height * width:
        return None, "outlines in run lengths that do not add up to their images"
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T
    return (inside, "") if inside.any() else (None, "outlines that contain no pixel")


def _runs(counts: Any) -> np.ndarray | None:
    """The run lengths, from a list or COCO's compressed text; None if some are not numbers of pixels."""
    if isinstance(counts, list):
        listed = [identifier(count) for count in counts]
        found = [count for count in listed if isinstance(count, int) and 0 <= count < 2**40]
        return np.array(found, np.int64) if len(found) == len(listed) else None
    if not isinstance(counts, str) or not counts.isascii():
        return None
    return _decompress(np.frombuffer(counts.encode(), np.uint8).astype(np.int64) - 48)


def _decompress(digits: np.ndarray) -> np.ndarray | None:
    """Base 32, the least significant digit first, bit 5 set if more follow; from the fourth run on, each is the
    difference from the last but one."""
    if not len(digits) or digits.min() < 0 or digits.max() > 63 or digits[-1] & 32:
        return None
    ends = np.flatnonzero(digits & 32 == 0)
    starts = np.concatenate(([0], ends[:-1] + 1))
    place = np.arange(len(digits)) - np.repeat(starts, ends - starts + 1)
    if place.max() > 7:
        return None
    values = np.add.reduceat((digits & 31) << 5 * place, starts)
    values -= np.where(digits[ends] & 16, 1 << 5 * (place[ends] + 1), 0)
    for first in (1, 2):
        values[first::2] = values[first::2].cumsum()
    return values if values.min() >= 0 else None
