"""A network as a backbone: it returns feature maps at strides 4 to 64 instead of logits."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Self

from torch import Tensor, nn

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import ArchitectureError

STRIDES = (4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Tap:
    """A feature map: the row that returns it, its channels, and its stride in pixels of the image."""

    row: str
    channels: int
    reduction: int

    @property
    def name(self) -> str:
        """The name of the output."""
        return f"stride_{self.reduction}"


def taps(arch: Architecture, strides: tuple[int, ...] = STRIDES) -> tuple[Tap, ...]:
    """The last map at each stride, as in timm; strides that the network does not reach are left out.

    Raises ArchitectureError if it reaches none.
    """
    reduction, last = 1, {}
    for row, run in zip(arch.blocks, arch.row_strides(), strict=True):
        reduction *= run.stride
        last[reduction] = Tap(row.name, row.out, reduction)
    selected = tuple(last[stride] for stride in strides if stride in last)
    if not selected:
        raise ArchitectureError(
            f"features: the network has a total stride of {reduction} and maps are taken at strides "
            f"{', '.join(map(str, strides))}; add rows of stride 2."
        )
    return selected


def backbone_rows(arch: Architecture) -> list[str]:
    """The names of the rows up to the last one whose map is returned."""
    names = [row.name for row in arch.blocks]
    return names[: names.index(taps(arch)[-1].row) + 1]


class Backbone(nn.Sequential):
    """The rows up to the last tap: (B, 3, H, W) → a list of (B, channels, H/reduction, W/reduction).

    Parameters have the names that they have in the whole network.
    """

    def __init__(self, rows: OrderedDict[str, nn.Module], taps: tuple[Tap, ...]) -> None:
        super().__init__(rows)
        self.taps = taps

    @classmethod
    def of(cls, model: nn.Sequential, arch: Architecture) -> Self:
        """The backbone of a network that `build(arch)` returned; it shares the modules."""
        return cls(OrderedDict((name, model.get_submodule(name)) for name in backbone_rows(arch)), taps(arch))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) → one map per tap."""
        tapped, maps = {tap.row for tap in self.taps}, []
        for name, row in self.named_children():
            x = row(x)
            if name in tapped:
                maps.append(x)
        return maps
