"""A network as rows: its structure, the shapes of its maps, its cost. No torch.

image ─ row ─ row ─ ... ─ head ─ logits of the image (classification) or of every pixel (segmentation), or boxes
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from mvsearch.arch.blocks import Block, block_class
from mvsearch.arch.cost import IMAGE_CHANNELS, Cost, Num, Shape
from mvsearch.arch.heads import DEFAULT_KIND, BaseHead, Part
from mvsearch.arch.heads.classification import Head as Head
from mvsearch.arch.parsing import MIN_IMAGE_SIZE, check_keys, parse_head, parse_name, parse_number, parse_rows
from mvsearch.arch.strides import RowStride, reductions, row_strides
from mvsearch.errors import ArchitectureError
from mvsearch.utils import yaml_document
from mvsearch.utils.atomic_write import write_whole
from mvsearch.utils.hashing import digest
from mvsearch.utils.yaml_document import Document

KEYS = ("name", "task", "image_size", "num_classes", "blocks", "head", "published")
FILE_NAME = "architecture.yaml"
"""The name of the file with the architecture in the folder of a training."""

_DEFAULT_HEAD = Head()


@dataclass(frozen=True)
class Layer:
    """One module to build: the `index`-th layer of a row, and its number of input channels."""

    name: str
    index: int
    block: str
    in_channels: int
    stride: int
    settings: dict[str, Any]
    dilation: int = 1

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that are part of the key of the architecture."""
        return block_class(self.block).identity(self.settings)


@dataclass(frozen=True)
class Stage:
    """The output shape and the cost of a row, or of a part of the head: one line of the table that `profile` prints.

    The classifier of a classification head is named `head`, a part of another head `head.NAME`.
    """

    name: str
    block: str
    out: Shape
    cost: Cost


