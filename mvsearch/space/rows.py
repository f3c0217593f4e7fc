"""The rows of a space file: the kinds of block that each may be, and the variable that each of its fields is.

- name: layer2
  block: {choose: [mv2, mobilevit]}       layer2.block     open: one of two kinds
  out: {choose: [32, 48]}                 layer2.out       shared by both kinds
  repeat: {choose: [0, 1]}                layer2.repeat    0 leaves the row out
  mobilevit: {dim: 64, depth: 2}          layer2.mobilevit.dim, layer2.mobilevit.depth

A field under the name of a kind comes before the shared field of the same name.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from mvsearch.arch.blocks import MAX_LAYERS, Block
from mvsearch.arch.parsing import check_fields, known_block, read_row
from mvsearch.arch.schema import Domain
from mvsearch.errors import SpaceError
from mvsearch.space.row_groups import may_be_zero
from mvsearch.utils import plugins
from mvsearch.utils.text import join_words
from mvsearch.utils.yaml_document import Document, Place

SHAPE_FIELDS = ("out", "stride", "repeat")
"""The fields of every kind; `ROW.out` is the output of the row, whatever its kind is."""

_BLOCK = Domain("one of " + ", ".join(plugins.names("block")), lambda v: v in plugins.names("block"))
REPEAT = Domain(
    f"a whole number from 0 (the row is left out) to {MAX_LAYERS:,}", lambda v: type(v) is int and 0 <= v <= MAX_LAYERS
)


@dataclass(frozen=True)
class RowField:
    """A field of a row: its variable, its place in the file (None where it has its default), and its class."""

    variable: str
    place: Place | None
    block: type[Block] | None = None
    """The kind that the field belongs to; None for the kind itself."""
    shared: bool = True
    """Whether the field is written for the row, whatever its kind is."""

    @property
    def name(self) -> str:
        """The name of the field."""
        return self.variable.rpartition(".")[2]

    @property
    def domain(self) -> Domain:
        """The values that the field takes."""
        if self.block is None:
            return _BLOCK
        return REPEAT if self.shared and self.name == "repeat" else self.block.domains()[self.name]

    @property
    def default(self) -> Any:
        """The value where the file gives none; None if there is none."""
        return getattr(self.block, self.name, None)


@dataclass(frozen=True)
class SpaceRow:
    """A row. `kinds` are the classes that it may be, `fields` the fields of each kind, by their names.

    `optional` rows may be left out, by `repeat: 0`.
    """

    index: int
    name: str
    kinds: dict[str, type[Block]]
    fields: dict[str, dict[str, RowField]]
    optional: bool

    @property
    def block(self) -> RowField:
        """The kind of the row as a field."""
        return RowField(f"{self.name}.block", ("blocks", self.index, "block"))

    def written(self, kind: str) -> dict[str, RowField]:
        """The fields of a kind that the file gives a value."""
        return {name: field for name, field in self.fields[kind].items() if field.place is not None}

    def all_fields(self) -> Iterator[RowField]:
        """The fields of all kinds, each once."""
        by_variable = {field.variable: field for fields in self.fields.values() for field in fields.values()}
        return iter(by_variable.values())


def read_rows(document: Document) -> tuple[SpaceRow, ...]:
    """The rows of a space file; raises ArchitectureError or SpaceError for kinds and fields that do not exist."""
    rows: list[SpaceRow] = []
    for i in range(len(document.data["blocks"])):
        row = _read_row(document, i)
        if any(row.name == other.name for other in rows):
            where = document.where("blocks", i, "name")
            raise SpaceError(f"two rows are named {row.name!r}; rename one.", at=where)
        rows.append(row)
    return tuple(rows)


def _read_row(document: Document, i: int) -> SpaceRow:
    raw = read_row(document, i)
    kinds = {kind: known_block(document, kind, ("blocks", i, "block")) for kind in _kinds(document, i, raw["block"])}
    shared = dict.fromkeys(name for cls in kinds.values() for name in cls.domains())
    own = [kind for kind in raw if kind in plugins.names("block")]
    for kind in own:
        if kind not in kinds:
            raise SpaceError(
                f"this row is {join_words(kinds, 'or')}, never {kind}; remove these fields, or add {kind} to `block`.",
                at=document.where("blocks", i, kind),
            )
        check_fields(document, ("blocks", i, kind), raw[kind], [kinds[kind]])
    check_fields(document, ("blocks", i), raw, kinds.values(), ("name", "block", *kinds))
    fields = {kind: _fields(document, i, cls, kinds) for kind, cls in kinds.items()}
    read = {field.place for each in fields.values() for field in each.values()}
    for name in shared:
        if name in raw and ("blocks", i, name) not in read:
            having = " and ".join(kind for kind in own if name in raw[kind])
            raise SpaceError(
                f"`{name}` is written for the row and for each kind that has it, {having}; remove one of them.",
                at=document.where("blocks", i, name),
            )
    return SpaceRow(i, raw["name"], kinds, fields, may_be_zero(raw.get("repeat", 1)))


def _kinds(document: Document, i: int, block: Any) -> list[str]:
    """The kinds that `block` may be: a kind, an open value, the name of one under `vars:`, or that of another row."""
    rows = (read_row(document, number) for number in range(i))
    named = {**document.data.get("vars", {}), **{f"{row['name']}.block": row["block"] for row in rows}}
    while isinstance(block, str) and block not in plugins.names("block") and block in named:
        block = named.pop(block)
    kinds = block["choose"] if isinstance(block, dict) and list(block) == ["choose"] else [block]
    if not isinstance(kinds, list) or not kinds or any(not isinstance(kind, str) for kind in kinds):
        names = ", ".join(plugins.names("block"))
        raise SpaceError(
            f"found {block!r}; use one of {names}, or {{choose: [...]}} of several.",
            at=document.where("blocks", i, "block"),
        )
    return list(dict.fromkeys(kinds))


def _fields(document: Document, i: int, cls: type[Block], kinds: Collection[str]) -> dict[str, RowField]:
    raw, kind = document.data["blocks"][i], cls.kind()
    shared, own = raw["name"], f"{raw['name']}.{kind}"
    fields = {}
    for name in cls.domains():
        by_kind = [other for other in kinds if name in raw.get(other, {})]
        if name in SHAPE_FIELDS and by_kind and name in raw:
            raise SpaceError(
                f"`{name}` is written for the row and for {by_kind[0]}; write it for the row, or for each kind.",
                at=document.where("blocks", i, by_kind[0], name),
            )
        if kind in by_kind:
            fields[name] = RowField(f"{own}.{name}", ("blocks", i, kind, name), cls, shared=False)
        elif name in raw:
            fields[name] = RowField(f"{shared}.{name}", ("blocks", i, name), cls)
        elif name in cls.required():
            raise SpaceError(f"`{name}` is missing; {kind} requires it.", at=document.where("blocks", i))
        else:
            of_row = len(kinds) == 1 or (name in SHAPE_FIELDS and not by_kind)
            fields[name] = RowField(f"{shared if of_row else own}.{name}", None, cls, shared=False)
    return fields
