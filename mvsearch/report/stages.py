"""An architecture in a few lines, for where there is no room for a table."""

from collections.abc import Mapping
from typing import Any

_SIZES = ("dim", "depth", "ffn", "expand", "stride", "repeat")
_WORDS = {"repeat": "{} times"}
_KIND = ("local", "fusion", "concat", "add_input")


def stage_lines(document: Mapping[str, Any]) -> tuple[str, ...]:
    """A line a row with its widths and depths, then what all blocks of attention have in common.

    >>> stage_lines({"blocks": [{"name": "stem", "block": "conv", "out": 16, "stride": 2}]})
    ('stem: conv 16, stride 2',)
    """
    rows = document.get("blocks", [])
    return (*map(_line, rows), *_in_common(rows))


def _line(row: Mapping[str, Any]) -> str:
    sizes = (_WORDS.get(name, f"{name} {{}}").format(row[name]) for name in _SIZES if name in row)
    return ", ".join([f"{row['name']}: {row['block']} {row['out']}", *sizes])


def _in_common(rows: list[Mapping[str, Any]]) -> tuple[str, ...]:
    """How the fusion is built: one value where all rows agree, else each that is met."""
    met = {name: dict.fromkeys(str(row[name]).lower() for row in rows if name in row) for name in _KIND}
    said = [f"{name} {' / '.join(values)}" for name, values in met.items() if values]
    return (", ".join(said),) if said else ()
