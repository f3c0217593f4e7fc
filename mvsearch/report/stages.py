"""An architecture in a few lines, for places that have no space for a table."""

from collections.abc import Mapping
from typing import Any

_SIZES = ("dim", "depth", "ffn", "expand", "stride", "repeat")
_FORMATS = {"repeat": "{} times"}
_FUSION_FIELDS = ("local", "fusion", "concat", "add_input")


def stage_lines(document: Mapping[str, Any]) -> tuple[str, ...]:
    """A line for each row with its widths and depths, then the fusion of all blocks of attention.

    >>> stage_lines({"blocks": [{"name": "stem", "block": "conv", "out": 16, "stride": 2}]})
    ('stem: conv 16, stride 2',)
    """
    rows = document.get("blocks", [])
    return (*map(_line, rows), *_fusion_line(rows))


def _line(row: Mapping[str, Any]) -> str:
    sizes = (_FORMATS.get(name, f"{name} {{}}").format(row[name]) for name in _SIZES if name in row)
    return ", ".join([f"{row['name']}: {row['block']} {row['out']}", *sizes])


def _fusion_line(rows: list[Mapping[str, Any]]) -> tuple[str, ...]:
    """The fields of the fusion: one value where all rows agree, else every value."""
    values = {n: dict.fromkeys(str(row[n]).lower() for row in rows if n in row) for n in _FUSION_FIELDS}
    fields = [f"{name} {' / '.join(texts)}" for name, texts in values.items() if texts]
    return (", ".join(fields),) if fields else ()
