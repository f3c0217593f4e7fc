"""Heads, light: what stands behind the rows and gives the answer. Classes, a class for every pixel, or boxes. No torch.

One file a kind. A file `heads/x.py` defines one class, `Head(BaseHead)`, a frozen dataclass whose fields are the YAML
schema of `head: {kind: x, ...}`; `nn/x.py` holds the torch module of the same fields, as `HEAD`. To add a head, write
these two files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from mvsearch.arch.blocks import Schema
from mvsearch.arch.cost import Cost, Num, Shape


@dataclass(frozen=True)
class Part:
    """A part of a head: what comes out of it and what it costs."""

    name: str
    out: Shape
    cost: Cost


@dataclass(frozen=True)
class BaseHead(Schema):
    """What every head has.

    `task` is what it is for; `image_size` and `num_classes` hold where a file does not give them, and follow the
    published models of the task.
    """

    task: ClassVar[str]
    image_size: ClassVar[int]
    num_classes: ClassVar[int]

    @property
    def most_stride(self) -> int | None:
        """Rows that would stride beyond it are dilated instead; None lets all stride."""
        return None

    @property
    def classifies(self) -> bool:
        """Whether it tells classes apart, rather than giving features."""
        return True

    def reads(self, reductions: Sequence[int]) -> tuple[int, ...]:
        """Which rows' maps it reads, given by how much each row's map is reduced by the strides that are written.

        Raises ValueError, saying what would do, if a map that it needs is not there.
        """
        return (len(reductions) - 1,)

    def parts(self, nth: int, x: Shape, num_classes: Num, image: Shape) -> list[Part]:
        """Its parts that work on the nth map it reads, for one image."""
        raise NotImplementedError

    def training_cost(self, nth: int, x: Shape, num_classes: Num) -> Cost:
        """What it has on the nth map for training alone, and a finished network does without."""
        return Cost()

    def deployed(self) -> Self:
        """The head without what it has for training alone."""
        return self

    def gives(self, parts: Sequence[Part], num_classes: int) -> str:
        """What comes out, for a person: `1000 classes`."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """The fields, as values."""
        return {name: getattr(self, name) for name in self.domains()}

    def identity(self) -> list[Any]:
        """What tells it from other heads, in an architecture's key."""
        return [self.kind(), {name: value for name, value in self.settings().items() if name != "output_stride"}]

    def words(self) -> str:
        """What a reader is told of it beside its kind: `out 256, output stride 16`."""
        return ""


def at_reduction(reductions: Sequence[int], wanted: int, kind: str) -> int:
    """The last row whose map is reduced so much; ValueError if there is none."""
    found = [i for i, reduction in enumerate(reductions) if reduction == wanted]
    if not found:
        raise ValueError(
            f"{kind} reads a map at stride {wanted}, and the rows' maps are at strides "
            f"{', '.join(map(str, dict.fromkeys(reductions)))}; let the rows stride by 2 so often"
        )
    return found[-1]
