"""Read the rows and the head of an architecture file; every error names the file, the line and the key."""

import re
from collections.abc import Iterable
from typing import Any

from mvsearch.arch.blocks import Block, block_class
from mvsearch.arch.cost import IMAGE_CHANNELS
from mvsearch.arch.heads import DEFAULT_KIND, BaseHead, head_class
from mvsearch.arch.schema import Domain
from mvsearch.errors import ArchitectureError
from mvsearch.utils import plugins
from mvsearch.utils.text import join_words
from mvsearch.utils.yaml_document import Document, Place

MIN_IMAGE_SIZE = 32
"""The smallest side of an image: the rows of every published model halve it five times."""


def check_keys(document: Document, place: Place, value: Any, known: tuple[str, ...]) -> None:
    """Raise ArchitectureError if the value at a place is not a mapping, or has a key that is not known."""
    if not isinstance(value, dict):
        raise ArchitectureError(f"found {value!r}; use a mapping.", at=document.where(*place))
    for key in value:
        if key not in known:
            hint = plugins.suggest(key, known)
            raise ArchitectureError(f"unknown field {key!r}; {hint}", at=document.where(*place, key))


def check_fields(
    document: Document, place: Place, value: Any, kinds: Iterable[type[Block]], others: tuple[str, ...] = ()
) -> None:
    """Like `check_keys`, for the fields of some kinds of block and for other keys; a field of other kinds is named."""
    kinds = tuple(kinds)
    fields = tuple(dict.fromkeys(name for cls in kinds for name in cls.domains()))
    for key in value if isinstance(value, dict) else ():
        if key in fields or key in others:
            continue
        owners = [kind for kind in plugins.names("block") if key in block_class(kind).domains()]
        if owners:
            own = join_words((cls.kind() for cls in kinds), "or")
            raise ArchitectureError(
                f"{key!r} is a field of {', '.join(owners)}, not of {own}; choose one of: {', '.join(fields)}.",
                at=document.where(*place, key),
            )
    check_keys(document, place, value, (*others, *fields))


def parse_number(document: Document, key: str, default: int, low: int) -> int:
    """A whole number at the top of the file."""
    value = document.data.get(key, default)
    if type(value) is not int or value < low:
        raise ArchitectureError(f"found {value!r}; use a whole number from {low}.", at=document.where(key))
    return value


