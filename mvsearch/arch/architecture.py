"""A network as rows: what it is, which shapes it makes, what it costs. No torch.

image ─ row ─ row ─ ... ─ head ─ logits of the image (classification) or of every pixel (segmentation), or boxes
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import mul
from pathlib import Path
from typing import Any, Self

from mvsearch.arch.blocks import Block, Domain
from mvsearch.arch.cost import Cost, Num, Shape
from mvsearch.arch.heads import BaseHead, Part
from mvsearch.arch.heads.classification import Head as Head  # the head that is meant where none is named
from mvsearch.errors import ArchitectureError
from mvsearch.utils import plugins, yaml_document
from mvsearch.utils.atomic_write import write_whole
from mvsearch.utils.yaml_document import Document

KEYS = ("name", "task", "image_size", "num_classes", "blocks", "head", "published")
IMAGE_CHANNELS = 3
_HEAD = Head()


@dataclass(frozen=True)
class Layer:
    """One module to build: the `index`-th copy of a row, and what comes in."""

    name: str
    index: int
    block: str
    in_channels: int
    stride: int
    settings: dict[str, Any]
    dilation: int = 1


@dataclass(frozen=True)
class Stage:
    """One row of the table that `profile` prints: what comes out of a row, or of a part of the head, and what it costs.

    The classifier of a classification head is `head`, a part of another head `head.NAME`.
    """

    name: str
    block: str
    out: Shape
    cost: Cost


@dataclass(frozen=True)
class Architecture:
    """A network with nothing open. Equal networks have equal keys, whatever their rows are called."""

    blocks: tuple[Block, ...]
    head: BaseHead = _HEAD
    image_size: Num = 256
    num_classes: int = 1000
    name: str | None = None

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The architecture in a YAML file; raises ArchitectureError or YamlError with file and line."""
        return cls.parse(yaml_document.read(Path(path)))

    def save(self, path: str | Path) -> None:
        """Write the architecture as YAML with its costs in a comment; `load` reads it back with the same key."""
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
                "is a search space; `mvsearch space` reads it, STUDY:NUMBER names one network.", at=document.file
            )
        _known_keys(document, (), data, KEYS)
        rows = data.get("blocks")
        if not isinstance(rows, list) or not rows:
            raise ArchitectureError("found no rows; `blocks:` is a list with one or more.", at=document.where("blocks"))
        blocks: list[Block] = []
        for i in range(len(rows)):
            width = blocks[-1].out if blocks else IMAGE_CHANNELS
            blocks.append(_parse_row(document, i, width, {block.name for block in blocks}))
        head = parse_head(document)
        made = cls(
            blocks=tuple(blocks),
            head=head,
            image_size=_number(document, "image_size", head.image_size, 32),
            num_classes=_number(document, "num_classes", head.num_classes, 1),
            name=_parse_name(document),
        )
        try:
            made.read_rows()
        except ValueError as error:
            raise ArchitectureError(f"{error}.", at=document.where("head")) from None
        return made

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a file spells them; `from_dict` reads them back."""
        return {
            **({"name": self.name} if self.name else {}),
            "image_size": self.image_size,
            "num_classes": self.num_classes,
            "blocks": [_spell(block) for block in self.blocks],
            "head": _spell_head(self.head),
        }

    @property
    def key(self) -> str:
        """Twelve hexadecimal digits that name the network: same layers, same head, same sizes, same key."""
        network = [
            [
                [layer.block, layer.stride, layer.settings, *([layer.dilation] if layer.dilation > 1 else [])]
                for layer in self.layers()
            ],
            [*self.head.identity(), self.image_size, self.num_classes],
        ]
        return hashlib.sha256(json.dumps(network, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def features(self) -> Num:
        """Channels that the last row makes."""
        return self.blocks[-1].out

    @property
    def task(self) -> str:
        """What the network is for, which follows from its head."""
        return self.head.task

    def layers(self) -> list[Layer]:
        """Every module to build, in order; repeats written out, strides as they run."""
        made: list[Layer] = []
        width = IMAGE_CHANNELS
        for row, run in zip(self.blocks, self.runs(), strict=True):
            for i in range(row.repeat):
                dilation = (run.dilation if i else run.dilation_first) if row.dilates else 1
                stride = run.stride if i == 0 else 1
                made.append(Layer(row.name, i, row.kind(), width, stride, row.settings(), dilation))
                width = row.out
        return made

    def runs(self) -> "list[Run]":
        """How each row runs under the head."""
        return runs([row.stride for row in self.blocks], self.head.most_stride)

    def read_rows(self) -> tuple[int, ...]:
        """The rows, by number, whose maps the head reads; ValueError if one that it needs is not there."""
        return self.head.reads(reductions([row.stride for row in self.blocks]))

    def head_parts(self, maps: Sequence[Shape]) -> list[Part]:
        """The head's parts, given what comes out of each row."""
        image = Shape(IMAGE_CHANNELS, self.image_size, self.image_size)
        return [
            part
            for nth, i in enumerate(self.read_rows())
            for part in self.head.parts(nth, maps[i], self.num_classes, image)
        ]

    def deployed(self) -> Self:
        """The network without what its head has for training alone."""
        return replace(self, head=self.head.deployed())

    def stages(self) -> list[Stage]:
        """Shape and cost of every row, then of the head or its parts."""
        made: list[Stage] = []
        x = Shape(IMAGE_CHANNELS, self.image_size, self.image_size)
        for row, run in zip(self.blocks, self.runs(), strict=True):
            row_cost, x = replace(row, stride=run.stride).cost(x)
            made.append(Stage(row.name, row.kind(), x, row_cost))
        parts = self.head_parts([stage.out for stage in made])
        if self.task == "classification":
            return [*made, *(Stage("head", "head", part.out, part.cost) for part in parts)]
        return [*made, *(Stage(f"head.{part.name}", self.head.kind(), part.out, part.cost) for part in parts)]

    def training_cost(self) -> Cost:
        """What the head has for training alone, which `cost` leaves out: an auxiliary classifier."""
        stages = self.stages()
        maps = [stages[i].out for i in self.read_rows()]
        return sum((self.head.training_cost(nth, x, self.num_classes) for nth, x in enumerate(maps)), Cost())

    def cost(self) -> Cost:
        """Parameters and multiply-accumulates of the whole network, for one image of `image_size`."""
        return sum((stage.cost for stage in self.stages()), Cost())

    def metrics(self) -> dict[str, int]:
        """The cost as it is stored with a candidate."""
        total = self.cost()
        return {"params": total.params, "macs": total.macs, "macs_paper": total.macs_paper}

    def at(self, *, image_size: int | None = None, num_classes: int | None = None) -> Self:
        """The same rows for other images or other classes."""
        return replace(self, image_size=image_size or self.image_size, num_classes=num_classes or self.num_classes)

    def with_head(self, head: BaseHead, *, image_size: int | None = None, num_classes: int | None = None) -> Self:
        """The same backbone under another head, by default at the size and for the classes that its task goes with.

        For another task than classification the 1x1 convolution that only widens the map for a classifier is left out,
        as the authors do. Raises ArchitectureError if the head needs a map that no row makes.
        """
        rows = list(self.blocks)
        while head.task != "classification" and len(rows) > 1 and _only_widens(rows[-1]):
            rows.pop()
        made = replace(
            self,
            blocks=tuple(rows),
            head=head,
            image_size=image_size or head.image_size,
            num_classes=num_classes or head.num_classes,
        )
        try:
            made.read_rows()
        except ValueError as error:
            raise ArchitectureError(f"{self.name or self.key}: {error}.") from None
        return made


