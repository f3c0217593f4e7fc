"""A file is the extension point: `arch/blocks/conv.py` is the block `conv`.

`KINDS` lists every kind of plug-in and its package. The `__init__` of each package says what a file of its kind must
define. Files whose name starts with `_` are helpers.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Literal

from mvsearch.errors import Location, MvsearchError
from mvsearch.utils.synonyms import synonym

Kind = Literal[
    "block",
    "head",
    "layer",
    "data_source",
    "task",
    "proxy",
    "export_format",
    "latency_backend",
    "measurement",
    "counter",
    "sampler",
    "command",
]

KINDS: dict[Kind, str] = {
    "block": "mvsearch.arch.blocks",
    "head": "mvsearch.arch.heads",
    "layer": "mvsearch.nn",
    "data_source": "mvsearch.data",
    "task": "mvsearch.training.tasks",
    "proxy": "mvsearch.proxies",
    "export_format": "mvsearch.export.formats",
    "latency_backend": "mvsearch.profiling.latency",
    "measurement": "mvsearch.profiling.measurements",
    "counter": "mvsearch.profiling.counters",
    "sampler": "mvsearch.study.samplers",
    "command": "mvsearch.cli",
}
"""The extension points: the package that holds the files of each kind."""

_MAX_LISTED = 40


@cache
def names(kind: Kind) -> tuple[str, ...]:
    """The names of every file of a kind, e.g. `names("block")`, without importing any of them."""
    spec = find_spec(KINDS[kind])
    folders = (spec and spec.submodule_search_locations) or ()
    stems = (path.stem for folder in folders for path in Path(folder).glob("*.py"))
    return tuple(sorted(stem for stem in stems if not stem.startswith("_")))


def load(kind: Kind, name: str, *, error: type[MvsearchError] = MvsearchError) -> ModuleType:
    """The module of a kind and name; raises `error`, with a suggestion, if there is none."""
    check(kind, name, error=error)
    return import_module(f"{KINDS[kind]}.{name}")


def check(
    kind: Kind, name: str, *, error: type[MvsearchError] = MvsearchError, at: Location | str | None = None
) -> None:
    """Raise `error`, with a suggestion, if there is no file of a kind and name; imports none of them."""
    known = names(kind)
    if name not in known:
        raise error(f"unknown {kind.replace('_', ' ')} {name!r}; {suggest(str(name), known)}", at=at)


def suggest(name: str, known: tuple[str, ...] | list[str]) -> str:
    """A hint for a misspelt name: the known name for this word, the nearest one, or all of them."""
    if known_as := synonym(name, known):
        return f"did you mean {known_as}?"
    if near := nearest(name, known):
        return f"did you mean {near!r}?"
    rest = f" ... ({len(known)} in all)" if len(known) > _MAX_LISTED else ""
    return f"choose one of: {', '.join(known[:_MAX_LISTED])}{rest}."


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The nearest of these names; None if none is near."""
    return next(iter(get_close_matches(name, list(known), n=1)), None)