def parse_name(document: Document) -> str | None:
    """The name of the architecture, which also becomes a file name; None if the file gives none."""
    name = document.data.get("name")
    if name is not None and not (isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", name)):
        raise ArchitectureError(f"found {name!r}; use letters, digits, _ . and -.", at=document.where("name"))
    return name


def parse_head(document: Document) -> BaseHead:
    """The head of a document, whose task must be that of `task:`."""
    raw = document.data.get("head", {})
    kind = raw.get("kind", DEFAULT_KIND) if isinstance(raw, dict) else DEFAULT_KIND
    kinds = plugins.names("head")
    if kind not in kinds:
        hint = plugins.suggest(str(kind), kinds)
        raise ArchitectureError(f"unknown head {kind!r}; {hint}", at=document.where("head", "kind"))
    cls = head_class(kind)
    domains = cls.domains()
    check_keys(document, ("head",), raw, ("kind", *domains))
    values = {key: _read(document, domains[key], value, ("head", key)) for key, value in raw.items() if key != "kind"}
    _check_task(document, cls)
    return cls(**values)


def _check_task(document: Document, cls: type[BaseHead]) -> None:
    task = document.data.get("task", cls.task)
    if task == cls.task:
        return
    kinds: dict[str, list[str]] = {}
    for kind in plugins.names("head"):
        kinds.setdefault(head_class(kind).task, []).append(kind)
    where = document.where("task")
    if not isinstance(task, str) or task not in kinds:
        raise ArchitectureError(f"unknown task {task!r}; {plugins.suggest(str(task), list(kinds))}", at=where)
    heads = " or ".join(f"head: {{kind: {kind}}}" for kind in kinds[task])
    raise ArchitectureError(f"found {task}, but the head {cls.kind()} is for {cls.task}; use {heads}.", at=where)


def parse_rows(document: Document) -> tuple[Block, ...]:
    """The rows of a document, in order."""
    rows = document.data.get("blocks")
    if not isinstance(rows, list) or not rows:
        raise ArchitectureError("found no rows; `blocks:` is a list with one or more.", at=document.where("blocks"))
    blocks: list[Block] = []
    for i in range(len(rows)):
        width = blocks[-1].out if blocks else IMAGE_CHANNELS
        blocks.append(_parse_row(document, i, width, {block.name for block in blocks}))
    return tuple(blocks)


def row_class(document: Document, i: int) -> type[Block]:
    """The class of the i-th row; raises ArchitectureError if its block or one of its fields does not exist."""
    raw = read_row(document, i)
    if not isinstance(raw["block"], str):
        raise ArchitectureError(
            f"found {raw['block']!r}; use one of {', '.join(plugins.names('block'))}.",
            at=document.where("blocks", i, "block"),
        )
    cls = known_block(document, raw["block"], ("blocks", i, "block"))
    check_fields(document, ("blocks", i), raw, [cls], ("name", "block"))
    for key in cls.required():
        if key not in raw:
            raise ArchitectureError(f"`{key}` is missing; {cls.kind()} requires it.", at=document.where("blocks", i))
    return cls


def read_row(document: Document, i: int) -> dict[str, Any]:
    """The i-th row, a mapping with a valid name and a block."""
    raw = document.data["blocks"][i]
    if not isinstance(raw, dict):
        raise ArchitectureError(f"found {raw!r}; a row is {{name, block, out, ...}}.", at=document.where("blocks", i))
    if not isinstance(raw.get("name"), str) or raw.get("block") is None:
        key = "block" if isinstance(raw.get("name"), str) else "name"
        raise ArchitectureError(f"the row has no `{key}`; add it.", at=document.where("blocks", i))
    if not raw["name"].isidentifier() or raw["name"] == "head":
        raise ArchitectureError(
            f"{raw['name']!r} cannot name a row; use letters, digits and _ (and not `head`).",
            at=document.where("blocks", i, "name"),
        )
    return raw


def known_block(document: Document, kind: str, place: Place) -> type[Block]:
    """The class of a kind of block; raises ArchitectureError, with a suggestion, if there is none."""
    if kind not in plugins.names("block"):
        hint = plugins.suggest(kind, plugins.names("block"))
        raise ArchitectureError(f"unknown block {kind!r}; {hint}", at=document.where(*place))
    return block_class(kind)


def _parse_row(document: Document, i: int, width: int, names: set[str]) -> Block:
    cls = row_class(document, i)
    raw = document.data["blocks"][i]
    if raw["name"] in names:
        where = document.where("blocks", i, "name")
        raise ArchitectureError(f"two rows are named {raw['name']!r}; rename one.", at=where)
    values = {
        field: _read(document, domain, raw[field], ("blocks", i, field))
        for field, domain in cls.domains().items()
        if field in raw
    }
    block = cls(name=raw["name"], **values)
    for rule in cls.rules:
        arguments = {field: width if field == "width" else getattr(block, field) for field in rule.fields}
        if not rule.holds(**arguments):
            key = next(field for field in reversed(rule.fields) if field in raw)
            raise ArchitectureError(rule.message.format(**arguments, input=width), at=document.where("blocks", i, key))
    return block


def _read(document: Document, domain: Domain, value: Any, place: Place) -> Any:
    try:
        return domain.read(value)
    except ValueError as error:
        hint = ""
        if isinstance(value, dict):
            hint = " (an open value: this file is a search space, see `mvsearch space`)"
        raise ArchitectureError(f"found {value!r}{hint}; {error}.", at=document.where(*place)) from None
