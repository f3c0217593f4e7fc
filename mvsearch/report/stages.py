"""An architecture in a few lines, for places that have no space for a table."""

from collections.abc import Mapping
from typing import Any

from mvsearch.arch.blocks import block_class
from mvsearch.arch.schema import field_text

_FORMATS = {"repeat": "{} times"}
_LAST = ("stride", "repeat")


def stage_lines(document: Mapping[str, Any]) -> tuple[str, ...]:
    """A line for each row with its widths and depths, then the fusion of all blocks of attention.

    >>> stage_lines({"blocks": [{"name": "stem", "block": "conv", "out": 16, "stride": 2}]})
    ('stem: conv 16, stride 2',)
    """
    rows = document.get("blocks", [])
    return (*map(_line, rows), *_fusion_line(rows))


def _line(row: Mapping[str, Any]) -> str:
    block = block_class(row["block"])
    declared = (*block.width_fields, block.depth_field, *block.proportional_fields, *block.summary_fields)
    shown = dict.fromkeys((*(name for name in declared if name not in _LAST), *_LAST))
    texts = (_FORMATS.get(name, f"{name} {{}}").format(field_text(row[name])) for name in shown if name in row)
    return ", ".join([f"{row['name']}: {row['block']} {row['out']}", *texts])


def _fusion_line(rows: list[Mapping[str, Any]]) -> tuple[str, ...]:
    """The fields of the fusion, in which the versions of a family differ: one value where all rows agree, else every
    value."""
    variants = (fields for row in rows for fields in block_class(row["block"]).variants.values())
    names = dict.fromkeys(name for fields in variants for name in fields)
    values = {name: dict.fromkeys(field_text(row[name]) for row in rows if name in row) for name in names}
    texts = [f"{name} {' / '.join(found)}" for name, found in values.items() if found]
    return (", ".join(texts),) if texts else ()
