"""What an architecture is made of, and where two differ, as data: nothing here draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.cost import Cost, Shape
from mvsearch.arch.schema import field_text


@dataclass(frozen=True)
class Part:
    """The image, a row, or the head: its fields as a file spells them, in words, and what comes out at what cost."""

    name: str
    block: str
    fields: dict[str, Any]
    words: str
    out: Shape
    cost: Cost
    gives: str = ""
    layers: int | None = None
    attention_width: int | None = None

    @property
    def size(self) -> str:
        """What comes out: `96 x 32 x 32`; of the head what it gives, `1000 classes`."""
        return self.gives or f"{self.out.channels} x {self.out.height} x {self.out.width}"


@dataclass(frozen=True)
class Change:
    """A part that two architectures have, or only one of them."""

    first: Part | None
    second: Part | None

    @property
    def name(self) -> str:
        """The row's name."""
        return (self.first or self.second).name  # type: ignore[union-attr]  # never both None

    @cached_property
    def fields(self) -> dict[str, tuple[Any, Any]]:
        """What differs: the first's value and the second's; nothing for a part that only one of them has."""
        if self.first is None or self.second is None:
            return {}
        one, other = self.first.fields, self.second.fields
        return {name: (one.get(name), other.get(name)) for name in {**one, **other} if one.get(name) != other.get(name)}

    @property
    def mark(self) -> str:
        """`+` for a row that only the second has, `-` for one that only the first has, `~` where fields differ."""
        return "+" if self.first is None else "-" if self.second is None else "~" if self.fields else ""

    def words(self, arrow: str = "→") -> str:
        """What differs, of the fields that both have: `out 96→112, dim 144→168`."""
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
        """What it costs in either; nothing where it is not."""
        return (self.first.cost if self.first else Cost(), self.second.cost if self.second else Cost())


def parts(arch: Architecture) -> list[Part]:
    """The image, every row, and the head."""
    stages = arch.stages()
    rows, head = stages[: len(arch.blocks)], stages[len(arch.blocks) :]
    image = Shape(3, arch.image_size, arch.image_size)
    spelled = arch.to_dict()
    made = [Part("image", "image", {"image_size": arch.image_size}, "", image, Cost())]
    for row, run, spelling, stage in zip(arch.blocks, arch.row_strides(), spelled["blocks"], rows, strict=True):
        words = row.summary().replace("stride 2", "stride 2 by dilation") if run.stride != row.stride else row.summary()
        layers, attention = row.layer_count, row.attention_width
        made.append(Part(row.name, row.kind(), spelling, words, stage.out, stage.cost, "", layers, attention))
    fields = {"kind": arch.head.kind()} | spelled["head"] | {"num_classes": arch.num_classes}
    cost = sum((stage.cost for stage in head), Cost())
    gives = arch.head.output_summary(arch.head_parts([stage.out for stage in rows]), arch.num_classes)
    return [*made, Part("head", head[-1].block, fields, arch.head.summary(), head[-1].out, cost, gives)]


def difference(first: Architecture, second: Architecture) -> list[Change]:
    """Their parts, those of the same name beside each other, in an order that suits both."""
    ours, theirs = parts(first), parts(second)
    names = [[part.name for part in some] for some in (ours, theirs)]
    changes: list[Change] = []
    for kind, i0, i1, j0, j1 in SequenceMatcher(None, names[0], names[1], autojunk=False).get_opcodes():
        if kind == "equal":
            changes += [Change(a, b) for a, b in zip(ours[i0:i1], theirs[j0:j1], strict=True)]
        else:
            changes += [Change(part, None) for part in ours[i0:i1]]
            changes += [Change(None, part) for part in theirs[j0:j1]]
    return changes


def total(some: Sequence[Part]) -> Cost:
    """What all of it costs."""
    return sum((part.cost for part in some), Cost())
