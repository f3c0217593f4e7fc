"""The parts of an architecture, and the differences of two, as data."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.cost import Cost, Shape
from mvsearch.arch.schema import field_text

_NOT_WRITTEN = {"stride": 1, "repeat": 1}
"""Fields that a row has without a line in the file."""


@dataclass(frozen=True)
class ArchitecturePart:
    """The image, a row, or the head: its fields as a file spells them, in words, its output and its cost.

    `output_summary` replaces the size of the head's output: `1000 classes`.
    """

    name: str
    block: str
    fields: dict[str, Any]
    words: str
    out: Shape
    cost: Cost
    output_summary: str = ""
    layers: int | None = None
    attention_width: int | None = None

    @property
    def size(self) -> str:
        """The size of the output: `96 x 32 x 32`, of the head `1000 classes`."""
        return self.output_summary or f"{self.out.channels} x {self.out.height} x {self.out.width}"


@dataclass(frozen=True)
class Change:
    """A part of two architectures, or of only one of them."""

    first: ArchitecturePart | None
    second: ArchitecturePart | None

    @property
    def name(self) -> str:
        """The row's name."""
        return (self.first or self.second).name  # type: ignore[union-attr]  # never both None

    @cached_property
    def fields(self) -> dict[str, tuple[Any, Any]]:
        """The first's and the second's value of each field that differs; empty for a part of only one of them."""
        if self.first is None or self.second is None:
            return {}
        first, second = ({**_NOT_WRITTEN, **part.fields} for part in (self.first, self.second))
        pairs = {name: (first.get(name), second.get(name)) for name in {**first, **second}}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    @property
    def mark(self) -> str:
        """`+` for a row of only the second, `-` for one of only the first, `~` where fields differ."""
        return "+" if self.first is None else "-" if self.second is None else "~" if self.fields else ""

    def words(self, arrow: str = "→") -> str:
        """The differences of the fields that both have: `out 96→112, dim 144→168`."""
        both = {name: pair for name, pair in self.fields.items() if None not in pair}
        return ", ".join(f"{name} {field_text(a)}{arrow}{field_text(b)}" for name, (a, b) in both.items())

    def facts(self) -> dict[str, Any]:
        """As raw numbers, pairs of the first's and the second's."""
        first, second = self.costs
        return {
            "name": self.name,
            "mark": self.mark,
            "fields": {name: list(pair) for name, pair in self.fields.items()},
            "params": [first.params, second.params],
            "macs": [first.macs, second.macs],
            "macs_paper": [first.macs_paper, second.macs_paper],
        }

    @property
    def costs(self) -> tuple[Cost, Cost]:
        """Its cost in each; 0 where it is missing."""
        return (self.first.cost if self.first else Cost(), self.second.cost if self.second else Cost())


def parts(arch: Architecture) -> list[ArchitecturePart]:
    """The image, every row, and the head."""
    stages = arch.stages()
    rows, head = stages[: len(arch.blocks)], stages[len(arch.blocks) :]
    image = Shape(3, arch.image_size, arch.image_size)
    document = arch.to_dict()
    result = [ArchitecturePart("image", "image", {"image_size": arch.image_size}, "", image, Cost())]
    for row, run, spelling, stage in zip(arch.blocks, arch.row_strides(), document["blocks"], rows, strict=True):
        words = row.summary().replace("stride 2", "stride 2 by dilation") if run.stride != row.stride else row.summary()
        layers, attention = row.layer_count, row.attention_width
        result.append(
            ArchitecturePart(row.name, row.kind(), spelling, words, stage.out, stage.cost, "", layers, attention)
        )
    fields = {"kind": arch.head.kind()} | document["head"] | {"num_classes": arch.num_classes}
    cost = sum((stage.cost for stage in head), Cost())
    output = arch.head.output_summary(arch.head_parts([stage.out for stage in rows]), arch.num_classes)
    return [*result, ArchitecturePart("head", head[-1].block, fields, arch.head.summary(), head[-1].out, cost, output)]


def difference(first: Architecture, second: Architecture) -> list[Change]:
    """Their parts, paired by name, in an order that keeps both orders."""
    before, after = parts(first), parts(second)
    names = [[part.name for part in side] for side in (before, after)]
    changes: list[Change] = []
    for kind, i0, i1, j0, j1 in SequenceMatcher(None, names[0], names[1], autojunk=False).get_opcodes():
        if kind == "equal":
            changes += [Change(a, b) for a, b in zip(before[i0:i1], after[j0:j1], strict=True)]
        else:
            changes += [Change(part, None) for part in before[i0:i1]]
            changes += [Change(None, part) for part in after[j0:j1]]
    return changes


def total(parts: Sequence[ArchitecturePart]) -> Cost:
    """The cost of all parts together."""
    return sum((part.cost for part in parts), Cost())
