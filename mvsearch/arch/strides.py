"""The stride and dilation of each row under a head that limits how small the maps become."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import mul

from mvsearch.arch.cost import Num


@dataclass(frozen=True)
class RowStride:
    """The stride of a row, and the dilation of its first layer and of the layers after it."""

    stride: Num
    dilation_first: int = 1
    dilation: int = 1


def row_strides(strides: Sequence[Num], max_stride: int | None) -> list[RowStride]:
    """Limit the total stride of some rows to `max_stride`: dilation of the following layers replaces further strides.

    >>> row_strides([2, 2, 2], 4)[2]
    RowStride(stride=1, dilation_first=1, dilation=2)
    """
    if max_stride is None:
        return [RowStride(stride) for stride in strides]
    limited: list[RowStride] = []
    reduction = dilation = 1
    for stride in strides:
        dilation_first = dilation
        if reduction * stride > max_stride:
            stride, dilation = 1, dilation * stride
        reduction *= stride
        limited.append(RowStride(stride, dilation_first, dilation))
    return limited


def reductions(strides: Sequence[Num]) -> list[Num]:
    """How many times smaller than the image the output of each row is, without dilation."""
    return list(accumulate(strides, mul))
