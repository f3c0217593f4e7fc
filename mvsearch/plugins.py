"""A file is the extension point: `blocks/conv.py` is the block `conv`.

Each folder's `__init__` says what a file of its kind must define. Files whose name starts with `_` are helpers.
"""

from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from mvsearch.errors import MvsearchError

_FEW = 40
_CALLED = {"data": "data sources", "latency": "latency backends"}  # folders that are not called what is in them


@cache
def names(kind: str) -> tuple[str, ...]:
    """The names of every file of a kind, e.g. `names("blocks")`, without importing any of them."""
    folder = Path(__file__).parent / kind
    return tuple(sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")))


def load(kind: str, name: str, *, error: type[MvsearchError] = MvsearchError) -> ModuleType:
    """The module `mvsearch/KIND/NAME.py`; raises `error`, with a suggestion, if there is none."""
    check(kind, name, error=error)
    return import_module(f"mvsearch.{kind}.{name}")


def check(kind: str, name: str, *, error: type[MvsearchError] = MvsearchError) -> None:
    """Raises `error`, with a suggestion, if there is no file of that kind and name; imports nothing."""
    known = names(kind)
    if name not in known:
        raise error(f"{name!r} is none of the {_CALLED.get(kind, kind)}; {suggest(str(name), known)}")


def suggest(name: str, known: tuple[str, ...] | list[str]) -> str:
    """What would do in place of a misspelt name: the nearest, or all of them."""
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    rest = f" ... ({len(known)} in all)" if len(known) > _FEW else ""
    return f"choose one of: {', '.join(known[:_FEW])}{rest}."
