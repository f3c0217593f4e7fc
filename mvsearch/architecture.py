"""A network as rows: what it is, which shapes it makes, what it costs. No torch.

image ─ row ─ row ─ ... ─ head (pool, dropout, linear) ─ logits
"""

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from mvsearch import cost, plugins, yamlfile
from mvsearch.blocks import Block, Domain
from mvsearch.cost import Cost, Num, Shape
from mvsearch.errors import ArchitectureError
from mvsearch.yamlfile import Document

KEYS = ("name", "image_size", "num_classes", "blocks", "head", "published")
IMAGE_CHANNELS = 3


@dataclass(frozen=True)
class Head:
    """Pooling over the map (`mean` or `max`), dropout, and a linear classifier, or none: then features come out."""

    pool: str = "mean"
    dropout: float = 0.0
    linear: bool = True

    def cost(self, channels: Num, num_classes: int) -> Cost:
        """The classifier's cost, for one image."""
        return cost.linear(channels, num_classes, 1) if self.linear else Cost()


@dataclass(frozen=True)
class Layer:
    """One module to build: the `index`-th copy of a row, and what comes in."""

    name: str
    index: int
    block: str
    in_channels: int
    stride: int
    settings: dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """One row of the table that `profile` prints: what comes out of a row and what it costs."""

    name: str
    block: str
    out: Shape
    cost: Cost


