"""A network as a backbone: feature maps at strides 4, 8, 16 and 32 in place of logits, as detectors want them."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Self

from torch import Tensor, nn

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import ArchitectureError

STRIDES = (4, 8, 16, 32)


@dataclass(frozen=True)
class Tap:
    """A map that is given out: the row it follows, its channels, and how many pixels of an image one of its spans."""

    row: str
    channels: int
    reduction: int

    @property
    def name(self) -> str:
        """What the output is called."""
        return f"stride_{self.reduction}"


def taps(arch: Architecture, strides: tuple[int, ...] = STRIDES) -> tuple[Tap, ...]:
    """The last map at each stride, which is timm's choice too; strides that the network does not reach are left out.

    Raises ArchitectureError if it reaches none.
    """
    reduction, last = 1, {}
    for row, run in zip(arch.blocks, arch.row_strides(), strict=True):
        reduction *= run.stride
        last[reduction] = Tap(row.name, row.out, reduction)
    found = tuple(last[stride] for stride in strides if stride in last)
    if not found:
        raise ArchitectureError(
            f"features: the network strides by {reduction} in all, and maps are given "
            f"at {', '.join(map(str, strides))}; give it more rows of stride 2."
        )
    return found


def needed(arch: Architecture) -> list[str]:
    """The names of the rows that the maps are made of: those up to the last tapped one."""
    names = [row.name for row in arch.blocks]
    return names[: names.index(taps(arch)[-1].row) + 1]


class Features(nn.Sequential):
    """The rows up to the last tapped one: (B, 3, H, W) → a list of (B, channels, H/reduction, W/reduction).

    Its keys are those of the whole network, without what lies behind the last tap.
    """

    def __init__(self, rows: OrderedDict[str, nn.Module], taps: tuple[Tap, ...]) -> None:
        super().__init__(rows)
        self.taps = taps
        self.outputs = tuple(tap.name for tap in taps)

    @classmethod
    def of(cls, model: nn.Sequential, arch: Architecture) -> Self:
        """The backbone of a network that `build(arch)` made; it holds the same modules, not copies."""
        return cls(OrderedDict((name, model.get_submodule(name)) for name in needed(arch)), taps(arch))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) → one map a tap."""
        wanted, found = {tap.row for tap in self.taps}, []
        for name, row in self.named_children():
            x = row(x)
            if name in wanted:
                found.append(x)
        return found
