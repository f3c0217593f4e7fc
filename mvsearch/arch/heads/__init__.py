"""Heads: the part of a network after the rows, which gives classes, a class for every pixel, or boxes. No torch.

A file `heads/x.py` defines one class, `Head(BaseHead)`, a frozen dataclass whose fields are the keys of
`head: {kind: x, ...}`; `nn/x.py` holds the torch module of the same fields, as `HEAD`. To add a head, write these two
files. What builders, exporters and reports need to know about a head, `Head` declares in the members of `BaseHead`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from mvsearch.arch.cost import Cost, Num, Shape
from mvsearch.arch.schema import Schema
from mvsearch.errors import ArchitectureError
from mvsearch.utils import plugins

DEFAULT_KIND = "classification"
"""The head of an architecture whose file names none."""


@dataclass(frozen=True)
class Part:
    """A part of a head: its output shape and its cost."""

    name: str
    out: Shape
    cost: Cost


@dataclass(frozen=True)
class BaseHead(Schema):
    """A head. `image_size` and `num_classes` are the defaults of the task, those of its published models."""

    task: ClassVar[str]
    image_size: ClassVar[int]
    num_classes: ClassVar[int]
    pools_last_map: ClassVar[bool] = False
    """Whether the head pools the last map and reads no other.

    Then the network is a plain sequence of modules, its strides may be open in a search space, and a 1x1 convolution
    that widens the map before the head is part of the backbone.
    """
    outputs: ClassVar[tuple[str, ...]] = ("logits",)
    """The names of the tensors that the network returns."""
    class_axis: ClassVar[int] = 1
    """The axis of the first output that runs over the classes."""

    @property
    def max_stride(self) -> int | None:
        """The largest total stride of the rows; dilation replaces strides beyond it. None: no limit."""
        return None

    @property
    def classifies(self) -> bool:
        """Whether the head has a classifier; one without returns features."""
        return True

    def inputs(self, reductions: Sequence[int]) -> tuple[int, ...]:
        """The rows whose outputs the head reads, given how many times smaller than the image each output is.

        Raises ValueError, with a remedy, if no row has the size that the head needs.
        """
        return (len(reductions) - 1,)

    def parts(self, index: int, x: Shape, num_classes: Num, image: Shape) -> list[Part]:
        """The parts of the head that work on its input number `index`, for one image."""
        raise NotImplementedError

    def training_cost(self, index: int, x: Shape, num_classes: Num) -> Cost:
        """The cost of the parts on input number `index` that only training uses."""
        return Cost()

    def deploy(self) -> Self:
        """The head without the parts that only training uses."""
        return self

    def output_summary(self, parts: Sequence[Part], num_classes: int) -> str:
        """The output for an image of the default size, in words: `1000 classes`."""
        raise NotImplementedError

    def output_shapes(self, features: int, num_classes: int) -> str:
        """The symbolic shapes of the outputs, given the channels of the last map: `(B, 1000)`."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """The fields, as values."""
        return {name: getattr(self, name) for name in self.domains()}

    def identity(self) -> list[Any]:
        """The part of an architecture's key that identifies the head."""
        return [self.kind(), {name: value for name, value in self.settings().items() if name != "output_stride"}]

    def summary(self) -> str:
        """The settings in words: `out 256, output stride 16`."""
        return ""


def head_class(kind: str) -> type[BaseHead]:
    """The class of a kind of head; raises ArchitectureError if there is none."""
    head: type[BaseHead] = plugins.load("head", kind, error=ArchitectureError).Head
    return head


def row_at_stride(reductions: Sequence[int], stride: int, kind: str) -> int:
    """The last row whose output is `stride` times smaller than the image; ValueError if there is none."""
    rows = [i for i, reduction in enumerate(reductions) if reduction == stride]
    if not rows:
        raise ValueError(
            f"{kind} reads a map at stride {stride}, but the maps of the rows are at strides "
            f"{', '.join(map(str, dict.fromkeys(reductions)))}; add rows of stride 2"
        )
    return rows[-1]
