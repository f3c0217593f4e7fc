"""Settings from YAML as dataclasses: names and types are checked against the fields."""

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from mvsearch.errors import Location, PlanError
from mvsearch.utils import plugins


def from_mapping(cls: type[Any], raw: dict[str, Any], where: Callable[[str], Location | str]) -> Any:
    """Settings as a dataclass, names and types checked against its fields; raises PlanError at `where(key)`."""
    known = {f.name: f for f in fields(cls)}
    values = {}
    for key, value in raw.items():
        if key not in known:
            raise PlanError(f"unknown setting {key!r}; {plugins.suggest(key, list(known))}", at=where(key))
        values[key] = _check_type(where(key), value, known[key].default, str(known[key].type))
    return cls(**values)


def _check_type(where: Location | str, value: Any, default: Any, declared: str) -> Any:
    if isinstance(default, tuple) and isinstance(value, list) and all(type(v).__name__ in declared for v in value):
        return tuple(value)
    if isinstance(default, float) and type(value) in (int, float):
        if not 0 <= value < math.inf:
            raise PlanError(f"found {value}; use a number, 0 or more.", at=where)
        return float(value)
    if isinstance(default, bool) or isinstance(value, bool):
        fits = isinstance(default, bool) and isinstance(value, bool)
    elif isinstance(default, int):
        fits = type(value) is int and value >= 0
    else:
        fits = (value is None or type(value).__name__ in declared) if default is None else type(value) is type(default)
    if not fits:
        words = "a list of whole numbers" if "int" in declared else "a list of words"
        default = 1 if default is None and "int" in declared else default
        wanted = words if isinstance(default, tuple) else f"a value like {default!r}" if default != "" else "text"
        raise PlanError(f"found {value!r}; use {wanted}.", at=where)
    return value


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names.

    >>> flatten({"proxy": {"steps": 300}})
    {'proxy.steps': 300}
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
