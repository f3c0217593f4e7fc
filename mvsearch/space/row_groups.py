"""Groups of rows that are repeated with the same choices, written out as rows.

- group: stage                          name: mix,   block: mv2, out: {choose: [16, 24]}
  repeat: {choose: [1, 2]}       ->     name: mix_2, block: mv2, out: mix.out, repeat: 1 if stage >= 2 else 0
  rows:
    - {name: mix, block: mv2, out: {choose: [16, 24]}}

The number of repetitions is a variable with the name of the group. Only the rows of the first repetition stride.
"""

import re
from typing import Any

from mvsearch.errors import SpaceError
from mvsearch.utils.yaml_document import Document, Place

MAX_REPETITIONS = 50


def expand_groups(document: Document) -> Document:
    """The same document with every group as rows; raises SpaceError for a group that is not one."""
    if not any(isinstance(row, dict) and "group" in row for row in document.data["blocks"]):
        return document
    rows: list[Any] = []
    variables, lines = dict(document.data.get("vars") or {}), dict(document.lines)
    for i, row in enumerate(document.data["blocks"]):
        if not (isinstance(row, dict) and "group" in row):
            lines |= _moved(document, ("blocks", i), ("blocks", len(rows)))
            rows.append(row)
            continue
        _check_group(document, i, row, variables)
        variables[row["group"]] = row["repeat"]
        lines |= _moved(document, ("blocks", i, "repeat"), ("vars", row["group"]))
        for number in range(1, _most(document, i, row["repeat"]) + 1):
            for j, member in enumerate(row["rows"]):
                lines |= _moved(document, ("blocks", i, "rows", j), ("blocks", len(rows)))
                rows.append(member if number == 1 else _copy(member, number, row["group"]))
    return Document({**document.data, "vars": variables, "blocks": rows}, document.file, lines)


def _check_group(document: Document, i: int, row: dict[str, Any], variables: dict[str, Any]) -> None:
    name, where = row["group"], document.where("blocks", i, "group")
    if set(row) != {"group", "repeat", "rows"}:
        raise SpaceError(f"found {', '.join(row)}; a group has `group` (its name), `repeat` and `rows`.", at=where)
    if not isinstance(name, str) or not name.isidentifier() or name in variables:
        taken = " and names another value" if isinstance(name, str) and name in variables else ""
        raise SpaceError(
            f"{name!r} cannot name a group{taken}; use a name of its own, of letters, digits and _.", at=where
        )
    members = row["rows"]
    if not isinstance(members, list) or not members or any(not isinstance(member, dict) for member in members):
        raise SpaceError(f"found {members!r}; use a list of rows.", at=document.where("blocks", i, "rows"))
    for j, member in enumerate(members):
        where = document.where("blocks", i, "rows", j)
        if "group" in member:
            raise SpaceError("found a group in a group; write rows.", at=where)
        if not isinstance(member.get("name"), str):
            raise SpaceError("the row has no `name`; add it.", at=where)


def _most(document: Document, i: int, repeat: Any) -> int:
    """The most repetitions: a whole number, or that of an open value."""
    values = [repeat]
    if isinstance(repeat, dict):
        raw = next(iter(repeat.values()), None)
        values = (raw[:2] if list(repeat) == ["range"] else raw) if isinstance(raw, list) and raw else [repeat]
    if any(type(value) is not int or not 1 <= value <= MAX_REPETITIONS for value in values):
        raise SpaceError(
            f"found {repeat!r}; use a whole number from 1 to {MAX_REPETITIONS}, or {{choose: [...]}} of several; "
            "a row is left out by its own `repeat: 0`.",
            at=document.where("blocks", i, "repeat"),
        )
    return int(max(values))


def _copy(member: dict[str, Any], number: int, group: str) -> dict[str, Any]:
    """A row of a later repetition: the choices of the first one, by their names, and no stride."""
    name = member["name"]
    copied = {
        key: {field: _same(inner, f"{name}.{key}.{field}") for field, inner in value.items()}
        if isinstance(value, dict) and not _is_open(value)
        else _same(value, f"{name}.{key}")
        for key, value in member.items()
        if key not in ("name", "stride", "repeat")
    }
    repeat = f"{f'{name}.repeat' if 'repeat' in member else 1} if {group} >= {number} else 0"
    if may_be_zero(member.get("repeat", 1)):  # the group's number has no effect on a row that is left out
        repeat = f"({repeat}) if {name}.repeat >= 1 else 0"
    return {"name": f"{name}_{number}", **copied, "repeat": repeat}


def may_be_zero(repeat: Any) -> bool:
    """Whether a row with this `repeat` may be left out."""
    if isinstance(repeat, dict):
        return any(isinstance(values, list) and 0 in values for values in repeat.values())
    return repeat == 0 or isinstance(repeat, str)


def repetition_of(row: dict[str, Any]) -> tuple[str, int] | None:
    """The group whose later repetition a row is of, and the number of that; None for any other row."""
    found = re.search(r" if (\w+) >= (\d+) else 0\b", str(row.get("repeat")))
    return (found[1], int(found[2])) if found else None


def _same(value: Any, name: str) -> Any:
    return name if _is_open(value) else value


def _is_open(value: Any) -> bool:
    return isinstance(value, dict) and list(value) in (["choose"], ["range"])


def _moved(document: Document, source: Place, target: Place) -> dict[Place, int]:
    """The lines of a part of the document at its new place."""
    n = len(source)
    return {target + place[n:]: line for place, line in document.lines.items() if place[:n] == source}
