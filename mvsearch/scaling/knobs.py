"""The numbers of an architecture that scaling turns: channels, attention's widths, depths, repeats, image size."""

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

DIALS = ("width", "depth", "resolution")

DIVISOR = {"width": 8, "depth": 1, "resolution": 32}
"""A knob takes multiples of it, or stays as it is."""


@dataclass(frozen=True)
class ScalableField:
    """A number of an architecture that scaling turns; `places` are the rows and fields that hold it, all of them tied.

    The image size stands in no row. `ladder` is all that it may become within the reach that was asked for.
    """

    dial: str
    name: str
    places: tuple[tuple[int, str], ...]
    own: int
    ladder: tuple[int, ...]

    def thresholds(self) -> list[Fraction]:
        """From which multiplier on it takes each rung but the lowest."""
        return [_threshold(low, high) / self.own for low, high in pairwise(self.ladder)]


def _threshold(low: int, high: int) -> Fraction:
    """From which value on `high` is taken: it is nearer, or `low` would be more than 10 % below.

    This is MobileNetV2's rounding, by which MobileViTv2's family is made: half of mobilevitv2_1.0 is mobilevitv2_0.5.
    """
    return min(Fraction(low + high, 2), Fraction(10 * low, 9))


def knobs(
    arch: Architecture, dials: Iterable[str], *, keep: Sequence[str] = (), times: float = 2
) -> tuple[ScalableField, ...]:
    """What scaling may turn, with ladders that reach `times` as far.

    `keep` names rows (`stem`), fields (`dim`) or one field of a row (`layer3.dim`) that stay as they are. Raises
    PlanError for a name that is none, or if nothing is left.
    """
    rows = arch.blocks
    depths = [((i, name),) for i, row in enumerate(rows) if (name := deepens(row))]
    found = [
        *(_knob("width", places, rows, times) for places in _widths(rows)),
        *(_knob("depth", places, rows, times) for places in depths),
        ScalableField(
            "resolution", "image_size", (), arch.image_size, _ladder("resolution", arch.image_size, times, bool)
        ),
    ]
    _check_keep(keep, rows, found)
    left = tuple(knob for knob in found if knob.dial in dials and not _words(knob, rows) & set(keep))
    if not left:
        raise PlanError(f"{arch.name or arch.key}: nothing is left to scale by {' and '.join(dials)}; keep less.")
    return left


def _widths(rows: Sequence[Block]) -> Iterable[tuple[tuple[int, str], ...]]:
    """The rows' channels, those of rows that keep their width together, so that sums stay sums; then attention's."""
    tied: list[list[tuple[int, str]]] = [[]]
    width = IMAGE_CHANNELS
    for i, row in enumerate(rows):
        if row.stride != 1 or row.out != width:
            tied.append([])
        tied[-1].append((i, "out"))
        width = row.out
    yield from map(tuple, tied[1:])  # the first are as wide as the image
    yield from (((i, "dim"),) for i, row in enumerate(rows) if hasattr(row, "dim"))


def deepens(row: Block) -> str:
    """The field by which a row becomes deeper: its attention layers, else its repeats; none for a row written once."""
    return "depth" if hasattr(row, "depth") else "repeat" if row.repeat > 1 else ""


def _knob(dial: str, places: tuple[tuple[int, str], ...], rows: Sequence[Block], times: float) -> ScalableField:
    last, name = places[-1]
    own = getattr(rows[last], name)
    most = MAX_LAYERS if dial == "depth" else sys.maxsize
    ladder = _ladder(dial, own, times, lambda v: v <= most and all(_fits(rows[i], part, v) for i, part in places))
    return ScalableField(dial, f"{rows[last].name}.{name}", places, own, ladder)


def _ladder(dial: str, own: int, times: float, legal: Callable[[int], bool]) -> tuple[int, ...]:
    """Every rung that a multiplier up to `times` takes, and the next."""
    # Eight times its own value is legal for anything with heads, so one more is found in this range.
    values = {own, *range(DIVISOR[dial], int((2 * times + 16) * own) + 1, DIVISOR[dial])}
    made: list[int] = []
    for value in sorted(values):
        if value == own or legal(value):
            made.append(value)
            if len(made) > 1 and _threshold(*made[-2:]) > times * own:
                break
    return tuple(made)


def _fits(row: Block, name: str, value: int) -> bool:
    """Whether the rules of a row alone allow the value; those about what comes in hold because such rows are tied."""
    return all(
        rule.holds(**{part: value if part == name else getattr(row, part) for part in rule.fields})
        for rule in row.rules
        if "width" not in rule.fields
    )


def _words(knob: ScalableField, rows: Sequence[Block]) -> set[str]:
    """The names by which it can be kept."""
    return {knob.name, *(word for i, f in knob.places for word in (rows[i].name, f, f"{rows[i].name}.{f}"))}


def _check_keep(keep: Sequence[str], rows: Sequence[Block], found: Sequence[ScalableField]) -> None:
    known = sorted({row.name for row in rows}.union(*(_words(knob, rows) for knob in found)))
    for word in keep:
        if word not in known:
            raise PlanError(f"{word!r} is no row or field that could be kept; {plugins.suggest(word, known)}")


def turned(arch: Architecture, knobs: Sequence[ScalableField], values: Sequence[Any]) -> Architecture:
    """The architecture with its knobs at some values, or with columns of values: then it is only good for its cost."""
    changes: dict[int, dict[str, Any]] = {}
    image_size = arch.image_size
    for knob, value in zip(knobs, values, strict=True):
        if not knob.places:
            image_size = value
        for i, name in knob.places:
            changes.setdefault(i, {})[name] = value
            row: Any = arch.blocks[i]
            if name == "dim" and hasattr(row, "ffn"):
                changes[i]["ffn"] = _in_proportion(row.ffn, row.dim, value)
    blocks = tuple(replace(row, **changes.get(i, {})) for i, row in enumerate(arch.blocks))
    return replace(arch, blocks=blocks, image_size=image_size)


def _in_proportion(ffn: int, own: int, dim: Any) -> Any:
    """The hidden width that is to `dim` as it was to its own, to a multiple of 8; it never shrinks as `dim` grows."""
    near = (2 * ffn * dim + 8 * own) // (2 * 8 * own) * 8
    near = near + (8 - near) * (near < 8)
    return near + (ffn - near) * ((dim <= own) & (near > ffn) | (dim >= own) & (near < ffn))