@dataclass(frozen=True)
class Run:
    """How a row runs: its stride, and the dilation of its first layer and of those behind."""

    stride: Num
    dilation_first: int = 1
    dilation: int = 1


def runs(strides: Sequence[Num], most: int | None) -> list[Run]:
    """How rows run that may stride by `most` in all: a stride that goes beyond is replaced by dilation of what follows.

    >>> runs([2, 2, 2], 4)[2]
    Run(stride=1, dilation_first=1, dilation=2)
    """
    if most is None:
        return [Run(stride) for stride in strides]
    made: list[Run] = []
    reduction = dilation = 1
    for stride in strides:
        before = dilation
        if reduction * stride > most:
            stride, dilation = 1, dilation * stride
        reduction *= stride
        made.append(Run(stride, before, dilation))
    return made


def reductions(strides: Sequence[Num]) -> list[Num]:
    """By how much the map behind each row is smaller than the image, every stride taken."""
    return list(accumulate(strides, mul))


def _only_widens(row: Block) -> bool:
    return row.kind() == "conv" and row.settings()["kernel"] == 1 and row.stride == 1


def _known_keys(document: Document, place: tuple[str | int, ...], found: Any, known: tuple[str, ...]) -> None:
    if not isinstance(found, dict):
        raise ArchitectureError(f"found {found!r} where a mapping should stand.", at=document.where(*place))
    for key in found:
        if key not in known:
            raise ArchitectureError(f"no such field; {plugins.suggest(key, known)}", at=document.where(*place, key))


def _number(document: Document, key: str, default: int, low: int) -> int:
    value = document.data.get(key, default)
    if type(value) is not int or value < low:
        raise ArchitectureError(f"found {value!r}; use a whole number from {low}.", at=document.where(key))
    return value