@dataclass(frozen=True)
class Architecture:
    """A network without open values. Equal networks have equal keys, whatever the names of their rows."""

    blocks: tuple[Block, ...]
    head: BaseHead = _DEFAULT_HEAD
    image_size: Num = 256
    num_classes: int = 1000
    name: str | None = None

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The architecture in a YAML file; raises ArchitectureError or YamlError with file and line."""
        return cls.parse(yaml_document.read(Path(path)))

    def save(self, path: str | Path) -> None:
        """Write the architecture as YAML with its costs in a comment; `load` reads it with the same key."""
        cost = self.cost()
        comment = (
            f"# key {self.key}: {cost.params:,} parameters; at {self.image_size} px {cost.macs:,} MACs "
            f"({cost.macs_paper:,} as the MobileViTv3 paper counts)\n"
        )
        write_whole(Path(path), (comment + yaml_document.dump(self.to_dict())).encode())

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The architecture that `to_dict` wrote."""
        return cls.parse(Document(data))

    @classmethod
    def parse(cls, document: Document) -> Self:
        """The architecture in a document, every value checked."""
        data = document.data
        if "vars" in data or "where" in data or "contains" in data:
            raise ArchitectureError(
                "this file is a search space; `mvsearch space` reads it, STUDY:NUMBER names one network.",
                at=document.file,
            )
        check_keys(document, (), data, KEYS)
        blocks, head = parse_rows(document), parse_head(document)
        arch = cls(
            blocks=blocks,
            head=head,
            image_size=parse_number(document, "image_size", head.image_size, MIN_IMAGE_SIZE),
            num_classes=parse_number(document, "num_classes", head.num_classes, 1),
            name=parse_name(document),
        )
        try:
            arch.head_inputs()
        except ValueError as error:
            raise ArchitectureError(f"{error}.", at=document.where("head")) from None
        return arch

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a file spells them; `from_dict` reads them."""
        return {
            **({"name": self.name} if self.name else {}),
            "image_size": self.image_size,
            "num_classes": self.num_classes,
            "blocks": [_spell_row(block) for block in self.blocks],
            "head": _spell_head(self.head),
        }

    @cached_property
    def key(self) -> str:
        """Twelve hexadecimal digits that identify the network: same layers, head and sizes, same key."""
        network = [
            [
                [layer.block, layer.stride, layer.identity, *([layer.dilation] if layer.dilation > 1 else [])]
                for layer in self.layers()
            ],
            [*self.head.identity(), self.image_size, self.num_classes],
        ]
        return digest(network)

    @property
    def features(self) -> Num:
        """The number of output channels of the last row."""
        return self.blocks[-1].out

    @property
    def task(self) -> str:
        """The task of the network, which follows from its head."""
        return self.head.task

    def layers(self) -> list[Layer]:
        """Every module to build, in order, with repeats written out."""
        layers: list[Layer] = []
        width = IMAGE_CHANNELS
        for row, strides in zip(self.blocks, self.row_strides(), strict=True):
            first = width
            for i in range(row.repeat):
                dilation = (strides.dilation if i else strides.dilation_first) if row.supports_dilation else 1
                stride = strides.stride if i == 0 else 1
                settings = replace(row, stride=strides.stride).layer(i, first).settings()
                layers.append(Layer(row.name, i, row.kind(), width, stride, settings, dilation))
                width = row.out
        return layers

    def row_strides(self) -> list[RowStride]:
        """The stride and dilation of each row under the head."""
        return row_strides([row.stride for row in self.blocks], self.head.max_stride)

    def head_inputs(self) -> tuple[int, ...]:
        """The rows, by number, whose outputs the head reads; raises ValueError if no row has the size it needs."""
        return self.head.inputs(reductions([row.stride for row in self.blocks]))

    def head_parts(self, maps: Sequence[Shape]) -> list[Part]:
        """The head's parts, given the output shape of each row."""
        image = Shape(IMAGE_CHANNELS, self.image_size, self.image_size)
        return [
            part
            for i, row in enumerate(self.head_inputs())
            for part in self.head.parts(i, maps[row], self.num_classes, image)
        ]

    def deploy(self) -> Self:
        """The network without the parts that only training uses."""
        return replace(self, blocks=tuple(row.deploy() for row in self.blocks), head=self.head.deploy())

    def stages(self) -> list[Stage]:
        """Shape and cost of every row, then of the head or its parts."""
        stages: list[Stage] = []
        x = Shape(IMAGE_CHANNELS, self.image_size, self.image_size)
        for row, strides in zip(self.blocks, self.row_strides(), strict=True):
            row_cost, x = replace(row, stride=strides.stride).cost(x)
            stages.append(Stage(row.name, row.kind(), x, row_cost))
        parts = self.head_parts([stage.out for stage in stages])
        if self.head.pools_last_map:
            return [*stages, *(Stage("head", "head", part.out, part.cost) for part in parts)]
        return [*stages, *(Stage(f"head.{part.name}", self.head.kind(), part.out, part.cost) for part in parts)]

    def training_cost(self) -> Cost:
        """The cost of what only training uses (an auxiliary classifier, branches), which `cost` leaves out."""
        maps = [Shape(IMAGE_CHANNELS, self.image_size, self.image_size), *(stage.out for stage in self.stages())]
        rows = [
            replace(row, stride=strides.stride).training_cost(x)
            for row, strides, x in zip(self.blocks, self.row_strides(), maps, strict=False)
        ]
        inputs = [maps[i + 1] for i in self.head_inputs()]
        heads = [self.head.training_cost(i, x, self.num_classes) for i, x in enumerate(inputs)]
        return sum((*rows, *heads), Cost())

    def cost(self) -> Cost:
        """Parameters and multiply-accumulates of the whole network, for one image of `image_size`."""
        return sum((stage.cost for stage in self.stages()), Cost())

    def metrics(self) -> dict[str, int]:
        """The cost as it is stored with a candidate."""
        total = self.cost()
        counted = {"operators": total.operators} if self.task == "classification" else {}
        return {"params": total.params, "macs": total.macs, "macs_paper": total.macs_paper, **counted}

    def at(self, *, image_size: int | None = None, num_classes: int | None = None) -> Self:
        """The same rows for another image size or another number of classes."""
        return replace(self, image_size=image_size or self.image_size, num_classes=num_classes or self.num_classes)

    def with_head(self, head: BaseHead, *, image_size: int | None = None, num_classes: int | None = None) -> Self:
        """The same backbone with another head, by default with the head's image size and number of classes.

        For a head that does not pool the last map, the last 1x1 convolutions are left out, as the authors do: they
        only widen the map for a classifier. Raises ArchitectureError if the head needs a map that no row produces.
        """
        rows = list(self.blocks)
        while not head.pools_last_map and len(rows) > 1 and rows[-1].only_widens:
            rows.pop()
        arch = replace(
            self,
            blocks=tuple(rows),
            head=head,
            image_size=image_size or head.image_size,
            num_classes=num_classes or head.num_classes,
        )
        try:
            arch.head_inputs()
        except ValueError as error:
            raise ArchitectureError(f"{self.name or self.key}: {error}.") from None
        return arch


def _spell_row(block: Block) -> dict[str, Any]:
    fields = block.spell()
    shown = {field: value for field, value in fields.items() if field not in ("stride", "repeat") or value != 1}
    return {"name": block.name, "block": block.kind(), **shown}


def _spell_head(head: BaseHead) -> dict[str, Any]:
    kind = {} if head.kind() == DEFAULT_KIND else {"kind": head.kind()}
    return kind | head.spell()
