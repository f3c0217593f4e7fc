"""Networks outside the family, and who dominates whom. `rivals.yaml` is the data, with a source for each figure.

Light: `build.py` beside this file is what loads torch and timm.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mvsearch.errors import ArchitectureError, YamlError
from mvsearch.utils import plugins, yaml_document
from mvsearch.utils.yaml_document import Document, Place

FILE = Path(__file__).parent / "baselines.yaml"

KINDS = ("cnn", "hybrid", "vit")

_FIGURES = ("params", "macs", "top1")
_FIELDS = {
    "name": str,
    "label": str,
    "kind": str,
    "image_size": int,
    "params": int,
    "macs": int,
    "top1": float,
    "recipe": str,
    "sources": dict,
}
_SIDECAR_SUFFIXES = {"timm": str, "printed_params_m": float, "reparameterised": bool}


@dataclass(frozen=True)
class Baseline:
    """A published network: its cost as it runs at `image_size`, its ImageNet-1k Top-1 in %, and how it was trained.

    `sources` say in words where `params`, `macs` and `top1` are from. `timm` names timm's weights, None for a network
    that timm does not build; `printed_params_m` is then what timm prints, in millions, of the network as it trains.
    """

    name: str
    label: str
    kind: str
    image_size: int
    params: int
    macs: int
    top1: float
    recipe: str
    sources: dict[str, str]
    timm: str | None = None
    printed_params_m: float | None = None
    reparameterised: bool = False


@dataclass(frozen=True)
class Field:
    """All rivals by name, and what the words for recipes mean."""

    rivals: dict[str, Baseline]
    recipes: dict[str, str]


@cache
def field() -> Field:
    """The rivals that come with the package."""
    return read(FILE)


def rivals() -> tuple[Baseline, ...]:
    """All of them, in the order of the file."""
    return tuple(field().rivals.values())


def rival(name: str) -> Baseline:
    """A rival by name; raises ArchitectureError, with a suggestion, if there is none.

    >>> rival("mobilenetv4_conv_small").params
    3774024
    """
    found = field().rivals
    if name not in found:
        raise ArchitectureError(f"there is no rival {name!r}; {plugins.suggest(name, tuple(found))}")
    return found[name]


def read(path: Path) -> Field:
    """A file of rivals; raises YamlError, with file and line, for a field that is missing, misspelt or of no use."""
    document = yaml_document.read(path)
    data = document.data
    for name, kind in {"recipes": dict, "sources": dict, "networks": list}.items():
        if not isinstance(data.get(name), kind):
            raise YamlError(f"needs `{name}:`, a {'mapping' if kind is dict else 'list'}; see {FILE.name}.", at=path)
    found: dict[str, Baseline] = {}
    for i in range(len(data["networks"])):
        made = _rival(document, ("networks", i))
        if made.name in found:
            raise YamlError(f"{made.name!r} stands here twice; keep one.", at=document.where("networks", i, "name"))
        found[made.name] = made
    return Field(found, data["recipes"])


def _rival(document: Document, place: Place) -> Baseline:
    row = document.data["networks"][place[1]]
    if not isinstance(row, dict):
        raise YamlError(f"found {row!r}; a network is a mapping.", at=document.where(*place))
    known = _FIELDS | _SIDECAR_SUFFIXES
    for name in row:
        if name not in known:
            raise YamlError(f"no such field; {plugins.suggest(name, tuple(known))}", at=document.where(*place, name))
    for name, kind in known.items():
        if name in _FIELDS and name not in row:
            raise YamlError(f"{name} is missing; every network says it.", at=document.where(*place))
        if name in row and not _is(row[name], kind):
            raise YamlError(f"found {row[name]!r}; use {_USE[kind]}.", at=document.where(*place, name))
    _one_of(document, (*place, "kind"), row["kind"], KINDS)
    _one_of(document, (*place, "recipe"), row["recipe"], tuple(document.data["recipes"]))
    return Baseline(**row | {"sources": _sources(document, (*place, "sources"), row["sources"])})


_USE = {
    str: "a word",
    int: "a whole number above 0",
    float: "a number above 0",
    bool: "true or false",
    dict: "a mapping of figures to the keys of `sources:`",
}


def _is(value: Any, kind: type) -> bool:
    if kind in (int, float):
        return isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool) and value > 0
    return isinstance(value, kind)


def _one_of(document: Document, place: Place, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise YamlError(f"found {value!r}; {plugins.suggest(str(value), known)}", at=document.where(*place))


def _sources(document: Document, place: Place, keys: dict[str, str]) -> dict[str, str]:
    """The source of each figure in words."""
    if set(keys) != set(_FIGURES):
        raise YamlError(f"found {', '.join(keys)}; name a source for {', '.join(_FIGURES)}.", at=document.where(*place))
    texts = document.data["sources"]
    for figure, key in keys.items():
        _one_of(document, (*place, figure), key, tuple(texts))
    return {figure: texts[keys[figure]] for figure in _FIGURES}