def _parse_name(document: Document) -> str | None:
    name = document.data.get("name")
    # It becomes the name of files.
    if name is not None and not (isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", name)):
        raise ArchitectureError(f"found {name!r}; use letters, digits, _ . and -.", at=document.where("name"))
    return name


def parse_head(document: Document) -> BaseHead:
    """The head in a document, and that its `task:` is the head's; raises ArchitectureError with file and line."""
    raw = document.data.get("head", {})
    kind = raw.get("kind", "classification") if isinstance(raw, dict) else "classification"
    kinds = plugins.names("head")
    if kind not in kinds:
        hint = plugins.suggest(str(kind), kinds)
        raise ArchitectureError(f"there is no head {kind!r}; {hint}", at=document.where("head", "kind"))
    cls: type[BaseHead] = plugins.load("head", kind).Head
    _known_keys(document, ("head",), raw, ("kind", *cls.domains()))
    domains = cls.domains()
    values = {key: _read(document, domains[key], value, ("head", key)) for key, value in raw.items() if key != "kind"}
    _check_task(document, cls)
    return cls(**values)


def _check_task(document: Document, cls: type[BaseHead]) -> None:
    task = document.data.get("task", cls.task)
    if task == cls.task:
        return
    others: dict[str, list[str]] = {}
    for kind in plugins.names("head"):
        others.setdefault(plugins.load("head", kind).Head.task, []).append(kind)
    where = document.where("task")
    if not isinstance(task, str) or task not in others:
        raise ArchitectureError(f"there is no task {task!r}; {plugins.suggest(str(task), list(others))}", at=where)
    would = " or ".join(f"head: {{kind: {kind}}}" for kind in others[task])
    raise ArchitectureError(f"found {task}, but the head is for {cls.task} ({cls.kind()}); use {would}.", at=where)


def _spell_head(head: BaseHead) -> dict[str, Any]:
    domains = head.domains()
    kind = {} if isinstance(head, Head) else {"kind": head.kind()}
    return kind | {field: domains[field].write(getattr(head, field)) for field in domains}


def row_class(document: Document, i: int) -> type[Block]:
    """The class of a raw row; raises ArchitectureError if its `block` or one of its fields does not exist."""
    raw = document.data["blocks"][i]
    if not isinstance(raw, dict):
        raise ArchitectureError(f"found {raw!r}; a row is {{name, block, out, ...}}.", at=document.where("blocks", i))
    for needed in ("name", "block"):
        if not isinstance(raw.get(needed), str):
            raise ArchitectureError(f"the row has no `{needed}`; give it one.", at=document.where("blocks", i))
    if not raw["name"].isidentifier() or raw["name"] == "head":
        raise ArchitectureError(
            f"{raw['name']!r} cannot name a row; use letters, digits and _ (and not `head`).",
            at=document.where("blocks", i, "name"),
        )
    if raw["block"] not in plugins.names("block"):
        hint = plugins.suggest(raw["block"], plugins.names("block"))
        raise ArchitectureError(f"there is no block {raw['block']!r}; {hint}", at=document.where("blocks", i, "block"))
    cls: type[Block] = plugins.load("block", raw["block"]).Row
    _known_keys(document, ("blocks", i), raw, ("name", "block", *cls.domains()))
    for needed in cls.required():
        if needed not in raw:
            raise ArchitectureError(f"`{needed}` is missing; {cls.kind()} needs it.", at=document.where("blocks", i))
    return cls


def _parse_row(document: Document, i: int, width: int, taken: set[str]) -> Block:
    cls = row_class(document, i)
    raw = document.data["blocks"][i]
    if raw["name"] in taken:
        raise ArchitectureError(f"{raw['name']!r} names two rows; rename one.", at=document.where("blocks", i, "name"))
    values = {
        field: _read(document, domain, raw[field], ("blocks", i, field))
        for field, domain in cls.domains().items()
        if field in raw
    }
    block = cls(name=raw["name"], **values)
    for rule in cls.rules:
        facts = {field: width if field == "width" else getattr(block, field) for field in rule.fields}
        if not rule.holds(**facts):
            at = next(field for field in reversed(rule.fields) if field in raw)
            raise ArchitectureError(f"{rule.says.format(**facts)}", at=document.where("blocks", i, at))
    return block


def _read(document: Document, domain: Domain, value: Any, place: tuple[str | int, ...]) -> Any:
    try:
        return domain.read(value)
    except ValueError as error:
        hint = ""
        if isinstance(value, dict):
            hint = " (an open value: this file is a search space, see `mvsearch space`)"
        raise ArchitectureError(f"found {value!r}{hint}; {error}.", at=document.where(*place)) from None


def _spell(block: Block) -> dict[str, Any]:
    domains = block.domains()
    written = {field: domains[field].write(getattr(block, field)) for field in domains}
    shown = {field: value for field, value in written.items() if field not in ("stride", "repeat") or value != 1}
    return {"name": block.name, "block": block.kind(), **shown}
