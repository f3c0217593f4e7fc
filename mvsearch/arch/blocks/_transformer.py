"""What blocks with transformer layers among their convolutions share: MobileViT's and MobileViTv2's."""

from dataclasses import replace
from typing import Any, ClassVar, Self

from mvsearch.arch import cost
from mvsearch.arch.blocks import KEEPS_SHAPE, Block
from mvsearch.arch.cost import Cost, Shape
from mvsearch.arch.schema import Rule


class TransformerRow(Block):
    """A row of `depth` transformer layers of `dim` channels, whose batch norms can be inside the layers after them."""

    dim: int
    depth: int
    norm: str
    merged: bool

    rules: ClassVar[tuple[Rule, ...]] = KEEPS_SHAPE
    inactive_when: ClassVar[dict[str, tuple[str, Any]]] = {"merged": ("norm", "layer")}
    later_fields: ClassVar[frozenset[str]] = frozenset({"act", "norm", "merged"})
    width_fields: ClassVar[tuple[str, ...]] = ("dim",)
    proportional_fields: ClassVar[dict[str, str]] = {"ffn": "dim"}
    depth_field: ClassVar[str] = "depth"
    attention_field: ClassVar[str | None] = "dim"

    def deploy(self) -> Self:
        """The row with batch norms inside the layers after them."""
        merged: dict[str, Any] = {"merged": True}  # a field of every row, declared by its own class
        return replace(self, **merged) if self.norm == "batch" else self

    def training_cost(self, x: Shape) -> Cost:
        """The batch norms of the transformer."""
        norms = 1 * (self.norm == "batch") * (1 - 1 * self.merged) * (2 * self.depth + 1)
        return cost.norm(self.dim).times(norms * self.repeat)
