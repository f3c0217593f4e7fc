"""The numbers of an architecture that scaling changes: channels, widths of attention, depths, repeats, image size."""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.blocks import MAX_LAYERS, Block
from mvsearch.arch.cost import IMAGE_CHANNELS
from mvsearch.errors import PlanError
from mvsearch.utils import plugins

DIMENSIONS = ("width", "depth", "resolution")

DIVISOR = {"width": 8, "depth": 1, "resolution": 32}
"""A scaled field takes multiples of it, or keeps its value."""


@dataclass(frozen=True)
class ScalableField:
    """A number of an architecture that scaling changes.

    `places` are the rows and fields that hold it, which all change together; the image size has none. `allowed` are the
    values that it can take within the range of multipliers.
    """

    dimension: str
    name: str
    places: tuple[tuple[int, str], ...]
    value: int
    allowed: tuple[int, ...]

    def thresholds(self) -> list[Fraction]:
        """The multipliers from which on it takes each allowed value but the lowest."""
        return [_threshold(low, high) / self.value for low, high in pairwise(self.allowed)]


def _threshold(low: int, high: int) -> Fraction:
    """The number from which on `high` is taken: it is nearer, or `low` would be more than 10 % below.

    This is MobileNetV2's rounding, which the family of MobileViTv2 uses: half of mobilevitv2_1.0 is mobilevitv2_0.5.
    """
    return min(Fraction(low + high, 2), Fraction(10 * low, 9))


def scalable_fields(
    arch: Architecture, dimensions: Iterable[str], *, keep: Sequence[str] = (), times: float = 2
) -> tuple[ScalableField, ...]:
    """The fields that scaling by some dimensions changes, with allowed values up to `times` their own.

    `keep` names rows (`stem`), fields (`dim`) or one field of a row (`layer3.dim`) that do not change. Raises
    PlanError for an unknown name, or if no field is left.
    """
    rows = arch.blocks
    depths = [((i, row.depth_field),) for i, row in enumerate(rows) if row.scales_in_depth]
    sizes = _allowed_values("resolution", arch.image_size, times, lambda _: True)
    fields = [
        *(_row_field("width", places, rows, times) for places in _widths(rows)),
        *(_row_field("depth", places, rows, times) for places in depths),
        ScalableField("resolution", "image_size", (), arch.image_size, sizes),
    ]
    _check_keep(keep, rows, fields)
    scaled = tuple(field for field in fields if field.dimension in dimensions and not _names(field, rows) & set(keep))
    if not scaled:
        raise PlanError(f"{arch.name or arch.key}: no field to scale by {' and '.join(dimensions)}; keep fewer.")
    return scaled


def _widths(rows: Sequence[Block]) -> Iterable[tuple[tuple[int, str], ...]]:
    """The channels of rows, those that must be equal together; then the widths inside blocks."""
    equal: list[list[tuple[int, str]]] = [[]]
    width = IMAGE_CHANNELS
    for i, row in enumerate(rows):
        if row.stride != 1 or row.out != width:
            equal.append([])
        equal[-1].append((i, "out"))
        width = row.out
    yield from map(tuple, equal[1:])  # the first are as wide as the image
    yield from (((i, name),) for i, row in enumerate(rows) for name in row.width_fields if getattr(row, name))


def _row_field(
    dimension: str, places: tuple[tuple[int, str], ...], rows: Sequence[Block], times: float
) -> ScalableField:
    last, name = places[-1]
    value = getattr(rows[last], name)
    most = MAX_LAYERS if dimension == "depth" else sys.maxsize
    allowed = _allowed_values(
        dimension, value, times, lambda v: v <= most and all(_is_legal(rows[i], field, v) for i, field in places)
    )
    return ScalableField(dimension, f"{rows[last].name}.{name}", places, value, allowed)


def _allowed_values(dimension: str, own: int, times: float, is_legal: Callable[[int], bool]) -> tuple[int, ...]:
    """Every value that a multiplier up to `times` takes, and the next one."""
    # Eight times its own value is legal for any number of heads, so this range contains one more.
    values = {own, *range(DIVISOR[dimension], int((2 * times + 16) * own) + 1, DIVISOR[dimension])}
    allowed: list[int] = []
    for value in sorted(values):
        if value == own or is_legal(value):
            allowed.append(value)
            if len(allowed) > 1 and _threshold(*allowed[-2:]) > times * own:
                break
    return tuple(allowed)


def _is_legal(row: Block, name: str, value: int) -> bool:
    """Whether the rules of the row allow the value; rules about the input hold, as equal widths change together."""
    return all(
        rule.holds(**{field: value if field == name else getattr(row, field) for field in rule.fields})
        for rule in row.rules
        if "width" not in rule.fields
    )


def _names(field: ScalableField, rows: Sequence[Block]) -> set[str]:
    """The names under which `keep` can name the field."""
    return {field.name, *(name for i, f in field.places for name in (rows[i].name, f, f"{rows[i].name}.{f}"))}


def _check_keep(keep: Sequence[str], rows: Sequence[Block], fields: Sequence[ScalableField]) -> None:
    known = sorted({row.name for row in rows}.union(*(_names(field, rows) for field in fields)))
    for name in keep:
        if name not in known:
            raise PlanError(f"unknown row or field {name!r}; {plugins.suggest(name, known)}")


def apply(arch: Architecture, fields: Sequence[ScalableField], values: Sequence[Any]) -> Architecture:
    """The architecture with other values of some fields; if the values are columns, only its cost can be computed."""
    changes: dict[int, dict[str, Any]] = {}
    image_size = arch.image_size
    for field, value in zip(fields, values, strict=True):
        if not field.places:
            image_size = value
        for i, name in field.places:
            row = arch.blocks[i]
            changes.setdefault(i, {})[name] = value
            for other in (other for other, source in row.proportional_fields.items() if source == name):
                changes[i][other] = _in_proportion(getattr(row, other), getattr(row, name), value)
    blocks = tuple(replace(row, **changes.get(i, {})) for i, row in enumerate(arch.blocks))
    return replace(arch, blocks=blocks, image_size=image_size)


def _in_proportion(field: int, source: int, value: Any) -> Any:
    """The value of a field with the same ratio to its source, to a multiple of 8; it increases with the source."""
    near = (2 * field * value + 8 * source) // (2 * 8 * source) * 8
    near = near + (8 - near) * (near < 8)
    return near + (field - near) * ((value <= source) & (near > field) | (value >= source) & (near < field))