@dataclass(frozen=True)
class Architecture:
    """A network with nothing open. Equal networks have equal keys, whatever their rows are called."""

    blocks: tuple[Block, ...]
    head: Head = Head()
    image_size: Num = 256
    num_classes: int = 1000
    name: str | None = None

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The architecture in a YAML file; raises ArchitectureError or YamlError with file and line."""
        return cls.parse(yamlfile.read(Path(path)))

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
                f"{document.file}: is a search space; `mvsearch space` reads it, STUDY:NUMBER names one network."
            )
        _known_keys(document, (), data, KEYS)
        rows = data.get("blocks")
        if not isinstance(rows, list) or not rows:
            raise ArchitectureError(f"{document.where('blocks')}: found no rows; `blocks:` is a list with one or more.")
        blocks: list[Block] = []
        for i in range(len(rows)):
            width = blocks[-1].out if blocks else IMAGE_CHANNELS
            blocks.append(_parse_row(document, i, width, {block.name for block in blocks}))
        return cls(
            blocks=tuple(blocks),
            head=_parse_head(document),
            image_size=_number(document, "image_size", 256, 32),
            num_classes=_number(document, "num_classes", 1000, 1),
            name=_parse_name(document),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a file spells them; `from_dict` reads them back."""
        return {
            **({"name": self.name} if self.name else {}),
            "image_size": self.image_size,
            "num_classes": self.num_classes,
            "blocks": [_spell(block) for block in self.blocks],
            "head": {"pool": self.head.pool, "dropout": self.head.dropout, "linear": self.head.linear},
        }

    @property
    def key(self) -> str:
        """Twelve hexadecimal digits that name the network: same layers, same head, same sizes, same key."""
        network = [
            [[layer.block, layer.stride, layer.settings] for layer in self.layers()],
            [self.head.pool, self.head.dropout, self.head.linear, self.image_size, self.num_classes],
        ]
        return hashlib.sha256(json.dumps(network, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def features(self) -> Num:
        """Channels that the last row makes."""
        return self.blocks[-1].out

    def layers(self) -> list[Layer]:
        """Every module to build, in order; repeats written out."""
        made: list[Layer] = []
        width = IMAGE_CHANNELS
        for row in self.blocks:
            for i in range(row.repeat):
                made.append(Layer(row.name, i, row.kind(), width, row.stride if i == 0 else 1, row.settings()))
                width = row.out
        return made

    def stages(self) -> list[Stage]:
        """Shape and cost of every row, then of the head."""
        made: list[Stage] = []
        x = Shape(IMAGE_CHANNELS, self.image_size, self.image_size)
        for row in self.blocks:
            row_cost, x = row.cost(x)
            made.append(Stage(row.name, row.kind(), x, row_cost))
        classes = self.num_classes if self.head.linear else x.channels
        return [*made, Stage("head", "head", Shape(classes, 1, 1), self.head.cost(x.channels, self.num_classes))]

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


def _known_keys(document: Document, place: tuple[str | int, ...], found: Any, known: tuple[str, ...]) -> None:
    if not isinstance(found, dict):
        raise ArchitectureError(f"{document.where(*place)}: found {found!r} where a mapping should stand.")
    for key in found:
        if key not in known:
            raise ArchitectureError(f"{document.where(*place, key)}: no such field; {plugins.suggest(key, known)}")


def _number(document: Document, key: str, default: int, low: int) -> int:
    value = document.data.get(key, default)
    if type(value) is not int or value < low:
        raise ArchitectureError(f"{document.where(key)}: found {value!r}; use a whole number from {low}.")
    return value


def _parse_name(document: Document) -> str | None:
    name = document.data.get("name")
    # It becomes the name of files.
    if name is not None and not (isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", name)):
        raise ArchitectureError(f"{document.where('name')}: found {name!r}; use letters, digits, _ . and -.")
    return name


def _parse_head(document: Document) -> Head:
    raw = document.data.get("head", {})
    _known_keys(document, ("head",), raw, ("pool", "dropout", "linear"))
    head = Head(**raw)
    if head.pool not in ("mean", "max"):
        raise ArchitectureError(f"{document.where('head', 'pool')}: found {head.pool!r}; use mean or max.")
    if type(head.dropout) not in (int, float) or not 0 <= head.dropout < 1:
        raise ArchitectureError(f"{document.where('head', 'dropout')}: found {head.dropout!r}; use 0 to below 1.")
    if type(head.linear) is not bool:
        raise ArchitectureError(f"{document.where('head', 'linear')}: found {head.linear!r}; use true or false.")
    return replace(head, dropout=float(head.dropout))


def row_class(document: Document, i: int) -> type[Block]:
    """The class of a raw row; raises ArchitectureError if its `block` or one of its fields does not exist."""
    raw = document.data["blocks"][i]
    if not isinstance(raw, dict):
        raise ArchitectureError(f"{document.where('blocks', i)}: found {raw!r}; a row is {{name, block, out, ...}}.")
    for needed in ("name", "block"):
        if not isinstance(raw.get(needed), str):
            raise ArchitectureError(f"{document.where('blocks', i)}: the row has no `{needed}`; give it one.")
    if not raw["name"].isidentifier() or raw["name"] == "head":
        raise ArchitectureError(
            f"{document.where('blocks', i, 'name')}: {raw['name']!r} cannot name a row; use letters, digits and _ "
            "(and not `head`)."
        )
    if raw["block"] not in plugins.names("blocks"):
        hint = plugins.suggest(raw["block"], plugins.names("blocks"))
        raise ArchitectureError(f"{document.where('blocks', i, 'block')}: there is no block {raw['block']!r}; {hint}")
    cls: type[Block] = plugins.load("blocks", raw["block"]).Row
    _known_keys(document, ("blocks", i), raw, ("name", "block", *cls.domains()))
    for needed in cls.required():
        if needed not in raw:
            raise ArchitectureError(f"{document.where('blocks', i)}: `{needed}` is missing; {cls.kind()} needs it.")
    return cls


def _parse_row(document: Document, i: int, width: int, taken: set[str]) -> Block:
    cls = row_class(document, i)
    raw = document.data["blocks"][i]
    if raw["name"] in taken:
        raise ArchitectureError(f"{document.where('blocks', i, 'name')}: {raw['name']!r} names two rows; rename one.")
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
            raise ArchitectureError(f"{document.where('blocks', i, at)}: {rule.says.format(**facts)}")
    return block


def _read(document: Document, domain: Domain, value: Any, place: tuple[str | int, ...]) -> Any:
    try:
        return domain.read(value)
    except ValueError as error:
        hint = ""
        if isinstance(value, dict):
            hint = " (an open value: this file is a search space, see `mvsearch space`)"
        raise ArchitectureError(f"{document.where(*place)}: found {value!r}{hint}; {error}.") from None


def _spell(block: Block) -> dict[str, Any]:
    domains = block.domains()
    written = {field: domains[field].write(getattr(block, field)) for field in domains}
    shown = {field: value for field, value in written.items() if field not in ("stride", "repeat") or value != 1}
    return {"name": block.name, "block": block.kind(), **shown}
