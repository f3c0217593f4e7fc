"""A row at many points at once. Its fields are columns; each of its kinds is computed at the points that have it."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.blocks import Block
from mvsearch.arch.cost import Cost, Num, Shape
from mvsearch.arch.schema import Domain
from mvsearch.space.rows import SpaceRow
from mvsearch.space.variables import Scope

Points = NDArray[np.intp] | None
"""The numbers of some points; None for all of them."""


@dataclass(frozen=True)
class BulkRow:
    """The blocks of a row, each with the points that have it; the points of a row that is left out have none."""

    parts: tuple[tuple[Points, Block], ...]
    size: int
    """The number of points."""

    @classmethod
    def of(cls, row: SpaceRow, scope: Scope, size: int, stride: Num | None = None) -> "BulkRow":
        """The row with the values of a scope; `stride` replaces its own."""
        kind, repeat = (scope.value(f"{row.name}.{name}") for name in ("block", "repeat"))
        present = np.asarray(repeat) >= 1
        parts = []
        for name in row.kinds:
            chosen = np.asarray(kind == name) & present
            points = None if chosen.all() else np.flatnonzero(np.broadcast_to(chosen, size))
            if points is None or len(points):
                parts.append((points, _block(row, name, scope, points, stride)))
        return cls(tuple(parts), size)

    def cost(self, x: Shape) -> tuple[Cost, Shape]:
        """The cost at every point on input x, and the output shape."""
        if len(self.parts) == 1 and self.parts[0][0] is None:
            return self.parts[0][1].cost(x)
        inputs = (x.channels, x.height, x.width)
        outputs = np.stack([np.broadcast_to(np.asarray(value), self.size) for value in inputs])
        costs = np.zeros((len(fields(Cost)), self.size), dtype=np.int64)
        for points, block in self.parts:
            cost, y = block.cost(Shape(*(_take(value, points) for value in inputs)))
            for row, value in zip(costs, vars(cost).values(), strict=True):
                row[points] = value
            for row, value in zip(outputs, (y.channels, y.height, y.width), strict=True):
                row[points] = value
        return Cost(*costs), Shape(*outputs)


def _block(row: SpaceRow, kind: str, scope: Scope, points: Points, stride: Num | None) -> Block:
    values = {
        name: read_column(field.domain, _take(scope.value(field.variable), points))
        for name, field in row.written(kind).items()
    }
    if stride is not None:
        values["stride"] = stride
    return row.kinds[kind](name=row.name, **values)


def _take(column: Any, points: Points) -> Any:
    return column if points is None or not isinstance(column, np.ndarray) else column[points]


def read_column(domain: Domain, column: Any) -> Any:
    """Convert a column of values as a file spells them; a single value is converted as such."""
    if not isinstance(column, np.ndarray):
        return domain.read(column)
    if not domain.spelling or column.dtype.kind not in "OU":
        return column
    words, codes = np.unique(column.astype(str), return_inverse=True)
    values = {str(value): domain.read(value) for value in set(column.tolist())}
    return np.array([values[word] for word in words])[codes]
